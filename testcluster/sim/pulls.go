package sim

import (
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// pull is a transfer under way.
type pull struct {
	a       holder.Assignment
	began   placement.Time
	done    placement.Time
	told    placement.Time // when it last reported progress
	stalled bool           // it does not report progress
	tries   int
}

// begin starts the transfers that Diff asks for.
func (n *node) begin(list []holder.Assignment) {
	w := n.w
	for _, a := range list {
		if slices.ContainsFunc(n.pulls, func(p pull) bool { return p.a.Chain == a.Chain }) {
			continue
		}
		p := pull{a: a, began: w.now, told: w.now}
		p.done = w.now.Add(n.pullTime())
		p.stalled = w.chance("pull stalled", 20)
		n.pulls = append(n.pulls, p)
	}
}

// pullTime is how long a transfer takes: seconds, or longer than any cooldown
// and deadline.
func (n *node) pullTime() time.Duration {
	w := n.w
	switch {
	case w.Quiet && n.slow > 0:
		return n.slow
	case w.calm || w.Quiet:
		return time.Second
	case w.chance("pull slow", 12):
		return time.Duration(1+w.rng.IntN(15)) * time.Minute
	}
	return time.Duration(w.rng.IntN(1+w.rng.IntN(30000))) * time.Millisecond
}

// pull goes on with the transfers under way: those no longer asked for end,
// those whose time has come succeed, or fail when no source has the bytes.
func (n *node) pull(d holder.Duties) {
	var rest []pull
	var said []holder.ReportItem
	for _, p := range n.pulls {
		i := slices.IndexFunc(d.List, func(x holder.Duty) bool {
			return x.Chain == p.a.Chain && x.Epoch == p.a.Epoch && x.Phase == placement.Pulling
		})
		switch {
		case i < 0:
		case n.w.now < p.done:
			if every := d.MoveDeadline / 10; !p.stalled && n.w.now.Sub(p.told) >= every {
				p.told = n.w.now
				said = append(said, holder.ReportItem{
					Chain: p.a.Chain, Epoch: p.a.Epoch, Phase: holder.ReportPulling,
					BytesDone: int64(n.w.now - p.began), BytesTotal: int64(p.done - p.began),
				})
			}
			rest = append(rest, p)
		case n.transfer(d.List[i].Assignment):
		case p.tries >= 3:
			said = append(said, holder.ReportItem{Chain: p.a.Chain, Epoch: p.a.Epoch, Phase: holder.ReportFailed, Error: "no source answered"})
		default:
			p.tries, p.done = p.tries+1, n.w.now.Add(time.Second)
			rest = append(rest, p)
		}
	}
	n.pulls = rest
	if len(said) > 0 {
		n.send(d, false, said)
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
	if !ok || n.fails || w.chance("pull failed", 10) {
		return false
	}
	size := a.Spec.SizeBytes
	if a.Content != nil {
		size = a.Content.Size
	}
	n.store(holder.Copy{Chain: a.Chain, Epoch: a.Epoch, SHA256: sha, SizeBytes: size})
	w.note("%s has a copy of %s of epoch %d", n.id, a.Chain, a.Epoch)
	return true
}
