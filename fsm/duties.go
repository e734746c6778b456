package fsm

import "github.com/holdfast-cluster/holdfast/placement"

// Duties is what the state asks of one node.
type Duties struct {
	Lineage       string
	Incarnation   placement.Incarnation
	Revision      placement.Revision
	Index         uint64
	WantInventory bool // the state waits for the node's complete inventory
	Assignments   []Duty
	Discard       []Discard
}

// Duty is one assignment of a chain to the node.
type Duty struct {
	Chain     placement.ChainID
	Epoch     placement.Epoch
	Phase     placement.Phase
	Content   *placement.Content // what the copy must be; nil = a chain without content
	Sources   []Source           // live copies to pull from, in node order
	Settled   bool               // enough live copies of the current content exist: superseded versions may go (rule S3)
	First     bool               // the chain has never had a ready copy: this one is made from nothing
	Spec      placement.Spec
	Deadline  placement.Time // of its move, Never = none
	DropAfter placement.Time // a dropping copy serves until then
}

// Source is a live copy and where its node serves it.
type Source struct {
	Node    placement.NodeID
	Address string
}

// Discard names a copy that the node is to delete (rule S1).
type Discard struct {
	Chain placement.ChainID
	Epoch placement.Epoch
}

// Duties returns what the state asks of node, in chain order; the zero value
// if the node is not a member.
func (v *View) Duties(node placement.NodeID) Duties {
	n := v.Node(node)
	if n == nil {
		return Duties{}
	}
	d := Duties{
		Lineage: v.Lineage, Incarnation: n.Incarnation, Revision: v.Revision, Index: v.Index,
	}
	u := v.Usage(node)
	d.WantInventory = !n.Inventoried || n.State == placement.NodeAlive && u.Lost+u.Unconfirmed > 0
	v.ChainsOn(node, func(c *placement.Chain, h *placement.Holder) bool {
		d.Assignments = append(d.Assignments, v.duty(c, h))
		return true
	})
	v.Strays(node, func(s Stray) bool {
		if s.Verdict == CopyDiscard && v.mayDiscard(s) {
			d.Discard = append(d.Discard, Discard{s.Chain, s.Epoch})
		}
		return true
	})
	return d
}

// mayDiscard looks again, when the node is told, whether a copy that was found
// superfluous still is: the copies that it was superfluous beside may have
// gone since, and after a restore nothing is discarded at first (rules S1, S5).
func (v *View) mayDiscard(s Stray) bool {
	if v.RestoreGuard != nil {
		return false
	}
	c := v.Chain(s.Chain)
	tomb, deleted := v.tombstones.Get(s.Chain)
	return c == nil || deleted && s.Epoch <= tomb.Epoch || v.LiveCount(c) >= c.Spec.Desired
}

func (v *View) duty(c *placement.Chain, h *placement.Holder) Duty {
	d := Duty{
		Chain: c.ID, Epoch: h.Epoch, Phase: h.Phase, Content: c.Content, Spec: *c.Spec,
		First:   !c.EverReady && h.Source == "",
		Settled: v.RestoreGuard == nil && v.LiveCount(c) >= v.Config.WriteCopiesFor(c.Spec),
	}
	for i := range c.Moves {
		if m := &c.Moves[i]; m.To == h.Node && m.ToEpoch == h.Epoch {
			d.Deadline = m.Deadline
		}
	}
	switch h.Phase {
	case placement.Pulling:
		for i := range c.Holders {
			if s := &c.Holders[i]; s.Node != h.Node && v.Live(c, s) {
				d.Sources = append(d.Sources, Source{s.Node, v.Node(s.Node).Addresses.Node})
			}
		}
	case placement.Dropping:
		d.DropAfter = h.Since.Add(v.Config.DropGrace)
	case placement.Ready: // nothing to do but keep it
	}
	return d
}
