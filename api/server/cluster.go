package server

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

func (s *Server) addClusterRoutes() {
	handle(s, route{method: http.MethodGet, path: "/v1/status", id: "get-status", summary: "The cluster as the node asked sees it", kind: read, stale: true}, s.getStatus)
	act := func(path, id, summary string, body any, h func(context.Context, *WriteParams) (*api.Done, error)) {
		handle(s, route{method: http.MethodPost, path: path, id: id, summary: summary, kind: write, body: body}, h)
	}
	act("/v1/freeze", "freeze", "Stop the opening of moves", api.FreezeRequest{}, s.freeze)
	act("/v1/thaw", "thaw", "End a freeze", api.Act{}, s.act(&fsm.Thaw{}))
	act("/v1/repair/resume", "resume-repair", "End a repair pause", api.Act{}, s.act(&fsm.ResumeRepair{}))
	act("/v1/snapshot/release", "release-snapshot", "End the guard that a restore set", api.Act{}, s.act(&fsm.ReleaseGuard{}))
}

// act is a route that commits one fixed operation.
func (s *Server) act(op fsm.Body) func(context.Context, *WriteParams) (*api.Done, error) {
	return func(ctx context.Context, _ *WriteParams) (*api.Done, error) {
		x := exchangeOf(ctx)
		var body api.Act
		if err := x.decode(&body, true); err != nil {
			return nil, err
		}
		reason, err := x.reasonOf(body.Reason)
		if err != nil {
			return nil, err
		}
		r, err := s.propose(ctx, reason, op)
		if err != nil {
			return nil, err
		}
		return done(r), nil
	}
}

func (s *Server) freeze(ctx context.Context, _ *WriteParams) (*api.Done, error) {
	x := exchangeOf(ctx)
	var body api.FreezeRequest
	if err := x.decode(&body, true); err != nil {
		return nil, err
	}
	reason, err := x.reasonOf(body.Reason)
	if err != nil {
		return nil, err
	}
	op := &fsm.SetFreeze{}
	if body.For != nil {
		if op.For = time.Duration(*body.For); op.For <= 0 || op.For > placement.DurationMax {
			return nil, api.InvalidField("for", "for: %v is not above 0s and at most %v", op.For, placement.DurationMax)
		}
	}
	r, err := s.propose(ctx, reason, op)
	if err != nil {
		return nil, err
	}
	return done(r), nil
}

// getStatus answers from the node's own state unless asked otherwise: it has
// to work without a leader, and to say what this node sees.
func (s *Server) getStatus(ctx context.Context, _ *ReadParams) (*api.ClusterStatus, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	status := s.cfg.Leadership.Status()
	out := &api.ClusterStatus{
		Cluster: api.Cluster{ID: v.ClusterID, Name: v.ClusterName, Lineage: v.Lineage, FeatureLevel: v.FeatureLevel},
		Node:    string(status.Node), Version: s.cfg.Version, Term: status.Term, Index: v.Index,
		Revision: uint64(v.Revision), ClusterTime: api.ClusterTime(v.Now), Nodes: countNodes(v),
		Voters: texts(status.Voters), Chains: s.tally.of(v), MovesOpen: v.OpenMoves.Total, Orphans: v.OrphanCount(),
	}
	if l := status.Leader; l != nil {
		out.Leader = &api.Leader{Node: string(l.Node), HTTP: l.HTTP}
	}
	if f := v.Freeze; f != nil {
		out.Freeze = &api.Freeze{Reason: f.Reason, Actor: f.Actor, Since: api.ClusterTime(f.Since), Until: api.ClusterTime(f.Until)}
	}
	if p := v.RepairPause; p != nil {
		out.RepairPause = &api.RepairPause{Since: api.ClusterTime(p.Since), Until: api.ClusterTime(p.Until), Nodes: texts(p.Nodes)}
	}
	if v.RestoreGuard != nil {
		out.RestoreGuard = &api.Guard{Missing: texts(v.RestoreGuard)}
	}
	if h := v.Heartbeat; h.Timeout > 0 {
		out.Heartbeat = &api.Heartbeat{Timeout: api.Duration(h.Timeout), Reason: h.Reason, Since: api.ClusterTime(h.Since)}
	}
	return out, nil
}

func countNodes(v *fsm.View) (out api.NodeCounts) {
	v.Nodes.Ascend("", func(_ placement.NodeID, n *placement.Node) bool {
		switch n.State {
		case placement.NodeAlive:
			out.Alive++
		case placement.NodeSuspect:
			out.Suspect++
		case placement.NodeSick:
			out.Sick++
		case placement.NodeDead:
			out.Dead++
		case placement.NodeLeft:
		}
		return true
	})
	return out
}
