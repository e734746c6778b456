package fsm

import (
	"fmt"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
)

// report takes what a node says of its copies. It is fenced by lineage and
// incarnation here and by the epoch item by item: what is older changes
// nothing (invariant fenced).
func (t *tx) report(b *Report) Result {
	old := t.node(b.Node)
	switch {
	case old == nil:
		return unknownNode(b.Node)
	case b.Lineage != t.lineage:
		return refuse(placement.StaleEpoch, "the report is of lineage %q, the cluster of %q", b.Lineage, t.lineage)
	case b.Incarnation != old.Incarnation:
		return refuse(placement.StaleEpoch, "the report is of incarnation %d, node %s is at %d", b.Incarnation, b.Node, old.Incarnation)
	}
	for i := range b.Items {
		if err := b.Items[i].check(); err != nil {
			return refuse(placement.Invalid, "reports[%d]: %v", i, err)
		}
		if b.Inventory && !b.covers(b.Items[i].Chain) {
			return refuse(placement.Invalid, "reports[%d]: chain %.40q is outside the part of the inventory after %.40q until %.40q", i, b.Items[i].Chain, b.After, b.Until)
		}
	}
	if old.NoSpace != b.NoSpace {
		n := *old
		n.NoSpace = b.NoSpace
		t.putNode(&n)
	}
	var r Result
	var held []ReportItem // of an inventory: an item that is not ready is no copy that is there
	for i := range b.Items {
		if item := &b.Items[i]; b.Inventory && item.Phase == ReportReady {
			held = append(held, *item)
		} else {
			t.reportItem(b, item)
		}
	}
	if b.Inventory {
		r.Copies = t.inventory(b, held)
	}
	t.endDrain(b.Node)
	return r
}

// reportItem applies what a node says of one copy that was assigned to it.
func (t *tx) reportItem(b *Report, item *ReportItem) {
	node := b.Node
	if item.Phase == ReportDropped {
		if _, was := t.strays.Delete(strayKey(node, item.Chain, item.Epoch)); was {
			t.changed(Change{t.draw(), ChangeNode, string(node), false})
		}
	}
	old := t.chain(item.Chain)
	if old == nil {
		return
	}
	h := old.Holder(node)
	if h == nil || h.Epoch != item.Epoch {
		return
	}
	c := old.Clone()
	h = c.Holder(node)
	switch {
	case item.Phase == ReportPulling && h.Phase == placement.Pulling:
		if t.progress(c, h, item) {
			t.setChain(c)
		}
		return
	case item.Phase == ReportReady && h.Phase == placement.Pulling && item.SHA256 == c.SHA256():
		t.copyReady(c, node, item.SizeBytes)
	case item.Phase == ReportFailed && h.Phase == placement.Pulling:
		t.pullFailed(c, node, item)
	case item.Phase == ReportDropped && h.Phase == placement.Dropping,
		item.Phase == ReportLost && h.Phase != placement.Pulling && c.Revision <= b.Revision:
		t.forgetHolder(c, node, placement.ReasonVictimGone)
	default:
		return
	}
	t.putChain(c)
}

// progress moves a move's deadline on (rule S8). It tells whether anything
// changed; no revision is drawn for it.
func (t *tx) progress(c *placement.Chain, h *placement.Holder, item *ReportItem) bool {
	m := moveTo(c, h.Node, h.Epoch)
	if m == nil || item.BytesDone <= m.BytesDone {
		return false
	}
	m.BytesDone, m.BytesTotal = item.BytesDone, max(item.BytesTotal, item.BytesDone)
	m.Deadline = t.now.Add(t.config.MoveDeadline)
	return true
}

// copyReady makes a pulling holder ready and goes on with its move.
func (t *tx) copyReady(c *placement.Chain, node placement.NodeID, size int64) {
	h := c.Holder(node)
	t.confirm(c, h, size)
	h.Phase, h.Since = placement.Ready, t.now
	c.Failures, c.Quarantine = 0, nil
	c.Backoffs = withoutBackoff(c.Backoffs, node)
	if m := moveTo(c, node, h.Epoch); m != nil {
		t.targetReady(c, m)
	}
}

// confirm makes h a confirmed copy of the current content.
func (t *tx) confirm(c *placement.Chain, h *placement.Holder, size int64) {
	h.Unconfirmed, h.Lost = false, false
	h.SHA256, h.SizeBytes = c.SHA256(), size
	if c.Content != nil {
		h.SizeBytes = c.Content.Size
	}
	c.EverReady = true
}

func withoutBackoff(list []placement.Backoff, node placement.NodeID) []placement.Backoff {
	var rest []placement.Backoff
	for _, b := range list {
		if b.Node != node {
			rest = append(rest, b)
		}
	}
	return rest
}

// pullFailed calls a failed target off, backs it off for this chain, and
// quarantines the chain when its targets fail again and again.
func (t *tx) pullFailed(c *placement.Chain, node placement.NodeID, item *ReportItem) {
	text := clip(item.Error)
	epoch := c.Holder(node).Epoch
	t.failedTarget(c, node, text)
	if m := moveTo(c, node, epoch); m != nil {
		t.callOff(c, m, placement.ReasonTargetFailed, text)
	} else {
		removeHolder(c, node)
	}
}

func (t *tx) failedTarget(c *placement.Chain, node placement.NodeID, text string) {
	failures := 1
	for _, b := range c.Backoffs {
		if b.Node == node {
			failures = b.Failures + 1
		}
	}
	c.Backoffs = append(withoutBackoff(c.Backoffs, node), placement.Backoff{
		Node: node, Failures: failures, Until: t.now.Add(t.config.BackoffFor(failures)),
	})
	if len(c.Backoffs) > backoffsMax {
		c.Backoffs = c.Backoffs[1:] // the longest ago
	}
	c.Failures++
	if over := int(c.Failures) - t.config.QuarantineAfter; over >= 0 {
		since := t.now
		if c.Quarantine != nil {
			since = c.Quarantine.Since
		}
		c.Quarantine = &placement.Quarantine{
			Since: since, Until: t.now.Add(t.config.BackoffFor(over + 1)), Failures: int(c.Failures), Error: text,
		}
	}
}

// backoffsMax bounds the failed targets that a chain remembers.
const backoffsMax = 64

// check tells what of a report's item cannot be.
func (r *ReportItem) check() error {
	if _, err := placement.ParseChainID(string(r.Chain)); err != nil {
		return err
	}
	switch r.Phase {
	case ReportPulling, ReportReady, ReportFailed, ReportDropped, ReportLost:
	default:
		return fmt.Errorf("phase: %.40q is none of pulling, ready, failed, dropped, lost", r.Phase)
	}
	if r.SHA256 != "" && !isSHA256(r.SHA256) {
		return fmt.Errorf("sha256: %.80q is not a lower-case hexadecimal SHA-256", r.SHA256)
	}
	if min(r.SizeBytes, r.BytesDone, r.BytesTotal) < 0 || max(r.SizeBytes, r.BytesDone, r.BytesTotal) > placement.SizeBytesMax {
		return fmt.Errorf("size_bytes, bytes_done and bytes_total must be within 0..%d", int64(placement.SizeBytesMax))
	}
	return nil
}

// isSHA256 tells whether s is a hash as it is written everywhere.
func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// commitContent makes stored bytes current, if enough disks have them (rule S3).
func (t *tx) commitContent(b *CommitContent) Result {
	old := t.chain(b.Chain)
	if old == nil {
		return unknownChain(b.Chain)
	}
	base := placement.Revision(0)
	if old.Content != nil {
		base = old.Content.Version
	}
	switch {
	case !isSHA256(b.SHA256):
		return refuse(placement.Invalid, "sha256: %.80q is not a lower-case hexadecimal SHA-256", b.SHA256)
	case b.Size < 0 || b.Size > t.config.ContentSizeMax:
		return refuse(placement.TooLarge, "size: %d bytes; content_size_max is %d", b.Size, t.config.ContentSizeMax)
	case b.Base != base:
		return refuse(placement.StaleContent, "the content of chain %s is at version %d, not %d; read it again", b.Chain, base, b.Base)
	}
	c := old.Clone()
	stored := t.storedBy(c, b.Holders)
	if want := t.config.WriteCopiesFor(c.Spec); len(stored) < want {
		return refuse(placement.TooFewHolders, "%d of the %d disks that have the bytes still hold chain %s; %d must", len(stored), len(b.Holders), b.Chain, want)
	}
	if old.SHA256() != b.SHA256 {
		c.Content = &placement.Content{Version: t.draw(), SHA256: b.SHA256, Size: b.Size}
		t.refresh(c, stored)
	}
	for _, node := range stored {
		if h := c.Holder(node); h.Phase == placement.Pulling {
			t.copyReady(c, node, b.Size)
		} else {
			t.confirm(c, h, b.Size)
		}
	}
	t.putChain(c)
	return Result{Chain: c}
}

// storedBy returns the nodes whose stored bytes count: holders in pulling or
// ready, not lost, under the incarnation and epoch that they named.
func (t *tx) storedBy(c *placement.Chain, copies []StoredCopy) []placement.NodeID {
	var nodes []placement.NodeID
	for _, s := range copies {
		h, n := c.Holder(s.Node), t.node(s.Node)
		if h == nil || n == nil || h.Phase == placement.Dropping || h.Lost || h.Epoch != s.Epoch || n.Incarnation != s.Incarnation {
			continue
		}
		if !contains(nodes, s.Node) {
			nodes = append(nodes, s.Node)
		}
	}
	return nodes
}

// refresh sends every other holder to pull the new content, outside the
// budgets; lost ones only when their mark ends (rule S3).
func (t *tx) refresh(c *placement.Chain, stored []placement.NodeID) {
	for i := range c.Holders {
		if h := &c.Holders[i]; h.Phase != placement.Dropping && !h.Lost && !contains(stored, h.Node) {
			t.pullAgain(c, h)
		}
	}
}

// pullAgain sends a holder whose copy is not the current content to pull it,
// under a new epoch.
func (t *tx) pullAgain(c *placement.Chain, h *placement.Holder) {
	epoch := placement.Epoch(t.draw())
	// The target of an open move, also of one that waited, goes on under it.
	if m := moveTo(c, h.Node, h.Epoch); m != nil && m.Phase != placement.MoveDropping {
		m.Phase, m.ToEpoch, m.BytesDone, m.BytesTotal = placement.MovePulling, epoch, 0, c.SizeBytes()
		m.Deadline = t.now.Add(t.config.MoveDeadline)
	} else {
		t.addMove(c, placement.Decision{To: h.Node, ScoreFrom: placement.NoScore, ScoreTo: placement.NoScore}, placement.Move{
			Cause: placement.CauseRepair, Mode: placement.PlaceFirst, ToEpoch: epoch, Unbudgeted: true,
		})
	}
	h.Phase, h.Epoch, h.Since, h.Lost, h.Unconfirmed = placement.Pulling, epoch, t.now, false, false
}

func contains(nodes []placement.NodeID, node placement.NodeID) bool {
	for _, n := range nodes {
		if n == node {
			return true
		}
	}
	return false
}
