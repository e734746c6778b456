package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/server"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
)

// Open implements server.Content: the bytes come from this node's disk if it
// has exactly that version, else from a live copy.
func (c *content) Open(ctx context.Context, r server.ContentRead) (io.ReadCloser, error) {
	if fs, err := c.store.get(); err == nil {
		if f, _, err := fs.OpenToServe(r.Chain, r.Content.SHA256); err == nil {
			if _, err := f.Seek(r.Offset, io.SeekStart); err != nil {
				f.Close()
				return nil, fmt.Errorf("read the content of chain %s: %w", r.Chain, err)
			}
			return part{io.LimitReader(f, r.Length), f}, nil
		}
	}
	relay := &relay{content: c, ctx: ctx, read: r, at: r.Offset, end: r.Offset + r.Length, sources: r.Sources}
	if r.Length == r.Content.Size {
		relay.sum = sha256.New()
	}
	if err := relay.next(); err != nil {
		return nil, api.NewProblem(api.NoLiveCopy, "no live copy of chain %s can be read: %v", r.Chain, err)
	}
	return relay, nil
}

// part is some of a file.
type part struct {
	io.Reader
	io.Closer
}

// relay reads a content from one live copy, and from the next where that
// breaks off. A source whose bytes have rotted finds out at their end only, and
// breaks off there: so all of a content is hashed here too, and where the hash
// is another one, an error comes in the place of the last bytes.
type relay struct {
	content *content
	ctx     context.Context
	read    server.ContentRead
	at, end int64
	sources []fsm.Source // not tried yet
	body    io.ReadCloser
	sum     hash.Hash // of what was read; nil = of a part only, which is not checked
}

// next opens the next source that has the bytes.
func (r *relay) next() error {
	err := errors.New("no node with one is left")
	for len(r.sources) > 0 {
		from := r.sources[0]
		r.sources = r.sources[1:]
		if from.Node == r.content.self {
			continue // its store was asked first
		}
		body, size, failed := r.fetch(from)
		switch {
		case failed != nil:
			err = fmt.Errorf("node %s: %w", from.Node, failed)
		case size != r.read.Content.Size:
			body.Close()
			err = fmt.Errorf("node %s has %d bytes of %d", from.Node, size, r.read.Content.Size)
		default:
			r.body = body
			return nil
		}
	}
	return err
}

// fetch asks a source for the bytes from where the relay is.
func (r *relay) fetch(from fsm.Source) (io.ReadCloser, int64, error) {
	ctx, end := context.WithCancelCause(r.ctx)
	timer := time.AfterFunc(beginPatience, func() { end(errors.New("it does not answer")) })
	body, size, err := r.content.remote.Fetch(ctx, holder.Source{Node: from.Node, Address: from.Address}, r.read.Chain, r.read.Content.SHA256, r.at)
	timer.Stop()
	if err != nil {
		end(nil)
		return nil, 0, err
	}
	silent := time.AfterFunc(stallPatience, func() { end(fmt.Errorf("no byte came for %v", stallPatience)) })
	silent.Stop()
	return &patient{body, silent, end}, size, nil
}

// patient is what a source sends. It breaks off when nothing comes for
// stallPatience; the time that its reader takes does not count.
type patient struct {
	io.ReadCloser
	silent *time.Timer // ends the request
	end    context.CancelCauseFunc
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	p.silent.Reset(stallPatience)
	defer p.silent.Stop()
	return p.ReadCloser.Read(b)
}

// Close implements io.Closer.
func (p *patient) Close() error {
	defer p.end(nil)
	return p.ReadCloser.Close()
}

// Read implements io.Reader.
func (r *relay) Read(b []byte) (int, error) {
	if r.at == r.end {
		return 0, io.EOF
	}
	n, err := r.body.Read(b[:min(int64(len(b)), r.end-r.at)])
	if r.sum != nil {
		r.sum.Write(b[:n])
	}
	if r.at += int64(n); r.at == r.end && r.sum != nil && hex.EncodeToString(r.sum.Sum(nil)) != r.read.Content.SHA256 {
		return 0, fmt.Errorf("what came of chain %s does not have the hash %.16s: a copy has rotted", r.read.Chain, r.read.Content.SHA256)
	}
	if err == nil || r.at == r.end || r.ctx.Err() != nil {
		return n, err
	}
	r.body.Close()
	return n, r.next() // without another source this is what is left to say
}

// Close implements io.Closer.
func (r *relay) Close() error { return r.body.Close() }
