package server

import (
	"context"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// view returns the state that a read is answered from, at the consistency
// asked for and, of a blocking read, once it is newer than the revision.
func (s *Server) view(ctx context.Context) (*fsm.View, error) {
	x := exchangeOf(ctx)
	v, err := s.readOnce(ctx, x)
	if err != nil {
		return nil, err
	}
	if x.blocking {
		v = s.await(ctx, x, v, x.revision, func(v *fsm.View) bool { return uint64(v.Revision) > x.revision })
	}
	s.stamp(x, v)
	return v, nil
}

// readOnce returns the state at the consistency asked for, without waiting
// for news.
func (s *Server) readOnce(ctx context.Context, x *exchange) (*fsm.View, error) {
	if x.level == api.Stale {
		return s.own(x)
	}
	short, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	v, err := s.cfg.State.Read(short, x.level == api.Linearizable)
	if err != nil && short.Err() != nil && x.r.Context().Err() == nil {
		return nil, ErrNotLeader
	}
	return v, err
}

// own returns the node's own state. A node that replays its log, or whose
// cluster is not founded yet, has none at first: an empty state would deny
// every chain, so only the route that tells how the node is answers from it.
func (s *Server) own(x *exchange) (*fsm.View, error) {
	v := s.cfg.State.View()
	if v.Lineage == "" && !x.route.stale {
		return nil, api.NewProblem(api.NotReady, "this node has no state yet, it replays its log or waits for its cluster to be founded: ask another, or retry in a moment")
	}
	return v, nil
}

// await waits until ready answers true, at most as long as the client wants.
// A client that speaks of another lineage, or of a revision that the leader
// has not reached, is answered at once (rule S21).
func (s *Server) await(ctx context.Context, x *exchange, v *fsm.View, since uint64, ready func(*fsm.View) bool) *fsm.View {
	if since > uint64(v.Revision) && (x.level != api.Stale || s.cfg.Leadership.Status().IsLeader) {
		return v
	}
	lineage := v.Lineage
	if x.lineage != "" && x.lineage != lineage {
		return v
	}
	timer := time.NewTimer(x.wait)
	defer timer.Stop()
	for !ready(v) && v.Lineage == lineage {
		select {
		case <-v.Next():
			v = s.cfg.State.View()
		case <-timer.C:
			return v
		case <-ctx.Done():
			return v
		}
	}
	return v
}

// stamp writes the headers that every read carries.
func (s *Server) stamp(x *exchange, v *fsm.View) {
	status := s.cfg.Leadership.Status()
	h := x.w.Header()
	h.Set(api.HeaderRevision, strconv.FormatUint(uint64(v.Revision), 10))
	h.Set(api.HeaderLineage, v.Lineage)
	h.Set(api.HeaderKnownLeader, strconv.FormatBool(status.Leader != nil))
	h.Set(api.HeaderLastContact, status.LastContact.Truncate(time.Millisecond).String())
}

// chainOr404 reads the state and one chain of it.
func (s *Server) chainOr404(ctx context.Context, id string) (*fsm.View, *placement.Chain, error) {
	cid, err := chainID("id", id)
	if err != nil {
		return nil, nil, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, nil, err
	}
	c := v.Chain(cid)
	if c == nil {
		return nil, nil, unknownChain(cid)
	}
	return v, c, nil
}

// nodeOr404 reads the state and one node of it.
func (s *Server) nodeOr404(ctx context.Context, id string) (*fsm.View, *placement.Node, error) {
	nid, err := nodeID("id", id)
	if err != nil {
		return nil, nil, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, nil, err
	}
	n := v.Node(nid)
	if n == nil {
		return nil, nil, unknownNode(nid)
	}
	return v, n, nil
}
