package scheduler

import (
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// examineExcess drops one copy of a chain that has one too many. A chain with
// an open move is left to that move (rule S8).
func (p *pass) examineExcess(c *placement.Chain) {
	live := p.view.LiveCount(c)
	if len(c.Moves) > 0 || !surplus(c, live) {
		return
	}
	reason := placement.Reason{Name: placement.ReasonReplaced, Detail: fmt.Sprintf("%d live copies exist elsewhere", live)}
	victim := p.worst(c, func(h *placement.Holder) bool { return replaced(*h) })
	if victim == nil {
		reason = placement.Reason{Name: placement.ReasonSurplus, Detail: fmt.Sprintf("%d live copies, %d desired", live, c.Spec.Desired)}
		victim = p.worst(c, settled)
	}
	if victim == nil {
		return
	}
	verdict := p.view.MayDrop(c, victim.Node, placement.PlaceFirst)
	if !p.gate(GateMinReady, verdict.OK(), func() words { return minReadyWords(verdict) }) {
		return
	}
	p.decide(c, placement.Decision{
		Kind: placement.KindDrop, Cause: placement.CauseExcess, From: victim.Node,
		ScoreFrom: p.score(c, victim.Node), ScoreTo: placement.NoScore, Reason: reason,
	})
}
