package client

import (
	"context"
	"iter"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/holdfast-cluster/holdfast/api"
)

// PutChain creates a chain or replaces its spec. [Meta] tells which.
func (c *Client) PutChain(ctx context.Context, id string, spec api.Spec, opts ...CallOption) (*api.Chain, error) {
	return get[api.Chain](ctx, c, newCall(http.MethodPut, chainPath(id), opts).with(api.ChainPut{Spec: spec}))
}

// Chain returns a chain.
func (c *Client) Chain(ctx context.Context, id string, opts ...CallOption) (*api.Chain, error) {
	return get[api.Chain](ctx, c, newCall(http.MethodGet, chainPath(id), opts))
}

// Page says which part of a list is wanted. Zero values leave the choice to
// the server.
type Page struct {
	Prefix string // of chain ids
	After  string // the next of the page before
	Limit  int
}

// Chains returns one page of the chains, in id order.
func (c *Client) Chains(ctx context.Context, p Page, opts ...CallOption) (*api.ChainList, error) {
	return get[api.ChainList](ctx, c, newCall(http.MethodGet, "/v1/chains", opts).
		set("prefix", p.Prefix, "after", p.After, "limit", limit(p.Limit)))
}

// AllChains goes through all chains whose id begins with prefix, in id order.
// It ends with the first error.
func (c *Client) AllChains(ctx context.Context, prefix string, opts ...CallOption) iter.Seq2[*api.Chain, error] {
	return func(yield func(*api.Chain, error) bool) {
		page := Page{Prefix: prefix, Limit: api.LimitMax}
		for {
			list, err := c.Chains(ctx, page, opts...)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range list.Chains {
				if !yield(&list.Chains[i], nil) {
					return
				}
			}
			if list.Next == "" {
				return
			}
			page.After = string(list.Next)
		}
	}
}

// DeleteChain deletes a chain. It needs a reason.
func (c *Client) DeleteChain(ctx context.Context, id, reason string, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodDelete, chainPath(id), opts).with(act(reason)))
}

// PutChains creates or replaces many chains, at most [api.BatchChainsMax]. It
// is not atomic: each item has its own code. With [CreateOnly] those that
// exist have the code [api.Exists] and stay as they are.
func (c *Client) PutChains(ctx context.Context, items []api.BatchItem, opts ...CallOption) ([]api.BatchResult, error) {
	body := sparseBatch{Chains: make([]sparseItem, len(items))}
	for i := range items {
		body.Chains[i] = sparseItem{items[i].ID, sparse(&items[i].Spec)}
	}
	out, err := get[api.BatchResults](ctx, c, newCall(http.MethodPost, "/v1/chains:batch", opts).with(body))
	if err != nil {
		return nil, err
	}
	return out.Results, nil
}

// sparseBatch is an [api.BatchPut] without the keys that are null: absent says
// the same, and reading them would be most of the leader's work.
type (
	sparseBatch struct {
		Chains []sparseItem `json:"chains"`
	}
	sparseItem struct {
		ID   string         `json:"id"`
		Spec map[string]any `json:"spec,omitempty"`
	}
)

func sparse(spec *api.Spec) map[string]any {
	said, v := map[string]any{}, reflect.ValueOf(spec).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			said[key] = f.Interface()
		}
	}
	return said
}

// Explain returns what the scheduler would do with a chain now, and why.
func (c *Client) Explain(ctx context.Context, id string, opts ...CallOption) (*api.Explanation, error) {
	return get[api.Explanation](ctx, c, newCall(http.MethodGet, chainPath(id)+"/explain", opts))
}

// Move queues a forced move. Either of from and to may be empty.
func (c *Client) Move(ctx context.Context, id, from, to, reason string, opts ...CallOption) (*api.Done, error) {
	return get[api.Done](ctx, c, newCall(http.MethodPost, chainPath(id)+"/move", opts).
		with(api.MoveRequest{From: api.NullString(from), To: api.NullString(to), Reason: api.NullString(reason)}))
}

// Moves returns one page of the open moves.
func (c *Client) Moves(ctx context.Context, p Page, opts ...CallOption) (*api.MoveList, error) {
	return get[api.MoveList](ctx, c, newCall(http.MethodGet, "/v1/moves", opts).set("after", p.After, "limit", limit(p.Limit)))
}

// CommitContent makes bytes that holders have stored the current content of a
// chain. Nodes do that; a client is refused.
func (c *Client) CommitContent(ctx context.Context, id string, commit api.ContentCommit, opts ...CallOption) (*api.ContentPut, error) {
	return get[api.ContentPut](ctx, c, newCall(http.MethodPost, chainPath(id)+"/content/commit", opts).with(commit))
}

func chainPath(id string) string { return "/v1/chains/" + segment(id) }

func limit(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func act(reason string) api.Act { return api.Act{Reason: api.NullString(reason)} }

// get sends a call and returns its answer.
func get[T any](ctx context.Context, c *Client, k *call) (*T, error) {
	out := new(T)
	if err := c.do(ctx, k, out); err != nil {
		return nil, err
	}
	return out, nil
}
