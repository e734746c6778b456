package scorer

import (
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// Judge returns what a bound scorer would score node for chain once the copy on
// victim had gone, and the product of the axes.
func Judge(s scheduler.PlacementScorer, chain placement.ChainID, victim, node placement.NodeID) (score, product placement.Score) {
	b := s.(*bound)
	b.ask(chain)
	from, known := b.at[victim]
	if !known {
		from = nobody
	}
	j := b.judge(b.at[node], from)
	return millionths(j.score()), millionths(j.product())
}

// Lowest returns u_low as a bound scorer finds it, and as a look at every node
// does; ok tells whether there is any.
func Lowest(s scheduler.PlacementScorer, chain placement.ChainID, victim placement.NodeID) (found, least float64, ok bool) {
	b := s.(*bound)
	b.ask(chain)
	from, known := b.at[victim]
	if !known {
		from = nobody
	}
	for i := range b.nodes {
		n := &b.nodes[i]
		if b.view.TargetCode(b.question.chain, n.node.ID) != placement.Accepted || b.bars(from, i) || !b.sound(i, from) {
			continue
		}
		if u := n.with(b.question.chain.Spec.Weight); !ok || u < least {
			least, ok = u, true
		}
	}
	if found, known = b.lowest(from); known != ok {
		found = -1
	}
	return found, least, ok
}

// Loaded returns u of a node: placed weight per capacity.
func Loaded(s scheduler.PlacementScorer, node placement.NodeID) float64 {
	b := s.(*bound)
	return b.nodes[b.at[node]].u
}
