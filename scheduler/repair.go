package scheduler

import (
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// repairArm gives chains the copies they lack, fewest live copies first.
func (p *pass) repairArm(list []needy) {
	start := 0
	if p.Cursor.Repair != "" {
		for start < len(list) && list[start].compare(p.Cursor.RepairLive, p.Cursor.Repair) <= 0 {
			start++
		}
	}
	live, id := p.Cursor.RepairLive, p.Cursor.Repair
	for i := range list {
		if p.stop(placement.CauseRepair, i) {
			p.plan.Next.RepairLive, p.plan.Next.Repair = live, id
			return
		}
		n := list[(start+i)%len(list)]
		if !p.touched[n.ID] {
			p.examineRepair(n.Chain)
		}
		live, id = n.live, n.ID
	}
}

// examineRepair assigns one holder to a chain that lacks copies.
func (p *pass) examineRepair(c *placement.Chain) {
	if p.view.Missing(c) <= 0 || !p.mayRepair(c) {
		return
	}
	m := unfilled(c)
	if m != nil {
		p.r.unfill(c, m, -1) // the room kept for the refill is the refill's
	}
	d, ok := p.repair(c, m)
	if m != nil {
		p.r.unfill(c, m, 1)
	}
	if !p.gate(GateTarget, ok, func() words { return p.targetWords(c, want{cause: placement.CauseRepair}) }) {
		p.wakeBackoffs(c)
		return
	}
	p.decide(c, d)
}

// mayRepair tells whether anything holds the repair of c back.
func (p *pass) mayRepair(c *placement.Chain) bool {
	live := p.view.LiveCount(c)
	return p.gate(GateRepairPause, !p.repairPaused(c, live), func() words { return p.pauseWords(live) }) &&
		p.gate(GateQuarantine, !p.quarantined(c), func() words { return p.quarantineWords(c) }) &&
		p.gate(GateSource, p.hasSource(c, live), func() words { return sourceWords(c, live) }) &&
		p.gate(GateCopies, !p.crowded(c), func() words { return p.copiesWords(c) })
}

// repairPaused tells whether a repair pause holds c back: not a chain with
// exactly one live copy, nor one that has never had any (rule S12).
func (p *pass) repairPaused(c *placement.Chain, live int) bool {
	pause := p.view.RepairPause
	if pause == nil || live == 1 || !c.EverReady {
		return false
	}
	p.wake(pause.Until)
	return true
}

func (p *pass) quarantined(c *placement.Chain) bool {
	if !c.Quarantined(p.Now) {
		return false
	}
	p.wake(c.Quarantine.Until)
	return true
}

// hasSource tells whether a copy can be made: from a live one, or from
// nothing for a chain that never had a ready holder and for which no other
// holder is pulling (rules S1 and S7).
func (p *pass) hasSource(c *placement.Chain, live int) bool {
	return live > 0 || !c.EverReady && p.view.PullingCount(c) == 0
}

// repair returns the assignment of one more holder; m is the evict-first move
// it refills, or nil.
func (p *pass) repair(c *placement.Chain, m *placement.Move) (placement.Decision, bool) {
	d := placement.Decision{Kind: placement.KindAssign, Cause: placement.CauseRepair, ScoreFrom: placement.NoScore}
	w := want{cause: placement.CauseRepair}
	ok := false
	if m != nil {
		d.Cause, d.Move, d.Mode, d.ScoreFrom = m.Cause, m.ID, m.Mode, m.ScoreFrom
		w = want{cause: m.Cause, avoid: m.From}
		if ok = p.admit(c, w, m.To).OK(); ok {
			d.To, d.ScoreTo = m.To, m.ScoreTo
		}
	}
	if !ok {
		if d.To, d.ScoreTo, ok = p.target(c, w); !ok {
			return d, false
		}
	}
	d.Source = p.source(c, "")
	d.Reason = p.repairReason(c, m, d.To)
	return d, true
}

func (p *pass) repairReason(c *placement.Chain, m *placement.Move, to placement.NodeID) placement.Reason {
	switch {
	case m != nil && to == m.To:
		return placement.Reason{Name: placement.ReasonRefill, Detail: fmt.Sprintf("node %s dropped its copy", m.From)}
	case m != nil:
		return placement.Reason{
			Name: placement.ReasonRefill, Detail: fmt.Sprintf("node %s dropped its copy and node %s may not take it now", m.From, m.To),
		}
	case !c.EverReady:
		return placement.Reason{Name: placement.ReasonFirstCopy, Detail: "the chain has never had a ready copy"}
	}
	return placement.Reason{
		Name:   placement.ReasonBelowDesired,
		Detail: fmt.Sprintf("%d of %d copies are missing, %d live", p.view.Missing(c), c.Spec.Desired, p.view.LiveCount(c)),
	}
}

// unfilled returns the evict-first move of c that has no target yet, or nil.
func unfilled(c *placement.Chain) *placement.Move {
	if m := c.Rebalance(); m != nil && m.Mode == placement.EvictFirst && m.ToEpoch == 0 {
		return m
	}
	return nil
}

// wakeBackoffs asks for a pass when the first backed-off target may be tried
// again.
func (p *pass) wakeBackoffs(c *placement.Chain) {
	for i := range c.Backoffs {
		if p.Now < c.Backoffs[i].Until {
			p.wake(c.Backoffs[i].Until)
		}
	}
}
