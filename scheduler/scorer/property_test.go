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

// drawSim draws a healthy cluster with chains anywhere. Nodes and chains may
// be all alike, or differ in weight and capacity; there may be zones.
func drawSim(t *rapid.T, alike, zoned bool) *sim {
	s := &sim{Scene: scene.New()}
	s.Config.SwapMode = rapid.SampledFrom([]placement.SwapMode{placement.PlaceFirst, placement.EvictFirst}).Draw(t, "swap")
	nodes := rapid.IntRange(2, 6).Draw(t, "nodes")
	sized := rapid.Bool().Draw(t, "sized")
	zones := 0
	if zoned {
		zones = rapid.SampledFrom([]int{0, 2, 3}).Draw(t, "zones")
	}
	var ids []placement.NodeID
	for i := range nodes {
		ids = append(ids, placement.NodeID(fmt.Sprintf("n%d", i)))
		n := s.AddNode(ids[i])
		if zones > 0 {
			n.Zone = fmt.Sprintf("z%d", rapid.IntRange(1, zones).Draw(t, "zone"))
		}
		if alike {
			continue
		}
		n.Weight = rapid.SampledFrom([]placement.Score{200_000, 700_000, placement.ScoreOne, placement.ScoreOne}).Draw(t, "weight")
		if sized {
			n.CapacityBytes = rapid.Int64Range(1_000, 4_000).Draw(t, "capacity")
		}
	}
	for i := range rapid.IntRange(1, 25).Draw(t, "chains") {
		desired := rapid.IntRange(1, min(nodes, 3)).Draw(t, "desired")
		c := s.AddChain(placement.ChainID(fmt.Sprintf("c%02d", i)), desired)
		if !alike {
			c.Spec.Weight = rapid.Int64Range(1, 9).Draw(t, "chain weight") * int64(placement.ScoreOne)
		}
		c.Spec.SizeBytes = 1
		for _, node := range rapid.Permutation(ids).Draw(t, "holders")[:rapid.IntRange(1, desired).Draw(t, "copies")] {
			s.AddHolder(c, node, placement.Ready)
		}
	}
	return s
}

// With fixed inputs and pulls that succeed, any healthy cluster comes to rest
// with every chain at desired, no copy that goes A→B→A on the way, and at most
// twice as many moves as copies. Provoked by drawing nodes, weights, capacities,
// zones and placements.
func TestEveryClusterComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSim(t, rapid.Bool().Draw(t, "alike"), rapid.Bool().Draw(t, "zoned"))
		if !s.rest() {
			t.Fatalf("no rest; the last of %d moves were %v", len(s.moves), s.moves[max(0, len(s.moves)-5):])
		}
		if twice := s.backAndForth(); len(twice) > 0 {
			t.Errorf("went back: %v", twice)
		}
		copies := 0
		for id, c := range s.Chains {
			copies += len(c.Holders)
			if len(c.Holders) != c.Spec.Desired || len(c.Moves) > 0 {
				t.Errorf("chain %s wants %d, is held by %v with moves %v", id, c.Spec.Desired, c.Holders, c.Moves)
			}
		}
		if len(s.moves) > 2*copies {
			t.Errorf("%d moves for %d copies", len(s.moves), copies)
		}
	})
}

// The fast search for an alternative finds what a look at every node finds:
// provoked by holding each balance move's target against the scores that an
// explanation gives.
func TestChosenTargetIsTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSim(t, false, false)
		s.Config.NodeMovesInMax, s.Config.NodeMovesOutMax = 1000, 1000
		for _, c := range s.Chains {
			in := scheduler.Input{View: s.View(), Now: s.Now, Config: s.Config, Scorer: scorer.New()}
			e, _ := scheduler.Explain(in, c.ID)
			if e.Decision == nil || e.Decision.Kind != placement.KindOpenMove && e.Decision.Kind != placement.KindAssign {
				continue
			}
			for _, x := range e.Candidates {
				if x.Eligible && x.Score > e.Decision.ScoreTo {
					t.Errorf("%s goes to %s at %v, but %s scores %v", c.ID, e.Decision.To, e.Decision.ScoreTo, x.Node, x.Score)
				}
			}
		}
	})
}
