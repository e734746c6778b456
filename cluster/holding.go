package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// dutiesGap is the least time between two readings of a node's duties: a busy
// log must not make every node walk its copies for each entry.
const dutiesGap = 20 * time.Millisecond

// holding is the node as its holder loop sees it: the duties come from the
// local view, the reports go to the leader.
type holding struct {
	node *Node
	last dutiesSeen
}

// dutiesSeen is what the last answer of Duties was made from.
type dutiesSeen struct {
	revision placement.Revision
	lineage  string
	own      placement.Incarnation
	chains   map[placement.ChainID]bool
}

// Duties implements holder.State. One goroutine calls it. It also returns when
// this process learns its incarnation, which may be later than the view does.
func (h *holding) Duties(ctx context.Context, after uint64) (holder.Duties, error) {
	for {
		view, own := h.node.View(), h.node.ownIncarnation()
		if view.Index > 0 && view.Index >= after && h.concerned(view, own, after) {
			h.last = h.seen(view, own)
			return h.duties(view, own), nil
		}
		select {
		case <-ctx.Done():
			return holder.Duties{}, ctx.Err()
		case <-h.node.enrolled.heard():
		case <-view.Next():
			if !sleep(ctx, dutiesGap) {
				return holder.Duties{}, ctx.Err()
			}
		}
	}
}

// concerned tells whether something in the view changed for this node since
// the last answer.
func (h *holding) concerned(view *fsm.View, own placement.Incarnation, after uint64) bool {
	if after == 0 || own != h.last.own || view.Lineage != h.last.lineage {
		return true
	}
	if view.Index == after || view.Revision == h.last.revision {
		return false
	}
	found := false
	known := view.ChangedSince(h.last.revision, func(c fsm.Change) bool {
		switch c.Kind {
		case fsm.ChangeChain:
			id := placement.ChainID(c.ID)
			found = view.Holds(h.node.cfg.Node, id) || h.last.chains[id]
		case fsm.ChangeNode, fsm.ChangeConfig:
			found = true // addresses and reachability of sources; drop grace
		default: // decisions and moves come with a change of their chain
		}
		return !found
	})
	return found || !known
}

func (h *holding) seen(view *fsm.View, own placement.Incarnation) dutiesSeen {
	s := dutiesSeen{view.Revision, view.Lineage, own, map[placement.ChainID]bool{}}
	view.ChainsOn(h.node.cfg.Node, func(c *placement.Chain, _ *placement.Holder) bool {
		s.chains[c.ID] = true
		return true
	})
	return s
}

// duties translates the view's words for this node into the holder's. Until
// the local view has the incarnation of this process, there are none.
func (h *holding) duties(view *fsm.View, own placement.Incarnation) holder.Duties {
	from := view.Duties(h.node.cfg.Node)
	d := holder.Duties{
		Index: view.Index, Revision: view.Revision, Lineage: view.Lineage,
		DropGrace: view.Config.DropGrace, MoveDeadline: view.Config.MoveDeadline,
	}
	if own == 0 || from.Incarnation != own {
		return d
	}
	d.Incarnation, d.WantInventory = own, from.WantInventory
	for _, a := range from.Assignments {
		duty := holder.Duty{Phase: a.Phase, Settled: a.Settled}
		duty.Chain, duty.Epoch, duty.Content, duty.First = a.Chain, a.Epoch, a.Content, a.First
		duty.Spec, duty.Deadline = a.Spec, a.Deadline
		for _, s := range a.Sources {
			duty.Sources = append(duty.Sources, holder.Source{Node: s.Node, Address: s.Address})
		}
		d.List = append(d.List, duty)
	}
	for _, x := range from.Discard {
		d.Discard = append(d.Discard, holder.Discard{Chain: x.Chain, Epoch: x.Epoch})
	}
	return d
}

// reportPartMax is how many items of a report go into one entry: with the
// longest ids they stay well below the size of one.
const reportPartMax = 1000

// Report implements holder.Reports. What does not fit one entry goes in parts,
// one after the other; a part that fails makes the holder say all of it again.
func (h *holding) Report(ctx context.Context, r holder.Report) (holder.Answer, error) {
	for after := placement.ChainID(""); ; {
		part, rest := r, []holder.ReportItem(nil)
		if at := cut(r.Items); at < len(r.Items) {
			part.Items, rest = r.Items[:at], r.Items[at:]
		}
		until := placement.ChainID("")
		if len(rest) > 0 {
			until = part.Items[len(part.Items)-1].Chain
		}
		if err := h.send(ctx, part, after, until); err != nil || len(rest) == 0 {
			return holder.Answer{}, err
		}
		after, r.Items = until, rest
	}
}

// cut returns how many of the items, which are sorted by chain, go into one
// part. The items of one chain stay together.
func cut(items []holder.ReportItem) int {
	at := min(len(items), reportPartMax)
	for at < len(items) && items[at].Chain == items[at-1].Chain {
		at++
	}
	return at
}

// send proposes one part of a report.
func (h *holding) send(ctx context.Context, r holder.Report, after, until placement.ChainID) error {
	report := fsm.Report{
		Node: h.node.cfg.Node, Lineage: r.Lineage, Incarnation: r.Incarnation,
		Revision: r.Revision, Inventory: r.Inventory, NoSpace: r.NoSpace,
	}
	if r.Inventory {
		report.After, report.Until = after, until
	}
	for _, item := range r.Items {
		report.Items = append(report.Items, fsm.ReportItem{
			Chain: item.Chain, Epoch: item.Epoch, Phase: fsm.ReportPhase(item.Phase), SHA256: item.SHA256,
			SizeBytes: item.SizeBytes, BytesDone: item.BytesDone, BytesTotal: item.BytesTotal, Error: item.Error,
		})
	}
	ctx, cancel := context.WithTimeout(ctx, leaderCallTimeout)
	defer cancel()
	result, err := askLeader(ctx, h.node, methodReport, report, h.node.acceptReport)
	if err == nil && !result.OK() {
		err = &RefusedError{result.Code, result.Detail}
	}
	return err
}

// acceptReport takes a node's report, on the leader.
func (n *Node) acceptReport(ctx context.Context, report fsm.Report) (fsm.Result, error) {
	results, err := n.Propose(ctx, fsm.Op{Actor: nodeActor(report.Node), Reason: "report", Body: &report})
	if err != nil {
		return fsm.Result{}, err
	}
	return results[0], nil
}

// nodeActor is how a node signs the operations that it asks for.
func nodeActor(id placement.NodeID) string { return "node:" + string(id) }

// checkDisk writes and reads the data directory within ctx, one at a time: a
// disk that hangs holds one goroutine, not one for each probe (rule S18).
func (n *Node) checkDisk(ctx context.Context) error {
	live := n.live.Load()
	if live == nil {
		return ErrStopped
	}
	return n.check(ctx, n.diskBusy, "the data directory", live.dir.Probe)
}

// checkWork is checkDisk of all that the copies here need. The contents may lie
// on a volume of their own, which must not hold up the data directory.
func (n *Node) checkWork(ctx context.Context) error {
	if err := n.checkDisk(ctx); err != nil || n.cfg.CheckContent == nil {
		return err
	}
	return n.check(ctx, n.contentBusy, "the content volume", n.cfg.CheckContent)
}

func (n *Node) check(ctx context.Context, busy chan struct{}, what string, do func() error) error {
	select {
	case busy <- struct{}{}:
	default:
		return fmt.Errorf("an earlier check of %s has not ended", what)
	}
	return await(ctx, busy, what, do)
}

// onDisk lets do use the data directory, for which the caller has put a token
// into diskBusy, and waits for it until ctx ends.
func (n *Node) onDisk(ctx context.Context, do func() error) error {
	return await(ctx, n.diskBusy, "the data directory", do)
}

// await waits for do until ctx ends, and takes the token out of busy after do.
func await(ctx context.Context, busy <-chan struct{}, what string, do func() error) error {
	result := make(chan error, 1)
	go func() { // ends with the write; stop waits for it as long as a disk may take
		err := do()
		<-busy
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s does not answer: %w", what, ctx.Err())
	}
}

// sleep waits for d, or until ctx ends: then it returns false.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
