package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// letter is a report on its way to the log. It outlives its sender.
type letter struct {
	at   placement.Time
	from *node
	op   fsm.Op
}

// listing is the complete list of what the node holds.
func (n *node) listing() []holder.ReportItem {
	var items []holder.ReportItem
	for _, c := range n.disk {
		items = append(items, holder.ReportItem{Chain: c.Chain, Epoch: c.Epoch, Phase: holder.ReportReady, SHA256: c.SHA256, SizeBytes: c.SizeBytes})
	}
	return items
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
	switch {
	case w.chance("report lost", 10):
		if inventory {
			n.inventoried, n.lastFull = 0, 0
		}
		return
	case w.chance("report late", 10):
		at = at.Add(time.Duration(1+w.rng.IntN(60)) * time.Second)
	case w.chance("report repeated", 10):
		again = at.Add(time.Duration(1+w.rng.IntN(90)) * time.Second)
	}
	for _, part := range n.parts(body) {
		l := letter{at, n, fsm.Op{Actor: string(n.id), Reason: "report", Body: part}}
		w.mail = append(w.mail, l)
		if l.at = again; again != placement.Never {
			w.mail = append(w.mail, l)
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

// deliver hands over the letters whose time has come, in the order of posting
// or, when the network is not kind, in another. One whose sender is cut off
// waits.
func (w *World) deliver() error {
	if len(w.mail) == 0 {
		return nil
	}
	var rest, due []letter
	for _, l := range w.mail {
		if l.at > w.now || l.from.cut || l.from.holds {
			rest = append(rest, l)
			continue
		}
		due = append(due, l)
	}
	w.mail = rest
	if len(due) > 1 && w.chance("reports reordered", 4) {
		w.rng.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	}
	for _, l := range due {
		if err := w.apply(l.op); err != nil {
			return err
		}
	}
	return nil
}
