package scorer_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// exposed is what a bound scorer offers beside its screen.
type exposed interface {
	scheduler.PlacementScorer
	scheduler.Chooser
	scheduler.TieBreaker
	scheduler.Explainer
}

// open is the production scorer without its screen: every chain is examined.
// Whenever balance finds a target, it asks whether the screen would have let
// the copy through.
type open struct {
	scheduler.PlacementScorer
	t     *rapid.T
	moves *int // found by balance
}

func (o open) Bind(v *placement.View, f placement.Facts, r *scheduler.Reservations) scheduler.PlacementScorer {
	return spy{scorer.New().Bind(v, f, r).(exposed), o, v}
}

type spy struct {
	exposed
	open
	view *placement.View
}

func (s spy) Score(c placement.ChainID, n placement.NodeID) (float64, bool) {
	return s.exposed.Score(c, n)
}

func (s spy) BestAlternative(c placement.ChainID, exclude []placement.NodeID) (placement.NodeID, float64, bool) {
	return s.exposed.BestAlternative(c, exclude)
}

func (s spy) Choose(id placement.ChainID, victim placement.NodeID, above placement.Score, admit func(placement.NodeID) bool) (placement.NodeID, float64, bool) {
	node, score, ok := s.exposed.Choose(id, victim, above, admit)
	if ok && above != placement.NoScore { // only balance asks for more than the best there is
		*s.moves++
		c := s.view.Chain(id)
		class := scheduler.ClassOf(s.view, c, c.Holder(victim))
		if !s.exposed.(scheduler.Screener).Hot(&class, victim) {
			from, _ := s.exposed.Score(id, victim)
			s.t.Errorf("%s would move from %s (%v) to %s (%v), and the screen says that it cannot; class %+v", id, victim, from, node, score, class)
		}
	}
	return node, score, ok
}

// drawWorld draws a cluster with zones, labels, capacities, weights, telemetry
// and open moves, and chains with all kinds of wishes.
func drawWorld(t *rapid.T) (*scene.Scene, placement.Facts) {
	s := scene.New()
	s.Config.NodeMovesInMax = rapid.IntRange(1, 3).Draw(t, "in")
	s.Config.NodeMovesOutMax = rapid.IntRange(1, 4).Draw(t, "out")
	s.Config.BalanceMovesMax = rapid.IntRange(1, 16).Draw(t, "balance")
	nodes := rapid.IntRange(2, 9).Draw(t, "nodes")
	zoned, sized := rapid.Bool().Draw(t, "zoned"), rapid.IntRange(0, 2).Draw(t, "sized")
	var ids []placement.NodeID
	samples := map[placement.NodeID]placement.Sample{}
	for i := range nodes {
		n := s.AddNode(placement.NodeID(fmt.Sprintf("n%d", i)))
		ids = append(ids, n.ID)
		drawNode(t, n, zoned, sized)
		if rapid.IntRange(0, 3).Draw(t, "heard") == 0 {
			samples[n.ID] = placement.Sample{Load: rapid.SampledFrom([]float64{0, 2, 3, 3.5, 5}).Draw(t, "queue"), MemoryFreeBytes: -1}
		}
	}
	for i := range rapid.IntRange(1, 20).Draw(t, "chains") {
		drawChain(t, s, placement.ChainID(fmt.Sprintf("c%02d", i)), ids)
	}
	return s, placement.Facts{Samples: placement.TableOf(samples)}
}

func drawNode(t *rapid.T, n *placement.Node, zoned bool, sized int) {
	often := rapid.IntRange(0, 9)
	n.Weight = rapid.SampledFrom([]placement.Score{200_000, 600_000, placement.ScoreOne, placement.ScoreOne}).Draw(t, "weight")
	if zoned {
		n.Zone = rapid.SampledFrom([]string{"", "z1", "z1", "z2", "z3"}).Draw(t, "zone")
	}
	if sized == 1 || sized == 2 && often.Draw(t, "known size") > 2 {
		n.CapacityBytes = rapid.SampledFrom([]int64{40, 100, 100, 300, 1000}).Draw(t, "capacity")
	}
	if often.Draw(t, "special") < 2 {
		n.Eligibility = rapid.SampledFrom([]placement.Eligibility{placement.Cordoned, placement.Draining}).Draw(t, "eligibility")
	}
	if often.Draw(t, "fast") < 4 {
		n.Labels = placement.Labels{{Key: "fast", Value: "yes"}}
	}
}

func drawChain(t *rapid.T, s *scene.Scene, id placement.ChainID, ids []placement.NodeID) {
	desired := rapid.IntRange(1, min(len(ids), 4)).Draw(t, "desired")
	c := s.AddChain(id, desired)
	spec, often := c.Spec, rapid.IntRange(0, 9)
	spec.SizeBytes = rapid.Int64Range(0, 12).Draw(t, "size")
	spec.Weight = rapid.SampledFrom([]int64{1, 1, 1, 2, 7, 40}).Draw(t, "weight") * int64(placement.ScoreOne)
	spec.Spread = rapid.SampledFrom([]placement.Spread{placement.SpreadEven, placement.SpreadEven, placement.SpreadNone}).Draw(t, "spread")
	if often.Draw(t, "limited") == 0 {
		spec.MaxPerZone = rapid.IntRange(1, 3).Draw(t, "max per zone")
	}
	if often.Draw(t, "lazy") == 0 {
		spec.Policy = placement.PolicyLazy
	}
	if often.Draw(t, "own floor") < 2 {
		f := rapid.SampledFrom([]float64{0, 0.1, 0.3, 0.8, 1}).Draw(t, "floor")
		spec.Floor = &f
	}
	if often.Draw(t, "own gap") < 2 {
		f := rapid.SampledFrom([]float64{0, 0.05, 0.4}).Draw(t, "gap")
		spec.Gap = &f
	}
	if often.Draw(t, "requires") < 2 {
		spec.Require = []string{"fast"}
	}
	if often.Draw(t, "prefers") < 2 {
		spec.Prefer = []string{"fast", "zone=z1"}
	}
	if often.Draw(t, "names others") == 0 {
		spec.AntiAffinity = []string{"chain=c00"}
	}
	for _, node := range rapid.Permutation(ids).Draw(t, "holders")[:rapid.IntRange(1, min(len(ids), desired+1)).Draw(t, "copies")] {
		s.AddHolder(c, node, placement.Ready)
	}
	if often.Draw(t, "lost") == 0 {
		c.Holders[0].Lost = true
	}
	if often.Draw(t, "failed") == 0 {
		c.Backoffs = []placement.Backoff{{Node: ids[0], Failures: 1, Until: s.Now + 1}}
	}
}

// The screen never says no wrongly: provoked by letting passes, work and time
// go on in drawn clusters with every chain examined, and asking the screen
// about each move that balance finds.
func TestScreenLetsEveryMoveThrough(t *testing.T) {
	moves := 0
	rapid.Check(t, func(t *rapid.T) {
		s, facts := drawWorld(t)
		for range 6 {
			plan := scheduler.Decide(scheduler.Input{View: s.View(), Facts: facts, Now: s.Now, Config: s.Config, Scorer: open{t: t, moves: &moves}})
			for i, d := range plan.Decisions {
				if i%3 < 2 { // some never happen
					s.Apply(d)
				}
			}
			if rapid.Bool().Draw(t, "work") {
				s.Work()
			}
			s.Now = s.Now.Add(s.Config.Cooldown / 2)
		}
	})
	if moves < 100 {
		t.Errorf("balance found %d moves in all: the draw does not provoke enough", moves)
	}
}

// What the scorer takes for an open node is what the state would give copies
// to, room aside: provoked by drawing nodes of all kinds.
func TestOpenNodesAreTargets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := scene.New().AddNode("n")
		n.State = rapid.SampledFrom([]placement.NodeState{placement.NodeAlive, placement.NodeAlive, placement.NodeSuspect, placement.NodeDead}).Draw(t, "state")
		n.Eligibility = rapid.SampledFrom([]placement.Eligibility{placement.Eligible, placement.Eligible, placement.Cordoned, placement.Draining}).Draw(t, "eligibility")
		n.Inventoried, n.NoSpace = rapid.Bool().Draw(t, "inventoried"), rapid.Bool().Draw(t, "no space")
		n.Weight = rapid.SampledFrom([]placement.Score{0, 1, placement.ScoreOne}).Draw(t, "weight")
		v := &placement.View{Nodes: placement.TableOf(map[placement.NodeID]*placement.Node{"n": n}), Usages: placement.TableOf(map[placement.NodeID]placement.Usage{})}
		want := v.TargetCode(&placement.Chain{Spec: &placement.Spec{}}, "n") == placement.Accepted
		if got := scorer.IsOpen(n); got != want {
			t.Errorf("open: %v, want %v: %+v", got, want, n)
		}
	})
}
