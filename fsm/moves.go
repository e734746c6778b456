package fsm

import (
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// The functions here change a writable chain (a clone) that the caller stores.

// removeHolder takes a holder off the list.
func removeHolder(c *placement.Chain, node placement.NodeID) {
	c.Holders = slices.DeleteFunc(c.Holders, func(h placement.Holder) bool { return h.Node == node })
}

// removeMove closes a move.
func removeMove(c *placement.Chain, id placement.MoveID) {
	c.Moves = slices.DeleteFunc(c.Moves, func(m placement.Move) bool { return m.ID == id })
}

// moveTo returns the open move whose target is node under that epoch, or nil.
func moveTo(c *placement.Chain, node placement.NodeID, epoch placement.Epoch) *placement.Move {
	i := slices.IndexFunc(c.Moves, func(m placement.Move) bool { return m.To == node && m.ToEpoch == epoch })
	if i < 0 {
		return nil
	}
	return &c.Moves[i]
}

// end is the decision that a move's end is recorded as.
func end(kind placement.Kind, c *placement.Chain, m *placement.Move, name placement.ReasonName, detail string) placement.Decision {
	return placement.Decision{
		Kind: kind, Cause: m.Cause, Chain: c.ID, ChainRevision: c.Revision, Move: m.ID, From: m.From, To: m.To,
		Mode: m.Mode, ScoreFrom: m.ScoreFrom, ScoreTo: m.ScoreTo, Reason: placement.Reason{Name: name, Detail: detail},
	}
}

// targetReady goes on with the move whose target has its copy (rule S8): a
// repair and an evict-first move are done, a place-first move drops its
// victim if that is safe, and waits if not.
func (t *tx) targetReady(c *placement.Chain, m *placement.Move) {
	victim := c.Holder(m.From)
	if m.From == "" || m.Mode == placement.EvictFirst || victim == nil {
		t.record(c, end(placement.KindComplete, c, m, placement.ReasonTargetReady, ""), placement.Accepted)
		removeMove(c, m.ID)
		return
	}
	if t.guard != nil || !t.mayDrop(c, m.From, m.Mode).OK() {
		m.Phase, m.Deadline = placement.MoveWaiting, placement.Never
		return
	}
	t.complete(c, m)
}

// mayDrop asks the safety predicates about a chain that is not stored yet.
func (t *tx) mayDrop(c *placement.Chain, node placement.NodeID, mode placement.SwapMode) placement.Verdict {
	v := t.live()
	return v.MayDrop(c, node, mode)
}

// complete drops the victim of a move whose target is ready and stamps the
// cooldown again (rule S9). The move stays open until the victim is gone.
func (t *tx) complete(c *placement.Chain, m *placement.Move) {
	t.record(c, end(placement.KindComplete, c, m, placement.ReasonTargetReady, ""), placement.Accepted)
	m.Phase, m.Deadline = placement.MoveDropping, placement.Never
	t.stamp(c, m.Cause, m.From, m.To)
	t.beginDrop(c, m.From)
}

// beginDrop tells a holder to drop its copy. One that was still pulling stops.
func (t *tx) beginDrop(c *placement.Chain, node placement.NodeID) {
	h := c.Holder(node)
	if h.Phase == placement.Pulling {
		if m := moveTo(c, node, h.Epoch); m != nil {
			removeMove(c, m.ID)
		}
	}
	h.Phase, h.Since, h.Lost = placement.Dropping, t.now, false
}

// stamp writes the cooldown stamps of a move with a victim (rule S9). Balance
// remembers where it moves a copy from; when something else moves the chain, that
// is forgotten.
func (t *tx) stamp(c *placement.Chain, cause placement.Cause, from, to placement.NodeID) {
	c.LastRebalance = t.now
	if cause == placement.CauseConstraint {
		c.LastConstraint = t.now
	}
	if cause != placement.CauseBalance {
		c.Departed = nil
		return
	}
	v := t.live()
	v.Depart(c, from, to)
}

// callOff ends a move that has not moved (rule S8). A target that is not
// ready is taken off; a ready one is kept. The cooldown stamp stays.
func (t *tx) callOff(c *placement.Chain, m *placement.Move, name placement.ReasonName, detail string) {
	t.record(c, end(placement.KindCallOff, c, m, name, detail), placement.Accepted)
	to := m.To
	h := c.Holder(to)
	unready := h != nil && h.Phase == placement.Pulling && h.Epoch == m.ToEpoch
	removeMove(c, m.ID)
	if unready {
		removeHolder(c, to)
		t.copyMissing(c, to) // it may have been another move's victim, pulling newer content
	}
}

// loseCopy marks the copy on node lost. A target that was still pulling is
// called off; a balance move becomes a repair when a copy is now missing, and
// its victim stays (rules S7 and S8).
func (t *tx) loseCopy(c *placement.Chain, node placement.NodeID) {
	h := c.Holder(node)
	switch h.Phase {
	case placement.Dropping:
		h.Lost = true
		closeDropping(c, node) // it has moved; the rest is the node's return or removal
		return
	case placement.Ready:
		h.Lost = true
	case placement.Pulling:
		if m := moveTo(c, node, h.Epoch); m != nil {
			t.callOff(c, m, placement.ReasonTargetLost, "node "+string(node)+" is out of reach")
		}
		removeHolder(c, node)
	}
	t.copyMissing(c, node)
}

// closeDropping ends the place-first move whose victim on node was dropping.
func closeDropping(c *placement.Chain, node placement.NodeID) {
	c.Moves = slices.DeleteFunc(c.Moves, func(m placement.Move) bool {
		return m.From == node && m.Phase == placement.MoveDropping && m.Mode == placement.PlaceFirst
	})
}

// forgetHolder takes a holder off the list for good, whatever its phase: its
// node has reported the copy absent, or is removed itself.
func (t *tx) forgetHolder(c *placement.Chain, node placement.NodeID, name placement.ReasonName) {
	if h := c.Holder(node); h != nil && h.Phase == placement.Pulling {
		if m := moveTo(c, node, h.Epoch); m != nil {
			t.callOff(c, m, name, "node "+string(node))
		}
	}
	removeHolder(c, node)
	closeDropping(c, node)
	t.copyMissing(c, node)
}

// copyMissing adjusts the open rebalance after the copy on node has gone. If
// that was the victim, or a balance move is open while copies are missing, the
// move goes on as a repair without a victim.
func (t *tx) copyMissing(c *placement.Chain, node placement.NodeID) {
	m := c.Rebalance()
	if m == nil || m.Mode == placement.EvictFirst || m.Phase == placement.MoveDropping {
		return
	}
	if m.To == node && m.Phase == placement.MoveWaiting {
		t.callOff(c, m, placement.ReasonTargetLost, "node "+string(node)+" lost the finished copy")
		return
	}
	v := t.live()
	if m.From != node && (m.Cause != placement.CauseBalance || v.Missing(c) <= 0) {
		return
	}
	if m.Phase == placement.MoveWaiting {
		t.record(c, end(placement.KindCallOff, c, m, placement.ReasonBelowDesired, "the finished copy is kept as a repair, the victim stays"), placement.Accepted)
		removeMove(c, m.ID)
		return
	}
	m.From, m.FromEpoch, m.Cause = "", 0, placement.CauseRepair
}
