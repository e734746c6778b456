package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/server"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/holder/filestore"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Sizes and times of an upload.
const (
	chunkBytes      = 256 << 10
	handBytes       = 16 << 10               // handed on though more is to come: a disk waits for bytes as long as the API waits for so many
	chunksAhead     = 4                      // how far a disk may lag behind the fastest
	holderRetry     = 50 * time.Millisecond  // before a node that refused is asked again
	acceptPatience  = 300 * time.Millisecond // before another node is asked beside one that has not answered
	stallPatience   = 30 * time.Second       // for a disk to take a chunk, or to sync all of them; for a source to send any bytes
	beginPatience   = 5 * time.Second        // for a source to begin, before another is asked; a client waits 10 s
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
	unwanted []*upload                      // what these stored, if anything, will not be committed
	changed  chan struct{}                  // holds a token when an upload was accepted or ended
	notUntil map[placement.NodeID]time.Time // nodes that refused
	refusal  error                          // the last
}

// upload sends the bytes to one disk.
type upload struct {
	node    placement.NodeID
	address string
	epoch   placement.Epoch
	began   time.Time
	cancel  context.CancelFunc
	chunks  chan []byte
	begun   chan struct{} // closed when the node has accepted
	done    chan struct{} // closed when stored and err are set
	stored  filestore.Stored
	err     error
}

func newPut(ctx context.Context, c *content, w server.ContentWrite, base placement.Revision) *put {
	p := &put{
		content: c, write: w, base: base, deadline: time.Now().Add(w.Timeout),
		changed: make(chan struct{}, 1), notUntil: map[placement.NodeID]time.Time{},
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// begin starts an upload. Nothing is handed to it before its node has accepted.
func (p *put) begin(u *upload) {
	p.uploads = append(p.uploads, u)
	ctx, cancel := context.WithCancel(p.ctx)
	u.cancel = cancel
	what := filestore.Upload{Chain: p.write.Chain, Epoch: u.epoch, Base: p.base, Size: p.write.Size}
	body := &chunkReader{ctx: ctx, chunks: u.chunks}
	accept := sync.OnceFunc(func() { close(u.begun); p.wake() })
	p.running.Go(func() {
		defer p.wake()
		defer close(u.done)
		if u.node != p.self {
			// The transport begins to read when an answer takes long: only the answer counts.
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: accept})
			u.stored, u.err = p.remote.Store(ctx, u.address, what, body)
			return
		}
		body.begin = accept
		fs, err := p.store.get()
		if err == nil {
			u.stored, err = fs.Receive(ctx, what, body)
		}
		u.err = err
	})
}

// wake makes recruit look again.
func (p *put) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// accepted tells whether the node has taken the upload on.
func (u *upload) accepted() bool {
	select {
	case <-u.begun:
		return true
	case <-u.done: // an empty content is stored without a read
		return u.err == nil
	default:
		return false
	}
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

// stream sends body to all uploads, waits until their disks have it, and
// returns its hash.
func (p *put) stream(body io.Reader) (string, error) {
	sum := sha256.New()
	var room []byte
	for sent := int64(0); sent < p.write.Size; {
		if left := p.write.Size - sent; int64(len(room)) < min(handBytes, left) {
			room = make([]byte, min(chunkBytes, left))
		}
		n, err := io.ReadAtLeast(body, room, min(handBytes, len(room)))
		if sent += int64(n); err != nil {
			return "", brokeOff(sent, p.write.Size, err)
		}
		chunk := room[:n]
		room = room[n:]
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

// discard ends uploads that will not be committed.
func (p *put) discard(uploads ...*upload) {
	for _, u := range uploads {
		u.cancel()
	}
	p.unwanted = append(p.unwanted, uploads...)
}

// end stops what runs, waits for it, and tells the disks whose uploads were
// discarded that nobody will commit what they stored. What does not hear it
// keeps the bytes until the chain has other content.
func (p *put) end() {
	p.cancel()
	p.running.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), abandonPatience)
	defer cancel()
	var all sync.WaitGroup
	for _, u := range p.unwanted {
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
	chunks <-chan []byte
	begin  func() // called at each read, if set
	rest   []byte
}

// Read implements io.Reader.
func (r *chunkReader) Read(b []byte) (int, error) {
	if r.begin != nil {
		r.begin()
	}
	if len(r.rest) == 0 {
		select {
		case chunk, ok := <-r.chunks:
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
