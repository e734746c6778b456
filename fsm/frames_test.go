package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/placement"
)

// restored returns the state of a snapshot.
func restored(t testing.TB, data []byte) *View {
	t.Helper()
	m := New()
	if err := m.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return m.View()
}

// TestFramesKeepEverything: a chain comes back from a snapshot as it was, in
// whichever frame it lies. More chains than fit a frame, with more specs than
// fit one, many with something of their own, go through one.
func TestFramesKeepEverything(t *testing.T) {
	r := newRig(t)
	for i := range 2*frameChains + 1 {
		c := &placement.Chain{
			ID: placement.ChainID(fmt.Sprintf("c%06d", i)), Spec: &placement.Spec{Desired: 1 + i%9, SizeBytes: int64(i % (frameSpecs * 3))},
			Generation: placement.Generation(i), LastRebalance: placement.Time(i), LastConstraint: -placement.Time(i),
			LastDecision: placement.Revision(i), EverReady: i%2 == 0, Failures: int32(i % 5),
		}
		if i%3 == 0 {
			c.Content = &placement.Content{Version: placement.Revision(i), SHA256: sha(i), Size: int64(i)}
		}
		for k := range i % 4 {
			c.Holders = append(c.Holders, placement.Holder{
				Node: placement.NodeID(fmt.Sprintf("n%d-%d", k, i%700)), Epoch: placement.Epoch(i), Phase: placement.Phase(1 + i%3),
				Lost: i%5 == 0, Unconfirmed: i%7 == 0, Since: placement.Time(i), SizeBytes: int64(-i), SHA256: strings.Repeat("x", k%2*i%3),
				Source: placement.NodeID(strings.Repeat("s", k)),
			})
		}
		if i%11 == 0 {
			c.Moves = []placement.Move{{ID: placement.MoveID(i), Cause: placement.CauseRepair, To: "n", Deadline: placement.Time(i)}}
		}
		if i%13 == 0 {
			c.Backoffs = []placement.Backoff{{Node: "n", Failures: i, Until: placement.Time(i)}}
			c.Quarantine = &placement.Quarantine{Since: 1, Until: placement.Time(i), Failures: i, Error: "broken"}
		}
		if i%17 == 0 {
			c.Departed = []placement.Departure{{Node: "m", Copy: "o", At: placement.Time(i)}, {Node: "n", Copy: "m", At: 1}}
		}
		r.m.s.putChain(c)
	}
	r.batch(Batch{})
	back := restored(t, r.bytes())
	if !bytes.Equal(r.bytes(), viewBytes(t, back)) {
		t.Error("same-state: the restored state has other bytes")
	}
	was := map[placement.ChainID]*placement.Chain{}
	is := map[placement.ChainID]*placement.Chain{}
	r.m.View().Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool { was[id] = c; return true })
	back.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool { is[id] = c; return true })
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("chains (-put +restored):\n%.2000s", diff)
	}
	back.Usages.Ascend("", func(n placement.NodeID, u placement.Usage) bool {
		if u != r.m.View().Usage(n) {
			t.Errorf("node %s: restored to %+v, it was %+v", n, u, r.m.View().Usage(n))
		}
		return true
	})
	held := func(v *View) (list []string) {
		v.Held.Ascend("", func(n placement.NodeID, on placement.ChainSet) bool {
			on.Ascend("", func(id placement.ChainID, _ struct{}) bool {
				list = append(list, string(n)+" "+string(id))
				return true
			})
			return true
		})
		return list
	}
	if diff := cmp.Diff(held(r.m.View()), held(back)); diff != "" {
		t.Errorf("the index of holders (-put +restored):\n%.2000s", diff)
	}
}

// TestFramesAreReadStrictly: a frame that points beyond its tables, ends early
// or late, or lists holders out of order must be refused although the checksum
// is right.
func TestFramesAreReadStrictly(t *testing.T) {
	r := newRig(t, "a", "b")
	r.chain("c", placement.Spec{Desired: 2}, "a", "b")
	r.do(r.stored("c", 1, "a", "b"))
	good := r.bytes()
	// The numbers of this frame, in the order in which frame.add writes them.
	const spec, chainMarks, hash, holders, node, source, holderHash, holderMarks, perHolder = 0, 7, 10, 11, 12, 13, 14, 18, 7
	for name, change := range map[string]func(f *frameRecord, n []uint64) []uint64{
		"spec":          func(_ *frameRecord, n []uint64) []uint64 { n[spec] = 1; return n },
		"hash":          func(_ *frameRecord, n []uint64) []uint64 { n[hash] = 2; return n },
		"node":          func(_ *frameRecord, n []uint64) []uint64 { n[node] = 9; return n },
		"source":        func(_ *frameRecord, n []uint64) []uint64 { n[node+perHolder+1] = 1 << 60; return n },
		"holder's hash": func(_ *frameRecord, n []uint64) []uint64 { n[holderHash] = 3; return n },
		"marks":         func(_ *frameRecord, n []uint64) []uint64 { n[chainMarks] |= 4; return n },
		"holder marks":  func(_ *frameRecord, n []uint64) []uint64 { n[holderMarks] |= 16; return n },
		"phase":         func(_ *frameRecord, n []uint64) []uint64 { n[holderMarks] &^= 3; return n },
		"more holders":  func(_ *frameRecord, n []uint64) []uint64 { n[holders]++; return n },
		"many holders":  func(_ *frameRecord, n []uint64) []uint64 { n[holders] = 1 << 50; return n },
		"fewer holders": func(_ *frameRecord, n []uint64) []uint64 { n[holders]--; return n },
		"a node twice":  func(_ *frameRecord, n []uint64) []uint64 { n[node+perHolder] = n[node]; return n },
		"a number more": func(_ *frameRecord, n []uint64) []uint64 { return append(n, 0) },
		"a number less": func(_ *frameRecord, n []uint64) []uint64 { return n[:len(n)-1] },
		"no id":         func(f *frameRecord, n []uint64) []uint64 { f.IDs = nil; return n },
		"an id more":    func(f *frameRecord, n []uint64) []uint64 { f.IDs = append(f.IDs, "d"); return n },
		"rest of none":  func(f *frameRecord, n []uint64) []uint64 { f.Rest = []restRecord{{Chain: 1}}; return n },
		"rest twice":    func(f *frameRecord, n []uint64) []uint64 { f.Rest = make([]restRecord, 2); return n },
	} {
		bad := rebuild(t, good, func(kind recordKind, body []byte) []byte {
			if kind != recChains {
				return body
			}
			var f frameRecord
			if err := unpack(body, &f); err != nil {
				t.Fatal(err)
			}
			var list []uint64
			for rest := f.Numbers; len(rest) > 0; {
				n, size := binary.Uvarint(rest)
				list, rest = append(list, n), rest[size:]
			}
			if len(list) != node+2*perHolder || list[source] != 0 {
				t.Fatalf("the test does not know the numbers of a frame: %d", list)
			}
			f.Numbers = nil
			for _, n := range change(&f, slices.Clone(list)) {
				f.Numbers = binary.AppendUvarint(f.Numbers, n)
			}
			data, err := modes.enc.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			return data
		})
		m := New()
		before := m.View()
		if err := m.Restore(bytes.NewReader(bad)); !errors.Is(err, ErrFatal) || m.View() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}
