package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// node is a fake machine: a disk, a network cable, and the real Diff.
type node struct {
	w        *World
	id       placement.NodeID
	zone     string
	wears    outfit
	instance int
	process  int
	up       bool
	cut      bool // its cable is out
	down     placement.Time
	skew     time.Duration // by how much its clock is wrong
	disk     []holder.Copy
	pulls    []pull
	view     *fsm.View // what it knows of the state; may lag
	orders   map[holder.Copy]time.Time

	inventoried placement.Incarnation
	lastFull    placement.Time
	seen        *fsm.View      // the view that asked for nothing
	idle        placement.Time // until when nothing happens by time alone

	slow  time.Duration // a story's pulls take so long; 0 = a second
	fails bool          // a story's pulls fail
	holds bool          // a story's reports get stuck
}

func newNode(w *World, i int) *node {
	n := &node{w: w, id: placement.NodeID(fmt.Sprintf("n%d", i+1)), wears: w.outfit()}
	if w.zones > 0 {
		n.zone = fmt.Sprintf("z%d", i%w.zones+1)
	}
	return n
}

// start boots the process on the disk that is there.
func (n *node) start() {
	n.up, n.process, n.pulls = true, n.process+1, nil
	n.view, n.seen, n.orders = n.w.machine.View(), nil, map[holder.Copy]time.Time{}
	if n.process > 1 && n.w.chance("node changed", 3) {
		n.refit()
	}
	if n.w.chance("node's clock wrong", 3) {
		n.skew = time.Duration(n.w.rng.IntN(48)-24) * time.Hour
	}
	n.w.note("start %s", n.id)
}

// crash stops the process; the disk stays, and what it sent is on its way.
func (n *node) crash() {
	n.w.note("crash %s", n.id)
	n.up, n.down, n.pulls = false, n.w.now, nil
}

// wipe makes the disk a new one.
func (n *node) wipe() {
	n.w.note("wipe %s", n.id)
	for _, c := range n.disk {
		if chain := n.w.machine.View().Chain(c.Chain); chain != nil && !n.w.elsewhere(chain, n) {
			n.w.spoiled[c.Chain] = true
		}
	}
	n.disk, n.instance = nil, n.instance+1
}

func (n *node) reachable() bool { return n.up && !n.cut }

// seenAs is what a leader's probes and gossip make of the node.
// A process with another data directory does not answer for the old one.
func (n *node) seenAs(m *placement.Node, now placement.Time) placement.NodeState {
	before := m.State
	switch {
	case before == placement.NodeLeft:
		return before
	case n.reachable() && m.Instance == n.instanceName():
		return placement.NodeAlive
	case before == placement.NodeAlive:
		return placement.NodeSuspect
	case now.Sub(n.down) >= 2*time.Second:
		return placement.NodeDead
	}
	return before
}

func (n *node) has(id placement.ChainID, sha string) bool {
	return slices.ContainsFunc(n.disk, func(c holder.Copy) bool { return c.Chain == id && c.SHA256 == sha })
}

// work is what the node does in one tick. A view that asked for nothing is not
// looked at again until time may change that.
func (n *node) work() error {
	if !n.up {
		return nil
	}
	w := n.w
	if n.reachable() {
		if err := n.announce(); err != nil {
			return err
		}
		if !w.chance("view stale", 4) {
			n.view = w.machine.View()
		}
	}
	m := n.view.Node(n.id)
	if m == nil || m.Process != n.name() {
		return nil
	}
	if n.seen != nil && n.seen.Revision == n.view.Revision && n.seen.Lineage == n.view.Lineage && w.now < n.idle {
		return nil
	}
	n.seen, n.idle = n.view, n.lastFull.Add(time.Minute)
	d := n.duties()
	n.pull(d)
	plan := holder.Diff(d, n.disk, n.wall())
	if err := n.drop(plan.Drops); err != nil {
		return err
	}
	n.begin(plan.Pulls)
	switch {
	case n.inventoried != m.Incarnation, d.WantInventory, w.now.Sub(n.lastFull) >= time.Minute:
		n.inventoried, n.lastFull = m.Incarnation, w.now
		n.send(d, true, n.listing())
	case len(plan.Reports) > 0 && !w.chance("node busy", 2):
		n.send(d, false, plan.Reports)
	}
	if len(plan.Reports)+len(plan.Drops)+len(n.pulls) > 0 || !plan.Next.IsZero() || d.WantInventory {
		n.seen = nil
	}
	return nil
}

// drop removes copies from the disk. That a copy is not the last one is checked
// here on the disks themselves, whatever the state says of them.
func (n *node) drop(drops []holder.Copy) error {
	w := n.w
	for _, c := range drops {
		w.note("%s removes its copy of %s of epoch %d", n.id, c.Chain, c.Epoch)
		n.disk = slices.DeleteFunc(n.disk, func(x holder.Copy) bool { return x == c })
		v := w.machine.View()
		chain := v.Chain(c.Chain)
		if chain == nil || !chain.EverReady || chain.SHA256() != c.SHA256 || w.excused(chain) {
			continue
		}
		if tomb, deleted := v.Tombstone(c.Chain); deleted && c.Epoch <= tomb.Epoch {
			continue // of an earlier chain of that name
		}
		if !slices.ContainsFunc(w.nodes, func(o *node) bool { return o.has(c.Chain, c.SHA256) }) {
			return fmt.Errorf("never-last: node %s was told to remove the last copy of chain %s that is on any disk", n.id, c.Chain)
		}
	}
	return nil
}

func (n *node) instanceName() string { return fmt.Sprintf("%s-%d", n.id, n.instance) }

func (n *node) name() string { return fmt.Sprintf("%s-%d-%d", n.id, n.instance, n.process) }

// wall is the node's clock, for the grace of drops.
func (n *node) wall() time.Time { return n.w.start.Add(n.w.Elapsed() + n.skew) }

// announce commits the process's start until the state knows it.
func (n *node) announce() error {
	if m := n.w.machine.View().Node(n.id); m != nil && m.Process == n.name() {
		return nil
	}
	return n.w.apply(fsm.Op{Actor: string(n.id), Reason: "start", Body: n.announcement()})
}

// duties translates what the state asks, as a node's holder loop is told it. The
// grace of a drop counts from when the node first saw the order.
func (n *node) duties() holder.Duties {
	from := n.view.Duties(n.id)
	d := holder.Duties{
		Index: from.Index, Revision: from.Revision, Lineage: from.Lineage, Incarnation: from.Incarnation,
		WantInventory: from.WantInventory, MoveDeadline: n.view.Config.MoveDeadline,
	}
	for _, a := range from.Assignments {
		x := holder.Duty{Phase: a.Phase, Settled: a.Settled, Assignment: holder.Assignment{
			Chain: a.Chain, Epoch: a.Epoch, Content: a.Content, First: a.First, Spec: a.Spec, Deadline: a.Deadline,
		}}
		for _, s := range a.Sources {
			x.Sources = append(x.Sources, holder.Source{Node: s.Node, Address: s.Address})
		}
		if a.Phase == placement.Dropping {
			order := holder.Copy{Chain: a.Chain, Epoch: a.Epoch}
			if _, seen := n.orders[order]; !seen {
				n.orders[order] = n.wall()
			}
			x.DropAfter = n.orders[order].Add(n.view.Config.DropGrace)
		}
		d.List = append(d.List, x)
	}
	for _, x := range from.Discard {
		d.Discard = append(d.Discard, holder.Discard{Chain: x.Chain, Epoch: x.Epoch})
	}
	return d
}

// store puts a copy on the disk, once.
func (n *node) store(c holder.Copy) {
	n.disk = slices.DeleteFunc(n.disk, func(x holder.Copy) bool {
		return x.Chain == c.Chain && x.Epoch == c.Epoch && x.SHA256 == c.SHA256
	})
	n.disk = append(n.disk, c)
}
