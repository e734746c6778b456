package sim

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// seeds is how many histories a test run lives through, besides those that
// failed once; seedsShort with -short.
const (
	seeds      = 10_000
	seedsShort = 300
)

// TestSim lives through seeded histories with faults; every invariant must
// hold on every operation, and at the end the cluster must heal and be quiet.
// HOLDFAST_SEED=n repeats one seed, HOLDFAST_SEEDS=n runs so many from a random
// one.
func TestSim(t *testing.T) {
	first, count, failed := uint64(1), uint64(seeds), regressions(t)
	if testing.Short() {
		count = seedsShort
	}
	if n, ok := number(t, "HOLDFAST_SEEDS"); ok {
		first, count, failed = rand.Uint64N(1<<62), n, nil
	}
	if n, ok := number(t, "HOLDFAST_SEED"); ok {
		first, count, failed = n, 1, nil
	}
	t.Logf("seeds %v, then %d to %d; one repeats with: make sim SEED=n", failed, first, first+count-1)
	all := slices.Clone(failed)
	for i := range count {
		all = append(all, first+i)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the worlds are small and short-lived
	sum := live(all)
	t.Log(sum)
	if sum.err != nil {
		w := New(Options{Seed: sum.seed, Trace: true})
		err := w.Run()
		log := w.Log()
		t.Fatalf("%s\n%v\nrepeat with: make sim SEED=%d", strings.Join(log[max(0, len(log)-150):], "\n"), err, sum.seed)
	}
	if count >= seeds {
		for _, kind := range kinds {
			if sum.faults[kind] == 0 {
				t.Errorf("no seed injected: %s", kind)
			}
		}
	}
}

// TestSeedRepeats runs a seed twice; the state at the end must be the same, byte
// for byte.
func TestSeedRepeats(t *testing.T) {
	for seed := range uint64(5) {
		var hashes []string
		for range 2 {
			w := New(Options{Seed: seed})
			if err := w.Run(); err != nil {
				t.Fatal(err)
			}
			hash, err := w.Hash()
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, fmt.Sprint(hash, w.Elapsed(), w.Commits(), w.Faults))
		}
		if hashes[0] != hashes[1] {
			t.Errorf("seed %d ended differently:\n%s\n%s", seed, hashes[0], hashes[1])
		}
	}
}

// kinds are the faults that must strike somewhere in a full run.
var kinds = []string{
	"crash", "restart", "disk replaced", "cable out", "node left", "node changed",
	"leader change", "leader busy", "leader paused", "plan late", "plan repeated", "hold overlooked",
	"batch of a deposed leader", "entry of an older term", "wall clock wrong", "node's clock wrong",
	"report lost", "report late", "report repeated", "reports reordered", "inventory in parts", "view stale", "node busy",
	"pull slow", "pull stalled", "pull failed", "put", "put lost", "put late",
	"no scorer", "scorer of chance", "picky scorer",
	"command repeated", "configuration changed", "freeze", "forced move", "node drained or cordoned", "node weighed",
	"node removed", "data loss allowed", "chain created", "chain changed", "chain deleted", "chain created anew", "orphan purged",
	"restored replica leads", "turned back",
}

// summary is what many worlds have lived through.
type summary struct {
	seeds     int
	lived     time.Duration // simulated
	took      time.Duration
	commits   uint64
	faults    map[string]int
	decisions map[string]int
	seed      uint64 // the first that failed
	err       error
}

func (s *summary) add(w *World) {
	s.seeds++
	s.lived += w.Elapsed()
	s.commits += w.Commits()
	for kind, n := range w.Faults {
		s.faults[kind] += n
	}
	for kind, n := range w.Decisions() {
		s.decisions[kind] += n
	}
}

// String is the summary for people.
func (s *summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %.0f cluster hours, %d commits, %v\n", s.seeds, s.lived.Hours(), s.commits, s.took.Round(time.Second))
	for _, part := range []struct {
		name   string
		counts map[string]int
	}{{"injected", s.faults}, {"decided", s.decisions}} {
		fmt.Fprintf(&b, "%s:", part.name)
		for _, kind := range slices.Sorted(maps.Keys(part.counts)) {
			fmt.Fprintf(&b, " %s %d,", kind, part.counts[kind])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// live runs the worlds of all seeds, each on one goroutine, as many at once as
// there are processors. After a failure no new one is begun.
func live(all []uint64) *summary {
	began := time.Now()
	sum := &summary{faults: map[string]int{}, decisions: map[string]int{}}
	var mu sync.Mutex
	var next atomic.Int64
	var done sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				w := New(Options{Seed: all[i]})
				err := w.Run()
				mu.Lock()
				sum.add(w)
				if err != nil && sum.err == nil {
					sum.seed, sum.err = all[i], err
					next.Store(int64(len(all)))
				}
				mu.Unlock()
			}
		})
	}
	done.Wait()
	sum.took = time.Since(began)
	return sum
}

// regressions reads testdata/seeds.txt.
func regressions(t *testing.T) []uint64 {
	t.Helper()
	f, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []uint64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		n, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil {
			t.Fatalf("testdata/seeds.txt: %v", err)
		}
		list = append(list, n)
	}
	return list
}

// number reads an environment variable.
func number(t *testing.T, name string) (uint64, bool) {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}
