package fsm

import (
	"github.com/holdfast-cluster/holdfast/placement"
)

// setEligibility cordons, uncordons, drains, begins maintenance, or
// quarantines a node that flaps (rule S18).
func (t *tx) setEligibility(b *SetEligibility) Result {
	old := t.node(b.Node)
	if old == nil {
		return unknownNode(b.Node)
	}
	switch b.Eligibility {
	case placement.Eligible, placement.Cordoned, placement.Draining, placement.Maintenance, placement.NodeQuarantined:
	default:
		return refuse(placement.Invalid, "eligibility: %q cannot be set", b.Eligibility)
	}
	if b.Deadline < 0 || b.Deadline > placement.DurationMax {
		return refuse(placement.Invalid, "deadline: %v is not within 0s..%v", b.Deadline, placement.DurationMax)
	}
	n := *old
	n.Eligibility, n.DrainDeadline, n.Wished, n.Falls = b.Eligibility, placement.Never, t.now, nil
	if b.Eligibility == placement.NodeQuarantined {
		n.Falls = []placement.Time{t.now} // the calm that ends it begins now
	}
	if b.Eligibility == placement.Draining && b.Deadline > 0 {
		n.DrainDeadline = t.now.Add(b.Deadline)
	}
	if n.Eligibility != old.Eligibility || n.DrainDeadline != old.DrainDeadline {
		t.putNode(&n)
	}
	t.endDrain(b.Node)
	return Result{}
}

// endDrain turns a draining node that holds nothing any more into a drained one.
func (s *state) endDrain(id placement.NodeID) {
	n := s.node(id)
	if n == nil || n.Eligibility != placement.Draining {
		return
	}
	v := s.live()
	empty := true
	v.ChainsOn(id, func(*placement.Chain, *placement.Holder) bool {
		empty = false
		return false
	})
	if empty {
		d := *n
		d.Eligibility, d.DrainDeadline = placement.Drained, placement.Never
		s.putNode(&d)
	}
}

func (t *tx) setWeight(b *SetWeight) Result {
	old := t.node(b.Node)
	if old == nil {
		return unknownNode(b.Node)
	}
	if b.Weight < 0 || b.Weight > placement.ScoreOne {
		return refuse(placement.Invalid, "weight: %v is not within 0..1", b.Weight.Float())
	}
	if old.Weight != b.Weight {
		n := *old
		n.Weight, n.Wished = b.Weight, t.now
		t.putNode(&n)
	}
	return Result{}
}

// putSpec creates a chain or replaces its spec.
func (t *tx) putSpec(b *PutChain) Result {
	if _, err := placement.ParseChainID(string(b.Chain)); err != nil {
		return refuse(placement.Invalid, "%v", err)
	}
	spec, err := b.Spec.spec().Normalize()
	if err != nil {
		return refuse(placement.Invalid, "%v", err)
	}
	old := t.chain(b.Chain)
	switch {
	case old != nil && b.CreateOnly:
		return refuse(placement.Exists, "chain %s exists already", b.Chain)
	case old == nil && b.IfGeneration != 0:
		return refuse(placement.StaleGeneration, "chain %s does not exist, and so is not at generation %d", b.Chain, b.IfGeneration)
	case old != nil && b.IfGeneration != 0 && old.Generation != b.IfGeneration:
		return refuse(placement.StaleGeneration, "chain %s is at generation %d, not %d; read it again", b.Chain, old.Generation, b.IfGeneration)
	case old != nil && sameSpec(old.Spec, &spec):
		return Result{Chain: old}
	}
	c := &placement.Chain{ID: b.Chain}
	if old != nil {
		c = old.Clone()
	}
	c.Spec, c.Generation = t.specs.share(&spec), placement.Generation(t.draw())
	c.Quarantine, c.Failures, c.Backoffs = nil, 0, nil // the new wish gets a new chance
	t.putChain(c)
	return Result{Created: old == nil, Chain: c}
}

// putSpecs is putSpec for many; each item has a code of its own.
func (t *tx) putSpecs(b *PutChains) Result {
	if len(b.Items) > ItemsMax {
		return refuse(placement.Invalid, "chains: %d given, at most %d fit one entry", len(b.Items), ItemsMax)
	}
	r := Result{Items: make([]placement.Code, len(b.Items))}
	for i := range b.Items {
		r.Items[i] = t.putSpec(&b.Items[i]).Code
	}
	return r
}

// deleteChain deletes a chain, lets its copies be discarded at once, and
// leaves a tombstone for those that come back later (rule S1).
func (t *tx) deleteChain(b *DeleteChain) Result {
	c := t.chain(b.Chain)
	if c == nil {
		return unknownChain(b.Chain)
	}
	if b.IfGeneration != 0 && c.Generation != b.IfGeneration {
		return refuse(placement.StaleGeneration, "chain %s is at generation %d, not %d; read it again", b.Chain, c.Generation, b.IfGeneration)
	}
	if t.op.Reason == "" {
		return refuse(placement.Invalid, "reason: deleting a chain needs one")
	}
	t.removeChain(c)
	t.dequeue(func(f placement.Forced) bool { return f.Chain == c.ID })
	t.bury(Tombstone{c.ID, placement.Epoch(t.rev), t.now.Add(t.config.TombstoneTTL)})
	for _, h := range c.Holders {
		t.strays.Set(strayKey(h.Node, c.ID, h.Epoch), Stray{h.Node, c.ID, h.Epoch, h.SHA256, h.SizeBytes, CopyDiscard})
		t.endDrain(h.Node)
	}
	return Result{Chain: c}
}

// purgeOrphan lets a node delete a copy of a chain that the state does not know.
func (t *tx) purgeOrphan(b *PurgeOrphan) Result {
	if t.op.Reason == "" {
		return refuse(placement.Invalid, "reason: purging an orphan needs one")
	}
	purged := 0
	for _, s := range t.straysOf(b.Node, b.Chain) {
		if s.Verdict == CopyOrphan {
			s.Verdict = CopyDiscard
			t.strays.Set(strayKey(s.Node, s.Chain, s.Epoch), s)
			purged++
		}
	}
	if purged == 0 {
		return refuse(placement.UnknownChain, "node %s holds no orphan of chain %s", b.Node, b.Chain)
	}
	t.changed(Change{t.draw(), ChangeNode, string(b.Node), false})
	return Result{}
}
