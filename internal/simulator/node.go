package simulator

import (
	"fmt"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// node is a simulated machine: a disk, a link, and some slots to pull with.
type node struct {
	id        placement.NodeID
	group     *NodeGroup
	zone      string
	up        bool
	life      int // how often it started
	state     placement.NodeState
	bandwidth float64 // bytes per second of one pull
	disk      map[placement.ChainID]placement.Epoch
	drops     map[placement.ChainID]placement.Epoch // drops that are under way
	running   int
	queued    []*pull
	reports   []fsm.ReportItem
	announced placement.Incarnation
}

// pull is a copy that is being made, or waits for a slot.
type pull struct {
	node    *node
	life    int // of the node
	chain   placement.ChainID
	epoch   placement.Epoch
	size    int64
	begun   placement.Time // Never = it waits
	took    time.Duration  // how long it takes in all
	ended   bool
	present bool // the bytes are on the disk already
}

// Pulls and drops of the nodes.
const (
	pullOverhead  = 50 * time.Millisecond // to find the source and begin
	pullRetry     = 5 * time.Second       // when no source answers
	inventoryPart = 2000                  // copies in one report
	deadAfter     = 2 * time.Second       // the probes that make a suspect node dead
	loseEvery     = 10 * time.Second
	waitEvery     = time.Minute // a node with copies that nobody has judged reports again
)

// boot starts the process on the disk that is there, and reports it.
func (w *world) boot(n *node) error {
	n.up, n.running, n.queued, n.reports = true, 0, nil, nil
	n.life++
	n.drops = map[placement.ChainID]placement.Epoch{}
	body := &fsm.Announce{
		Node: n.id, Instance: string(n.id), Process: fmt.Sprintf("%s-%d", n.id, n.life), Role: placement.RoleServer, FeatureLevel: fsm.Level,
		Zone: n.zone, CapacityBytes: int64(n.group.CapacityBytes.Value),
	}
	labels, err := placement.LabelsOf(n.group.Labels)
	if err != nil {
		return err
	}
	body.SetLabels(labels)
	results, err := w.apply(fsm.Op{Actor: string(n.id), Reason: "start", Body: body})
	if err != nil {
		return err
	}
	n.announced = results[0].Incarnation
	return w.inventory(n)
}

// crash stops the process; the disk stays.
func (n *node) crash() {
	n.up, n.reports = false, nil
	n.life++
}

// inventory reports the complete list of what the disk holds, in parts.
func (w *world) inventory(n *node) error {
	ids := sortedKeys(n.disk)
	var after placement.ChainID
	for {
		part := ids[:min(len(ids), inventoryPart)]
		ids = ids[len(part):]
		r := w.report(n)
		r.Inventory, r.After = true, after
		for _, id := range part {
			r.Items = append(r.Items, fsm.ReportItem{Chain: id, Epoch: n.disk[id], Phase: fsm.ReportReady, SizeBytes: w.sizeOf(id)})
		}
		if len(ids) > 0 {
			after = part[len(part)-1]
			r.Until = after
		}
		results, err := w.apply(fsm.Op{Actor: string(n.id), Reason: "inventory", Body: r})
		if err != nil {
			return err
		}
		w.answered(n, results[0].Copies)
		if len(ids) == 0 {
			return nil
		}
	}
}

// answered acts on the verdicts about copies that the state does not list. An
// adopted one comes back as an assignment.
func (w *world) answered(n *node, copies []fsm.CopyAnswer) {
	waiting := false
	for _, c := range copies {
		switch c.Verdict {
		case fsm.CopyDiscard:
			w.dropLater(n, c.Chain, c.Epoch, w.now)
		case fsm.CopyWait:
			waiting = true
		default:
		}
	}
	if life := n.life; waiting {
		w.queue.add(w.now.Add(waitEvery), func() error {
			if n.life != life {
				return nil
			}
			return w.inventory(n)
		})
	}
}

func (w *world) report(n *node) *fsm.Report {
	v := w.machine.View()
	return &fsm.Report{Node: n.id, Lineage: v.Lineage, Incarnation: n.announced, Revision: v.Revision}
}

func (w *world) sizeOf(id placement.ChainID) int64 {
	if c := w.machine.View().Chain(id); c != nil {
		return c.SizeBytes()
	}
	return 0
}

// say puts a report into the mail; the leader sees it at its next look.
func (w *world) say(n *node, item fsm.ReportItem) {
	if len(n.reports) == 0 {
		w.mail = append(w.mail, n)
	}
	n.reports = append(n.reports, item)
	if !w.instant {
		w.wakeBy(w.now)
	}
}

// deliver commits the mail, or at least the time.
func (w *world) deliver() error {
	if len(w.mail) == 0 {
		_, err := w.commit(fsm.Batch{Now: w.now})
		return err
	}
	var ops []fsm.Op
	mail := w.mail
	w.mail = nil
	for _, n := range mail {
		items := n.reports
		n.reports = nil
		for len(items) > 0 && n.up {
			part := items[:min(len(items), inventoryPart)]
			items = items[len(part):]
			r := w.report(n)
			r.Items = part
			ops = append(ops, fsm.Op{Actor: string(n.id), Reason: "report", Body: r})
		}
	}
	_, err := w.apply(ops...)
	return err
}

// begin queues the pull of an assignment.
func (w *world) begin(n *node, c *placement.Chain, epoch placement.Epoch) *pull {
	_, present := n.disk[c.ID]
	p := &pull{node: n, life: n.life, chain: c.ID, epoch: epoch, size: c.SizeBytes(), present: present}
	if w.instant || present {
		w.pulled(p)
		return p
	}
	n.queued = append(n.queued, p)
	w.fillSlots(n)
	return p
}

// fillSlots lets waiting pulls begin.
func (w *world) fillSlots(n *node) {
	for n.running < w.scenario.Pulls && len(n.queued) > 0 {
		p := n.queued[0]
		n.queued = n.queued[1:]
		if p.ended {
			continue
		}
		n.running++
		jitter := 0.9 + 0.2*w.rng.Float64()
		p.begun = w.now
		p.took = pullOverhead + time.Duration(float64(p.size)/n.bandwidth*jitter*float64(time.Second))
		w.attend(p, w.now.Add(p.took))
	}
}

// attend comes back when the pull is over, or to report its progress before
// its deadline passes.
func (w *world) attend(p *pull, at placement.Time) {
	at = min(at, w.now.Add(w.machine.View().Config.MoveDeadline/4))
	w.queue.add(at, func() error {
		if p.ended || p.life != p.node.life {
			return nil
		}
		done := w.now.Sub(p.begun)
		if done < p.took {
			bytes := int64(float64(p.size) * float64(done) / float64(p.took))
			w.say(p.node, fsm.ReportItem{Chain: p.chain, Epoch: p.epoch, Phase: fsm.ReportPulling, BytesDone: bytes, BytesTotal: p.size})
			w.attend(p, p.begun.Add(p.took))
			return nil
		}
		if !w.hasSource(p) {
			w.attend(p, w.now.Add(pullRetry))
			return nil
		}
		w.pulled(p)
		return nil
	})
}

// hasSource tells whether the bytes can be had: a first copy is made from
// nothing, every other from a live one.
func (w *world) hasSource(p *pull) bool {
	v := w.machine.View()
	c := v.Chain(p.chain)
	if c == nil || !c.EverReady {
		return c != nil
	}
	for i := range c.Holders {
		if h := &c.Holders[i]; h.Node != p.node.id && v.Live(c, h) && w.byID[h.Node].up {
			return true
		}
	}
	return false
}

// pulled puts the copy on the disk and reports it.
func (w *world) pulled(p *pull) {
	p.node.disk[p.chain] = p.epoch
	w.say(p.node, fsm.ReportItem{Chain: p.chain, Epoch: p.epoch, Phase: fsm.ReportReady, SizeBytes: p.size})
	w.endPull(p)
}

// endPull gives the pull's slot to the next.
func (w *world) endPull(p *pull) {
	p.ended = true
	if p.begun != placement.Never && p.life == p.node.life {
		p.node.running--
		w.fillSlots(p.node)
	}
}

// dropLater deletes a copy at a time, and reports it.
func (w *world) dropLater(n *node, chain placement.ChainID, epoch placement.Epoch, at placement.Time) {
	if old, ok := n.drops[chain]; ok && old == epoch {
		return
	}
	n.drops[chain] = epoch
	life := n.life
	drop := func() error {
		if n.life != life {
			return nil
		}
		if n.drops[chain] == epoch {
			delete(n.drops, chain)
		}
		if held, ok := n.disk[chain]; ok && held <= epoch {
			delete(n.disk, chain)
		}
		w.say(n, fsm.ReportItem{Chain: chain, Epoch: epoch, Phase: fsm.ReportDropped})
		return nil
	}
	w.queue.add(max(at, w.now), drop)
}
