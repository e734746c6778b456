package invariant

import (
	"bytes"
	"fmt"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Checker checks the invariants of one history.
type Checker struct {
	shadow *fsm.Machine
	index  uint64
	epochs placement.Epoch // the highest epoch that has been given out
	stamps map[placement.ChainID]placement.Time
	exits  map[placement.ChainID]exits
	wished map[placement.NodeID]placement.Time // when an operator last changed the node
	opened map[placement.MoveID]placement.Decision
	first  map[string]answered
	bound  map[placement.ChainID]placement.Time // when a constraint last moved the chain

	// Decisions counts the accepted decisions by cause and kind.
	Decisions map[string]int
}

// exits says of the copies of a chain, by the node that they are on, when balance
// took them off other nodes.
type exits map[placement.NodeID]map[placement.NodeID]placement.Time

// answered is the first answer to a request, and until when it is remembered.
type answered struct {
	fsm.Result
	until placement.Time
}

// New returns a checker that expects the history from its first entry.
func New() *Checker {
	return &Checker{
		shadow: fsm.New(), stamps: map[placement.ChainID]placement.Time{},
		exits: map[placement.ChainID]exits{}, wished: map[placement.NodeID]placement.Time{},
		opened: map[placement.MoveID]placement.Decision{}, first: map[string]answered{},
		bound: map[placement.ChainID]placement.Time{}, Decisions: map[string]int{},
	}
}

// View returns the shadow's state.
func (k *Checker) View() *fsm.View { return k.shadow.View() }

// Entry feeds one committed log entry. Entries that were fed before are skipped.
func (k *Checker) Entry(index, term uint64, data []byte) error {
	if index <= k.index {
		return nil
	}
	k.index = index
	batch, err := fsm.DecodeBatch(data)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	ops := batch.Ops
	batch.Ops = nil // first what time alone does, so that no operation is blamed for it
	if v := k.shadow.View(); batch.Now > v.Now || v.Index == 0 {
		if err := k.one(term, batch); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	for i := range ops {
		batch.Ops = ops[i : i+1]
		if err := k.one(term, batch); err != nil {
			return fmt.Errorf("entry %d, operation %d: %w", index, i, err)
		}
	}
	return nil
}

// Restored tells the checker that the state was replaced by that of a snapshot
// rewritten for a restore (rule S5): moves, remembered answers and where balance
// moved copies from are gone, and every cooldown begins anew.
func (k *Checker) Restored(snapshot []byte) error {
	if err := k.shadow.Restore(bytes.NewReader(snapshot)); err != nil {
		return err
	}
	v := k.shadow.View()
	k.opened, k.first = map[placement.MoveID]placement.Decision{}, map[string]answered{}
	k.stamps, k.exits = map[placement.ChainID]placement.Time{}, map[placement.ChainID]exits{}
	k.bound = map[placement.ChainID]placement.Time{} // the snapshot knows of earlier moves only
	v.Chains.Ascend("", func(id placement.ChainID, _ *placement.Chain) bool {
		k.stamps[id] = v.Now
		return true
	})
	return nil
}

// one applies a batch of at most one operation to the shadow and checks it.
func (k *Checker) one(term uint64, batch fsm.Batch) error {
	before := k.shadow.View()
	data, err := fsm.EncodeBatch(batch)
	if err != nil {
		return err
	}
	results, err := k.shadow.Apply(before.Index+1, term, data)
	if err != nil {
		return err
	}
	after := k.shadow.View()
	if after.Revision < before.Revision || after.Now < before.Now {
		return fmt.Errorf("same-state: revision or cluster time went back: %d→%d, %d→%d", before.Revision, after.Revision, before.Now, after.Now)
	}
	if len(results) == 0 {
		return nil
	}
	s := step{k: k, before: before, after: after, term: term, batch: &batch, op: batch.Ops[0], result: results[0], epochs: k.epochs}
	return s.check()
}

// step is one operation with the states around it.
type step struct {
	k             *Checker
	before, after *fsm.View
	term          uint64
	batch         *fsm.Batch
	op            fsm.Op
	result        fsm.Result
	epochs        placement.Epoch // the highest given out before
}

func (s *step) check() error {
	for _, check := range []func() error{s.answers, s.stale, s.unconfirmed} {
		if err := check(); err != nil {
			return err
		}
	}
	s.wishes()
	var failed error
	s.after.ChangedSince(s.before.Revision, func(c fsm.Change) bool {
		switch {
		case c.Kind == fsm.ChangeDecision:
			failed = s.decision(s.after.Decision(c.Revision))
		case c.Kind == fsm.ChangeChain && c.Deleted:
			delete(s.k.stamps, placement.ChainID(c.ID)) // one that is made anew has not been moved
			delete(s.k.exits, placement.ChainID(c.ID))
			delete(s.k.bound, placement.ChainID(c.ID))
		case c.Kind == fsm.ChangeChain && !c.Deleted:
			failed = s.chain(placement.ChainID(c.ID))
		}
		return failed == nil
	})
	return failed
}

// wishes notes the nodes that the operation is an operator's word on.
func (s *step) wishes() {
	var id placement.NodeID
	switch b := s.op.Body.(type) {
	case *fsm.SetWeight:
		id = b.Node
	case *fsm.SetEligibility:
		id = b.Node
	}
	if b, a := s.before.Node(id), s.after.Node(id); a != nil && b != nil && a.Revision != b.Revision {
		s.k.wished[id] = s.after.Now
	}
}

// answers checks fenced and exactly-once.
func (s *step) answers() error {
	if s.result.Code == placement.StaleEpoch && s.after.Revision != s.before.Revision {
		return fmt.Errorf("fenced: a refused report changed the state: %+v", s.op.Body)
	}
	key := s.op.Request.Key
	if key == "" || s.result.Code == placement.IdempotencyMismatch || s.result.Code == placement.Overloaded {
		return nil
	}
	first, known := s.k.first[key]
	switch {
	case !s.result.Replayed && known && s.after.Now < first.until:
		return fmt.Errorf("exactly-once: request %s is applied again %v before its answer may be forgotten", key, first.until.Sub(s.after.Now))
	case !s.result.Replayed:
		s.k.first[key] = answered{s.result, s.after.Now.Add(s.before.Config.RequestTTL)}
	case first.Code != s.result.Code || first.Revision != s.result.Revision:
		return fmt.Errorf("exactly-once: request %s was answered %q at %d first and %q at %d now", key, first.Code, first.Revision, s.result.Code, s.result.Revision)
	case s.after.Revision != s.before.Revision:
		return fmt.Errorf("exactly-once: the repeated request %s changed the state", key)
	}
	return nil
}

// stale checks that what was made on another view is refused (rule S11): of a
// term other than the entry's, or of a configuration that is no longer in force.
// That a decision names its chain's present revision is checked with it.
func (s *step) stale() error {
	_, decides := s.op.Body.(*fsm.Decide)
	accepted := !s.result.Replayed && (s.result.OK() || s.after.Revision != s.before.Revision)
	switch b := s.batch; {
	case accepted && b.Term != 0 && b.Term != s.term:
		return fmt.Errorf("stale-batch: an operation made in term %d was accepted in an entry of term %d", b.Term, s.term)
	case accepted && s.result.OK() && decides && b.ConfigAt != 0 && b.ConfigAt != s.before.ConfigGeneration:
		return fmt.Errorf("stale-batch: a decision made at configuration %d was accepted at %d", b.ConfigAt, s.before.ConfigGeneration)
	}
	return nil
}

// oneRebalance checks that a chain's moves and holders fit together.
func (s *step) oneRebalance(a *placement.Chain) error {
	victims := 0
	for i := range a.Moves {
		m := &a.Moves[i]
		if m.From != "" {
			victims++
		}
		if h := a.Holder(m.To); m.ToEpoch != 0 && m.Phase == placement.MovePulling && (h == nil || h.Epoch != m.ToEpoch || h.Phase != placement.Pulling) {
			return fmt.Errorf("one-rebalance: move %d of chain %s pulls to %s, which is not pulling: %s", m.ID, a.ID, m.To, describe(s.after, a))
		}
	}
	if victims > 1 {
		return fmt.Errorf("one-rebalance: chain %s has %d open moves with a victim", a.ID, victims)
	}
	for i := range a.Holders {
		h := &a.Holders[i]
		if h.Phase != placement.Pulling {
			continue
		}
		n := 0
		for j := range a.Moves {
			if a.Moves[j].To == h.Node && a.Moves[j].ToEpoch == h.Epoch {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("one-rebalance: chain %s pulls to %s under %d moves: %s", a.ID, h.Node, n, describe(s.after, a))
		}
	}
	return nil
}

func describe(v *fsm.View, c *placement.Chain) string {
	text := fmt.Sprintf("desired %d, live %d, missing %d, ever-ready %t;", c.Spec.Desired, v.LiveCount(c), v.Missing(c), c.EverReady)
	for _, h := range c.Holders {
		n := v.Node(h.Node)
		state := placement.NodeState("unknown")
		if n != nil {
			state = n.State
		}
		text += fmt.Sprintf(" %s(%s) %s@%d lost=%t unconfirmed=%t;", h.Node, state, h.Phase, h.Epoch, h.Lost, h.Unconfirmed)
	}
	for _, m := range c.Moves {
		text += fmt.Sprintf(" move %d %s %s %s %s→%s@%d;", m.ID, m.Cause, m.Mode, m.Phase, m.From, m.To, m.ToEpoch)
	}
	return text
}
