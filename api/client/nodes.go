package client

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// Nodes returns all nodes, in id order.
func (c *Client) Nodes(ctx context.Context, opts ...CallOption) ([]api.Node, error) {
	var nodes []api.Node
	after := ""
	for {
		list, err := get[api.NodeList](ctx, c, newCall(http.MethodGet, "/v1/nodes", opts).set("after", after, "limit", limit(api.LimitMax)))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, list.Nodes...)
		if list.Next == "" {
			return nodes, nil
		}
		after = string(list.Next)
	}
}

// Node returns a node.
func (c *Client) Node(ctx context.Context, id string, opts ...CallOption) (*api.Node, error) {
	return get[api.Node](ctx, c, newCall(http.MethodGet, nodePath(id), opts))
}

// Cordon keeps new copies from a node.
func (c *Client) Cordon(ctx context.Context, id, reason string, opts ...CallOption) (*api.Node, error) {
	return c.nodeAct(ctx, http.MethodPost, nodePath(id)+"/cordon", act(reason), opts)
}

// Uncordon makes a node eligible again.
func (c *Client) Uncordon(ctx context.Context, id, reason string, opts ...CallOption) (*api.Node, error) {
	return c.nodeAct(ctx, http.MethodPost, nodePath(id)+"/uncordon", act(reason), opts)
}

// SetWeight sets the share of copies that a node should take, 0 to 1.
func (c *Client) SetWeight(ctx context.Context, id string, weight float64, reason string, opts ...CallOption) (*api.Node, error) {
	body := api.WeightRequest{Weight: &weight, Reason: api.NullString(reason)}
	return c.nodeAct(ctx, http.MethodPost, nodePath(id)+"/weight", body, opts)
}

// Drain moves all copies away from a node; a deadline of 0 is none.
func (c *Client) Drain(ctx context.Context, id string, deadline time.Duration, reason string, opts ...CallOption) (*api.Node, error) {
	body := api.DrainRequest{Reason: api.NullString(reason)}
	if deadline != 0 {
		body.Deadline = (*api.Duration)(&deadline)
	}
	return c.nodeAct(ctx, http.MethodPost, nodePath(id)+"/drain", body, opts)
}

// CancelDrain ends a drain and leaves the node cordoned.
func (c *Client) CancelDrain(ctx context.Context, id, reason string, opts ...CallOption) (*api.Node, error) {
	return c.nodeAct(ctx, http.MethodDelete, nodePath(id)+"/drain", act(reason), opts)
}

// Maintenance begins or ends the maintenance of a node.
func (c *Client) Maintenance(ctx context.Context, id string, end bool, reason string, opts ...CallOption) (*api.Node, error) {
	body := api.MaintenanceRequest{End: end, Reason: api.NullString(reason)}
	return c.nodeAct(ctx, http.MethodPost, nodePath(id)+"/maintenance", body, opts)
}

// RemoveNode forgets a node that is dead or has left.
func (c *Client) RemoveNode(ctx context.Context, id string, removal api.NodeRemoval, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodDelete, nodePath(id), opts).with(removal))
}

// Assignments returns what a node has to hold and to delete; with [After] it
// waits for something new.
func (c *Client) Assignments(ctx context.Context, node string, opts ...CallOption) (*api.Assignments, error) {
	k := newCall(http.MethodGet, nodePath(node)+"/assignments", opts)
	k.answerMax = answerAssignments
	return get[api.Assignments](ctx, c, k)
}

// Report says what a node holds and how its pulls go.
func (c *Client) Report(ctx context.Context, node string, reports api.Reports, opts ...CallOption) (*api.ReportAnswer, error) {
	return get[api.ReportAnswer](ctx, c, newCall(http.MethodPost, nodePath(node)+"/reports", opts).with(reports))
}

// Orphans returns the copies on a node of chains that the state does not know.
func (c *Client) Orphans(ctx context.Context, node string, p Page, opts ...CallOption) (*api.OrphanList, error) {
	return get[api.OrphanList](ctx, c, newCall(http.MethodGet, nodePath(node)+"/orphans", opts).
		set("after", p.After, "limit", limit(p.Limit)))
}

// PurgeOrphan lets a node delete such a copy. It needs a reason.
func (c *Client) PurgeOrphan(ctx context.Context, node, chain, reason string, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodDelete, nodePath(node)+"/orphans/"+segment(chain), opts).with(act(reason)))
}

func (c *Client) nodeAct(ctx context.Context, method, path string, body any, opts []CallOption) (*api.Node, error) {
	return get[api.Node](ctx, c, newCall(method, path, opts).with(body))
}

func nodePath(id string) string { return "/v1/nodes/" + segment(id) }
