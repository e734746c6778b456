package scheduler_test

import (
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// byShelf prefers nodes by a fixed table: the smallest scorer there is.
type byShelf map[placement.NodeID]float64

func (b byShelf) Score(_ placement.ChainID, node placement.NodeID) (float64, bool) {
	f, ok := b[node]
	return f, ok
}

func (b byShelf) BestAlternative(_ placement.ChainID, exclude []placement.NodeID) (placement.NodeID, float64, bool) {
	held := map[placement.NodeID]bool{}
	for _, node := range exclude {
		held[node] = true
	}
	best, found := placement.NodeID(""), false
	for _, node := range []placement.NodeID{"attic", "cellar", "hall"} {
		if !held[node] && (!found || b[node] > b[best]) {
			best, found = node, true
		}
	}
	return best, b[best], found
}

// A chain sits on a node that scores below the floor, and another would be
// better by more than the gap: one move is proposed, with its reason.
func ExampleDecide() {
	nodes := map[placement.NodeID]*placement.Node{}
	for _, id := range []placement.NodeID{"attic", "cellar", "hall"} {
		nodes[id] = &placement.Node{
			ID: id, State: placement.NodeAlive, Eligibility: placement.Eligible, Inventoried: true, Weight: placement.ScoreOne,
		}
	}
	chain := &placement.Chain{
		ID: "books", Revision: 7, EverReady: true, Spec: &placement.Spec{Desired: 2, Weight: int64(placement.ScoreOne)},
		Holders: []placement.Holder{{Node: "attic", Phase: placement.Ready}, {Node: "cellar", Phase: placement.Ready}},
	}
	view := &placement.View{
		Nodes:  placement.TableOf(nodes),
		Chains: placement.TableOf(map[placement.ChainID]*placement.Chain{chain.ID: chain}),
		Usages: placement.TableOf(map[placement.NodeID]placement.Usage{"attic": {Ready: 1}, "cellar": {Ready: 1}}),
	}
	plan := scheduler.Decide(scheduler.Input{
		View: view, Now: 1, Config: scheduler.DefaultConfig(),
		Scorer: byShelf{"attic": 0.7, "cellar": 0.3, "hall": 0.8},
	})
	for _, d := range plan.Decisions {
		fmt.Printf("%s %s: %s → %s, %s\n", d.Kind, d.Chain, d.From, d.To, d.Mode)
		fmt.Println(d.Reason)
	}
	// Output:
	// open-move books: cellar → hall, place-first
	// below-floor: node cellar scores 0.3, below the floor 0.5; node hall would score 0.8
}
