package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// leakPatience is how long a goroutine of memberlist may go on with the probe
// that it is in when its node stops.
const leakPatience = 10 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	left := goleak.Find()
	for began := time.Now(); left != nil && time.Since(began) < leakPatience; {
		left = goleak.Find() // waits a while by itself
	}
	if left != nil && code == 0 {
		fmt.Fprintln(os.Stderr, left)
		code = 1
	}
	os.Exit(code)
}

// tiny is a size at which everything is real and nothing takes long.
func tiny(t *testing.T) Config {
	t.Helper()
	return Config{
		Chains: 900, Nodes: 9, Clients: 8, Size: 4 << 20, Length: 200 * time.Millisecond, Dir: t.TempDir(),
		Progress: t.Logf,
	}
}

// has checks that a report's JSON is one flat object of finite numbers that
// has these keys, each above 0.
func has(t *testing.T, r *Report, keys ...string) map[string]float64 {
	t.Helper()
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var flat map[string]float64
	if err := json.Unmarshal(data, &flat); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	for _, k := range keys {
		if v, ok := flat[k]; !ok || !(v > 0) || math.IsInf(v, 0) {
			t.Errorf("%s is %v (there: %t) in %s", k, v, ok, data)
		}
	}
	var table testWriter
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", table, data)
	return flat
}

type testWriter []byte

func (w *testWriter) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }

// The plan benchmark builds its state, plans in each situation and reports
// every key of the contract.
func TestPlan(t *testing.T) {
	r, err := Plan(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	got := has(t, r, "chains", "nodes", "cold_seconds", "idle_seconds", "quiet_seconds", "node_loss_seconds", "one_change_seconds", "rss_bytes", "naive_seconds", "node_loss_decisions")
	if _, ok := got["idle_allocs"]; !ok || got["chains"] != 900 || got["nodes"] != 9 || got["cold_decisions"] != 0 {
		t.Errorf("reported %v", got)
	}
}

// The apply benchmark commits decisions on one real node and on three, beside
// bare raft, and reports both with their ratio.
func TestApply(t *testing.T) {
	r, err := Apply(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	has(t, r, "decisions_per_second", "decisions_per_second_ratio", "bare_per_second", "fsyncs_per_second", "decisions_per_second_3", "bare_per_second_3")
}

// The state benchmark writes a snapshot while entries are applied, restores it,
// and reports memory, times and stalls.
func TestState(t *testing.T) {
	r, err := State(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	has(t, r, "heap_bytes", "heap_bytes_per_chain", "rss_bytes", "snapshot_seconds", "snapshot_bytes", "restore_seconds", "stall_seconds", "stall_seconds_ratio", "alone_seconds")
}

// The write benchmark lets clients write through three whole agents, and counts
// what was answered.
func TestWrite(t *testing.T) {
	r, err := Write(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	has(t, r, "clients", "writes_per_second", "writes_per_second_ratio", "spread_writes_per_second", "fsyncs_per_second")
}

// The copy benchmark pulls a content between two agents and has it repaired,
// beside one stream of the same bytes.
func TestCopy(t *testing.T) {
	r, err := Copy(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	has(t, r, "content_bytes", "copy_bytes_per_second", "copy_bytes_per_second_ratio", "stream_bytes_per_second", "repair_bytes_per_second")
}
