package scheduler

import (
	"cmp"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// agenda is which chains concern which arm, in id order. Balance concerns all.
type agenda struct {
	ending     []*placement.Chain
	refill     []*placement.Chain
	repair     []needy // fewest live copies first, then id
	drain      []*placement.Chain
	constraint []*placement.Chain
	excess     []*placement.Chain
}

// needy is a chain that lacks copies.
type needy struct {
	*placement.Chain
	live int
}

// compare orders by live copies, then id.
func (n needy) compare(live int, id placement.ChainID) int {
	return cmp.Or(cmp.Compare(n.live, live), cmp.Compare(n.ID, id))
}

// survey looks at every chain once: it files them by arm and reserves what
// open moves will change.
func (p *pass) survey() *agenda {
	a := &agenda{}
	p.View.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		p.r.base(c)
		p.file(a, c)
		return true
	})
	p.r.version++
	slices.SortFunc(a.repair, func(x, y needy) int { return x.compare(y.live, y.ID) })
	return a
}

func (p *pass) file(a *agenda, c *placement.Chain) {
	live := p.view.LiveCount(c)
	if len(c.Moves) > 0 {
		a.ending = append(a.ending, c)
	}
	switch {
	case p.view.Missing(c) <= 0:
	case unfilled(c) != nil:
		a.refill = append(a.refill, c)
	default:
		a.repair = append(a.repair, needy{c, live})
	}
	drain, constraint := p.leavers(c)
	if drain {
		a.drain = append(a.drain, c)
	}
	if constraint {
		a.constraint = append(a.constraint, c)
	}
	if len(c.Moves) == 0 && p.surplus(c, live) {
		a.excess = append(a.excess, c)
	}
}

// leavers tells whether a copy of c should leave its node because the node is
// draining, or because it may not hold the chain.
func (p *pass) leavers(c *placement.Chain) (drain, constraint bool) {
	for i := range c.Holders {
		h := &c.Holders[i]
		drain = drain || p.mustDrain(h)
		constraint = constraint || p.mustLeave(c, h)
	}
	return drain, constraint
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

// mayHold tells whether node may hold c, by the state and by the scorer.
func (p *pass) mayHold(c *placement.Chain, node placement.NodeID) (reason string, ok bool) {
	if reason, ok := p.view.EligibleHolder(c, node); !ok || p.eligible == nil {
		return reason, ok
	}
	return p.eligible.Eligible(c.ID, node)
}

// draining tells whether copies are to be moved off n.
func draining(n *placement.Node) bool {
	return n != nil && (n.Eligibility == placement.Draining || n.Eligibility == placement.Maintenance)
}

// surplus tells whether c has a copy too many: more live ones than desired,
// or a lost one that has been replaced.
func (p *pass) surplus(c *placement.Chain, live int) bool {
	if live > c.Spec.Desired {
		return true
	}
	return live == c.Spec.Desired && slices.ContainsFunc(c.Holders, replaced)
}

// replaced tells whether a holder goes once desired live copies exist.
func replaced(h placement.Holder) bool { return h.Lost && h.Phase != placement.Dropping }
