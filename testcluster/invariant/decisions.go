package invariant

import (
	"fmt"
	"maps"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// decision checks one new record of the history.
func (s *step) decision(r *placement.Record) error {
	if r == nil || r.Verdict != placement.Accepted {
		return nil
	}
	d := r.Decision
	s.k.Decisions[string(d.Cause)+" "+string(d.Kind)]++
	if _, decides := s.op.Body.(*fsm.Decide); decides && d.ChainRevision != s.before.Chain(d.Chain).Revision {
		return fmt.Errorf("stale-batch: a decision made at revision %d of chain %s was accepted at %d", d.ChainRevision, d.Chain, s.before.Chain(d.Chain).Revision)
	}
	for _, check := range []func(placement.Decision) error{s.budgets, s.mayBegin, s.target} {
		if err := check(d); err != nil {
			return err
		}
	}
	switch d.Kind {
	case placement.KindAssign:
		return s.assigned(d)
	case placement.KindOpenMove:
		return s.moveOpened(d)
	case placement.KindComplete:
		return s.completed(d)
	default: // what ends without having moved, and drops: see chain
		return nil
	}
}

// begins tells whether the decision gives a copy to a node or opens a move.
func begins(d placement.Decision) bool {
	return d.Kind == placement.KindAssign || d.Kind == placement.KindOpenMove
}

// mayBegin checks that what holds moves back does: restore guard, freeze and
// repair pause (rules S5 and S12).
func (s *step) mayBegin(d placement.Decision) error {
	if !begins(d) {
		return nil
	}
	b := s.before.Chain(d.Chain)
	alive, _, _ := count(s.before, b)
	refills := b.MoveByID(d.Move) != nil
	if asked, ok := s.op.Body.(*fsm.Decide); ok {
		if m := b.MoveByID(asked.Decision.Move); m != nil && m.Mode == placement.EvictFirst && m.ToEpoch == 0 {
			refills = true // perhaps as a repair, because the recorded target will not do
		}
	}
	switch {
	case s.before.RestoreGuard != nil:
		return fmt.Errorf("restore-guard: %s of chain %s is accepted while a restore waits for %v", d.Kind, d.Chain, s.before.RestoreGuard)
	case s.before.Freeze != nil && d.Cause != placement.CauseForced && !refills:
		return fmt.Errorf("freeze: %s %s of chain %s is accepted while frozen", d.Cause, d.Kind, d.Chain)
	case s.before.RepairPause != nil && d.Cause == placement.CauseRepair && b.MoveByID(d.Move) == nil && b.EverReady && alive != 1:
		return fmt.Errorf("repair-pause: chain %s, with %d live copies, is repaired during a repair pause", d.Chain, alive)
	}
	return nil
}

// target checks that a copy is given only to a node that may take it, and that
// its bytes fit there (rule S10).
func (s *step) target(d placement.Decision) error {
	if !begins(d) {
		return nil
	}
	n := s.before.Node(d.To)
	if n == nil || n.State != placement.NodeAlive || n.Eligibility != placement.Eligible || !n.Inventoried || n.Weight == 0 || n.NoSpace {
		return fmt.Errorf("eligible: chain %s is given to node %s, which is no target: %+v", d.Chain, d.To, n)
	}
	if s.before.Chain(d.Chain).Holder(d.To) != nil {
		return fmt.Errorf("eligible: chain %s is given to node %s, which is on its list", d.Chain, d.To)
	}
	if u := s.after.Usage(d.To); n.CapacityBytes > 0 && u.ReservedBytes > 0 && u.UsedBytes+u.ReservedBytes > n.CapacityBytes {
		return fmt.Errorf("capacity: node %s is given more than it can take: %d and %d reserved of %d", d.To, u.UsedBytes, u.ReservedBytes, n.CapacityBytes)
	}
	return nil
}

// assigned checks that no copy is made from nothing and none too many.
func (s *step) assigned(d placement.Decision) error {
	b := s.before.Chain(d.Chain)
	if d.Source == "" && b.EverReady {
		return fmt.Errorf("acked-is-kept: chain %s, which has had a copy, is made from nothing on %s", d.Chain, d.To)
	}
	_, _, listed := count(s.before, b)
	if m := b.Rebalance(); m != nil && m.Phase != placement.MoveDropping {
		if h := b.Holder(m.From); h != nil && h.Phase != placement.Dropping && !h.Lost {
			listed-- // a victim does not count (rule S8)
		}
	}
	if listed >= b.Spec.Desired {
		return fmt.Errorf("one-rebalance: chain %s is given one more copy although none is missing: %s", d.Chain, describe(s.before, b))
	}
	return s.notTooMany(d)
}

// notTooMany checks the bound of rule S7.
func (s *step) notTooMany(d placement.Decision) error {
	a := s.after.Chain(d.Chain)
	if alive, pulling, _ := count(s.after, a); alive+pulling > a.Spec.Desired+1 {
		return fmt.Errorf("one-rebalance: chain %s has %d live and %d pulling copies after an assignment, desired is %d", d.Chain, alive, pulling, a.Spec.Desired)
	}
	return nil
}

// moveOpened checks cooled, no-return and one-rebalance.
func (s *step) moveOpened(d placement.Decision) error {
	b, now := s.before.Chain(d.Chain), s.after.Now
	if m := b.Rebalance(); m != nil {
		return fmt.Errorf("one-rebalance: chain %s had move %d open when another was opened", d.Chain, m.ID)
	}
	cooldown := s.before.Config.CooldownFor(b.Spec)
	if last, ok := s.k.stamps[d.Chain]; ok && d.Cause == placement.CauseBalance && now.Sub(last) < cooldown {
		return fmt.Errorf("cooled: chain %s is moved by balance %v after its last rebalance, the cooldown is %v", d.Chain, now.Sub(last), cooldown)
	}
	if last, ok := s.k.bound[d.Chain]; ok && d.Cause == placement.CauseConstraint && now.Sub(last) < s.before.Config.ConstraintCooldown {
		return fmt.Errorf("cooled: chain %s is moved by constraint %v after the last time, the cooldown is %v", d.Chain, now.Sub(last), s.before.Config.ConstraintCooldown)
	}
	if at, ok := s.k.exits[d.Chain][d.From][d.To]; ok && d.Cause == placement.CauseBalance && now < at.Add(10*cooldown) && s.k.wished[d.To] <= at {
		return fmt.Errorf("no-return: balance moves a copy of chain %s back to node %s %v after it took it off there, the cooldown is %v", d.Chain, d.To, now.Sub(at), cooldown)
	}
	s.stamp(d)
	for _, m := range s.after.Chain(d.Chain).Moves {
		if m.From == d.From {
			s.k.opened[m.ID] = d
		}
	}
	if d.Mode == placement.PlaceFirst {
		return s.notTooMany(d)
	}
	return nil
}

// stamp remembers a move with a victim: since when the chain cools, and where
// balance may not bring the copy back to. That ends when something else moves
// the chain, or when balance moves it once more after ten cooldowns.
func (s *step) stamp(d placement.Decision) {
	now := s.after.Now
	s.k.stamps[d.Chain] = now
	if d.Cause == placement.CauseConstraint {
		s.k.bound[d.Chain] = now
	}
	if d.Cause != placement.CauseBalance {
		delete(s.k.exits, d.Chain)
		return
	}
	all := s.k.exits[d.Chain]
	if all == nil {
		all = exits{}
		s.k.exits[d.Chain] = all
	}
	cooldown := s.before.Config.CooldownFor(s.before.Chain(d.Chain).Spec)
	for _, list := range all {
		maps.DeleteFunc(list, func(_ placement.NodeID, at placement.Time) bool { return now >= at.Add(10*cooldown) })
	}
	if all[d.To] == nil {
		all[d.To] = map[placement.NodeID]placement.Time{}
	}
	maps.Copy(all[d.To], all[d.From])
	all[d.To][d.From] = now
}

// completed checks lands-where-said, and remembers the eviction.
func (s *step) completed(d placement.Decision) error {
	if d.From == "" {
		return nil
	}
	if d.Mode == placement.PlaceFirst {
		s.stamp(d) // its victim becomes dropping now
	}
	said, ok := s.k.opened[d.Move]
	if !ok {
		return fmt.Errorf("lands-where-said: move %d of chain %s is complete and was never opened", d.Move, d.Chain)
	}
	delete(s.k.opened, d.Move)
	h := s.after.Chain(d.Chain).Holder(d.To)
	if d.To != said.To || h == nil || h.Phase != placement.Ready {
		return fmt.Errorf("lands-where-said: move %d of chain %s was to go to %s and is complete on %s", d.Move, d.Chain, said.To, d.To)
	}
	return nil
}

// budgets checks that what was opened fits the budgets in force.
func (s *step) budgets(d placement.Decision) error {
	if !begins(d) {
		return nil
	}
	cfg, open := s.before.Config, s.after.OpenMoves
	opened := open.Total > s.before.OpenMoves.Total
	u := s.after.Usage(d.To)
	switch {
	case !opened:
		return nil
	case open.Total > cfg.MovesMax:
		return fmt.Errorf("budgets: %d moves are open, moves_max is %d", open.Total, cfg.MovesMax)
	case d.Cause == placement.CauseBalance && open.Balance > cfg.BalanceMovesMax:
		return fmt.Errorf("budgets: %d balance moves are open, balance_moves_max is %d", open.Balance, cfg.BalanceMovesMax)
	case d.Cause == placement.CauseDrain && open.Drain > cfg.DrainMovesMax:
		return fmt.Errorf("budgets: %d drain moves are open, drain_moves_max is %d", open.Drain, cfg.DrainMovesMax)
	case d.From == "" && u.RepairsIn > cfg.RepairMovesInMax:
		return fmt.Errorf("budgets: node %s has %d repairs in, repair_moves_in_max is %d", d.To, u.RepairsIn, cfg.RepairMovesInMax)
	case d.From != "" && u.MovesIn > cfg.NodeMovesInMax:
		return fmt.Errorf("budgets: node %s has %d moves in, node_moves_in_max is %d", d.To, u.MovesIn, cfg.NodeMovesInMax)
	case d.From != "" && s.after.Usage(d.From).MovesOut > cfg.NodeMovesOutMax:
		return fmt.Errorf("budgets: node %s has %d moves out, node_moves_out_max is %d", d.From, s.after.Usage(d.From).MovesOut, cfg.NodeMovesOutMax)
	}
	return nil
}

// Accounting compares the sums that the state keeps with those that its
// chains really add up to.
func Accounting(v *fsm.View) error {
	want := map[placement.NodeID]placement.Usage{}
	var open placement.OpenMoves
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		for i := range c.Holders {
			h := &c.Holders[i]
			u := want[h.Node]
			switch h.Phase {
			case placement.Pulling:
				u.Pulling, u.Weight = u.Pulling+1, u.Weight+c.Spec.Weight
				u.ReservedBytes += max(c.SizeBytes(), h.SizeBytes)
			case placement.Ready:
				u.Ready, u.Weight, u.UsedBytes = u.Ready+1, u.Weight+c.Spec.Weight, u.UsedBytes+h.SizeBytes
			case placement.Dropping:
				u.Dropping, u.UsedBytes = u.Dropping+1, u.UsedBytes+h.SizeBytes
			}
			if h.Unconfirmed {
				u.Unconfirmed++
			}
			if h.Lost {
				u.Lost++
			}
			want[h.Node] = u
		}
		for _, m := range c.Moves {
			if !fsm.Booked(&m) {
				continue
			}
			open.Total++
			if m.Cause == placement.CauseBalance {
				open.Balance++
			}
			if m.Cause == placement.CauseDrain {
				open.Drain++
			}
			to, from := want[m.To], want[m.From]
			if m.From == "" {
				to.RepairsIn++
			} else {
				to.MovesIn++
				from.MovesOut++
				want[m.From] = from
			}
			want[m.To] = to
		}
		return true
	})
	if open != v.OpenMoves {
		return fmt.Errorf("accounting: the state counts %+v, its chains have %+v", v.OpenMoves, open)
	}
	for node, u := range want {
		if v.Usage(node) != u {
			return fmt.Errorf("accounting: the state counts %+v on %s, its chains add up to %+v", v.Usage(node), node, u)
		}
	}
	if v.Usages.Len() > len(want) {
		return fmt.Errorf("accounting: the state counts %d nodes, its chains use %d", v.Usages.Len(), len(want))
	}
	return nil
}
