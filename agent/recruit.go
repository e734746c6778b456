package agent

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// recruit begins uploads until as many nodes as must have the bytes have
// accepted them. A node that is slow to answer holds up nobody: the next is
// asked beside it, and the first to accept are taken. A new chain gets its
// holders meanwhile.
func (p *put) recruit() error {
	for {
		view := p.node.View()
		c := view.Chain(p.write.Chain)
		if c == nil {
			return api.NewProblem(api.UnknownChain, "chain %s does not exist", p.write.Chain)
		}
		p.settle(view, c)
		want := view.Config.WriteCopiesFor(c.Spec)
		accepted, waiting, slow := p.progress()
		if len(accepted) >= want {
			p.uploads = accepted[:want]
			p.discard(slices.Concat(accepted[want:], waiting)...)
			return nil
		}
		more := p.candidates(view, c)
		for _, u := range more[:min(len(more), max(want-len(p.uploads)+slow, 0))] {
			p.begin(u)
		}
		switch {
		case p.ctx.Err() != nil:
			return p.ctx.Err()
		case errors.Is(p.refusal, holder.ErrNoSpace) && len(p.uploads) < want, !time.Now().Before(p.deadline):
			return p.tooFew(want)
		}
		p.pause(view)
	}
}

// settle forgets the uploads that were refused, and ends those whose node
// would not be asked any more.
func (p *put) settle(view *fsm.View, c *placement.Chain) {
	var kept []*upload
	for _, u := range p.uploads {
		h := c.Holder(u.node)
		switch {
		case u.failed():
			p.refusal = fmt.Errorf("node %s: %w", u.node, u.err)
			p.notUntil[u.node] = time.Now().Add(holderRetry)
		case h == nil || h.Epoch != u.epoch || !reachable(view, h):
			p.refusal = fmt.Errorf("node %s is no longer a reachable holder", u.node)
			p.discard(u)
		default:
			kept = append(kept, u)
		}
	}
	p.uploads = kept
}

// progress divides the uploads into those that were accepted and those that
// wait, and counts the waiting ones that are slow.
func (p *put) progress() (accepted, waiting []*upload, slow int) {
	for _, u := range p.uploads {
		switch {
		case u.accepted():
			accepted = append(accepted, u)
		case time.Since(u.began) >= acceptPatience:
			slow++
			fallthrough
		default:
			waiting = append(waiting, u)
		}
	}
	return accepted, waiting, slow
}

// reachable tells whether a holder may be given content.
func reachable(view *fsm.View, h *placement.Holder) bool {
	n := view.Node(h.Node)
	return h.Phase != placement.Dropping && !h.Lost && n != nil && n.State == placement.NodeAlive
}

// candidates returns the holders that may be asked now: this node first, then
// live copies.
func (p *put) candidates(view *fsm.View, c *placement.Chain) []*upload {
	now := time.Now()
	rank := func(h *placement.Holder) int {
		switch {
		case h.Node == p.self:
			return 0
		case view.Live(c, h):
			return 1
		}
		return 2
	}
	var able []*placement.Holder
	for i := range c.Holders {
		h := &c.Holders[i]
		taken := slices.ContainsFunc(p.uploads, func(u *upload) bool { return u.node == h.Node })
		if reachable(view, h) && !taken && !now.Before(p.notUntil[h.Node]) {
			able = append(able, h)
		}
	}
	slices.SortStableFunc(able, func(a, b *placement.Holder) int { return cmp.Compare(rank(a), rank(b)) })
	var out []*upload
	for _, h := range able {
		out = append(out, &upload{
			node: h.Node, address: view.Node(h.Node).Addresses.Node, epoch: h.Epoch, began: now,
			chunks: make(chan []byte, chunksAhead), begun: make(chan struct{}), done: make(chan struct{}),
		})
	}
	return out
}

// pause waits for another state, for an answer, or until nodes may be asked
// again.
func (p *put) pause(view *fsm.View) {
	timer := time.NewTimer(min(holderRetry, max(time.Until(p.deadline), 0)))
	defer timer.Stop()
	select {
	case <-view.Next():
	case <-p.changed:
	case <-timer.C:
	case <-p.ctx.Done():
	}
}

// tooFew says why the content was not stored.
func (p *put) tooFew(want int) error {
	accepted, waiting, _ := p.progress()
	code, why := api.TooFewHolders, "the chain has no more holders that are reachable"
	switch {
	case errors.Is(p.refusal, holder.ErrNoSpace):
		code, why = api.NoSpace, p.refusal.Error()
	case len(waiting) > 0:
		why = fmt.Sprintf("node %s does not answer", waiting[0].node)
	case p.refusal != nil:
		why = p.refusal.Error()
	}
	return api.NewProblem(code, "%d of the %d disks that must store the content of chain %s would take it: %s; nothing was changed, try again",
		len(accepted), want, p.write.Chain, why)
}
