package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Inputs of the chain routes.
type (
	chainRead struct {
		IDParam
		ReadParams
	}
	chainWrite struct {
		IDParam
		WriteParams
	}
	chainsRead struct {
		ReadParams
		PageParams
		Prefix string `query:"prefix" doc:"only chains whose id begins so"`
		Since  string `query:"since" doc:"only chains changed after this revision; then the default consistency is stale"`
	}
)

// putBody is a [api.ChainPut] that may be a chain as GET shows it: what only
// the cluster writes is read and ignored.
type putBody struct {
	api.ChainPut

	ID                any `json:"id"`
	Generation        any `json:"generation"`
	Revision          any `json:"revision"`
	Health            any `json:"health"`
	Holders           any `json:"holders"`
	Moves             any `json:"moves"`
	LastRebalance     any `json:"last_rebalance"`
	CooldownRemaining any `json:"cooldown_remaining"`
	Content           any `json:"content"`
	Quarantine        any `json:"quarantine"`
	Unplaceable       any `json:"unplaceable"`
}

func (s *Server) addChainRoutes() {
	handle(s, route{method: http.MethodGet, path: "/v1/chains", id: "list-chains", summary: "List chains, or what changed", kind: read}, s.getChains)
	handle(s, route{method: http.MethodGet, path: "/v1/chains/{id}", id: "get-chain", summary: "Show a chain", kind: read}, s.getChain)
	handle(s, route{method: http.MethodPut, path: "/v1/chains/{id}", id: "put-chain", summary: "Create a chain or replace its spec", kind: write, body: api.ChainPut{}}, s.putChain)
	handle(s, route{method: http.MethodDelete, path: "/v1/chains/{id}", id: "delete-chain", summary: "Delete a chain", kind: write, body: api.Act{}}, s.deleteChain)
	handle(s, route{method: http.MethodPost, path: "/v1/chains/{id}/move", id: "move-chain", summary: "Queue a forced move", kind: write, body: api.MoveRequest{}}, s.moveChain)
	handle(s, route{method: http.MethodPost, path: "/v1/chains:batch", id: "batch-chains", summary: "Create or replace many chains, item by item", kind: write, body: api.BatchPut{}, bodyMax: api.BatchBodyBytesMax}, s.batchChains)
}

func (s *Server) getChain(ctx context.Context, in *chainRead) (*api.Chain, error) {
	v, c, err := s.chainOr404(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	x := exchangeOf(ctx)
	out := showChain(x, v, c)
	if x.r.Header.Get("If-None-Match") == quote(out.Generation) {
		x.status = http.StatusNotModified // the spec is; holders and moves have no tag
	}
	return out, nil
}

// showChain renders a chain with its ETag.
func showChain(x *exchange, v *fsm.View, c *placement.Chain) *api.Chain {
	x.w.Header().Set("ETag", quote(uint64(c.Generation)))
	out := renderChain(v, c)
	return &out
}

func (s *Server) putChain(ctx context.Context, in *chainWrite) (*api.Chain, error) {
	x := exchangeOf(ctx)
	id, err := chainID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body putBody
	if err := x.decode(&body, false); err != nil {
		return nil, err
	}
	reason, err := x.reasonOf(body.Reason)
	if err != nil {
		return nil, err
	}
	spec, err := readSpec("spec.", &body.Spec)
	if err != nil {
		return nil, err
	}
	op := fsm.NewPutChain(id, spec)
	if err := s.conditions(x, op); err != nil {
		return nil, err
	}
	r, err := s.propose(ctx, reason, op)
	if err != nil {
		return nil, err
	}
	if r.Created {
		x.status = http.StatusCreated
	}
	v := s.cfg.State.View()
	if r.Chain == nil { // a remembered answer without its chain
		if r.Chain = v.Chain(id); r.Chain == nil {
			return nil, unknownChain(id)
		}
	}
	return showChain(x, v, r.Chain), nil
}

// conditions reads If-Match and If-None-Match into an operation.
func (s *Server) conditions(x *exchange, op *fsm.PutChain) error {
	generation, anyOf, _, err := x.ifMatch()
	if err != nil {
		return err
	}
	op.IfGeneration = placement.Generation(generation)
	if anyOf {
		c := s.cfg.State.View().Chain(op.Chain)
		if c == nil {
			return api.NewProblem(api.StaleGeneration, "chain %s does not exist, and If-Match: * asks that it does", op.Chain)
		}
		op.IfGeneration = c.Generation
	}
	op.CreateOnly, err = x.createOnly()
	return err
}

// createOnly reads the If-None-Match of a write.
func (x *exchange) createOnly() (bool, error) {
	switch none := x.r.Header.Get("If-None-Match"); none {
	case "":
		return false, nil
	case "*":
		return true, nil
	default:
		return false, api.InvalidField("If-None-Match", "If-None-Match: %.40q is not possible here, only *", none)
	}
}

func (s *Server) deleteChain(ctx context.Context, in *chainWrite) (*api.Done, error) {
	x := exchangeOf(ctx)
	id, err := chainID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.Act
	if err := x.decode(&body, true); err != nil {
		return nil, err
	}
	reason, err := x.mustReason(body.Reason, "deleting a chain")
	if err != nil {
		return nil, err
	}
	generation, _, _, err := x.ifMatch()
	if err != nil {
		return nil, err
	}
	r, err := s.propose(ctx, reason, &fsm.DeleteChain{Chain: id, IfGeneration: placement.Generation(generation)})
	if err != nil {
		return nil, err
	}
	return done(r), nil
}

func (s *Server) moveChain(ctx context.Context, in *chainWrite) (*api.Done, error) {
	x := exchangeOf(ctx)
	id, err := chainID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.MoveRequest
	if err := x.decode(&body, false); err != nil {
		return nil, err
	}
	reason, err := x.reasonOf(body.Reason)
	if err != nil {
		return nil, err
	}
	op := &fsm.Force{Chain: id}
	if body.From != "" {
		if op.From, err = nodeID("from", string(body.From)); err != nil {
			return nil, err
		}
	}
	if body.To != "" {
		if op.To, err = nodeID("to", string(body.To)); err != nil {
			return nil, err
		}
	}
	r, err := s.propose(ctx, reason, op)
	if err != nil {
		return nil, err
	}
	x.status = http.StatusAccepted // the scheduler opens it when it can
	return done(r), nil
}

func (s *Server) getChains(ctx context.Context, in *chainsRead) (*api.ChainList, error) {
	limit, err := pageLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	if in.Since != "" {
		since, err := number("since", in.Since)
		if err != nil {
			return nil, err
		}
		return s.changedChains(ctx, since, in.Prefix, limit)
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	out := &api.ChainList{Chains: []api.Chain{}, Deleted: []string{}, Revision: uint64(v.Revision)}
	v.Chains.Ascend(placement.ChainID(firstAfter(in.Prefix, in.After)), func(id placement.ChainID, c *placement.Chain) bool {
		switch {
		case !strings.HasPrefix(string(id), in.Prefix):
			return false
		case len(out.Chains) == limit:
			out.Next = api.NullString(out.Chains[limit-1].ID)
			return false
		}
		out.Chains = append(out.Chains, renderChain(v, c))
		return true
	})
	return out, nil
}

// firstAfter is the least key of a page: after the cursor and not before the
// prefix. A key follows another directly when it is that with a zero byte.
func firstAfter(prefix, after string) string {
	if after == "" {
		return prefix
	}
	return max(prefix, after+"\x00")
}

// changedChains answers ?since=: the chains changed after a revision, waiting
// for the first such if the client wants.
func (s *Server) changedChains(ctx context.Context, since uint64, prefix string, limit int) (*api.ChainList, error) {
	x := exchangeOf(ctx)
	v, err := s.readOnce(ctx, x)
	leads := s.cfg.Leadership.Status().IsLeader
	if err == nil && leads && since > uint64(v.Revision) {
		// Only a leader can say that there is no such place, and not one that was
		// paused and does not know yet that it leads no more.
		v, err = s.cfg.State.Read(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	scanned := placement.Revision(since)
	ready := func(v *fsm.View) bool {
		if scanned > v.Revision {
			return false // this node has still to get to where the client is
		}
		found := false
		known := v.ChangedSince(scanned, func(c fsm.Change) bool {
			found = c.Kind == fsm.ChangeChain && strings.HasPrefix(c.ID, prefix)
			return !found
		})
		scanned = v.Revision
		return found || !known
	}
	if x.wait > 0 {
		v = s.await(ctx, x, v, since, ready)
	}
	s.stamp(x, v)
	return s.collect(x, v, leads, since, prefix, limit), nil
}

// collect lists the chains changed after since, in the order of their first
// change, and where to go on.
func (s *Server) collect(x *exchange, v *fsm.View, leads bool, since uint64, prefix string, limit int) *api.ChainList {
	out := &api.ChainList{Chains: []api.Chain{}, Deleted: []string{}, Revision: uint64(v.Revision)}
	behind := since > uint64(v.Revision) && x.level == api.Stale && !leads
	switch {
	case x.lineage != "" && x.lineage != v.Lineage:
		out.Reset = true
		return out
	case behind:
		out.Revision = since // the client knows more than this node does yet
		return out
	}
	seen := map[string]bool{}
	out.Reset = !v.ChangedSince(placement.Revision(since), func(c fsm.Change) bool {
		if c.Kind != fsm.ChangeChain || !strings.HasPrefix(c.ID, prefix) || seen[c.ID] {
			return true
		}
		if len(seen) == limit {
			out.Revision = uint64(c.Revision) - 1
			return false
		}
		seen[c.ID] = true
		if chain := v.Chain(placement.ChainID(c.ID)); chain != nil {
			out.Chains = append(out.Chains, renderChain(v, chain))
		} else {
			out.Deleted = append(out.Deleted, c.ID)
		}
		return true
	})
	return out
}

// batchChains splits the chains, in order, into entries of the log, each with
// a request of its own, so that a retry goes on where the first try ended
// (rule S20).
func (s *Server) batchChains(ctx context.Context, _ *WriteParams) (*api.BatchResults, error) {
	x := exchangeOf(ctx)
	var body api.BatchPut
	if err := x.decode(&body, false); err != nil {
		return nil, err
	}
	if len(body.Chains) > api.BatchChainsMax {
		return nil, api.InvalidField("chains", "chains: %d given, at most %d are allowed", len(body.Chains), api.BatchChainsMax)
	}
	reason, err := x.reasonOf(body.Reason)
	if err != nil {
		return nil, err
	}
	out := &api.BatchResults{Results: make([]api.BatchResult, len(body.Chains))}
	createOnly, err := x.createOnly()
	if err != nil {
		return nil, err
	}
	entries := splitBatch(body.Chains, createOnly, out.Results)
	for i, entry := range entries {
		req := fsm.Request{Key: entryKey(x.request.Key, i), Hash: x.request.Hash}
		r, err := s.submit(ctx, reason, req, &fsm.PutChains{Items: entry.items})
		if err == nil {
			err = refused(r)
		}
		if err != nil {
			return nil, partly(err, i, len(entries))
		}
		for j, code := range r.Items {
			out.Results[entry.at[j]].Code = api.NullString(code)
		}
	}
	return out, nil
}

// partly tells a client whose batch broke off in the middle what a retry does.
func partly(err error, i, n int) error {
	var p *api.Problem
	if i == 0 || !errors.As(err, &p) {
		return err
	}
	q := *p
	q.Detail += errorf("; %d of %d parts of the batch were applied, a retry with the same Idempotency-Key goes on after them", i, n).Error()
	return &q
}
