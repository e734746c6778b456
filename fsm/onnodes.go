package fsm

import (
	"slices"

	"github.com/tidwall/btree"

	"github.com/holdfast-cluster/holdfast/placement"
)

// onNodes is what the chains come to on each node: their sums, and which they
// are. It is derived from the chains, never encoded.
type onNodes struct {
	nodes *btree.Map[placement.NodeID, *onNode]
	age   uint64 // advances with each view: what is older is shared with one
}

// onNode is what the chains come to on one node.
type onNode struct {
	age    uint64
	own    bool // no view shares chains
	usage  placement.Usage
	chains *btree.Map[placement.ChainID, struct{}]
}

// freeze returns the present contents, which later changes do not reach.
func (s *onNodes) freeze() onNodes {
	s.age++
	return onNodes{nodes: s.nodes.Copy()}
}

// change returns what is known of a node, to be changed.
func (s *onNodes) change(node placement.NodeID) *onNode {
	old, ok := s.nodes.Get(node)
	if ok && old.age == s.age {
		return old
	}
	n := &onNode{age: s.age}
	if ok {
		n.usage, n.chains = old.usage, old.chains
	} else {
		n.own, n.chains = true, new(btree.Map[placement.ChainID, struct{}])
	}
	s.nodes.Set(node, n)
	return n
}

// add books u on a node.
func (s *onNodes) add(node placement.NodeID, u placement.Usage) { s.book(node, s.change(node), u) }

// book adds u to what is known of a node, and forgets a node that holds nothing.
func (s *onNodes) book(node placement.NodeID, n *onNode, u placement.Usage) {
	n.usage = n.usage.Add(u)
	if n.usage == (placement.Usage{}) && n.chains.Len() == 0 {
		s.nodes.Delete(node)
	}
}

// list says whether chain has a holder on node, and books what that changes.
func (s *onNodes) list(node placement.NodeID, chain placement.ChainID, holds bool, u placement.Usage) {
	n := s.change(node)
	if !n.own {
		n.own, n.chains = true, n.chains.Copy()
	}
	if holds {
		n.chains.Set(chain, struct{}{})
	} else {
		n.chains.Delete(chain)
	}
	s.book(node, n, u)
}

// account moves the sums and lists from what a chain was to what it is now;
// nil stands for a chain that is not there.
func (s *state) account(was, is *placement.Chain) {
	var none placement.Chain
	if was == nil {
		was = &none
	}
	if is == nil {
		is = &none
	} else {
		s.timers = max(s.timers, timersOf(is, &s.config))
	}
	old, now := was.Holders, is.Holders
	for len(old) > 0 || len(now) > 0 { // both are in node order
		switch {
		case len(now) == 0 || len(old) > 0 && old[0].Node < now[0].Node:
			s.on.list(old[0].Node, was.ID, false, holderUsage(was, &old[0]).Neg())
			old = old[1:]
		case len(old) == 0 || now[0].Node < old[0].Node:
			s.on.list(now[0].Node, is.ID, true, holderUsage(is, &now[0]))
			now = now[1:]
		default:
			if more := holderUsage(is, &now[0]).Add(holderUsage(was, &old[0]).Neg()); more != (placement.Usage{}) {
				s.on.add(now[0].Node, more)
			}
			old, now = old[1:], now[1:]
		}
	}
	if !slices.Equal(was.Moves, is.Moves) {
		s.countMoves(was, -1)
		s.countMoves(is, +1)
	}
}

// countMoves adds (sign +1) or takes away (−1) what a chain's open moves take
// of the budgets.
func (s *state) countMoves(c *placement.Chain, sign int) {
	for i := range c.Moves {
		m := &c.Moves[i]
		if !Booked(m) {
			continue
		}
		s.openMoves.Total += sign
		switch m.Cause {
		case placement.CauseBalance:
			s.openMoves.Balance += sign
		case placement.CauseDrain:
			s.openMoves.Drain += sign
		default: // the others have no share of their own
		}
		if m.From == "" {
			s.on.add(m.To, placement.Usage{RepairsIn: sign})
			continue
		}
		s.on.add(m.To, placement.Usage{MovesIn: sign})
		s.on.add(m.From, placement.Usage{MovesOut: sign})
	}
}

// usageTable shows the sums as a table.
type usageTable struct{ onNodes }

// Get implements placement.Table.
func (t usageTable) Get(node placement.NodeID) (placement.Usage, bool) {
	n, ok := t.nodes.Get(node)
	if !ok {
		return placement.Usage{}, false
	}
	return n.usage, true
}

// Len implements placement.Table.
func (t usageTable) Len() int { return t.nodes.Len() }

// Ascend implements placement.Table.
func (t usageTable) Ascend(pivot placement.NodeID, visit func(placement.NodeID, placement.Usage) bool) {
	t.nodes.Ascend(pivot, func(node placement.NodeID, n *onNode) bool { return visit(node, n.usage) })
}

// heldTable shows the lists as a table.
type heldTable struct{ onNodes }

// Get implements placement.Table.
func (t heldTable) Get(node placement.NodeID) (placement.ChainSet, bool) {
	n, ok := t.nodes.Get(node)
	if !ok {
		return nil, false
	}
	return n.chains, true
}

// Len implements placement.Table.
func (t heldTable) Len() int { return t.nodes.Len() }

// Ascend implements placement.Table.
func (t heldTable) Ascend(pivot placement.NodeID, visit func(placement.NodeID, placement.ChainSet) bool) {
	t.nodes.Ascend(pivot, func(node placement.NodeID, n *onNode) bool { return visit(node, n.chains) })
}
