package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// node is a fake machine: a disk, a network cable, and the real Diff.
type node struct {
	w           *World
	id          placement.NodeID
	zone        string
	wears       outfit
	instance    int
	process     int
	up          bool
	cut         bool // its cable is out
	down        placement.Time
	disk        []holder.Copy
	pulls       []pull
	view        *fsm.View // what it knows of the state; may lag
	inventoried placement.Incarnation
	lastFull    placement.Time
	mail        []letter
}

// pull is a transfer under way.
type pull struct {
	a     holder.Assignment
	done  placement.Time
	tries int
}

// letter is a report on its way to the log.
type letter struct {
	at placement.Time
	op fsm.Op
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
	n.up, n.process, n.pulls, n.mail = true, n.process+1, nil, nil
	n.view = n.w.machine.View()
	if n.process > 1 && !n.w.calm && n.w.chance("node changed", 3) {
		n.refit()
	}
	n.w.note("start %s in %q: %+v", n.id, n.zone, n.wears)
}

// crash stops the process; the disk stays.
func (n *node) crash() {
	n.w.note("crash %s", n.id)
	n.up, n.down, n.pulls, n.mail = false, n.w.now, nil, nil
}

// wipe makes the disk a new one.
func (n *node) wipe() {
	n.w.note("wipe %s", n.id)
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

// work is what the node does in one tick.
func (n *node) work() error {
	if !n.up {
		return nil
	}
	w := n.w
	if n.reachable() {
		if err := n.announce(); err != nil {
			return err
		}
		if w.calm || w.rng.IntN(4) != 0 {
			n.view = w.machine.View()
		}
	}
	m := n.view.Node(n.id)
	if m == nil || m.Process != n.name() {
		return nil
	}
	d := duties(n.view, n.id)
	n.pull(d)
	plan := holder.Diff(d, n.disk, n.wall())
	for _, c := range plan.Drops {
		w.note("%s drops %s@%d %.6s", n.id, c.Chain, c.Epoch, c.SHA256)
		n.disk = slices.DeleteFunc(n.disk, func(x holder.Copy) bool { return x == c })
	}
	n.begin(plan.Pulls)
	wants := n.view.Duties(n.id).WantInventory
	switch {
	case n.inventoried != m.Incarnation, wants, w.now.Sub(n.lastFull) >= time.Minute:
		n.inventoried, n.lastFull = m.Incarnation, w.now
		n.send(d, true, n.listing())
	case len(plan.Reports) > 0 && w.rng.IntN(2) == 0:
		n.send(d, false, plan.Reports)
	}
	return n.deliver()
}

func (n *node) instanceName() string { return fmt.Sprintf("%s-%d", n.id, n.instance) }

func (n *node) name() string { return fmt.Sprintf("%s-%d-%d", n.id, n.instance, n.process) }

// wall is the node's clock for the grace of drops.
func (n *node) wall() time.Time { return n.w.start.Add(n.w.elapsed()) }

// announce commits the process's start until the state knows it.
func (n *node) announce() error {
	if m := n.w.machine.View().Node(n.id); m != nil && m.Process == n.name() {
		return nil
	}
	return n.w.apply(fsm.Op{Actor: string(n.id), Reason: "start", Body: n.announcement()})
}

// duties translates what the state asks, as a node's holder loop is told it.
func duties(v *fsm.View, id placement.NodeID) holder.Duties {
	from := v.Duties(id)
	d := holder.Duties{Index: from.Index, Revision: from.Revision, Lineage: from.Lineage, Incarnation: from.Incarnation}
	for _, a := range from.Assignments {
		x := holder.Duty{Phase: a.Phase, Settled: a.Settled, Assignment: holder.Assignment{
			Chain: a.Chain, Epoch: a.Epoch, Content: a.Content, First: a.First, Spec: a.Spec, Deadline: a.Deadline,
		}}
		for _, s := range a.Sources {
			x.Sources = append(x.Sources, holder.Source{Node: s.Node, Address: s.Address})
		}
		if a.Phase == placement.Dropping {
			x.DropAfter = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(a.DropAfter))
		}
		d.List = append(d.List, x)
	}
	for _, x := range from.Discard {
		d.Discard = append(d.Discard, holder.Discard{Chain: x.Chain, Epoch: x.Epoch})
	}
	return d
}

// listing is the complete list of what the node holds.
func (n *node) listing() []holder.ReportItem {
	var items []holder.ReportItem
	for _, c := range n.disk {
		items = append(items, holder.ReportItem{Chain: c.Chain, Epoch: c.Epoch, Phase: holder.ReportReady, SHA256: c.SHA256, SizeBytes: c.SizeBytes})
	}
	return items
}

// begin starts the transfers that Diff asks for.
func (n *node) begin(list []holder.Assignment) {
	for _, a := range list {
		if !slices.ContainsFunc(n.pulls, func(p pull) bool { return p.a.Chain == a.Chain }) {
			n.pulls = append(n.pulls, pull{a: a, done: n.w.now.Add(n.w.pullTime())})
		}
	}
}

// pull goes on with the transfers under way: those no longer asked for end,
// those whose time has come succeed, or fail when no source has the bytes.
func (n *node) pull(d holder.Duties) {
	var rest []pull
	var failed []holder.ReportItem
	for _, p := range n.pulls {
		i := slices.IndexFunc(d.List, func(x holder.Duty) bool {
			return x.Chain == p.a.Chain && x.Epoch == p.a.Epoch && x.Phase == placement.Pulling
		})
		switch {
		case i < 0:
		case n.w.now < p.done:
			rest = append(rest, p)
		case n.transfer(d.List[i].Assignment):
		case p.tries >= 3:
			failed = append(failed, holder.ReportItem{Chain: p.a.Chain, Epoch: p.a.Epoch, Phase: holder.ReportFailed, Error: "no source answered"})
		default:
			p.tries, p.done = p.tries+1, n.w.now.Add(time.Second)
			rest = append(rest, p)
		}
	}
	n.pulls = rest
	if len(failed) > 0 {
		n.send(d, false, failed)
	}
}

// transfer makes the copy, if it can be made.
func (n *node) transfer(a holder.Assignment) bool {
	w := n.w
	sha := a.SHA256()
	ok := n.has(a.Chain, sha) || a.First && a.Content == nil
	for _, s := range a.Sources {
		from := w.node(s.Node)
		ok = ok || n.reachable() && from.reachable() && from.has(a.Chain, sha)
	}
	if !ok || !w.calm && w.chance("pull failed", 20) {
		return false
	}
	size := a.Spec.SizeBytes
	if a.Content != nil {
		size = a.Content.Size
	}
	n.store(holder.Copy{Chain: a.Chain, Epoch: a.Epoch, SHA256: sha, SizeBytes: size})
	return true
}

// store puts a copy on the disk, once.
func (n *node) store(c holder.Copy) {
	n.disk = slices.DeleteFunc(n.disk, func(x holder.Copy) bool {
		return x.Chain == c.Chain && x.Epoch == c.Epoch && x.SHA256 == c.SHA256
	})
	n.disk = append(n.disk, c)
}

// send posts a report. The post loses, delays and repeats. A long inventory
// goes in parts.
func (n *node) send(d holder.Duties, inventory bool, items []holder.ReportItem) {
	w := n.w
	body := fsm.Report{Node: n.id, Lineage: d.Lineage, Incarnation: d.Incarnation, Inventory: inventory, Revision: d.Revision}
	for _, x := range items {
		body.Items = append(body.Items, fsm.ReportItem{
			Chain: x.Chain, Epoch: x.Epoch, Phase: fsm.ReportPhase(x.Phase), SHA256: x.SHA256, SizeBytes: x.SizeBytes,
			BytesDone: x.BytesDone, BytesTotal: x.BytesTotal, Error: x.Error,
		})
	}
	at, again := w.now, placement.Never
	if !w.calm {
		switch {
		case w.chance("report lost", 15):
			if inventory {
				n.inventoried, n.lastFull = 0, 0
			}
			return
		case w.chance("report late", 10):
			at = at.Add(time.Duration(w.rng.IntN(20)) * time.Second)
		case w.chance("report repeated", 10):
			again = at.Add(time.Duration(w.rng.IntN(30)) * time.Second)
		}
	}
	for _, part := range n.parts(body) {
		l := letter{at, fsm.Op{Actor: string(n.id), Reason: "report", Body: part}}
		n.mail = append(n.mail, l)
		if l.at = again; again != placement.Never {
			n.mail = append(n.mail, l)
		}
	}
}

// parts cuts an inventory in two, by chance, between two chains.
func (n *node) parts(body fsm.Report) []*fsm.Report {
	if !body.Inventory || len(body.Items) < 2 || !n.w.chance("inventory in parts", 3) {
		return []*fsm.Report{&body}
	}
	slices.SortStableFunc(body.Items, func(a, b fsm.ReportItem) int { return cmp.Compare(a.Chain, b.Chain) })
	first, last := body, body
	first.Until = body.Items[n.w.rng.IntN(len(body.Items))].Chain
	last.After = first.Until
	i := slices.IndexFunc(body.Items, func(x fsm.ReportItem) bool { return x.Chain > first.Until })
	if i < 0 {
		i = len(body.Items)
	}
	first.Items, last.Items = body.Items[:i], body.Items[i:]
	return []*fsm.Report{&first, &last}
}

// deliver hands over the letters whose time has come, in the order of posting.
func (n *node) deliver() error {
	if n.cut {
		return nil
	}
	var rest []letter
	for _, l := range n.mail {
		if l.at > n.w.now {
			rest = append(rest, l)
			continue
		}
		if err := n.w.apply(l.op); err != nil {
			return err
		}
	}
	n.mail = rest
	return nil
}

func (w *World) node(id placement.NodeID) *node {
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.id == id })
	return w.nodes[i]
}

func (w *World) pullTime() time.Duration {
	if w.calm {
		return time.Second
	}
	return time.Duration(w.rng.IntN(1+w.rng.IntN(30000))) * time.Millisecond
}
