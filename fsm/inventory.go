package fsm

import (
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// inventory takes the complete list of what a node holds, or a part of it: it confirms what the
// state lists, removes what is absent, and answers for the rest (rule S1).
func (t *tx) inventory(b *Report, held []ReportItem) []CopyAnswer {
	byChain := make(map[placement.ChainID][]*ReportItem, len(held))
	for i := range held {
		item := &held[i]
		byChain[item.Chain] = append(byChain[item.Chain], item)
	}
	v := t.live()
	var listed []*placement.Chain
	v.ChainsOn(b.Node, func(c *placement.Chain, _ *placement.Holder) bool {
		if b.covers(c.ID) {
			listed = append(listed, c)
		}
		return true
	})
	for _, c := range listed {
		t.confirmListed(b, c, byChain[c.ID])
	}
	if b.Until == "" {
		t.markInventoried(b.Node)
	}
	return t.answerStrays(b, held)
}

// confirmListed brings the holder of c on node in line with the copies that
// the node really has.
func (t *tx) confirmListed(b *Report, old *placement.Chain, held []*ReportItem) {
	node := b.Node
	h := old.Holder(node)
	var same *ReportItem // the copy of the holder's epoch, the current content preferred
	for _, item := range held {
		if item.Epoch == h.Epoch && (same == nil || item.SHA256 == old.SHA256()) {
			same = item
		}
	}
	present := same != nil && same.SHA256 == old.SHA256()
	c := old.Clone()
	h = c.Holder(node)
	switch {
	case h.Phase == placement.Pulling && present:
		t.copyReady(c, node, same.SizeBytes)
	case h.Phase == placement.Pulling, h.Phase == placement.Dropping && same != nil:
		if !h.Unconfirmed && !h.Lost {
			return
		}
		h.Unconfirmed, h.Lost = false, false
	case h.Phase == placement.Ready && present:
		if !h.Unconfirmed && !h.Lost && h.SizeBytes == same.SizeBytes {
			return
		}
		t.confirm(c, h, same.SizeBytes)
	case h.Phase == placement.Ready && same != nil && old.Revision <= b.Revision:
		t.pullAgain(c, h) // an older version of the content
	case old.Revision > b.Revision:
		return // the listing is older than the chain: the next one tells
	default:
		t.forgetHolder(c, node, placement.ReasonVictimGone)
	}
	t.putChain(c)
}

func (t *tx) markInventoried(id placement.NodeID) {
	if old := t.node(id); !old.Inventoried {
		n := *old
		n.Inventoried = true
		t.putNode(&n)
	}
	t.dropFromGuard(id)
}

// dropFromGuard lets a restore no longer wait for a node (rule S5).
func (t *tx) dropFromGuard(id placement.NodeID) {
	if t.guard == nil || !contains(t.guard, id) {
		return
	}
	t.guard = slices.DeleteFunc(slices.Clone(t.guard), func(n placement.NodeID) bool { return n == id })
	if len(t.guard) == 0 {
		t.guard = nil
	}
	t.touchConfig()
}

// answerStrays keeps the copies that the state does not list, each with its
// verdict, in place of what the node reported before.
func (t *tx) answerStrays(b *Report, held []ReportItem) []CopyAnswer {
	before := t.straysIn(b)
	purged := make(map[string]bool, len(before)) // those that an operator gave up stay so
	for _, s := range before {
		key := strayKey(s.Node, s.Chain, s.Epoch)
		purged[key] = s.Verdict == CopyDiscard
		t.strays.Delete(key)
	}
	var answers []CopyAnswer
	for i := range held {
		item := &held[i]
		c := t.chain(item.Chain)
		if c != nil && c.Holder(b.Node) != nil {
			continue // an older version beside the listed copy, or work in progress
		}
		verdict := t.judge(c, b.Node, item)
		answers = append(answers, CopyAnswer{item.Chain, item.Epoch, verdict})
		if verdict == CopyAdopt {
			t.adopt(c, b.Node)
			continue
		}
		s := Stray{b.Node, item.Chain, item.Epoch, item.SHA256, item.SizeBytes, verdict}
		key := strayKey(s.Node, s.Chain, s.Epoch)
		if verdict == CopyOrphan && purged[key] {
			s.Verdict = CopyDiscard
		}
		t.strays.Set(key, s)
	}
	if !slices.Equal(before, t.straysIn(b)) {
		t.changed(Change{t.draw(), ChangeNode, string(b.Node), false})
	}
	return answers
}

// judge answers for a copy on node that the state does not list (rule S1). A
// node that would have to give it up again keeps it unlisted until it is
// superfluous, unless it is all there is: adopted and called off in turn, it
// would never come to rest.
func (t *tx) judge(c *placement.Chain, node placement.NodeID, item *ReportItem) CopyVerdict {
	tomb, deleted := t.tombstones.Get(item.Chain)
	switch {
	case t.guard != nil && (c != nil || deleted):
		return CopyWait // nothing is discarded under a restore guard (rule S5)
	case deleted && item.Epoch <= tomb.Epoch:
		return CopyDiscard
	case c == nil:
		return CopyOrphan
	}
	v := t.live()
	switch live := v.LiveCount(c); {
	case live >= c.Spec.Desired:
		return CopyDiscard
	case item.SHA256 == c.SHA256() && (live == 0 && c.EverReady || mayStay(&v, c, node)):
		return CopyAdopt
	default:
		return CopyWait
	}
}

// mayStay tells whether nothing would take a copy of c off node again.
func mayStay(v *placement.View, c *placement.Chain, node placement.NodeID) bool {
	_, ok := v.EligibleHolder(c, node)
	return ok && v.Node(node).Eligibility != placement.Draining && v.Node(node).Eligibility != placement.Maintenance
}

// adopt lists a copy that is there already. It gets an epoch of its own, so
// that a drop of the old one cannot touch it; the node finds the bytes in
// place and reports ready at once.
func (t *tx) adopt(old *placement.Chain, node placement.NodeID) {
	c := old.Clone()
	c.Holders = append(c.Holders, placement.Holder{Node: node, Phase: placement.Ready, Since: t.now})
	t.pullAgain(c, &c.Holders[len(c.Holders)-1])
	t.putChain(c)
}

// straysIn returns the unlisted copies that a part of an inventory speaks of.
func (t *tx) straysIn(b *Report) []Stray {
	return slices.DeleteFunc(t.straysOf(b.Node, ""), func(s Stray) bool { return !b.covers(s.Chain) })
}

// straysOf returns the unlisted copies on node, of one chain or of all ("").
func (t *tx) straysOf(node placement.NodeID, chain placement.ChainID) []Stray {
	var list []Stray
	t.strays.Ascend(strayPrefix(node, chain), func(_ string, s Stray) bool {
		if s.Node != node || chain != "" && s.Chain != chain {
			return false
		}
		list = append(list, s)
		return true
	})
	return list
}

func (t *tx) dropStrays(node placement.NodeID) {
	for _, s := range t.straysOf(node, "") {
		t.strays.Delete(strayKey(s.Node, s.Chain, s.Epoch))
	}
}
