package scheduler

import (
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// examineEnding ends the first open move of c that is over (rule S8).
func (p *pass) examineEnding(c *placement.Chain) {
	for i := range c.Moves {
		m := &c.Moves[i]
		kind, reason := p.ending(c, m)
		if kind == "" {
			continue
		}
		p.decide(c, placement.Decision{
			Kind: kind, Cause: m.Cause, Move: m.ID, From: m.From, To: m.To, Mode: m.Mode,
			ScoreFrom: m.ScoreFrom, ScoreTo: m.ScoreTo, Reason: reason,
		})
		return
	}
}

// ending returns how the move ends now, or "" while it goes on.
func (p *pass) ending(c *placement.Chain, m *placement.Move) (placement.Kind, placement.Reason) {
	target := c.Holder(m.To)
	switch {
	case m.Phase == placement.MoveDropping && m.Mode == placement.PlaceFirst:
		return "", placement.Reason{} // done but for the victim's report
	case m.Mode == placement.EvictFirst && m.ToEpoch == 0:
		if p.view.Missing(c) <= 0 {
			return placement.KindCallOff, placement.Reason{Name: placement.ReasonReturned, Detail: "no copy is missing any more"}
		}
	default:
		if why := p.targetLost(c, m, target); why != "" {
			return placement.KindCallOff, placement.Reason{Name: placement.ReasonTargetLost, Detail: why}
		}
	}
	if m.Phase == placement.MoveWaiting {
		return p.waiting(c, m)
	}
	if m.From == "" && target != nil && target.Phase == placement.Pulling && p.returned(c) {
		return placement.KindCallOff, placement.Reason{
			Name: placement.ReasonReturned, Detail: fmt.Sprintf("%d live copies exist without it", c.Spec.Desired),
		}
	}
	if m.Deadline == placement.Never {
		return "", placement.Reason{}
	}
	if p.Now < m.Deadline {
		p.wake(m.Deadline)
		return "", placement.Reason{}
	}
	return placement.KindCallOff, placement.Reason{
		Name: placement.ReasonDeadline, Detail: fmt.Sprintf("node %s reported no progress until the deadline", m.To),
	}
}

// waiting completes a move whose target is ready once its victim may drop.
func (p *pass) waiting(c *placement.Chain, m *placement.Move) (placement.Kind, placement.Reason) {
	if m.From == "" || c.Holder(m.From) == nil {
		return placement.KindCallOff, placement.Reason{Name: placement.ReasonVictimGone, Detail: "there is no victim left to drop"}
	}
	if !p.view.MayDrop(c, m.From, m.Mode).OK() {
		return "", placement.Reason{}
	}
	return placement.KindComplete, placement.Reason{
		Name: placement.ReasonTargetReady, Detail: fmt.Sprintf("node %s is ready and node %s may drop now", m.To, m.From),
	}
}

// targetLost says why the target of an open move can no longer become, or
// stay, its target; "" when it can. A suspect or cordoned target goes on.
func (p *pass) targetLost(c *placement.Chain, m *placement.Move, target *placement.Holder) string {
	switch {
	case target == nil:
		return fmt.Sprintf("node %s no longer holds the chain", m.To)
	case target.Lost:
		return fmt.Sprintf("node %s is lost", m.To)
	case p.view.Node(m.To) != nil && c.EverReady && p.view.LiveCount(c) == 0:
		return ""
	case draining(p.view.Node(m.To)):
		return fmt.Sprintf("node %s is %s", m.To, p.view.Node(m.To).Eligibility)
	}
	if why, ok := p.view.EligibleHolder(c, m.To); !ok {
		return fmt.Sprintf("node %s: %s", m.To, why)
	}
	return ""
}

// returned tells whether desired live copies exist although a repair is
// still pulling: what it replaces came back. A victim of an open move does
// not count, it is about to go.
func (p *pass) returned(c *placement.Chain) bool {
	live := p.view.LiveCount(c)
	if m := c.Rebalance(); m != nil {
		if v := c.Holder(m.From); v != nil && p.view.Live(c, v) {
			live--
		}
	}
	return live >= c.Spec.Desired
}
