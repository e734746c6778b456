package scheduler_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// A planner that is told what changed plans what Decide plans, byte for byte
// (rule S25): held against Decide on random histories of chains, nodes,
// configuration, decisions, time and bounds.
func TestPlannerEqualsDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		var production scheduler.PlacementScorer = scorer.New()
		if rapid.IntRange(0, 9).Draw(t, "no scorer") == 0 {
			production = nil
		}
		planner := scheduler.NewPlanner()
		views := map[placement.Revision]*placement.View{}
		facts := placement.Facts{}
		var cursor scheduler.Cursor
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			view := s.View()
			in := scheduler.Input{
				View: view, Facts: facts, Now: s.Now, Config: s.Config, Scorer: production, Cursor: cursor,
				Work: rapid.SampledFrom([]int{0, 0, 1, 2, 5}).Draw(t, "work"),
			}
			want, got := scheduler.Decide(in), planner.Plan(in, changesTo(views, view))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("at revision %d (-decided +planned):\n%s", view.Revision, diff)
			}
			views[view.Revision], cursor = view, want.Next
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				facts = step(t, s, facts, want)
			}
		}
	})
}

// changesTo tells of everything that differs between one of the older views
// and now.
func changesTo(views map[placement.Revision]*placement.View, now *placement.View) scheduler.Changes {
	return func(since placement.Revision, chain func(placement.ChainID), node func(placement.NodeID)) bool {
		old := views[since]
		for id := range differing(old.Chains, now.Chains) {
			chain(id)
		}
		for id := range differing(old.Nodes, now.Nodes) {
			node(id)
		}
		return true
	}
}

// differing returns the keys whose values are not the same in both tables.
func differing[K ~string, V any](old, now placement.Table[K, V]) map[K]bool {
	keys := map[K]bool{}
	add := func(key K, _ V) bool {
		a, was := old.Get(key)
		b, is := now.Get(key)
		if was != is || !reflect.DeepEqual(a, b) {
			keys[key] = true
		}
		return true
	}
	old.Ascend("", add)
	now.Ascend("", add)
	return keys
}

// step changes the scene in one way. What is no part of the state changes no
// revision.
func step(t *rapid.T, s *scene.Scene, facts placement.Facts, plan scheduler.Plan) placement.Facts {
	kind := rapid.IntRange(0, 11).Draw(t, "step")
	if kind < 10 && kind != 4 {
		s.Draw()
	}
	nodes := slices.Sorted(maps.Keys(s.Nodes))
	chains := slices.Sorted(maps.Keys(s.Chains))
	switch kind {
	case 0, 1, 2:
		for _, d := range plan.Decisions {
			if rapid.IntRange(0, 4).Draw(t, "accepted") > 0 {
				s.Apply(d)
			}
		}
	case 3:
		s.Work()
	case 4:
		s.Now = s.Now.Add(rapid.SampledFrom([]time.Duration{1, 2, time.Second, time.Minute, time.Hour}).Draw(t, "later"))
	case 5:
		drawNode(t, s.Nodes[rapid.SampledFrom(nodes).Draw(t, "node")])
	case 6:
		drawNode(t, s.AddNode(placement.NodeID(fmt.Sprintf("n%d", rapid.IntRange(0, 8).Draw(t, "new node")))))
	case 7:
		delete(s.Nodes, rapid.SampledFrom(nodes).Draw(t, "gone node"))
	case 8:
		drawChain(t, s, placement.ChainID(fmt.Sprintf("c%d", rapid.IntRange(0, 12).Draw(t, "new chain"))), len(nodes))
		if len(chains) > 1 && rapid.Bool().Draw(t, "gone") {
			delete(s.Chains, rapid.SampledFrom(chains).Draw(t, "gone chain"))
		}
	case 9:
		drawHold(t, s)
	case 10:
		s.Config.ScoreFloor = rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "floor")
		s.Config.BalanceMovesMax = rapid.IntRange(0, s.Config.MovesMax).Draw(t, "balance moves")
	case 11:
		return drawFacts(t, nodes)
	}
	if len(s.Nodes) == 0 {
		s.AddNode("n0")
	}
	return facts
}

// drawFacts draws the telemetry of some nodes.
func drawFacts(t *rapid.T, nodes []placement.NodeID) placement.Facts {
	samples := map[placement.NodeID]placement.Sample{}
	for _, id := range nodes {
		if rapid.Bool().Draw(t, "sampled") {
			samples[id] = placement.Sample{Load: rapid.Float64Range(0, 6).Draw(t, "load"), FreeBytes: -1, MemoryFreeBytes: -1}
		}
	}
	return placement.Facts{Samples: placement.TableOf(samples)}
}

// asking is a scorer that remembers which chains it was asked about, and finds
// no node good enough for any.
type asking struct{ asked map[placement.ChainID]int }

func (a asking) Score(chain placement.ChainID, _ placement.NodeID) (float64, bool) {
	a.asked[chain]++
	return 0, true
}

func (asking) BestAlternative(placement.ChainID, []placement.NodeID) (placement.NodeID, float64, bool) {
	return "", 0, false
}

// However little one pass may look at, Plan.Passes of them look at everything
// that has something to gain, each once (rule S25): seen with more hopeless
// chains than the work of a pass, from wherever the cursor stands.
func TestPassesLookAtEverything(t *testing.T) {
	for _, start := range []placement.ChainID{"", "c03", "c99"} {
		s := scene.New()
		s.AddNode("a")
		for i := range 7 {
			s.AddChain(placement.ChainID(fmt.Sprintf("c%02d", i)), 1, "a")
		}
		in := inputOf(s, asking{map[placement.ChainID]int{}})
		in.Work, in.Cursor.Balance = 2, start
		passes := 0
		for lap := 1; passes < lap; passes++ {
			plan := scheduler.Decide(in)
			in.Cursor, lap = plan.Next, plan.Passes
		}
		if passes != 4 {
			t.Errorf("from %q: 7 chains, 2 a pass, take %d passes, want 4", start, passes)
		}
		for id := range s.Chains {
			if in.Scorer.(asking).asked[id] == 0 {
				t.Errorf("from %q: %d passes have not looked at %s", start, passes, id)
			}
		}
	}
}
