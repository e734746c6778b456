package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// A built state is what the log's operations make of the same nodes, chains and
// copies, to the last epoch and revision: nodes announce themselves, each chain
// is put, the inventory of each of its nodes brings a copy in and a report
// makes it ready.
func TestWorldIsWhatOperationsMake(t *testing.T) {
	cfg := tiny(t)
	cfg.Chains, cfg.Nodes = 300, 10
	built, err := newWorld(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	byOps := &world{machine: fsm.New(), now: founded, nodes: built.nodes, chains: built.chains}
	do := func(body fsm.Body) {
		t.Helper()
		if err := byOps.apply(body); err != nil {
			t.Fatal(err)
		}
	}
	report := func(n int) *fsm.Report {
		v := byOps.machine.View()
		id := byOps.nodes[n]
		return &fsm.Report{Node: id, Lineage: lineage, Incarnation: v.Node(id).Incarnation, Revision: v.Revision}
	}
	do(&fsm.Genesis{ClusterID: "bench", Name: "bench", Lineage: lineage})
	for n := range byOps.nodes {
		do(byOps.announcement(n))
	}
	previous := placement.ChainID("")
	for i := range cfg.Chains {
		id := chainName(i)
		do(fsm.NewPutChain(id, specOf(i)))
		for _, n := range byOps.holders(i) {
			inventory, ready := report(n), report(n)
			inventory.Inventory, inventory.After, inventory.Until = true, previous, id
			inventory.Items = []fsm.ReportItem{{Chain: id, Phase: fsm.ReportReady, SizeBytes: copyBytes}}
			do(inventory)
			epoch := byOps.machine.View().Chain(id).Holder(byOps.nodes[n]).Epoch
			ready.Items = []fsm.ReportItem{{Chain: id, Epoch: epoch, Phase: fsm.ReportReady, SizeBytes: copyBytes}}
			do(ready)
		}
		previous = id
	}
	for n := range byOps.nodes {
		rest := report(n)
		rest.Inventory, rest.After = true, previous
		do(rest)
	}
	byOps.now = built.now
	if err := byOps.apply(); err != nil { // a tick
		t.Fatal(err)
	}
	got, want := built.machine.View(), byOps.machine.View()
	if diff := cmp.Diff(contents(want), contents(got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the built state is not what operations make (-operations +built):\n%s", diff)
	}
}

// contents is all that a view has, but for the log's index and the views of
// its chains by node, of which it has the names.
func contents(v *fsm.View) placement.View {
	c := v.View
	c.Index = 0
	c.Chains, c.Nodes, c.Usages = plain(c.Chains), plain(c.Nodes), plain(c.Usages)
	c.Held = nil
	return c
}

// plain returns a table as one that can be compared.
func plain[K ~string, V any](t placement.Table[K, V]) placement.Table[K, V] {
	m := plainTable[K, V]{}
	t.Ascend("", func(k K, v V) bool { m[k] = v; return true })
	return m
}

type plainTable[K ~string, V any] map[K]V

func (t plainTable[K, V]) Get(k K) (V, bool) { v, ok := t[k]; return v, ok }

func (t plainTable[K, V]) Len() int { return len(t) }

func (t plainTable[K, V]) Ascend(K, func(K, V) bool) {}

// A built state is at rest at every size, also with a number of nodes that the
// zones do not divide: each chain has a live copy in each zone, no node
// holds more than its share of its zone, and the first plan decides nothing.
func TestWorldIsAtRest(t *testing.T) {
	for _, size := range []struct{ chains, nodes int }{{1, 4}, {7, 4}, {1000, 4}, {1000, 5}, {3, 9}, {999, 9}, {1000, 10}, {2000, 11}, {500, 100}, {5000, 101}} {
		cfg := tiny(t)
		cfg.Chains, cfg.Nodes = size.chains, size.nodes
		w, err := newWorld(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		v := w.machine.View()
		if v.Chains.Len() != cfg.Chains {
			t.Fatalf("%v: %d chains", size, v.Chains.Len())
		}
		v.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
			seen := map[string]bool{}
			for _, h := range c.Holders {
				seen[v.Node(h.Node).Zone] = true
			}
			if v.LiveCount(c) != copies || len(seen) != zones || len(c.Moves) != 0 {
				t.Errorf("%v: chain %s has %d live copies in %d zones, %d moves open", size, id, v.LiveCount(c), len(seen), len(c.Moves))
			}
			return !t.Failed()
		})
		for i, id := range w.nodes {
			inZone := (cfg.Nodes - i%zones + zones - 1) / zones
			if got := v.Usage(id).Ready; got < cfg.Chains/inZone || got > cfg.Chains/inZone+1 {
				t.Errorf("%v: node %s holds %d copies, one of %d nodes of its zone", size, id, got, inZone)
			}
		}
		in := scheduler.Input{View: &v.View, Facts: w.facts(), Now: v.Now, Config: v.Config, Scorer: scorer.New()}
		if plan := scheduler.Decide(in); len(plan.Decisions) > 0 {
			t.Errorf("%v: the first plan decides %d times: %+v", size, len(plan.Decisions), plan.Decisions[0])
		}
	}
}
