package scorer_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// sim plays passes on a scene until nothing is decided any more.
type sim struct {
	*scene.Scene
	facts placement.Facts
	moves []placement.Decision // moves that were opened, in order
	times []placement.Time     // when each of them was
}

func pairOf(d placement.Decision) string { return fmt.Sprintf("%s %s>%s", d.Chain, d.From, d.To) }

// settle plays passes until nothing is decided any more, and fails if the
// cluster does not come to rest.
func (s *sim) settle(t *testing.T) {
	t.Helper()
	if !s.rest() {
		t.Fatalf("no rest; the last of %d moves were %v", len(s.moves), s.moves[max(0, len(s.moves)-5):])
	}
}

// pass lets one pass decide, and work and time go on.
func (s *sim) pass() scheduler.Plan {
	plan := scheduler.Decide(scheduler.Input{View: s.View(), Facts: s.facts, Now: s.Now, Config: s.Config, Scorer: scorer.New()})
	for _, d := range plan.Decisions {
		s.Apply(d)
		if d.Kind == placement.KindOpenMove {
			s.moves, s.times = append(s.moves, d), append(s.times, s.Now)
		}
	}
	s.Work()
	s.Now = s.Now.Add(30 * time.Second)
	return plan
}

// rest lets passes, work and time go on until three cooldowns have passed
// without a decision, and tells whether that came about.
func (s *sim) rest() bool {
	quiet := 0
	for range 2000 {
		plan := s.pass()
		if quiet++; len(plan.Decisions) > 0 {
			quiet = 0
		}
		if quiet > 30 {
			return true
		}
	}
	return false
}

// neverBack fails if a copy went A→B→A within ten cooldowns.
func (s *sim) neverBack(t *testing.T) {
	t.Helper()
	if twice := s.backAndForth(); len(twice) > 0 {
		t.Errorf("of %d moves these went back: %v", len(s.moves), twice)
	}
}

// backAndForth returns the moves that undid one of their chain that is less than
// ten cooldowns old.
func (s *sim) backAndForth() []string {
	made := map[string]placement.Time{}
	var back []string
	for i, d := range s.moves {
		if at, was := made[fmt.Sprintf("%s %s>%s", d.Chain, d.To, d.From)]; was && s.times[i] < at.Add(10*s.Config.Cooldown) {
			back = append(back, pairOf(d))
		}
		made[pairOf(d)] = s.times[i]
	}
	return back
}

// atMost fails if more moves were made than are needed.
func (s *sim) atMost(t *testing.T, moves int) {
	t.Helper()
	if len(s.moves) > moves {
		t.Errorf("%d moves, want at most %d", len(s.moves), moves)
	}
}

// loads returns the placed weight per node.
func (s *sim) loads() map[placement.NodeID]float64 {
	loads := map[placement.NodeID]float64{}
	for id := range s.Nodes {
		loads[id] = 0
	}
	for _, c := range s.Chains {
		for _, h := range c.Holders {
			loads[h.Node] += float64(c.Spec.Weight) / float64(placement.ScoreOne)
		}
	}
	return loads
}

// withinBand fails if a node stands more than the band above the least
// loaded one, the heaviest of the chains it could give aside.
func (s *sim) withinBand(t *testing.T, slack float64) {
	t.Helper()
	loads := s.loads()
	least, sum := -1.0, 0.0
	for _, l := range loads {
		if sum += l; least < 0 || l < least {
			least = l
		}
	}
	mean := sum / float64(len(loads))
	for id, l := range loads {
		if (l-least-slack)/mean > 0.1+1e-9 {
			t.Errorf("node %s carries %v, the least is %v, the mean %v: more than a band apart", id, l, least, mean)
		}
	}
}

// full returns a cluster of three nodes that hold every one of n chains.
func full(n int) *sim {
	s := &sim{Scene: scene.New()}
	for _, id := range []placement.NodeID{"a", "b", "c"} {
		s.AddNode(id)
	}
	for i := range n {
		s.AddChain(placement.ChainID(fmt.Sprintf("c%03d", i)), 3, "a", "b", "c")
	}
	return s
}

// A new empty node attracts work until the cluster is even within the band,
// with the fewest moves and no move back, and then nothing moves: provoked by
// adding one node to three full ones.
func TestEmptyNodeFillsWithinBand(t *testing.T) {
	for _, n := range []int{4, 12, 100, 400} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			s := full(n)
			s.AddNode("d")
			s.settle(t)
			s.withinBand(t, 1)
			s.neverBack(t)
			if fewest := 3 * n / 4; len(s.moves) > fewest {
				t.Errorf("%d moves, %d are enough for perfect balance", len(s.moves), fewest)
			}
			for _, d := range s.moves {
				if d.To != "d" {
					t.Errorf("move %s does not go to the empty node", pairOf(d))
				}
			}
		})
	}
}

// The same with evict-first: it ends as even, and no chain goes back.
func TestEmptyNodeFillsEvictFirst(t *testing.T) {
	s := full(60)
	s.Config.SwapMode = placement.EvictFirst
	s.AddNode("d")
	s.settle(t)
	s.withinBand(t, 1)
	s.neverBack(t)
	s.atMost(t, 45)
}

// An even cluster stays as it is: provoked by letting it run.
func TestEvenClusterIsQuiet(t *testing.T) {
	s := full(50)
	s.settle(t)
	if len(s.moves) > 0 {
		t.Errorf("%d moves in an even cluster, the first %s", len(s.moves), pairOf(s.moves[0]))
	}
}

// A node whose weight is turned down to 0.2 is emptied and takes nothing:
// provoked on one of four nodes.
func TestLowWeightEmptiesNode(t *testing.T) {
	s := full(40)
	s.AddNode("d")
	s.Nodes["a"].Weight = placement.ScoreOne / 5
	s.settle(t)
	s.atMost(t, 60)
	if got := s.loads()["a"]; got != 0 {
		t.Errorf("node a still carries %v", got)
	}
	s.neverBack(t)
	for _, d := range s.moves {
		if d.To == "a" {
			t.Errorf("move %s goes to the node of low weight", pairOf(d))
		}
	}
}

// All weights at 0.2 mean what all weights at 1 mean: only differences count.
func TestEqualLowWeightsBalance(t *testing.T) {
	s := full(40)
	s.AddNode("d")
	for _, n := range s.Nodes {
		n.Weight = placement.ScoreOne / 5
	}
	s.settle(t)
	s.withinBand(t, 1)
	if len(s.moves) == 0 {
		t.Error("nothing moved to the empty node")
	}
}

// Chains of very different weights come to rest, and no chain goes back.
func TestSkewedWeightsComeToRest(t *testing.T) {
	s := full(30)
	for i := range 30 {
		c := s.Chains[placement.ChainID(fmt.Sprintf("c%03d", i))]
		c.Spec.Weight = int64(1+i*i%17) * int64(placement.ScoreOne)
	}
	s.AddNode("d")
	s.AddNode("e")
	s.settle(t)
	s.neverBack(t)
	s.withinBand(t, 17)
	s.atMost(t, 45)
}

// A chain heavier than the gap it would close does not move: provoked by one
// heavy chain beside light ones and an empty node.
func TestHeavyChainStays(t *testing.T) {
	s := &sim{Scene: scene.New()}
	s.AddNode("a")
	s.AddNode("b")
	s.AddChain("heavy", 1, "a").Spec.Weight *= 100
	s.AddChain("light", 1, "a")
	s.settle(t)
	for _, d := range s.moves {
		if d.Chain == "heavy" {
			t.Errorf("the heavy chain moved: %s", pairOf(d))
		}
	}
	if len(s.moves) != 1 {
		t.Errorf("%d moves, want the light chain's only", len(s.moves))
	}
}

// Capacities differ: load is shared in their proportion.
func TestLoadFollowsCapacity(t *testing.T) {
	s := full(90)
	for id, n := range s.Nodes {
		n.CapacityBytes = 1000
		if id == "a" {
			n.CapacityBytes = 500
		}
	}
	s.AddNode("d").CapacityBytes = 1000
	s.AddNode("e").CapacityBytes = 500
	for _, c := range s.Chains {
		c.Spec.SizeBytes = 1
		for i := range c.Holders {
			c.Holders[i].SizeBytes = 1
		}
	}
	s.settle(t)
	s.neverBack(t)
	s.atMost(t, 110)
	loads := s.loads()
	if small, large := loads["e"], loads["d"]; small > 0.6*large {
		t.Errorf("the small node carries %v, the large one %v: want about half", small, large)
	}
	if a, b := loads["a"], loads["b"]; a > 0.65*b {
		t.Errorf("the small full node still carries %v of %v", a, b)
	}
}

// A node that dies is replaced, and a drained one empties: provoked one after
// the other on five nodes; the end is even and at rest.
func TestDeathAndDrainRefill(t *testing.T) {
	s := full(40)
	s.AddNode("d")
	s.AddNode("e")
	s.settle(t)
	s.Nodes["b"].State = placement.NodeDead
	for _, c := range s.Chains {
		if h := c.Holder("b"); h != nil {
			h.Lost = true
			c.Revision = s.Draw()
		}
	}
	s.settle(t)
	s.Nodes["c"].Eligibility = placement.Draining
	s.settle(t)
	for id, c := range s.Chains {
		if len(c.Holders) != 3 || c.Holder("b") != nil || c.Holder("c") != nil {
			t.Errorf("chain %s is held by %v", id, c.Holders)
		}
	}
}
