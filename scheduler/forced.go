package scheduler

import "github.com/holdfast-cluster/holdfast/placement"

// forced opens the queued operations of operators, in the order in which they
// were queued. One that cannot be opened now stays queued until it expires.
func (p *pass) forced() {
	for i := range p.view.Forced {
		f := &p.view.Forced[i]
		if p.filled() {
			return
		}
		c := p.view.Chain(f.Chain)
		if c != nil && !p.touched[c.ID] && p.Now < f.Expires {
			if p.examineForced(c, f); !p.touched[c.ID] {
				p.wake(f.Expires)
			}
		}
	}
}

func (p *pass) examineForced(c *placement.Chain, f *placement.Forced) {
	victim := c.Holder(f.From)
	if f.From == "" {
		victim = p.worst(c, settled)
	}
	ok := victim != nil && settled(victim)
	if !p.gate(GateVictim, ok, func() words { return victimWords(f.From) }) {
		return
	}
	p.openMove(c, opening{
		cause: placement.CauseForced, victim: victim, to: f.To, forced: f.ID,
		reason: placement.Reason{Name: placement.ReasonForced, Detail: f.Reason},
	})
}

// settled tells whether a holder may be the victim of a move.
func settled(h *placement.Holder) bool { return h.Phase == placement.Ready }

// opening is a move that an arm wants to open.
type opening struct {
	cause  placement.Cause
	victim *placement.Holder
	to     placement.NodeID // "" = the scheduler chooses
	forced placement.Revision
	reason placement.Reason
}

// openMove opens a move if the rules of all moves allow it. Balance, which
// compares scores first, does not come here.
func (p *pass) openMove(c *placement.Chain, o opening) {
	verdict := p.view.Budget(o.cause, o.victim.Node, "")
	if !p.mayMove(c, o.victim.Node) || !p.gate(GateBudget, verdict.OK(), func() words { return budgetWords(verdict) }) {
		return
	}
	w := want{cause: o.cause, from: o.victim.Node}
	to, score, ok := o.to, placement.NoScore, false
	if to == "" {
		to, score, ok = p.target(c, w)
	} else if ok = p.admit(c, w, to).OK(); ok {
		score = p.score(c, to)
	}
	if !p.gate(GateTarget, ok, func() words { return p.targetWords(c, w) }) {
		p.wakeBackoffs(c)
		return
	}
	p.decide(c, placement.Decision{
		Kind: placement.KindOpenMove, Cause: o.cause, From: o.victim.Node, To: to,
		Source: p.source(c, o.victim.Node), Mode: p.modeFor(c, o.victim.Node),
		ScoreFrom: p.score(c, o.victim.Node), ScoreTo: score, Forced: o.forced, Reason: o.reason,
	})
}

// mayMove tells whether a move may be opened on c at all.
func (p *pass) mayMove(c *placement.Chain, victim placement.NodeID) bool {
	return p.gate(GateMove, c.Rebalance() == nil, func() words { return moveWords(c) }) &&
		p.gate(GateSource, p.source(c, victim) != "", func() words { return sourceWords(c, p.view.LiveCount(c)) }) &&
		p.gate(GateCopies, !p.crowded(c), func() words { return p.copiesWords(c) })
}

// worst returns the holder to give up first among those that pass: not live
// before live, then leaving before staying, then the lowest score (no opinion
// last), then as the scorer says, then the lowest id. It is nil when none
// passes.
func (p *pass) worst(c *placement.Chain, passes func(*placement.Holder) bool) *placement.Holder {
	var worst *placement.Holder
	var least standing
	for i := range c.Holders {
		h := &c.Holders[i]
		if !passes(h) {
			continue
		}
		s := p.standing(c, h)
		if worst == nil || s.below(least) || s == least && p.worse(c, h.Node, worst.Node) {
			worst, least = h, s
		}
	}
	return worst
}

// standing is how much a copy is worth keeping.
type standing struct {
	live, stays, unscored bool
	score                 placement.Score
}

func (p *pass) standing(c *placement.Chain, h *placement.Holder) standing {
	score := p.score(c, h.Node)
	return standing{
		live: p.view.Live(c, h), stays: !p.mustDrain(h) && !p.mustLeave(c, h),
		unscored: score == placement.NoScore, score: score,
	}
}

// below tells whether a copy of standing s goes before one of standing t.
func (s standing) below(t standing) bool {
	switch {
	case s.live != t.live:
		return t.live
	case s.stays != t.stays:
		return t.stays
	case s.unscored != t.unscored:
		return t.unscored
	}
	return s.score < t.score
}
