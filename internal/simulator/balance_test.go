package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// play runs a scenario given as YAML.
func play(t *testing.T, yaml string) *Result {
	t.Helper()
	s, err := Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// settled fails unless the run ended even within the band, with every copy
// there, quiet, without a copy that went back, and with at most so much load
// moved for what had to be.
func settled(t *testing.T, r *Result, loadPerBound float64) {
	t.Helper()
	t.Log(r.Verdict())
	t.Log(r.Effort())
	switch {
	case !r.Even:
		t.Error("it is not even")
	case !r.Refilled:
		t.Error("copies are missing")
	case !r.Quiet:
		t.Error("it is not quiet")
	case r.Returns > 0:
		t.Errorf("%d copies went back", r.Returns)
	case r.Load > loadPerBound*r.LoadBound:
		t.Errorf("a load of %v was moved for a bound of %v, at most %v times that is wanted", r.Load, r.LoadBound, loadPerBound)
	case r.Moves.Total < r.Bound:
		t.Errorf("%d moves, fewer than the bound of %d: the bound is wrong", r.Moves.Total, r.Bound)
	}
}

// A new empty node attracts work until the cluster is even within the band,
// with exactly the moves that this takes, whether it is the fourth node or the
// 1,001st, and then nothing moves. Provoked by adding one.
func TestJoin(t *testing.T) {
	for _, nodes := range []int{3, 10, 100, 1000} {
		t.Run(fmt.Sprintf("%d and one more", nodes), func(t *testing.T) {
			if nodes == 1000 && testing.Short() {
				t.Skip("1,000 nodes take seconds")
			}
			r := play(t, fmt.Sprintf(`
name: join
duration: 4h
nodes: [{count: %d, capacity_bytes: 1TiB}]
chains: [{count: %d, desired: 2, size: {fixed: 1GiB}}]
events: [{at: 1m, add: {count: 1}}]`, nodes, nodes*min(20, 10_000/nodes)))
			settled(t, r, 1.1)
			if r.Moves.Balance != r.Bound || r.Moves.Total != r.Bound {
				t.Errorf("moves: %+v, want %d by balance alone", r.Moves, r.Bound)
			}
		})
	}
}

// Nodes of unequal size end evenly full for their size: provoked by capacities
// of 1:2:4, all copies on the first node's kind, and a new node of each kind.
func TestUnequalNodes(t *testing.T) {
	r := play(t, `
name: unequal
duration: 8h
placement: on-first-4
nodes:
- {name: small, count: 4, capacity_bytes: 500GiB}
- {name: middle, count: 4, capacity_bytes: 1TiB}
- {name: large, count: 4, capacity_bytes: 2TiB}
chains: [{count: 700, desired: 2, size: {fixed: 500MiB}}]
events: [{at: 2h, add: {count: 1, like: large}}]`)
	settled(t, r, 1.3)
}

// Skewed sizes and weights do not keep balance from ending, nor cost many more
// moves: provoked by Zipf's law for both and a join.
func TestSkewedChains(t *testing.T) {
	r := play(t, `
name: skewed
duration: 8h
nodes: [{count: 10, capacity_bytes: 10TiB}]
chains: [{count: 1000, desired: 2, size: {zipf: {s: 0.8, max: 100GiB}}, weight: {zipf: {s: 0.8, max: 100}}}]
events: [{at: 1m, add: {count: 1}}]`)
	settled(t, r, 1.2)
}

// Load that swings by ten per cent around the level at which a node's health
// stands at the floor moves nothing but what a join asks for, and nothing
// back.
func TestNoisyLoad(t *testing.T) {
	r := play(t, `
name: noise
duration: 3h
nodes: [{count: 20, capacity_bytes: 1TiB, load: 3, noise: 0.1}]
chains: [{count: 500, desired: 2, size: {fixed: 500MiB}}]
events: [{at: 30m, add: {count: 1}}, {at: 2h, noise: 0}]`)
	settled(t, r, 1.5)
}

// A node that is drained and removed leaves an even cluster: each of its copies
// moves once.
func TestRemoveNode(t *testing.T) {
	r := play(t, `
name: remove
duration: 4h
nodes: [{count: 10, capacity_bytes: 1TiB}]
chains: [{count: 500, desired: 2, size: {fixed: 500MiB}}]
events: [{at: 1m, drain: {nodes: [n3], then: remove}}]`)
	settled(t, r, 1.05)
	if r.Nodes != 9 || r.Moves.Drain != 100 {
		t.Errorf("%d nodes after %+v, want 9 after 100 drain moves", r.Nodes, r.Moves)
	}
}

// A zone that is lost is made good in the others after the repair pause, and
// filled again when it comes back: its old copies are surplus by then.
func TestZoneLost(t *testing.T) {
	r := play(t, `
name: zone
duration: 12h
zones: [a, b, c, d]
config: {moves_max: 200, balance_moves_max: 64}
nodes: [{count: 20, capacity_bytes: 1TiB}]
chains: [{count: 400, desired: 3, size: {fixed: 500MiB}}]
events: [{at: 1m, lose: {zone: d}}, {at: 4h, return: {zone: d}}]`)
	settled(t, r, 1.3)
	if r.Peak.Under != 300 || r.Peak.Unavailable != 0 || r.Moves.Repair < 290 {
		t.Errorf("at worst %+v, moves %+v: want the 300 chains of the zone under and repaired", r.Peak, r.Moves)
	}
}

// A zone that comes back within the repair pause moves nothing: its copies are
// still there.
func TestZoneBackInTime(t *testing.T) {
	r := play(t, `
name: zone back
duration: 4h
zones: [a, b, c]
nodes: [{count: 9}]
chains: [{count: 90, desired: 3}]
events: [{at: 1m, lose: {zone: b}}, {at: 10m, return: {zone: b}}]`)
	settled(t, r, 1)
	if r.Moves.Total != 0 || r.Peak.Under != 90 {
		t.Errorf("moves %+v, at worst %+v", r.Moves, r.Peak)
	}
}

// Draining every node in turn moves each copy about once: what leaves a node
// fills the one before, which is not balanced first and drained again.
func TestRollingDrain(t *testing.T) {
	r := play(t, `
name: rolling
duration: 24h
nodes: [{count: 10, capacity_bytes: 1TiB}]
chains: [{count: 300, desired: 2, size: {fixed: 100MiB}}]
events: [{at: 1m, drain: {all: true, at_once: 1, then: uncordon}}]`)
	settled(t, r, 1.2)
}

// The scheduler itself places new chains evenly, and what is deleted leaves no
// trace: provoked by a placement from nothing, more chains, and a deletion.
func TestPlaceAndDelete(t *testing.T) {
	r := play(t, `
name: placing
duration: 8h
placement: scheduled
zones: [a, b, c]
nodes: [{count: 9, capacity_bytes: 1TiB}]
chains: [{count: 300, desired: 3, size: {fixed: 100MiB}}]
events:
- {at: 1m, put: {name: new, count: 60, desired: 2, size: {fixed: 10MiB}}}
- {at: 1h, delete: {group: c, count: 150}}`)
	t.Log(r.Verdict())
	if !r.Even || !r.Refilled || !r.Quiet || r.Chains != 210 || r.Moves.Repair != 120 || r.Returns != 0 {
		t.Errorf("even %v, refilled %v, quiet %v, %d chains, %+v", r.Even, r.Refilled, r.Quiet, r.Chains, r.Moves)
	}
}

// Equal scenarios give equal bytes, another seed others: provoked by two runs
// with noise, failures and chance sizes.
func TestRepeats(t *testing.T) {
	run := func(seed uint64) []byte {
		s, err := Parse([]byte(`
name: again
duration: 1h
zones: [a, b, c]
nodes: [{count: 9, load: 3, noise: 0.2}]
chains: [{count: 200, size: {uniform: [1MB, 1GB]}, weight: {zipf: {s: 1, max: 50}}}]
events: [{at: 1m, lose: {count: 1}}, {at: 5m, add: {count: 1}}, {at: 20m, return: {all: true}}]`))
		if err != nil {
			t.Fatal(err)
		}
		s.Seed = seed
		r, err := Run(t.Context(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return append(data, r.SVG()...)
	}
	first := run(1)
	if !bytes.Equal(first, run(1)) {
		t.Error("seed 1 gave other bytes the second time")
	}
	if bytes.Equal(first, run(2)) {
		t.Error("seed 2 gave the bytes of seed 1")
	}
}
