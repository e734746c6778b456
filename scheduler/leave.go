package scheduler

import (
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// examineDrain opens a move off a draining node.
func (p *pass) examineDrain(c *placement.Chain) {
	victim := p.worst(c, p.mustDrain)
	if victim == nil || !p.gate(GateQuarantine, !p.quarantined(c), func() words { return p.quarantineWords(c) }) {
		return
	}
	p.openMove(c, opening{cause: placement.CauseDrain, victim: victim, reason: placement.Reason{
		Name: placement.ReasonDraining, Detail: fmt.Sprintf("node %s is %s", victim.Node, p.view.Node(victim.Node).Eligibility),
	}})
}

// examineConstraint opens a move off a node that may not hold the chain.
func (p *pass) examineConstraint(c *placement.Chain) {
	victim := p.worst(c, func(h *placement.Holder) bool { return p.mustLeave(c, h) })
	if victim == nil ||
		!p.gate(GateQuarantine, !p.quarantined(c), func() words { return p.quarantineWords(c) }) ||
		!p.gate(GateConstraintCooldown, !p.cooling(p.constraintUntil(c)), func() words { return p.untilWords(p.constraintUntil(c)) }) {
		return
	}
	why, _ := p.mayHold(c, victim.Node)
	p.openMove(c, opening{cause: placement.CauseConstraint, victim: victim, reason: placement.Reason{
		Name: placement.ReasonIneligible, Detail: fmt.Sprintf("node %s: %s", victim.Node, why),
	}})
}

// constraintUntil returns when the next constraint move of c may open.
func (p *pass) constraintUntil(c *placement.Chain) placement.Time {
	return c.LastConstraint.Add(p.view.Config.ConstraintCooldown)
}

// cooling tells whether until lies ahead; exactly at until it does not.
func (p *pass) cooling(until placement.Time) bool {
	if p.Now >= until {
		return false
	}
	p.wake(until)
	return true
}
