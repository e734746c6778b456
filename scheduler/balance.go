package scheduler

import (
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// balanceArm examines the chains that the scorer's screen lets through, in
// cyclic order. What a decision reserves may shut the screen for the rest: the
// next pass then goes on from there, as after a spent budget.
func (p *pass) balanceArm() {
	if p.screener == nil {
		p.examineAll()
		return
	}
	last, began := p.Cursor.Balance, p.r.Version()
	walk := newMerge(p, last)
	for examined := 0; ; examined++ {
		id, ok := walk.next(p)
		if ok && !p.stop(placement.CauseBalance, examined, walk.length) {
			p.examine(id, p.examineBalance)
			last = id
			continue
		}
		if ok || p.r.Version() != began {
			p.plan.Next.Balance = last
		}
		return
	}
}

// examineAll lets balance examine every chain: the scorer cannot say which
// might need it.
func (p *pass) examineAll() {
	last := p.Cursor.Balance
	examined := 0
	for c := range allAfter(p.view.Chains, last) {
		if p.stop(placement.CauseBalance, examined, p.view.Chains.Len()) {
			p.plan.Next.Balance = last
			return
		}
		p.examine(c.ID, p.examineBalance)
		last = c.ID
		examined++
	}
}

// examineBalance moves the worst copy of c to a node that is better by more
// than the gap and what the move costs, if the worst is below the floor (design
// section 4).
func (p *pass) examineBalance(c *placement.Chain) {
	p.wakeBackoffs(c) // they bound what the chain could move to, and so what its copies are worth
	p.wakeReturns(c)
	if !p.mayBalance(c) {
		return
	}
	victim, from := p.lowest(c)
	floor, gap := p.view.Config.FloorFor(c.Spec), p.view.Config.GapFor(c.Spec)
	if !p.gate(GateScored, victim != "", func() words { return scoredWords(victim) }) ||
		!p.gate(GateFloor, from < floor, func() words { return floorWords(victim, from, floor) }) {
		return
	}
	verdict := p.view.Budget(placement.CauseBalance, victim, "")
	if !p.gate(GateBudget, verdict.OK(), func() words { return budgetWords(verdict) }) {
		return
	}
	w := want{cause: placement.CauseBalance, from: victim}
	cost := p.costOf(c)
	to, score, ok := p.best(c, w, p.enough(from+gap+cost.score))
	if !p.gate(GateTarget, ok, func() words { return p.targetWords(c, w) }) ||
		!p.gate(GateGap, score-from > gap, func() words { return gapWords(to, score, from, gap) }) ||
		cost.takes > 0 && !p.gate(GateCost, score-from > gap+cost.score, func() words { return costWords(cost, score-from, gap) }) {
		return
	}
	p.decide(c, placement.Decision{
		Kind: placement.KindOpenMove, Cause: placement.CauseBalance, From: victim, To: to,
		Source: p.source(c, victim), Mode: p.modeFor(c, victim), ScoreFrom: from, ScoreTo: score,
		Reason: placement.Reason{Name: placement.ReasonBelowFloor, Detail: fmt.Sprintf("node %s scores %v%s, below the floor %v; node %s would score %v%s",
			victim, from, p.limiting(c, victim), floor, to, score, cost.words())},
	})
}

// wakeReturns asks for a pass when balance may bring a copy back to a node.
func (p *pass) wakeReturns(c *placement.Chain) {
	for _, d := range c.Departed {
		if until := p.view.ReturnsUntil(c, d.Copy, d.Node); p.Now < until {
			p.wake(until)
		}
	}
}

// mayBalance tells whether balance may touch c now.
func (p *pass) mayBalance(c *placement.Chain) bool {
	live, missing := p.view.LiveCount(c), p.view.Missing(c)
	drain, constraint := p.agenda.leavers(c)
	return p.gate(GatePinned, c.Spec.Policy != placement.PolicyPinned, func() words { return pinnedWords(c) }) &&
		p.gate(GateMove, len(c.Moves) == 0, func() words { return moveWords(c) }) &&
		p.gate(GateDesired, missing <= 0 && live >= c.Spec.Desired, func() words { return desiredWords(c, live) }) &&
		p.gate(GateCopies, !p.crowded(c), func() words { return p.copiesWords(c) }) &&
		p.gate(GateLeaving, !drain && !constraint, func() words { return leavingWords(drain, constraint) }) &&
		p.gate(GateQuarantine, !p.quarantined(c), func() words { return p.quarantineWords(c) }) &&
		p.gate(GateCooldown, !p.cooling(p.view.CoolingUntil(c)), func() words { return p.untilWords(p.view.CoolingUntil(c)) })
}

// lowest returns the ready holder with the lowest score, ties to the scorer's
// word and then the lowest id; "" when the scorer has no opinion of any.
func (p *pass) lowest(c *placement.Chain) (placement.NodeID, placement.Score) {
	victim, least := placement.NodeID(""), placement.NoScore
	for i := range c.Holders {
		h := &c.Holders[i]
		if !settled(h) || h.Lost {
			continue
		}
		s := p.score(c, h.Node)
		if s != placement.NoScore && (victim == "" || s < least || s == least && p.worse(c, h.Node, victim)) {
			victim, least = h.Node, s
		}
	}
	return victim, least
}

// worse tells whether the scorer would rather give up a than b, their scores
// being equal.
func (p *pass) worse(c *placement.Chain, a, b placement.NodeID) bool {
	return p.ties != nil && p.ties.Worse(c.ID, a, b)
}

// enough returns the score that an alternative must exceed to be of use. An
// explanation wants to name the best one even if it is of none.
func (p *pass) enough(score placement.Score) placement.Score {
	if p.trace != nil {
		return placement.NoScore
	}
	return score
}

// limiting returns the words that name the axis which limits a score.
func (p *pass) limiting(c *placement.Chain, node placement.NodeID) string {
	if e, ok := p.scorer.(Explainer); ok {
		if _, name := e.Axes(c.ID, node); name != "" {
			return " (" + name + ")"
		}
	}
	return ""
}
