package client

import (
	"context"
	"io"
	"net/http"

	"github.com/holdfast-cluster/holdfast/api"
)

// Snapshot is a saved state while it is being read. The caller closes it.
type Snapshot struct {
	io.ReadCloser
	Cluster  string // id of the cluster that it is of
	Lineage  string
	Revision uint64
}

// Snapshot opens a snapshot of the state. It ends with a checksum of all of
// it, so that a part is never taken for the whole.
func (c *Client) Snapshot(ctx context.Context, opts ...CallOption) (*Snapshot, error) {
	var meta Meta
	k := newCall(http.MethodGet, "/v1/snapshot", opts)
	if k.meta == nil {
		k.meta = &meta
	}
	resp, err := c.stream(ctx, k, nil, 0) //nolint:bodyclose // the caller closes the Snapshot
	if err != nil {
		return nil, err
	}
	return &Snapshot{resp.Body, resp.Header.Get(api.HeaderCluster), k.meta.Lineage, k.meta.Revision}, nil
}

// OfLineage makes a restore conditional on the history that the caller has
// seen, so that a retry cannot undo what came after the first attempt.
func OfLineage(lineage string) CallOption {
	return func(c *call) { c.header.Set(api.HeaderLineage, lineage) }
}

// Foreign lets a snapshot of another cluster be restored.
func Foreign() CallOption { return func(c *call) { c.query.Set("foreign", "1") } }

// Restore replaces the state of the cluster with that id by a snapshot of size
// bytes. It is retried only if r can seek back; give [OfLineage] then.
func (c *Client) Restore(ctx context.Context, cluster string, r io.Reader, size int64, opts ...CallOption) (*api.Restored, error) {
	k := newCall(http.MethodPut, "/v1/snapshot", opts)
	k.header.Set(api.HeaderConfirm, cluster)
	k.header.Set("Content-Type", "application/octet-stream")
	resp, err := c.stream(ctx, k, r, size)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := new(api.Restored)
	if err := k.decode(resp.Body, "the node", out); err != nil {
		return nil, err
	}
	return out, nil
}

// Raft returns the servers that take part in consensus, as the answering node
// knows them.
func (c *Client) Raft(ctx context.Context, opts ...CallOption) (*api.RaftState, error) {
	return get[api.RaftState](ctx, c, newCall(http.MethodGet, "/v1/raft", opts))
}

// TransferLeadership hands leadership to another voter; node may be empty.
func (c *Client) TransferLeadership(ctx context.Context, node, reason string, opts ...CallOption) (*api.Done, error) {
	body := api.TransferRequest{To: api.NullString(node), Reason: api.NullString(reason)}
	return get[api.Done](ctx, c, newCall(http.MethodPost, "/v1/raft/transfer", opts).with(body))
}
