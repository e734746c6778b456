package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// watchWait is how long one request of a watch waits for news.
const watchWait = 30 * time.Second

// Position is a place in the history of a cluster: a revision and the lineage
// it belongs to. The zero value is before everything.
type Position struct {
	Lineage  string
	Revision uint64
}

// Update is what a watch has learnt. Apply it in this order: with Reset
// forget every chain known so far; take Chains as they are now; forget those
// Deleted. Then everything up to Position is known, except after a reset,
// when it is once an update with Complete has come.
type Update struct {
	Reset    bool
	Complete bool
	Chains   []api.Chain
	Deleted  []string
	Position Position
}

// Watch follows the chains whose id begins with prefix. From the zero
// Position it begins with a reset and all chains, in as many updates as it
// takes; from another with what changed since. It goes on across
// restarts, other leaders and clusters without one, asks any node, and lists
// anew when the changes it needs are no longer known or the cluster was
// restored. It ends when ctx does, when the loop over it does, or with an
// error that no retry would mend.
func (c *Client) Watch(ctx context.Context, prefix string, from Position) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		w := &watch{c: c, prefix: prefix, at: from, yield: yield}
		for step := w.first(); ; step = w.changes {
			if w.relist {
				step = w.list
			}
			if err := w.persist(ctx, step); err != nil {
				if !errors.Is(err, errStop) {
					yield(Update{}, err)
				}
				return
			}
		}
	}
}

// errStop ends a watch whose loop was left.
var errStop = errors.New("the loop was left")

// watch is one running [Client.Watch].
type watch struct {
	c      *Client
	prefix string
	at     Position
	relist bool
	yield  func(Update, error) bool
}

func (w *watch) first() func(context.Context) error {
	if w.at == (Position{}) {
		return w.list
	}
	return w.changes
}

// persist repeats a step until it succeeds or fails for good.
func (w *watch) persist(ctx context.Context, step func(context.Context) error) error {
	backoff := backoffMin
	for {
		err := step(ctx)
		if err == nil || !again(err) || ctx.Err() != nil {
			return err
		}
		if !sleep(ctx, backoff) {
			return ended(ctx, err)
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// list sends everything, beginning with a reset. What changes meanwhile comes
// with the changes after the first page's revision.
func (w *watch) list(ctx context.Context) error {
	page := Page{Prefix: w.prefix, Limit: api.LimitMax}
	var start Position
	for first := true; ; first = false {
		var meta Meta
		list, err := w.c.Chains(ctx, page, At(api.Stale), WithMeta(&meta))
		if err != nil {
			return err
		}
		if first {
			start = Position{meta.Lineage, meta.Revision}
		}
		done := list.Next == ""
		if !w.yield(Update{Reset: first, Complete: done, Chains: list.Chains, Position: start}, nil) {
			return errStop
		}
		if done {
			w.at, w.relist = start, false
			return nil
		}
		page.After = string(list.Next)
	}
}

// changes waits for what comes after the position and sends it.
func (w *watch) changes(ctx context.Context) error {
	var meta Meta
	k := newCall(http.MethodGet, "/v1/chains", []CallOption{At(api.Stale), WithMeta(&meta)}).
		set("since", strconv.FormatUint(w.at.Revision, 10), "prefix", w.prefix, "limit", limit(api.LimitMax))
	k.setWait(watchWait)
	k.header.Set(api.HeaderLineage, w.at.Lineage)
	list, err := get[api.ChainList](ctx, w.c, k)
	if err != nil {
		return err
	}
	if list.Reset || meta.Lineage != w.at.Lineage {
		w.relist = true
		return nil
	}
	w.at.Revision = max(w.at.Revision, list.Revision)
	if len(list.Chains)+len(list.Deleted) == 0 {
		return nil
	}
	if !w.yield(Update{Complete: true, Chains: list.Chains, Deleted: list.Deleted, Position: w.at}, nil) {
		return errStop
	}
	return nil
}
