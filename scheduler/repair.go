package scheduler

import (
	"fmt"
	"iter"

	"github.com/holdfast-cluster/holdfast/placement"
)

// repairArm gives chains the copies they lack, fewest live copies first, in
// cyclic order of (live copies, id). During a repair pause it takes only those
// that a pause does not hold back: never filled, or with one live copy.
func (p *pass) repairArm() {
	examined := 0
	live, id := p.Cursor.RepairLive, p.Cursor.Repair
	for next := range p.needy(live, id) {
		if p.stop(placement.CauseRepair, examined, p.agenda.needyCount()) {
			p.plan.Next.RepairLive, p.plan.Next.Repair = live, id
			return
		}
		p.examine(next.id, p.examineRepair)
		live, id = next.live, next.id
		examined++
	}
}

// needy is a chain that lacks copies.
type needy struct {
	live int
	id   placement.ChainID
}

// needy returns the chains of the repair arm in cyclic order, beginning behind
// one of them.
func (p *pass) needy(live int, id placement.ChainID) iter.Seq[needy] {
	sets := p.agenda.repair[:]
	if p.view.RepairPause != nil {
		p.wake(p.view.RepairPause.Until)
		sets = sets[:2]
	}
	live = min(live, len(sets)-1)
	return func(yield func(needy) bool) {
		going := true
		visit := func(live int, id placement.ChainID) bool {
			going = yield(needy{live, id})
			return going
		}
		sets[live].Ascend(id, func(key placement.ChainID) bool { return key == id || visit(live, key) })
		for i := 1; i < len(sets) && going; i++ {
			at := (live + i) % len(sets)
			sets[at].Scan(func(key placement.ChainID) bool { return visit(at, key) })
		}
		if going {
			sets[live].Scan(func(key placement.ChainID) bool { return key <= id && visit(live, key) })
		}
	}
}

// examineRepair assigns one holder to a chain that lacks copies.
func (p *pass) examineRepair(c *placement.Chain) {
	live := p.view.LiveCount(c)
	if p.view.Missing(c) <= 0 || unfilled(c) != nil ||
		!p.gate(GateRepairPause, !p.repairPaused(c, live), func() words { return p.pauseWords(live) }) ||
		!p.mayAssign(c, live) {
		return
	}
	w := want{cause: placement.CauseRepair}
	to, score, ok := p.target(c, w)
	if !p.gate(GateTarget, ok, func() words { return p.targetWords(c, w) }) {
		p.wakeBackoffs(c)
		return
	}
	p.decide(c, placement.Decision{
		Kind: placement.KindAssign, Cause: placement.CauseRepair, To: to, Source: p.source(c, ""),
		ScoreFrom: placement.NoScore, ScoreTo: score, Reason: p.repairReason(c, live),
	})
}

// examineRefill assigns what an evict-first move has dropped: to the recorded
// target while that may take the copy. Else the move has failed, and what is
// left is an ordinary repair on the best other node, the victim last (rule
// S8); the state machine calls the move off with it.
func (p *pass) examineRefill(c *placement.Chain) {
	m := unfilled(c)
	if m == nil || p.view.Missing(c) <= 0 || !p.mayAssign(c, p.view.LiveCount(c)) {
		return
	}
	p.r.unfill(c, m, -1) // the room kept for the refill is the refill's
	d, ok := p.refill(c, m)
	p.r.unfill(c, m, 1)
	if !p.gate(GateTarget, ok, func() words { return p.targetWords(c, want{cause: placement.CauseRepair}) }) {
		p.wakeBackoffs(c)
		return
	}
	p.decide(c, d)
}

func (p *pass) refill(c *placement.Chain, m *placement.Move) (placement.Decision, bool) {
	d := placement.Decision{
		Kind: placement.KindAssign, Cause: m.Cause, Move: m.ID, To: m.To, Source: p.source(c, ""), Mode: m.Mode,
		ScoreFrom: m.ScoreFrom, ScoreTo: m.ScoreTo,
		Reason: placement.Reason{Name: placement.ReasonRefill, Detail: fmt.Sprintf("node %s gave up its copy", m.From)},
	}
	recorded := p.admit(c, want{cause: m.Cause, from: m.From, booked: true}, m.To)
	if recorded.OK() {
		return d, true
	}
	if p.view.Freeze != nil || p.repairPaused(c, p.view.LiveCount(c)) {
		return d, false
	}
	d.Cause, d.Mode, d.ScoreFrom = placement.CauseRepair, placement.PlaceFirst, placement.NoScore
	d.Reason = placement.Reason{Name: placement.ReasonBelowDesired, Detail: fmt.Sprintf("node %s gave up its copy, but %s", m.From, recorded.Detail)}
	w := want{cause: placement.CauseRepair, avoid: m.From}
	ok := false
	if d.To, d.ScoreTo, ok = p.target(c, w); !ok {
		d.To, d.ScoreTo, ok = m.From, p.score(c, m.From), p.admit(c, w, m.From).OK()
	}
	return d, ok
}

// mayAssign tells whether c may be given one more pulling holder.
func (p *pass) mayAssign(c *placement.Chain, live int) bool {
	return p.gate(GateQuarantine, !p.quarantined(c), func() words { return p.quarantineWords(c) }) &&
		p.gate(GateSource, hasSource(c, live, p.view.PullingCount(c)), func() words { return sourceWords(c, live) }) &&
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

func (p *pass) repairReason(c *placement.Chain, live int) placement.Reason {
	if !c.EverReady {
		return placement.Reason{Name: placement.ReasonFirstCopy, Detail: "the chain has never had a ready copy"}
	}
	return placement.Reason{
		Name: placement.ReasonBelowDesired, Detail: fmt.Sprintf("%d of %d copies are missing, %d live", p.view.Missing(c), c.Spec.Desired, live),
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
