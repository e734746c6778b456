package invariant

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// The rules of safety are worded here a second time, on purpose: a checker that
// asked package placement would share its mistakes.

// live tells whether h is a live copy of c (rule S2).
func live(v *fsm.View, c *placement.Chain, h *placement.Holder) bool {
	n := v.Node(h.Node)
	return h.Phase == placement.Ready && !h.Lost && !h.Unconfirmed && h.SHA256 == content(c) && n != nil && n.State == placement.NodeAlive
}

func content(c *placement.Chain) string {
	if c.Content == nil {
		return ""
	}
	return c.Content.SHA256
}

// count returns how many holders of c are live, how many are pulling, and how
// many are there to stay: pulling or ready, not lost.
func count(v *fsm.View, c *placement.Chain) (alive, pulling, listed int) {
	for i := range c.Holders {
		h := &c.Holders[i]
		if live(v, c, h) {
			alive++
		}
		if h.Phase == placement.Pulling && !h.Lost {
			pulling++
		}
		if h.Phase != placement.Dropping && !h.Lost {
			listed++
		}
	}
	return alive, pulling, listed
}

// mustStay is how many live copies a voluntary drop must leave (min-ready).
func mustStay(cfg placement.Config, c *placement.Chain, mode placement.SwapMode) int {
	want := c.Spec.MinReady
	switch {
	case want > 0:
	case mode == placement.EvictFirst:
		want = max(1, c.Spec.Desired-1)
	default:
		want = c.Spec.Desired
	}
	if c.Content == nil {
		return want
	}
	disks := c.Spec.Desired/2 + 1
	if cfg.WriteCopies > 0 {
		disks = min(cfg.WriteCopies, c.Spec.Desired)
	}
	return max(want, disks)
}

// chain checks what must hold of a chain after each change of it.
func (s *step) chain(id placement.ChainID) error {
	b, a := s.before.Chain(id), s.after.Chain(id)
	if a == nil {
		return nil
	}
	if err := s.oneRebalance(a); err != nil {
		return err
	}
	maps.DeleteFunc(s.k.exits[id], func(n placement.NodeID, _ map[placement.NodeID]placement.Time) bool {
		return a.Holder(n) == nil && (a.Rebalance() == nil || a.Rebalance().To != n) // a copy of later comes from elsewhere
	})
	for i := range a.Holders {
		h := &a.Holders[i]
		var old *placement.Holder
		if b != nil {
			old = b.Holder(h.Node)
		}
		if err := s.holder(b, a, old, h); err != nil {
			return err
		}
	}
	for i := 0; b != nil && i < len(b.Holders); i++ {
		if old := &b.Holders[i]; a.Holder(old.Node) == nil && old.Phase != placement.Pulling {
			if err := s.gone(a, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// holder checks what an operation did to one holder; old is nil for a new one.
func (s *step) holder(b, a *placement.Chain, old, h *placement.Holder) error {
	if old == nil || old.Epoch != h.Epoch {
		if h.Epoch <= s.epochs {
			return fmt.Errorf("fenced: chain %s on %s got epoch %d, which is not new", a.ID, h.Node, h.Epoch)
		}
		s.k.epochs = max(s.k.epochs, h.Epoch)
	}
	if h.Phase == placement.Ready && !h.Unconfirmed && (old == nil || old.Phase != placement.Ready || old.Unconfirmed) && !s.witnessed(a, old) {
		return fmt.Errorf("fenced: the copy of chain %s on %s, epoch %d, counts as there without a word of its node's present process: %+v", a.ID, h.Node, h.Epoch, s.op.Body)
	}
	if old == nil {
		return nil
	}
	if h.Lost && !old.Lost {
		if err := s.lost(a, old); err != nil {
			return err
		}
	}
	if old.Phase != placement.Dropping && h.Phase == placement.Dropping {
		return s.dropped(b, a, h)
	}
	return nil
}

// witnessed tells whether the operation is the word of the holder's own node,
// under its present incarnation and that epoch, that it has the current content.
func (s *step) witnessed(a *placement.Chain, h *placement.Holder) bool {
	if h == nil {
		return false
	}
	n := s.before.Node(h.Node)
	switch body := s.op.Body.(type) {
	case *fsm.Report:
		return n != nil && body.Node == h.Node && body.Lineage == s.before.Lineage && body.Incarnation == n.Incarnation &&
			slices.ContainsFunc(body.Items, func(x fsm.ReportItem) bool {
				return x.Chain == a.ID && x.Epoch == h.Epoch && x.Phase == fsm.ReportReady && x.SHA256 == content(a)
			})
	case *fsm.CommitContent:
		return n != nil && body.SHA256 == content(a) && slices.Contains(body.Holders, fsm.StoredCopy{Node: h.Node, Incarnation: n.Incarnation, Epoch: h.Epoch})
	}
	return false
}

// unconfirmed checks that a new process makes all copies of its node
// unconfirmed (rule S2).
func (s *step) unconfirmed() error {
	body, ok := s.op.Body.(*fsm.Announce)
	if !ok || !s.result.OK() || s.result.Replayed {
		return nil
	}
	b, a := s.before.Node(body.Node), s.after.Node(body.Node)
	if b != nil && b.Process == a.Process && b.Instance == a.Instance {
		return nil
	}
	var err error
	s.after.ChainsOn(a.ID, func(c *placement.Chain, h *placement.Holder) bool {
		if !h.Unconfirmed {
			err = fmt.Errorf("fenced: the copy of chain %s on %s counts on although the process there is a new one", c.ID, a.ID)
		}
		return err == nil
	})
	return err
}

// lost checks that a copy is given up only after the chain's repair delay.
func (s *step) lost(a *placement.Chain, h *placement.Holder) error {
	n, delay := s.after.Node(h.Node), s.after.Config.RepairDelay
	if a.Spec.RepairDelay != nil {
		delay = *a.Spec.RepairDelay
	}
	since := h.Since // unconfirmed since then
	switch {
	case n == nil:
		return fmt.Errorf("repair-delay: the copy of chain %s on %s, which is no member, is marked lost", a.ID, h.Node)
	case n.State == placement.NodeLeft:
		return nil
	case n.State != placement.NodeAlive:
		since = n.Unreachable
	case !h.Unconfirmed:
		return fmt.Errorf("repair-delay: the confirmed copy of chain %s on %s, which is alive, is marked lost", a.ID, h.Node)
	}
	if out := s.after.Now.Sub(since); out < delay {
		return fmt.Errorf("repair-delay: the copy of chain %s on %s is marked lost after %v, the delay is %v", a.ID, h.Node, out, delay)
	}
	return nil
}

// gone checks that a copy leaves the list only by its node's own word, when the
// node is removed, or, if it is lost, when enough others live (rule S1).
func (s *step) gone(a *placement.Chain, h *placement.Holder) error {
	n := s.before.Node(h.Node)
	switch body := s.op.Body.(type) {
	case *fsm.Report:
		if n != nil && body.Node == h.Node && body.Lineage == s.before.Lineage && body.Incarnation == n.Incarnation {
			return nil
		}
	case *fsm.RemoveNode:
		if body.Node == h.Node {
			return nil
		}
	case *fsm.Decide:
		if alive, _, _ := count(s.after, a); h.Lost && alive >= a.Spec.Desired {
			return nil
		}
	}
	return fmt.Errorf("acked-is-kept: the copy of chain %s on %s left the list by %T: %s", a.ID, h.Node, s.op.Body, describe(s.before, s.before.Chain(a.ID)))
}

// dropped checks never-last and min-ready for a copy that was told to go, and
// that nothing goes while a restore waits for inventories (rule S5).
func (s *step) dropped(b, a *placement.Chain, h *placement.Holder) error {
	mode := placement.PlaceFirst
	if m := a.Rebalance(); m != nil {
		mode = m.Mode
	}
	alive, _, _ := count(s.after, a)
	if alive < 1 {
		return fmt.Errorf("never-last: chain %s lost its last live copy, on %s: %s", a.ID, h.Node, describe(s.before, b))
	}
	if want := mustStay(s.after.Config, a, mode); alive < want {
		return fmt.Errorf("min-ready: chain %s has %d live copies, %d must stay, after the drop on %s", a.ID, alive, want, h.Node)
	}
	if s.before.RestoreGuard != nil && s.after.RestoreGuard != nil {
		return fmt.Errorf("restore-guard: chain %s drops on %s while a restore waits for %v", a.ID, h.Node, s.after.RestoreGuard)
	}
	return nil
}
