package scheduler

import (
	"cmp"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// want describes the target that an arm looks for.
type want struct {
	cause  placement.Cause
	from   placement.NodeID // the victim; "" for a repair
	avoid  placement.NodeID // not this one, although it may; "" = none
	booked bool             // the move is in the budgets already
}

// admit tells whether node may be given a copy of c now, in the state as
// planned.
func (p *pass) admit(c *placement.Chain, w want, node placement.NodeID) placement.Verdict {
	if v := p.view.EligibleTarget(c, node); !v.OK() {
		return v
	}
	if why, ok := p.mayHold(c, node); !ok {
		return placement.Refuse(placement.IneligibleTarget, "node %s: %s", node, why)
	}
	if w.booked {
		return placement.Verdict{}
	}
	if w.cause == placement.CauseBalance {
		if v := p.view.MayReturn(c, w.from, node); !v.OK() {
			return v
		}
	}
	return p.view.Budget(w.cause, w.from, node)
}

// target returns the node that should get the copy: the scorer's best, or
// without its opinion the one with the least load for its capacity. score is
// NoScore when the scorer had no say.
func (p *pass) target(c *placement.Chain, w want) (node placement.NodeID, score placement.Score, ok bool) {
	if node, score, ok = p.best(c, w, placement.NoScore); ok {
		return node, score, true
	}
	node, ok = p.leastLoaded(c, w)
	return node, placement.NoScore, ok
}

// best returns the scorer's best alternative that is admitted, if it scores
// above the given score.
func (p *pass) best(c *placement.Chain, w want, above placement.Score) (placement.NodeID, placement.Score, bool) {
	if p.scorer == nil {
		return "", placement.NoScore, false
	}
	if p.chooser != nil {
		node, f, ok := p.chooser.Choose(c.ID, w.from, above, func(n placement.NodeID) bool {
			return n != w.avoid && p.admit(c, w, n).OK()
		})
		score, finite := placement.ScoreOf(f)
		return node, score, ok && finite
	}
	exclude := p.exclude(c, w)
	for range 1 + AsksMax {
		node, f, ok := p.scorer.BestAlternative(c.ID, exclude)
		score, finite := placement.ScoreOf(f)
		if !ok || !finite || score <= above {
			return "", placement.NoScore, false // what it would name next is no better
		}
		if !slices.Contains(exclude, node) && p.admit(c, w, node).OK() {
			return node, score, true
		}
		exclude = append(exclude, node)
	}
	return "", placement.NoScore, false
}

// exclude returns the nodes that a scorer must not offer: holders in any
// phase, nodes backed off for the chain, the one to avoid, and those that
// balance does not bring the copy back to.
func (p *pass) exclude(c *placement.Chain, w want) []placement.NodeID {
	list := make([]placement.NodeID, 0, len(c.Holders)+len(c.Backoffs)+len(c.Departed)+1)
	for i := range c.Holders {
		list = append(list, c.Holders[i].Node)
	}
	for i := range c.Backoffs {
		if node := c.Backoffs[i].Node; c.BackedOff(node, p.Now) {
			list = append(list, node)
		}
	}
	for _, d := range c.Departed {
		if w.cause == placement.CauseBalance && p.Now < p.view.ReturnsUntil(c, w.from, d.Node) {
			list = append(list, d.Node)
		}
	}
	if w.avoid != "" {
		list = append(list, w.avoid)
	}
	return list
}

// leastLoaded returns the admitted node with the least planned load relative
// to its capacity, ties to the lowest id. If the capacity of any admitted
// node is unknown, all count the same.
func (p *pass) leastLoaded(c *placement.Chain, w want) (placement.NodeID, bool) {
	var admitted []*placement.Node
	sized := true
	p.view.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		if id != w.avoid && p.admit(c, w, id).OK() {
			admitted = append(admitted, n)
			sized = sized && n.CapacityBytes > 0
		}
		return true
	})
	if len(admitted) == 0 {
		return "", false
	}
	load := func(n *placement.Node) float64 {
		if sized {
			return float64(p.r.Load(n.ID)) / float64(n.CapacityBytes)
		}
		return float64(p.r.Load(n.ID))
	}
	return slices.MinFunc(admitted, func(a, b *placement.Node) int {
		return cmp.Or(cmp.Compare(load(a), load(b)), cmp.Compare(a.ID, b.ID))
	}).ID, true
}

// score returns the scorer's opinion of node for c, or NoScore.
func (p *pass) score(c *placement.Chain, node placement.NodeID) placement.Score {
	if p.scorer == nil {
		return placement.NoScore
	}
	f, ok := p.scorer.Score(c.ID, node)
	if !ok {
		return placement.NoScore
	}
	s, _ := placement.ScoreOf(f)
	return s
}

// source returns a live copy to pull from, the victim's only if there is no
// other; "" when no copy is live.
func (p *pass) source(c *placement.Chain, victim placement.NodeID) placement.NodeID {
	source := placement.NodeID("")
	for i := range c.Holders {
		h := &c.Holders[i]
		if p.view.Live(c, h) && (source == "" || source == victim) {
			source = h.Node
		}
	}
	return source
}

// crowded tells whether one more pulling copy would be too many now.
func (p *pass) crowded(c *placement.Chain) bool {
	return crowded(c, p.view.LiveCount(c), p.view.PullingCount(c))
}

// mayHold tells whether node may hold c, by the state and by the scorer.
func (p *pass) mayHold(c *placement.Chain, node placement.NodeID) (reason string, ok bool) {
	return mayHold(p.view, p.eligible, c, node)
}

// mustDrain tells whether the copy should leave because its node drains.
func (p *pass) mustDrain(h *placement.Holder) bool {
	return h.Phase == placement.Ready && !h.Lost && draining(p.view.Node(h.Node))
}

// mustLeave tells whether the copy should leave because its node, though not
// draining, may not hold the chain.
func (p *pass) mustLeave(c *placement.Chain, h *placement.Holder) bool {
	if h.Phase != placement.Ready || h.Lost || draining(p.view.Node(h.Node)) {
		return false
	}
	_, ok := p.mayHold(c, h.Node)
	return !ok
}

// modeFor returns what comes first in a move of c away from victim: what the
// configuration says, but place-first where evicting would break never-last
// or min-ready now, so always for a chain with desired 1.
func (p *pass) modeFor(c *placement.Chain, victim placement.NodeID) placement.SwapMode {
	evict := p.view.Config.SwapMode == placement.EvictFirst && c.Spec.Desired > 1
	if evict && p.view.MayDrop(c, victim, placement.EvictFirst).OK() {
		return placement.EvictFirst
	}
	return placement.PlaceFirst
}
