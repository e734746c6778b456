package scorer

import (
	"fmt"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// Scorer is the production scorer. By itself it has no opinion of anything;
// [Scorer.Bind] makes one that has.
type Scorer struct{}

// New returns a scorer to install.
func New() *Scorer { return &Scorer{} }

// Score has no opinion: an unbound scorer sees no state.
func (*Scorer) Score(placement.ChainID, placement.NodeID) (float64, bool) { return 0, false }

// BestAlternative knows none.
func (*Scorer) BestAlternative(placement.ChainID, []placement.NodeID) (placement.NodeID, float64, bool) {
	return "", 0, false
}

// Bind returns the scorer of one pass. It also implements
// [scheduler.Eligibility], [scheduler.Explainer], [scheduler.Chooser] and
// [scheduler.TieBreaker].
func (*Scorer) Bind(view *placement.View, facts placement.Facts, r *scheduler.Reservations) scheduler.PlacementScorer {
	return newBound(view, facts, r)
}

// Score returns how good node is for chain: as it is for a holder, as it would
// be after the move for any other node. It has no opinion of a node that is
// not alive.
func (b *bound) Score(chain placement.ChainID, node placement.NodeID) (float64, bool) {
	c := b.chain(chain)
	i, known := b.at[node]
	if c == nil || known && b.nodes[i].node.State != placement.NodeAlive {
		return 0, false
	}
	if !known || b.shut(c, node) != "" {
		return 0, true
	}
	j := b.judge(c, i)
	return j.score(), true
}

// BestAlternative returns the eligible node that is best for chain and not in
// exclude: the highest score, then the larger product of the axes, then the
// lowest id.
func (b *bound) BestAlternative(chain placement.ChainID, exclude []placement.NodeID) (placement.NodeID, float64, bool) {
	return b.Choose(chain, "", placement.NoScore, func(n placement.NodeID) bool {
		return !slices.Contains(exclude, n) && b.view.EligibleTarget(b.chain(chain), n).OK()
	})
}

// Choose is BestAlternative among the nodes that admit lets through, if the
// best of them scores above the given score.
func (b *bound) Choose(chain placement.ChainID, _ placement.NodeID, above placement.Score, admit func(placement.NodeID) bool) (placement.NodeID, float64, bool) {
	c := b.chain(chain)
	if c == nil {
		return "", 0, false
	}
	b.refresh()
	best, found := choice{rank: rank{score: above}}, false
	for _, i := range b.order(c.Spec.Weight) {
		n := &b.nodes[i]
		if atMost := millionths(b.loadAxis(c, i)); atMost < best.score || atMost <= above {
			break // the rest is loaded at least as much
		}
		if c.Holder(n.node.ID) != nil {
			continue
		}
		j := b.judge(c, i)
		next := choice{rank{millionths(j.score()), millionths(j.product()), n.node.ID}, j.score()}
		if next.score > above && (!found || next.before(best.rank)) && admit(n.node.ID) {
			best, found = next, true
		}
	}
	return best.node, best.exact, found
}

// choice is an alternative with its place in the order.
type choice struct {
	rank
	exact float64 // the score before rounding
}

// rank orders alternatives.
type rank struct {
	score, product placement.Score
	node           placement.NodeID
}

// before tells whether r is the better alternative.
func (r rank) before(s rank) bool {
	switch {
	case r.score != s.score:
		return r.score > s.score
	case r.product != s.product:
		return r.product > s.product
	}
	return r.node < s.node
}

// Worse tells whether x rather than y should be given up: the one that must be
// left whatever its load, then the one with more load per capacity. A load
// axis at 0 makes all nodes equal that are far too full, and taking always
// from the first of them would empty it beyond the others.
func (b *bound) Worse(chain placement.ChainID, x, y placement.NodeID) bool {
	c := b.chain(chain)
	i, knowsX := b.at[x]
	j, knowsY := b.at[y]
	if c == nil || !knowsX || !knowsY || b.nodes[i].capacity == 0 || b.nodes[j].capacity == 0 {
		return false
	}
	b.refresh()
	if badX, badY := !b.sound(c, i), !b.sound(c, j); badX != badY {
		return badX
	}
	return b.u(i, 0) > b.u(j, 0)
}

// Eligible tells whether node may hold chain. It asks the committed state
// only; a draining node is the drain arm's business.
func (b *bound) Eligible(chain placement.ChainID, node placement.NodeID) (string, bool) {
	c := b.chain(chain)
	if c == nil {
		return "the chain is unknown", false
	}
	return b.view.EligibleHolder(c, node)
}

// shut says why the gate is 0: the node may not hold the chain, or may not
// take it; "" when the gate is 1.
func (b *bound) shut(c *placement.Chain, node placement.NodeID) string {
	if c.Holder(node) == nil {
		return b.view.EligibleTarget(c, node).Detail
	}
	n := b.view.Node(node)
	if n.Eligibility == placement.Draining || n.Eligibility == placement.Maintenance {
		return fmt.Sprintf("node %s is %s", node, n.Eligibility)
	}
	why, _ := b.view.EligibleHolder(c, node)
	return why
}

// Axes returns the known axes of a node for a chain and names the one that
// limits its score: the gate if it is shut, the worst soft axis, or the weight
// if that is lower.
func (b *bound) Axes(chain placement.ChainID, node placement.NodeID) ([]scheduler.Axis, string) {
	c := b.chain(chain)
	i, known := b.at[node]
	if c == nil || !known {
		return nil, ""
	}
	j := b.judge(c, i)
	var axes []scheduler.Axis
	limiting := j.limiting()
	if why := b.shut(c, node); why != "" {
		limiting = "gate"
		axes = append(axes, scheduler.Axis{Name: limiting, Input: why})
	}
	axes = append(axes, scheduler.Axis{Name: "weight", Value: j.weight, Input: b.weightInput(i)})
	for k, a := range j.soft {
		if a.counts {
			axes = append(axes, scheduler.Axis{Name: axisName(k), Value: a.value, Input: b.input(c, i, k)})
		}
	}
	return axes, limiting
}
