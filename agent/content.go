package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/api/server"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/holder/filestore"
	"github.com/holdfast-cluster/holdfast/placement"
)

// content stores and fetches the bytes of chains for the API (rule S3).
type content struct {
	self   placement.NodeID
	node   *cluster.Node
	store  *store
	remote filestore.Client
	own    http.RoundTripper // to this node's own API, which finds the leader
}

var _ server.Content = (*content)(nil)

func newContent(self placement.NodeID, node *cluster.Node, s *store) *content {
	return &content{
		self: self, node: node, store: s,
		remote: filestore.Client{HTTP: &http.Client{Transport: expecting{node.PullTransport()}}, Check: true},
	}
}

// expecting lets a node refuse an upload before any of its bytes is sent.
type expecting struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (e expecting) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut && req.ContentLength > 0 {
		req = req.Clone(req.Context())
		req.Header.Set("Expect", "100-continue")
	}
	return e.next.RoundTrip(req)
}

// Put implements server.Content: it streams body to the disks of write_copies
// holders at once, waits until all of them have synced it, and commits. When
// it fails before the commit, nothing has changed.
func (c *content) Put(ctx context.Context, w server.ContentWrite, body io.Reader) (api.ContentPut, error) {
	calls, err := client.New([]string{"http://" + string(c.self)}, client.WithRetry(0), client.WithHTTPClient(&http.Client{Transport: c.own}))
	if err != nil {
		return api.ContentPut{}, err
	}
	now, err := c.current(ctx, calls, w)
	if err != nil {
		return api.ContentPut{}, err
	}
	if w.IfMatch != "" && w.IfMatch != now.SHA256 || w.First && now.Version != 0 {
		return c.putStale(ctx, calls, w, now, body)
	}
	p := newPut(ctx, c, w, placement.Revision(now.Version))
	defer p.end()
	if err := p.recruit(); err != nil {
		p.discard(p.uploads...)
		return api.ContentPut{}, err
	}
	sum, err := p.stream(body)
	if err != nil {
		p.discard(p.uploads...)
		return api.ContentPut{}, err
	}
	answer, err := commit(ctx, calls, w, p.commitment(sum))
	if isFinal(err) {
		p.discard(p.uploads...)
	}
	return answer, err
}

// current returns the content of the chain, zero if there is none. Afterwards
// this node's own state is at least as new. The read is linearizable: a leader
// that was paused and leads no more would have a condition fail that holds.
func (c *content) current(ctx context.Context, calls *client.Client, w server.ContentWrite) (api.Content, error) {
	var at client.Meta
	chain, err := calls.Chain(ctx, string(w.Chain), client.At(api.Linearizable), client.Within(w.Timeout), client.WithMeta(&at))
	if err != nil {
		return api.Content{}, err
	}
	timer := time.NewTimer(w.Timeout)
	defer timer.Stop()
	for {
		view := c.node.View()
		if view.Lineage == at.Lineage && uint64(view.Revision) >= at.Revision {
			break
		}
		select {
		case <-view.Next():
		case <-timer.C:
			return api.Content{}, api.NewProblem(api.NotReady, "node %s is behind its leader and cannot take content yet: ask another", c.self)
		case <-ctx.Done():
			return api.Content{}, ctx.Err()
		}
	}
	if chain.Content == nil {
		return api.Content{}, nil
	}
	return *chain.Content, nil
}

// putStale answers a PUT whose If-Match names another content than the
// present one, or which must be the first and is not. It may be the retry of one that was applied: the request table
// knows, by the key and the hash of the bytes, and everything else is refused.
func (c *content) putStale(ctx context.Context, calls *client.Client, w server.ContentWrite, now api.Content, body io.Reader) (api.ContentPut, error) {
	sum := sha256.New()
	if n, err := io.Copy(sum, io.LimitReader(body, w.Size)); err != nil || n != w.Size {
		return api.ContentPut{}, brokeOff(n, w.Size, err)
	}
	other := uint64(0) // a version that is not the present one
	if now.Version == 0 {
		other = 1
	}
	return commit(ctx, calls, w, api.ContentCommit{Base: other, SHA256: hex.EncodeToString(sum.Sum(nil)), Size: w.Size, Holders: []api.StoredCopy{}})
}

func brokeOff(n, size int64, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return api.NewProblem(api.Invalid, "the content broke off after %d of %d bytes: %v; send it again", n, size, err)
}

// commit makes stored bytes current, through the leader.
func commit(ctx context.Context, calls *client.Client, w server.ContentWrite, body api.ContentCommit) (api.ContentPut, error) {
	answer, err := calls.CommitContent(ctx, string(w.Chain), body, client.Key(w.Key), client.Because(w.Reason), client.Within(w.Timeout))
	if err != nil {
		return api.ContentPut{}, err
	}
	return *answer, nil
}

// isFinal tells whether err says for certain that nothing was committed.
func isFinal(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Code != api.OutcomeUnknown && p.Code != api.NotReady && p.Code != api.Internal
}
