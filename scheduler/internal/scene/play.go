package scene

import (
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Apply does what a decision says, unless the chain has changed since.
func (s *Scene) Apply(d placement.Decision) {
	c := s.Chains[d.Chain]
	if c == nil || c.Revision != d.ChainRevision {
		return
	}
	c.Revision = s.Draw()
	switch d.Kind {
	case placement.KindAssign:
		epoch := s.AddHolder(c, d.To, placement.Pulling)
		if m := c.MoveByID(d.Move); m != nil && m.To == d.To {
			m.ToEpoch, m.Phase = epoch, placement.MovePulling
			return
		}
		removeMove(c, d.Move) // refilled elsewhere: an ordinary repair is left
		s.addMove(c, d, placement.Move{Mode: placement.PlaceFirst, Phase: placement.MovePulling, ToEpoch: epoch})
	case placement.KindOpenMove:
		s.openMove(c, d)
	case placement.KindComplete:
		m := c.MoveByID(d.Move)
		m.Phase = placement.MoveDropping
		c.Holder(m.From).Phase = placement.Dropping
		s.stamp(c, m.Cause, m.From, m.To)
	case placement.KindCallOff:
		m := *c.MoveByID(d.Move)
		if h := c.Holder(m.To); h != nil && h.Phase == placement.Pulling {
			removeHolder(c, m.To)
		}
		removeMove(c, m.ID)
	case placement.KindDrop:
		if c.Holder(d.From).Lost {
			removeHolder(c, d.From)
			return
		}
		c.Holder(d.From).Phase = placement.Dropping
	}
}

func (s *Scene) openMove(c *placement.Chain, d placement.Decision) {
	m := placement.Move{Mode: d.Mode, Phase: placement.MovePulling}
	if d.Mode == placement.EvictFirst {
		m.Phase = placement.MoveDropping
		c.Holder(d.From).Phase = placement.Dropping
	} else {
		m.ToEpoch = s.AddHolder(c, d.To, placement.Pulling)
	}
	s.addMove(c, d, m)
	s.stamp(c, d.Cause, d.From, d.To)
	s.Forced = slices.DeleteFunc(s.Forced, func(f placement.Forced) bool { return f.ID == d.Forced })
}

func (s *Scene) addMove(c *placement.Chain, d placement.Decision, m placement.Move) {
	m.ID, m.Cause, m.From, m.To = placement.MoveID(s.Draw()), d.Cause, d.From, d.To
	m.ScoreFrom, m.ScoreTo = d.ScoreFrom, d.ScoreTo
	m.Opened, m.Deadline = s.Now, s.Now.Add(s.Config.MoveDeadline)
	c.Moves = append(c.Moves, m)
}

func (s *Scene) stamp(c *placement.Chain, cause placement.Cause, from, to placement.NodeID) {
	c.LastRebalance = s.Now
	if cause == placement.CauseConstraint {
		c.LastConstraint = s.Now
	}
	if cause != placement.CauseBalance {
		c.Departed = nil
		return
	}
	v := placement.View{Now: s.Now, Config: s.Config}
	v.Depart(c, from, to)
}

// Work lets every holder finish: what drops is gone, what pulls is ready.
func (s *Scene) Work() {
	for _, id := range sortedKeys(s.Chains) {
		c := s.Chains[id]
		before := len(c.Holders)
		c.Holders = slices.DeleteFunc(c.Holders, func(h placement.Holder) bool { return h.Phase == placement.Dropping })
		c.Moves = slices.DeleteFunc(c.Moves, func(m placement.Move) bool {
			return m.Phase == placement.MoveDropping && m.Mode == placement.PlaceFirst && c.Holder(m.From) == nil
		})
		changed := len(c.Holders) != before
		for i := range c.Holders {
			if c.Holders[i].Phase == placement.Pulling {
				c.Holders[i].Phase, c.Holders[i].SizeBytes = placement.Ready, c.SizeBytes()
				c.EverReady, changed = true, true
			}
		}
		for _, m := range slices.Clone(c.Moves) {
			s.targetReady(c, m.ID)
		}
		if changed {
			c.Revision = s.Draw()
		}
	}
}

// targetReady goes on with a move whose target has its copy.
func (s *Scene) targetReady(c *placement.Chain, id placement.MoveID) {
	m := c.MoveByID(id)
	if h := c.Holder(m.To); h == nil || h.Phase != placement.Ready || m.Phase != placement.MovePulling {
		return
	}
	if m.From == "" || m.Mode == placement.EvictFirst {
		removeMove(c, id)
		return
	}
	m.Phase, m.Deadline = placement.MoveWaiting, placement.Never
	v := s.View()
	if v.MayDrop(c, m.From, m.Mode).OK() {
		m.Phase = placement.MoveDropping
		c.Holder(m.From).Phase = placement.Dropping
		s.stamp(c, m.Cause, m.From, m.To)
	}
}

func removeHolder(c *placement.Chain, node placement.NodeID) {
	c.Holders = slices.DeleteFunc(c.Holders, func(h placement.Holder) bool { return h.Node == node })
}

func removeMove(c *placement.Chain, id placement.MoveID) {
	c.Moves = slices.DeleteFunc(c.Moves, func(m placement.Move) bool { return m.ID == id })
}
