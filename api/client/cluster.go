package client

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// Status returns the state of the cluster as the answering node sees it.
func (c *Client) Status(ctx context.Context, opts ...CallOption) (*api.ClusterStatus, error) {
	return get[api.ClusterStatus](ctx, c, newCall(http.MethodGet, "/v1/status", opts))
}

// Ready returns nil once a node has replayed its log; with leader, once it
// also knows a leader.
func (c *Client) Ready(ctx context.Context, leader bool, opts ...CallOption) error {
	k := newCall(http.MethodGet, "/readyz", opts)
	if leader {
		k.set("leader", "1")
	}
	return c.do(ctx, k, nil)
}

// DecisionFilter says which decisions are wanted; zero values are no
// condition.
type DecisionFilter struct {
	Chain string
	Node  string // as from or to
	Cause string
	After string // the next of the page before
	Limit int
}

// Decisions returns one page of the history, newest first.
func (c *Client) Decisions(ctx context.Context, f DecisionFilter, opts ...CallOption) (*api.DecisionList, error) {
	return get[api.DecisionList](ctx, c, newCall(http.MethodGet, "/v1/decisions", opts).
		set("chain", f.Chain, "node", f.Node, "cause", f.Cause, "after", f.After, "limit", limit(f.Limit)))
}

// Config returns the replicated configuration; its generation is the ETag in
// [Meta].
func (c *Client) Config(ctx context.Context, opts ...CallOption) (*api.Config, error) {
	return get[api.Config](ctx, c, newCall(http.MethodGet, "/v1/config", opts))
}

// PutConfig replaces the configuration.
func (c *Client) PutConfig(ctx context.Context, cfg api.Config, opts ...CallOption) (*api.Config, error) {
	return get[api.Config](ctx, c, newCall(http.MethodPut, "/v1/config", opts).with(cfg))
}

// PatchConfig changes the keys given and leaves the others; a nil value means
// the default.
func (c *Client) PatchConfig(ctx context.Context, keys map[string]any, opts ...CallOption) (*api.Config, error) {
	return get[api.Config](ctx, c, newCall(http.MethodPatch, "/v1/config", opts).with(keys))
}

// Freeze stops the opening of moves, for a while or (0) until [Client.Thaw].
func (c *Client) Freeze(ctx context.Context, d time.Duration, reason string, opts ...CallOption) (*api.Done, error) {
	body := api.FreezeRequest{Reason: api.NullString(reason)}
	if d != 0 {
		body.For = (*api.Duration)(&d)
	}
	return get[api.Done](ctx, c, newCall(http.MethodPost, "/v1/freeze", opts).with(body))
}

// Thaw ends a freeze.
func (c *Client) Thaw(ctx context.Context, reason string, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodPost, "/v1/thaw", opts).with(act(reason)))
}

// ResumeRepair ends a repair pause.
func (c *Client) ResumeRepair(ctx context.Context, reason string, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodPost, "/v1/repair/resume", opts).with(act(reason)))
}

// ReleaseSnapshot ends the guard that a restore set.
func (c *Client) ReleaseSnapshot(ctx context.Context, reason string, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodPost, "/v1/snapshot/release", opts).with(act(reason)))
}

// Plan returns what would happen under the suppositions of the request.
func (c *Client) Plan(ctx context.Context, req api.PlanRequest, opts ...CallOption) (*api.Plan, error) {
	return get[api.Plan](ctx, c, newCall(http.MethodPost, "/v1/plan", opts).with(req))
}

// ApplyPlan makes the moves of a plan, all or none.
func (c *Client) ApplyPlan(ctx context.Context, plan api.Plan, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodPost, "/v1/plan/apply", opts).with(plan))
}
