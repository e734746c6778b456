package bench

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/holder/filestore"
	"github.com/holdfast-cluster/holdfast/placement"
)

// What copy does.
const (
	copyReach  = 0.8
	copyRounds = 3
	copyChain  = "content"
	copyBuffer = 1 << 20
)

// Copy measures how fast content goes from one node to another: read from
// disk, sent over the node port, written, hashed and synced, beside the same
// bytes on one TCP stream into SHA-256 and nowhere else.
func Copy(ctx context.Context, cfg Config) (_ *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, remove, err := cfg.directory()
	if err != nil {
		return nil, err
	}
	defer remove()
	cfg.progress("starting 2 agents")
	a, err := newAgents(ctx, dir, 2, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	cfg.progress("storing the content")
	path := filepath.Join(dir, "bytes")
	if err := makeFile(ctx, path, cfg.Size); err != nil {
		return nil, err
	}
	content, source, err := a.store(ctx, path, cfg.Size)
	if err != nil {
		return nil, err
	}
	var puller *agent.Agent
	for _, one := range a.all {
		if one != source {
			puller = one
		}
	}
	p, err := newPull(filepath.Join(dir, "pulled"), source, puller, content)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.store.Close()) }()
	cfg.progress("copying it")
	var raw, ours time.Duration
	for range copyRounds {
		took, err := timed(func() error { return streamFile(ctx, path, content.SHA256) })
		if err != nil {
			return nil, fmt.Errorf("one TCP stream: %w", err)
		}
		raw += took
		if took, err = p.pull(ctx); err != nil {
			return nil, err
		}
		ours += took
	}
	took, err := a.repair(ctx)
	if err != nil {
		return nil, err
	}
	return copyReport(cfg, raw/copyRounds, ours/copyRounds, took), nil
}

func copyReport(cfg Config, raw, ours, repaired time.Duration) *Report {
	r, rate := new(Report), func(d time.Duration) float64 { return float64(cfg.Size) / d.Seconds() }
	r.add(
		Figure{Key: "content_bytes", What: "content", Value: float64(cfg.Size), Unit: Bytes},
		Figure{
			Key: "copy_bytes_per_second", What: "pulled, hashed and synced", Value: rate(ours), Unit: BytesRate,
			Goal: AtLeast, Limit: rate(raw), Reach: copyReach, Against: "of one stream",
		},
		Figure{Key: "stream_bytes_per_second", What: "one TCP stream into SHA-256", Value: rate(raw), Unit: BytesRate},
		Figure{
			Key: "repair_bytes_per_second", What: "a whole repair: decided, pulled, reported", Value: rate(repaired), Unit: BytesRate,
			Limit: rate(raw), Against: "one stream",
		},
	)
	r.note("Means of %d rounds, in turn. The stream comes from a file like the content's and goes to no disk.", copyRounds)
	return r
}

// makeFile fills a file with bytes that look like chance.
func makeFile(ctx context.Context, path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, copyBuffer)
	chance := rand.NewChaCha8([32]byte{1})
	for left := size; left > 0; left -= copyBuffer {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := io.CopyN(w, chance, min(left, copyBuffer)); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// store makes the file the content of a chain with one copy, and returns it
// with the agent that holds it.
func (a *agents) store(ctx context.Context, path string, size int64) (*placement.Content, *agent.Agent, error) {
	leader := a.leader()
	if leader == nil {
		return nil, nil, errors.New("leadership changed meanwhile; run it again")
	}
	calls, err := a.client(leader)
	if err != nil {
		return nil, nil, err
	}
	one := 1
	if _, err := calls.PutChain(ctx, copyChain, api.Spec{Desired: &one}); err != nil {
		return nil, nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if _, err := calls.PutContent(ctx, copyChain, f, size); err != nil {
		return nil, nil, err
	}
	var source *agent.Agent
	var content *placement.Content
	err = until(ctx, "the content has a live copy", func() bool {
		view := leader.Node().View()
		c := view.Chain(copyChain)
		for i := range c.Holders {
			if h := &c.Holders[i]; c.Content != nil && view.Live(c, h) {
				source, content = a.byAddress(view.Node(h.Node).Addresses.Node), c.Content
			}
		}
		return source != nil
	})
	return content, source, err
}

func (a *agents) byAddress(addr string) *agent.Agent {
	for _, one := range a.all {
		if one.Addr() == addr {
			return one
		}
	}
	return nil
}

// repair asks for a second copy and waits until it is there.
func (a *agents) repair(ctx context.Context) (time.Duration, error) {
	leader := a.leader()
	if leader == nil {
		return 0, errors.New("leadership changed meanwhile; run it again")
	}
	calls, err := a.client(leader)
	if err != nil {
		return 0, err
	}
	two := 2
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no second copy within %v", patience))
	defer cancel()
	return timed(func() error {
		if _, err := calls.PutChain(ctx, copyChain, api.Spec{Desired: &two}); err != nil {
			return err
		}
		for {
			view := leader.Node().View()
			if view.LiveCount(view.Chain(copyChain)) == two {
				return nil
			}
			select {
			case <-view.Next():
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

// pull is a content directory of its own that pulls as one agent does from
// another: over that agent's node port, from the other's.
type pull struct {
	store  *filestore.Store
	assign holder.Assignment
}

func newPull(dir string, from, to *agent.Agent, content *placement.Content) (*pull, error) {
	store, err := filestore.Open(dir, filestore.Config{
		Fetch: filestore.Client{HTTP: &http.Client{Transport: to.Node().PullTransport()}}, Reserve: 1,
	})
	if err != nil {
		return nil, err
	}
	return &pull{store, holder.Assignment{
		Chain: copyChain, Epoch: 1, Content: content,
		Sources: []holder.Source{{Node: "source", Address: from.Addr()}},
	}}, nil
}

// pull makes the copy, returns how long that took, and removes it again.
func (p *pull) pull(ctx context.Context) (time.Duration, error) {
	took, err := timed(func() error { return p.store.Pull(ctx, p.assign) })
	if err != nil {
		return 0, err
	}
	held, err := p.store.Held(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range held {
		if err := p.store.Drop(ctx, c); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// streamFile sends a file over one loopback connection into SHA-256.
func streamFile(ctx context.Context, path, want string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	sent := make(chan error, 1)
	go func() { sent <- sendFile(ln, path) }()
	in, err := new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	if err != nil {
		ln.Close()
		return errors.Join(err, <-sent)
	}
	defer context.AfterFunc(ctx, func() { in.Close() })()
	sum := sha256.New()
	_, err = io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{in}, make([]byte, copyBuffer))
	in.Close()
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("the bytes have the hash %.16s, not %.16s", got, want)
	}
	return nil
}

// sendFile sends a file to whoever connects first.
func sendFile(ln net.Listener, path string) error {
	out, err := ln.Accept()
	if err != nil {
		return err
	}
	defer out.Close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}
