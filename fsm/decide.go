package fsm

import (
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// decide re-checks a decision of the scheduler against the present state and
// does it, or refuses it and remembers why.
func (t *tx) decide(d placement.Decision) Result {
	old := t.chain(d.Chain)
	if old == nil {
		return unknownChain(d.Chain)
	}
	if len(d.Kind)+len(d.Cause)+len(d.Mode)+len(d.Reason.Name)+len(d.Reason.Detail) > ReasonMax ||
		max(len(d.From), len(d.To), len(d.Source)) > placement.NodeIDMax {
		return refuse(placement.Invalid, "decision: its words are longer than %d bytes, or its node ids than %d", ReasonMax, placement.NodeIDMax)
	}
	if t.batch.ConfigAt != 0 && t.batch.ConfigAt != t.configGen {
		return refuse(placement.StaleConfig, "made at configuration %d, it is at %d now", t.batch.ConfigAt, t.configGen)
	}
	if d.ChainRevision != old.Revision {
		return refuse(placement.StaleDecision, "made at revision %d of chain %s, it is at %d now", d.ChainRevision, d.Chain, old.Revision)
	}
	c := old.Clone()
	d = t.ownWords(c, d)
	var verdict placement.Verdict
	switch d.Kind {
	case placement.KindAssign:
		verdict = t.assign(c, d)
	case placement.KindOpenMove:
		verdict = t.openMove(c, d)
	case placement.KindComplete:
		verdict = t.completeWaiting(c, d)
	case placement.KindCallOff:
		verdict = t.callOffMove(c, d)
	case placement.KindDrop:
		verdict = t.dropSurplus(c, d)
	default:
		verdict = placement.Refuse(placement.Invalid, "kind: %q is no decision", d.Kind)
	}
	if !verdict.OK() {
		t.recordRefusal(d, verdict.Code)
		return refused(verdict)
	}
	t.putChain(c)
	return Result{Chain: c}
}

// ownWords puts the state's own copies of names into a decision: what the
// entry brought is not kept for as long as the chain has the holder.
func (t *tx) ownWords(c *placement.Chain, d placement.Decision) placement.Decision {
	d.Chain = c.ID
	if to := t.node(d.To); to != nil {
		d.To = to.ID
	}
	if from := c.Holder(d.From); from != nil {
		d.From = from.Node
	}
	if source := c.Holder(d.Source); source != nil {
		d.Source = source.Node
	}
	return d
}

// guarded refuses while a restore waits for inventories (rule S5).
func (t *tx) guarded() placement.Verdict {
	if t.guard == nil {
		return placement.Verdict{}
	}
	return placement.Refuse(placement.RestoreGuard, "a restore waits for the inventory of %d nodes, the first is %s", len(t.guard), t.guard[0])
}

// mayOpen checks what holds for every assignment: restore guard, freeze,
// repair pause, quarantine. A freeze lets open moves finish, and so lets the
// refill of an evict-first move through (rule S12).
func (t *tx) mayOpen(v *placement.View, c *placement.Chain, cause placement.Cause, refill bool) placement.Verdict {
	if verdict := t.guarded(); !verdict.OK() {
		return verdict
	}
	switch {
	case t.freezing != nil && cause != placement.CauseForced && !refill:
		return placement.Refuse(placement.Frozen, "frozen: %s", t.freezing.Reason)
	case t.pause != nil && cause == placement.CauseRepair && c.EverReady && v.LiveCount(c) != 1:
		return placement.Refuse(placement.RepairPaused, "repair is paused: %d nodes vanished at once", len(t.pause.Nodes))
	case cause != placement.CauseForced && c.Quarantined(t.now):
		return placement.Refuse(placement.Cooling, "chain %s is quarantined after %d failed targets: %s", c.ID, c.Quarantine.Failures, c.Quarantine.Error)
	}
	return placement.Verdict{}
}

// assign gives a missing copy to a node: a repair, a chain's first copy, or
// the refill of an evict-first move.
func (t *tx) assign(c *placement.Chain, d placement.Decision) placement.Verdict {
	v := t.live()
	refill := c.MoveByID(d.Move)
	if d.Move != 0 && (refill == nil || refill.Mode != placement.EvictFirst || refill.ToEpoch != 0) {
		return placement.Refuse(placement.NoMove, "chain %s has no move %d that waits for a target", c.ID, d.Move)
	}
	cause := placement.CauseRepair
	if refill != nil && refill.To == d.To {
		cause = refill.Cause
	}
	if verdict := t.mayOpen(&v, c, cause, refill != nil); !verdict.OK() {
		return verdict
	}
	if verdict := sourceFor(&v, c, d.Source); !verdict.OK() {
		return verdict
	}
	if v.Missing(c) <= 0 || v.PullingCount(c)+v.LiveCount(c)+1 > c.Spec.Desired+1 {
		return placement.Refuse(placement.OverReplicated, "chain %s lacks no copy", c.ID)
	}
	if verdict := v.EligibleTarget(c, d.To); !verdict.OK() {
		return verdict
	}
	if refill != nil && refill.To == d.To {
		refill.Phase, refill.ToEpoch = placement.MovePulling, t.addHolder(c, d)
		refill.Deadline = t.now.Add(t.config.MoveDeadline)
	} else {
		if verdict := v.Budget(placement.CauseRepair, "", d.To); !verdict.OK() {
			return verdict
		}
		if refill != nil {
			// The recorded target will not do: what is left is an ordinary repair.
			t.callOff(c, refill, placement.ReasonTargetLost, "node "+string(refill.To)+" is no target any more")
			d.Move = 0
		}
		d.Cause, d.From = placement.CauseRepair, ""
		t.addMove(c, d, placement.Move{Cause: placement.CauseRepair, Mode: placement.PlaceFirst, ToEpoch: t.addHolder(c, d)})
	}
	t.record(c, d, placement.Accepted)
	return placement.Verdict{}
}

// sourceFor checks what a new copy is made from (rule S1): a live copy, or
// nothing for the one first copy of a chain that has never had one.
func sourceFor(v *placement.View, c *placement.Chain, source placement.NodeID) placement.Verdict {
	if source != "" {
		if h := c.Holder(source); h == nil || !v.Live(c, h) {
			return placement.Refuse(placement.NoSource, "node %s has no live copy of chain %s", source, c.ID)
		}
		return placement.Verdict{}
	}
	if c.EverReady {
		return placement.Refuse(placement.NoSource, "chain %s has had a copy: a new one is made only from a live one", c.ID)
	}
	if len(c.Holders) > 0 {
		return placement.Refuse(placement.NoSource, "the first copy of chain %s is being made", c.ID)
	}
	return placement.Verdict{}
}

// addHolder lists the target as pulling and returns its epoch.
func (t *tx) addHolder(c *placement.Chain, d placement.Decision) placement.Epoch {
	epoch := placement.Epoch(t.draw())
	c.Holders = append(c.Holders, placement.Holder{
		Node: d.To, Phase: placement.Pulling, Epoch: epoch, Since: t.now, Source: d.Source,
	})
	return epoch
}

// addMove opens a move for a decision.
func (t *tx) addMove(c *placement.Chain, d placement.Decision, m placement.Move) {
	m.ID, m.From, m.To = placement.MoveID(t.draw()), d.From, d.To
	m.ScoreFrom, m.ScoreTo = d.ScoreFrom, d.ScoreTo
	m.Opened, m.Deadline = t.now, t.now.Add(t.config.MoveDeadline)
	m.BytesTotal = c.SizeBytes()
	if m.Phase == "" {
		m.Phase = placement.MovePulling
	}
	c.Moves = append(c.Moves, m)
}

// openMove begins a move with a victim and stamps the cooldown (rules S7, S9).
func (t *tx) openMove(c *placement.Chain, d placement.Decision) placement.Verdict {
	v := t.live()
	if verdict := t.mayMove(&v, c, d); !verdict.OK() {
		return verdict
	}
	victim := c.Holder(d.From)
	m := placement.Move{Cause: d.Cause, Mode: d.Mode, FromEpoch: victim.Epoch}
	if d.Mode == placement.EvictFirst {
		if verdict := v.MayDrop(c, d.From, placement.EvictFirst); !verdict.OK() {
			return verdict
		}
		m.Phase = placement.MoveDropping
		t.beginDrop(c, d.From)
	} else {
		if v.PullingCount(c)+v.LiveCount(c)+1 > c.Spec.Desired+1 {
			return placement.Refuse(placement.OverReplicated, "chain %s has surplus copies", c.ID)
		}
		m.ToEpoch = t.addHolder(c, d)
	}
	t.addMove(c, d, m)
	t.stamp(c, d.Cause, d.From, d.To)
	t.record(c, d, placement.Accepted)
	t.dequeue(func(f placement.Forced) bool { return f.ID == d.Forced })
	return placement.Verdict{}
}

// mayMove checks everything that a new move with a victim must satisfy.
func (t *tx) mayMove(v *placement.View, c *placement.Chain, d placement.Decision) placement.Verdict {
	if verdict := t.mayOpen(v, c, d.Cause, false); !verdict.OK() {
		return verdict
	}
	victim := c.Holder(d.From)
	switch {
	case victim == nil || victim.Phase != placement.Ready:
		return placement.Refuse(placement.NotHolder, "node %s has no ready copy of chain %s", d.From, c.ID)
	case c.Rebalance() != nil:
		return placement.Refuse(placement.MoveOpen, "chain %s has an open move", c.ID)
	case d.Mode != placement.PlaceFirst && d.Mode != placement.EvictFirst:
		return placement.Refuse(placement.Invalid, "mode: %q is neither place-first nor evict-first", d.Mode)
	}
	if d.Mode == placement.PlaceFirst {
		if verdict := sourceFor(v, c, d.Source); !verdict.OK() {
			return verdict
		}
	}
	if verdict := t.mayMoveFor(v, c, d); !verdict.OK() {
		return verdict
	}
	if verdict := v.EligibleTarget(c, d.To); !verdict.OK() {
		return verdict
	}
	return v.Budget(d.Cause, d.From, d.To)
}

// mayMoveFor checks what each cause asks for.
func (t *tx) mayMoveFor(v *placement.View, c *placement.Chain, d placement.Decision) placement.Verdict {
	switch d.Cause {
	case placement.CauseBalance:
		return t.mayBalance(v, c, d)
	case placement.CauseConstraint:
		if until := c.LastConstraint.Add(t.config.ConstraintCooldown); c.LastConstraint != placement.Never && t.now < until {
			return placement.Refuse(placement.Cooling, "chain %s had a constraint move a while ago", c.ID)
		}
	case placement.CauseDrain:
		if n := t.node(d.From); n == nil || n.Eligibility != placement.Draining && n.Eligibility != placement.Maintenance {
			return placement.Refuse(placement.StaleDecision, "node %s is not draining", d.From)
		}
	case placement.CauseForced:
		if !t.queued(d) {
			return placement.Refuse(placement.StaleDecision, "no such forced move of chain %s is queued", c.ID)
		}
	default:
		return placement.Refuse(placement.Invalid, "cause: %q opens no move with a victim", d.Cause)
	}
	return placement.Verdict{}
}

// mayBalance checks the balance rule's own gates again (invariants cooled and
// no-return).
func (t *tx) mayBalance(v *placement.View, c *placement.Chain, d placement.Decision) placement.Verdict {
	until := v.CoolingUntil(c)
	switch {
	case c.Spec.Policy == placement.PolicyPinned:
		return placement.Refuse(placement.PinnedChain, "chain %s is pinned", c.ID)
	case until != placement.Never && t.now < until:
		return placement.Refuse(placement.Cooling, "chain %s cools for another %v", c.ID, until.Sub(t.now))
	case len(c.Moves) > 0:
		return placement.Refuse(placement.MoveOpen, "chain %s has an open move", c.ID)
	case v.Missing(c) > 0 || v.LiveCount(c) < c.Spec.Desired:
		return placement.Refuse(placement.BelowMinReady, "chain %s has fewer live copies than desired", c.ID)
	}
	return v.MayReturn(c, d.From, d.To)
}

// queued tells whether the forced operation that a decision answers is in the
// queue, and was for that victim and that target.
func (t *tx) queued(d placement.Decision) bool {
	return slices.ContainsFunc(t.forced, func(f placement.Forced) bool {
		return f.ID == d.Forced && f.Chain == d.Chain && (f.From == "" || f.From == d.From) && (f.To == "" || f.To == d.To)
	})
}

// dequeue takes forced operations off the queue.
func (t *tx) dequeue(which func(placement.Forced) bool) {
	if slices.ContainsFunc(t.forced, which) {
		t.forced = slices.DeleteFunc(slices.Clone(t.forced), which) // views share the old list
	}
}

// completeWaiting drops the victim of a waiting move once that is safe.
func (t *tx) completeWaiting(c *placement.Chain, d placement.Decision) placement.Verdict {
	m := c.MoveByID(d.Move)
	if m == nil || m.Phase != placement.MoveWaiting {
		return placement.Refuse(placement.NoMove, "chain %s has no waiting move %d", c.ID, d.Move)
	}
	if verdict := t.guarded(); !verdict.OK() {
		return verdict
	}
	if verdict := t.mayDrop(c, m.From, m.Mode); !verdict.OK() {
		return verdict
	}
	t.complete(c, m)
	return placement.Verdict{}
}

// callOffMove ends a move on the scheduler's word.
func (t *tx) callOffMove(c *placement.Chain, d placement.Decision) placement.Verdict {
	m := c.MoveByID(d.Move)
	if m == nil || m.Phase == placement.MoveDropping && m.Mode == placement.PlaceFirst {
		return placement.Refuse(placement.NoMove, "chain %s has no move %d to call off", c.ID, d.Move)
	}
	if d.Reason.Name == placement.ReasonDeadline && (m.Deadline == placement.Never || t.now < m.Deadline) {
		return placement.Refuse(placement.StaleDecision, "move %d has progressed", d.Move)
	}
	if d.Reason.Name == placement.ReasonDeadline && m.ToEpoch != 0 {
		t.failedTarget(c, m.To, "no progress until the deadline")
	}
	t.callOff(c, m, d.Reason.Name, d.Reason.Detail)
	return placement.Verdict{}
}

// dropSurplus drops a copy that is not needed: a lost one leaves the list, a
// present one is told to drop.
func (t *tx) dropSurplus(c *placement.Chain, d placement.Decision) placement.Verdict {
	v := t.live()
	h := c.Holder(d.From)
	if verdict := t.guarded(); !verdict.OK() {
		return verdict
	}
	switch {
	case t.freezing != nil:
		return placement.Refuse(placement.Frozen, "frozen: %s", t.freezing.Reason)
	case h == nil || h.Phase == placement.Dropping:
		return placement.Refuse(placement.NotHolder, "node %s does not hold chain %s", d.From, c.ID)
	case len(c.Moves) > 0:
		return placement.Refuse(placement.MoveOpen, "chain %s has an open move", c.ID)
	}
	live := v.LiveCount(c)
	if v.Live(c, h) {
		live--
	}
	if live < c.Spec.Desired {
		return placement.Refuse(placement.BelowMinReady, "chain %s would be left with %d live copies of %d", c.ID, live, c.Spec.Desired)
	}
	if verdict := v.MayDrop(c, d.From, placement.PlaceFirst); !verdict.OK() {
		return verdict
	}
	t.record(c, d, placement.Accepted)
	if h.Lost {
		removeHolder(c, d.From)
	} else {
		t.beginDrop(c, d.From)
	}
	return placement.Verdict{}
}
