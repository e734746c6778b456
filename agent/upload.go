package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/server"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/holder/filestore"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Sizes and times of an upload.
const (
	chunkBytes      = 256 << 10
	chunksAhead     = 4                     // how far a disk may lag behind the fastest
	holderRetry     = 50 * time.Millisecond // before a node that refused is asked again
	stallPatience   = 30 * time.Second      // for a disk to take a chunk, or to sync all of them
	abandonPatience = 5 * time.Second
)

// put is one PUT under way. Its fields belong to the goroutine of Put.
type put struct {
	*content
	ctx      context.Context // of the uploads
	cancel   context.CancelFunc
	write    server.ContentWrite
	base     placement.Revision
	deadline time.Time // for finding enough holders
	running  sync.WaitGroup
	uploads  []*upload
	notUntil map[placement.NodeID]time.Time // nodes that refused
	refusal  error                          // the last
}

// upload sends the bytes to one disk.
type upload struct {
	node    placement.NodeID
	address string
	epoch   placement.Epoch
	chunks  chan []byte
	begun   chan struct{} // closed at the first read: the node has accepted
	done    chan struct{} // closed when stored and err are set
	stored  filestore.Stored
	err     error
}

func newPut(ctx context.Context, c *content, w server.ContentWrite, base placement.Revision) *put {
	p := &put{content: c, write: w, base: base, deadline: time.Now().Add(w.Timeout), notUntil: map[placement.NodeID]time.Time{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// end stops what runs, and waits for it.
func (p *put) end() {
	p.cancel()
	p.running.Wait()
}

// recruit begins uploads until as many nodes as must have the bytes have
// accepted them. A new chain gets its holders meanwhile.
func (p *put) recruit() error {
	for {
		view := p.node.View()
		c := view.Chain(p.write.Chain)
		if c == nil {
			return api.NewProblem(api.UnknownChain, "chain %s does not exist", p.write.Chain)
		}
		want := view.Config.WriteCopiesFor(&c.Spec)
		more := p.candidates(view, c)
		more = more[:min(len(more), want-len(p.uploads))]
		for _, h := range more {
			p.begin(h)
		}
		if err := p.accepted(); err != nil {
			return err
		}
		switch {
		case len(p.uploads) == want:
			return nil
		case errors.Is(p.refusal, holder.ErrNoSpace), !time.Now().Before(p.deadline):
			return p.tooFew(want)
		}
		p.pause(view)
	}
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
		n := view.Node(h.Node)
		taken := slices.ContainsFunc(p.uploads, func(u *upload) bool { return u.node == h.Node })
		if h.Phase != placement.Dropping && !h.Lost && n != nil && n.State == placement.NodeAlive && !taken && !now.Before(p.notUntil[h.Node]) {
			able = append(able, h)
		}
	}
	slices.SortStableFunc(able, func(a, b *placement.Holder) int { return cmp.Compare(rank(a), rank(b)) })
	var out []*upload
	for _, h := range able {
		out = append(out, &upload{
			node: h.Node, address: view.Node(h.Node).Addresses.Node, epoch: h.Epoch,
			chunks: make(chan []byte, chunksAhead), begun: make(chan struct{}), done: make(chan struct{}),
		})
	}
	return out
}

// begin starts an upload. It reads nothing before its node has accepted it.
func (p *put) begin(u *upload) {
	p.uploads = append(p.uploads, u)
	what := filestore.Upload{Chain: p.write.Chain, Epoch: u.epoch, Base: p.base, Size: p.write.Size}
	body := &chunkReader{ctx: p.ctx, upload: u}
	p.running.Go(func() {
		defer close(u.done)
		if u.node != p.self {
			u.stored, u.err = p.remote.Store(p.ctx, u.address, what, body)
			return
		}
		fs, err := p.store.get()
		if err == nil {
			u.stored, err = fs.Receive(p.ctx, what, body)
		}
		u.err = err
	})
}

// accepted waits until each upload has been accepted or refused, and forgets
// the refused.
func (p *put) accepted() error {
	timer := time.NewTimer(time.Until(p.deadline))
	defer timer.Stop()
	late := timer.C
	var kept []*upload
	for _, u := range p.uploads {
		select {
		case <-u.begun:
		case <-u.done:
		case <-late:
			late = nil
			p.refusal = errors.New("a node does not answer")
			continue
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
		if u.failed() {
			p.refusal = fmt.Errorf("node %s: %w", u.node, u.err)
			p.notUntil[u.node] = time.Now().Add(holderRetry)
			continue
		}
		kept = append(kept, u)
	}
	p.uploads = kept
	return nil
}

// failed tells whether the upload has ended with an error.
func (u *upload) failed() bool {
	select {
	case <-u.done:
		return u.err != nil
	default:
		return false
	}
}

// pause waits for another state, or until nodes that refused may be asked
// again.
func (p *put) pause(view *fsm.View) {
	timer := time.NewTimer(min(holderRetry, max(time.Until(p.deadline), 0)))
	defer timer.Stop()
	select {
	case <-view.Next():
	case <-timer.C:
	case <-p.ctx.Done():
	}
}

// tooFew says why the content was not stored.
func (p *put) tooFew(want int) error {
	code, why := api.TooFewHolders, "the chain has no more holders that are reachable"
	if p.refusal != nil {
		why = p.refusal.Error()
	}
	if errors.Is(p.refusal, holder.ErrNoSpace) {
		code = api.NoSpace
	}
	return api.NewProblem(code, "%d of the %d disks that must store the content of chain %s would take it: %s; nothing was changed, try again",
		len(p.uploads), want, p.write.Chain, why)
}

// stream sends body to all uploads, waits until their disks have it, and
// returns its hash.
func (p *put) stream(body io.Reader) (string, error) {
	sum := sha256.New()
	for sent := int64(0); sent < p.write.Size; {
		chunk := make([]byte, min(chunkBytes, p.write.Size-sent))
		n, err := io.ReadFull(body, chunk)
		if sent += int64(n); err != nil {
			return "", brokeOff(sent, p.write.Size, err)
		}
		sum.Write(chunk)
		for _, u := range p.uploads {
			if err := p.hand(u, chunk); err != nil {
				return "", err
			}
		}
	}
	for _, u := range p.uploads {
		close(u.chunks)
	}
	want := hex.EncodeToString(sum.Sum(nil))
	timer := time.NewTimer(stallPatience)
	defer timer.Stop()
	for _, u := range p.uploads {
		select {
		case <-u.done:
		case <-timer.C:
			return "", interrupted(u.node, errors.New("its disk does not finish"))
		case <-p.ctx.Done():
			return "", p.ctx.Err()
		}
		switch {
		case u.err != nil:
			return "", interrupted(u.node, u.err)
		case u.stored.SHA256 != want:
			return "", interrupted(u.node, fmt.Errorf("it stored other bytes than were sent (sha256 %.16s, not %.16s)", u.stored.SHA256, want))
		}
	}
	return want, nil
}

// hand gives one chunk to an upload.
func (p *put) hand(u *upload, chunk []byte) error {
	select {
	case u.chunks <- chunk:
		return nil
	default:
	}
	timer := time.NewTimer(stallPatience)
	defer timer.Stop()
	select {
	case u.chunks <- chunk:
		return nil
	case <-u.done:
		err := u.err
		if err == nil {
			err = errors.New("it ended before all bytes were sent")
		}
		return interrupted(u.node, err)
	case <-timer.C:
		return interrupted(u.node, errors.New("its disk takes no more bytes"))
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// interrupted says that a node failed while it stored the content.
func interrupted(node placement.NodeID, err error) error {
	code := api.TooFewHolders
	if errors.Is(err, holder.ErrNoSpace) {
		code = api.NoSpace
	}
	return api.NewProblem(code, "node %s could not store the content: %v; nothing was changed, send it again", node, err)
}

// commitment names the disks that have the bytes.
func (p *put) commitment(sum string) api.ContentCommit {
	out := api.ContentCommit{Base: uint64(p.base), SHA256: sum, Size: p.write.Size}
	for _, u := range p.uploads {
		out.Holders = append(out.Holders, api.StoredCopy{Node: string(u.node), Incarnation: uint64(u.stored.Incarnation), Epoch: uint64(u.stored.Epoch)})
	}
	return out
}

// abandon tells the disks that nobody will commit what they stored. What does
// not hear it keeps the bytes until the chain has other content.
func (p *put) abandon() {
	p.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), abandonPatience)
	defer cancel()
	var all sync.WaitGroup
	for _, u := range p.uploads {
		if u.err != nil {
			continue
		}
		all.Go(func() {
			// Best effort: see above.
			if u.node != p.self {
				_ = p.remote.Abandon(ctx, u.address, p.write.Chain, u.stored)
				return
			}
			if fs, err := p.store.get(); err == nil {
				_ = fs.Abandon(ctx, p.write.Chain, u.stored.Epoch, u.stored.SHA256, u.stored.Ticket)
			}
		})
	}
	all.Wait()
}

// chunkReader reads what is handed to an upload.
type chunkReader struct {
	ctx    context.Context
	upload *upload
	begun  bool
	rest   []byte
}

// Read implements io.Reader.
func (r *chunkReader) Read(b []byte) (int, error) {
	if !r.begun {
		r.begun = true
		close(r.upload.begun)
	}
	if len(r.rest) == 0 {
		select {
		case chunk, ok := <-r.upload.chunks:
			if !ok {
				return 0, io.EOF
			}
			r.rest = chunk
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
