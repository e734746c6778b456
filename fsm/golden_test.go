package fsm

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/placement"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samples holds one operation of every kind with every field set.
func samples() []Body {
	floor, gap, cooldown, delay := 0.4, 0.1, time.Minute, time.Second
	spec := placement.Spec{
		Desired: 2, MinReady: 1, SizeBytes: 3, Weight: 4, Labels: placement.Labels{{Key: "team", Value: "blue"}},
		Policy: placement.PolicyLazy, Floor: &floor, Gap: &gap, Cooldown: &cooldown, RepairDelay: &delay,
		Require: []string{"ssd"}, Prefer: []string{"zone=a"},
		Spread: placement.SpreadEven, MaxPerZone: 2, AntiAffinity: []string{"team=red"}, Colocate: []string{"chain=c2"}, Near: []string{"zone=b"},
	}
	put := PutChain{Chain: "c1", Spec: specToRecord(spec), IfGeneration: 5, CreateOnly: true}
	announce := &Announce{
		Node: "n1", Instance: "i1", Process: "p1", Role: placement.RoleServer, Zone: "a", CapacityBytes: 6,
		Version: "v1.0.0", FeatureLevel: 1,
	}
	announce.SetLabels(placement.Labels{{Key: "ssd", Value: "yes"}})
	announce.SetCapabilities(placement.Capabilities{{Key: "cores", Number: 8, IsNumber: true}, {Key: "gpu", Text: "a100"}})
	announce.SetAddresses(placement.Addresses{Node: "n1:7400", HTTP: "n1:7401", Service: "n1:80"})
	config := placement.DefaultConfig()
	config.WriteCopies, config.MoveBandwidth = 2, 1<<20
	return []Body{
		&Genesis{"cluster", "name", "lineage"}, announce,
		&Observe{"n1", 7, placement.NodeSuspect}, &Lose{"n1", 7}, &Leave{"n1", "i1", 7}, &RemoveNode{"n1", true},
		&SetEligibility{"n1", placement.Draining, time.Hour}, &SetWeight{"n1", 500_000},
		&put, &PutChains{Items: []PutChain{put}}, &DeleteChain{"c1", 5},
		&Report{
			Node: "n1", Lineage: "lineage", Incarnation: 7, Inventory: true, NoSpace: true, Revision: 8,
			After: "c0", Until: "c9",
			Items: []ReportItem{{"c1", 9, ReportReady, sha(1), 10, 11, 12, "why"}},
		},
		NewDecide(placement.Decision{
			Kind: placement.KindOpenMove, Cause: placement.CauseForced, Chain: "c1", ChainRevision: 13, Move: 14, From: "n1", To: "n2",
			Source: "n3", Mode: placement.EvictFirst, ScoreFrom: 15, ScoreTo: 16, Forced: 17,
			Reason: placement.Reason{Name: placement.ReasonForced, Detail: "words"},
		}),
		&PutConfig{Config: configRecord(config), IfGeneration: 18}, &SetFreeze{time.Minute}, &Thaw{}, &ResumeRepair{},
		&Force{"c1", "n1", "n2"},
		&CommitContent{"c1", 19, sha(2), 20, []StoredCopy{{"n1", 7, 9}}},
		&RaiseLevel{1}, &ReleaseGuard{}, &PurgeOrphan{"n1", "c1"}, &SetHeartbeat{time.Second},
	}
}

// sampleBatch is an entry with all the envelope's fields set.
func sampleBatch(body Body) Batch {
	return Batch{
		Level: 1, Now: 21, Wall: time.UnixMilli(22).UTC(), Term: 23, ConfigAt: 24,
		Ops: []Op{{"actor", "reason", Request{"key", bytes.Repeat([]byte{25}, HashBytes)}, body}},
	}
}

func kindName(b Body) string {
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", b), "*fsm."))
}

// golden compares data with a file of hexadecimal lines, or writes it.
func golden(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".hex")
	if *update {
		var text strings.Builder
		for chunk := data; len(chunk) > 0; chunk = chunk[min(32, len(chunk)):] {
			fmt.Fprintf(&text, "%x\n", chunk[:min(32, len(chunk))])
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := readGolden(t, name)
	if !bytes.Equal(data, want) {
		t.Errorf("%s: the bytes have changed, so that a log of before means something else now:\n got %x\nwant %x", name, data, want)
	}
	return want
}

func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "golden", name+".hex"))
	if err != nil {
		t.Fatalf("no golden bytes (go test -run Golden -update writes them): %v", err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return data
}

// TestGoldenOps: a log written today must be read the same for ever. Each kind
// of operation is encoded with every field set, compared with its file, and
// read back.
func TestGoldenOps(t *testing.T) {
	for _, body := range samples() {
		t.Run(kindName(body), func(t *testing.T) {
			if zero := zeroField(reflect.ValueOf(body), kindName(body)); zero != "" {
				t.Fatalf("the sample leaves %s unset, so its bytes are not pinned", zero)
			}
			batch := sampleBatch(body)
			data, err := EncodeBatch(batch)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeBatch(golden(t, "op-"+kindName(body), data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(batch, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
				t.Errorf("decoded golden bytes (-want +got):\n%s", diff)
			}
		})
	}
}

// zeroField returns the path of a field that is not set.
func zeroField(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return path
		}
		return zeroField(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			if zero := zeroField(v.Field(i), path+"."+v.Type().Field(i).Name); zero != "" {
				return zero
			}
		}
		return ""
	case reflect.Slice:
		for i := range v.Len() {
			if zero := zeroField(v.Index(i), path); zero != "" {
				return zero
			}
		}
	}
	if v.IsZero() {
		return path
	}
	return ""
}

// TestGoldenCoversEveryKind: no operation may reach a log with bytes that
// nothing pins. Every number that decodes to a body must have a sample.
func TestGoldenCoversEveryKind(t *testing.T) {
	have := map[opKind]string{}
	for _, body := range samples() {
		if other, ok := have[body.kind()]; ok {
			t.Errorf("%s and %s share number %d", other, kindName(body), body.kind())
		}
		have[body.kind()] = kindName(body)
	}
	for k := range 256 {
		body := newBody(opKind(k))
		if body == nil {
			if name, ok := have[opKind(k)]; ok {
				t.Errorf("%s, of number %d, cannot be decoded", name, k)
			}
			continue
		}
		if have[opKind(k)] != kindName(body) {
			t.Errorf("number %d decodes to %s, the golden sample is %q", k, kindName(body), have[opKind(k)])
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "op-*.hex"))
	if err != nil || len(files) != len(have) {
		t.Errorf("%d golden files for %d operations (%v)", len(files), len(have), err)
	}
}

// richRig builds a state in which every kind of record and mark occurs.
func richRig(t testing.TB) *rig {
	r := newRig(t, "a", "b", "c", "d", "e")
	r.zone("a", "east")
	r.capable("c", placement.Capabilities{{Key: "cores", Number: 7.5, IsNumber: true}, {Key: "gpu", Text: "a100"}, {Key: "memory_bytes", Number: 1 << 40, IsNumber: true}})
	floor, delay := 0.4, time.Second
	r.chain("kept", placement.Spec{
		Desired: 2, SizeBytes: 10, Floor: &floor, RepairDelay: &delay, Require: []string{"!slow"},
		Labels: placement.Labels{{Key: "team", Value: "blue"}},
	}, "a", "b")
	r.do(r.stored("kept", 1, "a", "b"))
	r.chain("moved", spec(2), "a", "b")
	r.do(r.move(placement.CauseBalance, "moved", "a", "c"))
	r.chain("failing", spec(2), "a")
	r.configure(func(c *placement.Config) { c.QuarantineAfter = 1 })
	r.do(r.assign("failing", "d"))
	r.report("d", false, ReportItem{Chain: "failing", Epoch: r.holder("failing", "d").Epoch, Phase: ReportFailed, Error: "broken pipe"})
	r.chain("gone", spec(1), "c")
	r.do(&DeleteChain{Chain: "gone"})
	r.report("d", true, ReportItem{Chain: "foreign", Epoch: 3, Phase: ReportReady, SHA256: sha(9), SizeBytes: 4})
	r.chain("new", spec(3))
	r.chain("asked", spec(2), "a", "b")
	r.do(&Force{Chain: "asked", From: "a", To: "c"})
	r.do(&SetEligibility{Node: "b", Eligibility: placement.Draining, Deadline: time.Hour})
	r.do(&SetWeight{Node: "c", Weight: 250_000})
	r.do(&SetFreeze{For: time.Hour})
	r.observe("e", placement.NodeSuspect)
	r.observe("d", placement.NodeSuspect)
	r.loses("d")
	for i, body := range []Body{NewPutChain("keyed", spec(9)), &Lose{Node: "nobody"}, &PutChains{Items: []PutChain{{Chain: "ok"}, {Chain: "-x"}}}} {
		r.batch(Batch{Wall: time.UnixMilli(1_900_000_000_000), Ops: []Op{{
			Actor: actor, Reason: "test", Body: body, Request: Request{fmt.Sprintf("key-%d", i), bytes.Repeat([]byte{1}, HashBytes)},
		}}})
	}
	r.start("b", "disk-b", "run-2")
	return r
}

// TestGoldenSnapshot: a snapshot written today must be read the same for ever.
// A state with every kind of record is compared with its file and restored.
func TestGoldenSnapshot(t *testing.T) {
	r := richRig(t)
	data := golden(t, "snapshot", r.bytes())
	back := New()
	if err := back.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if got := viewBytes(t, back.View()); !bytes.Equal(got, data) {
		t.Errorf("a restored snapshot has other bytes:\n got %x\nwant %x", got, data)
	}
	v := back.View()
	if v.Freeze == nil || v.RepairPause == nil || len(v.Forced) == 0 || v.OrphanCount() == 0 || v.TombstoneCount() == 0 || v.RequestCount() != 3 {
		t.Errorf("the golden state is not rich: freeze %v, pause %v, forced %d, orphans %d, tombstones %d, requests %d",
			v.Freeze, v.RepairPause, len(v.Forced), v.OrphanCount(), v.TombstoneCount(), v.RequestCount())
	}
}
