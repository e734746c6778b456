package server

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Inputs of the node routes.
type (
	nodesRead struct {
		ReadParams
		PageParams
	}
	nodeRead struct {
		IDParam
		ReadParams
	}
	nodeWrite struct {
		IDParam
		WriteParams
	}
)

// Telemetry knows what nodes last said of themselves.
type Telemetry interface {
	Facts() placement.Facts
}

// node shows a node as this server knows it.
func (s *Server) node(v *fsm.View, n *placement.Node) api.Node {
	status := s.cfg.Leadership.Status()
	return renderNode(v, n, &status, s.facts())
}

func (s *Server) facts() placement.Facts {
	if s.cfg.Telemetry == nil {
		return placement.Facts{}
	}
	return s.cfg.Telemetry.Facts()
}

func (s *Server) addNodeRoutes() {
	handle(s, route{method: http.MethodGet, path: "/v1/nodes", id: "list-nodes", summary: "List nodes", kind: read}, s.getNodes)
	handle(s, route{method: http.MethodGet, path: "/v1/nodes/{id}", id: "get-node", summary: "Show a node", kind: read}, s.getNode)
	act := func(method, tail, id, summary string, body any, h func(context.Context, *nodeWrite) (*api.Node, error)) {
		handle(s, route{method: method, path: "/v1/nodes/{id}/" + tail, id: id, summary: summary, kind: write, body: body}, h)
	}
	act(http.MethodPost, "cordon", "cordon-node", "Keep new copies from a node", api.Act{}, s.cordon)
	act(http.MethodPost, "uncordon", "uncordon-node", "Make a node eligible again", api.Act{}, s.uncordon)
	act(http.MethodPost, "weight", "weigh-node", "Set the share a node should take", api.WeightRequest{}, s.weigh)
	act(http.MethodPost, "drain", "drain-node", "Move all copies away", api.DrainRequest{}, s.drain)
	act(http.MethodDelete, "drain", "cancel-drain", "End a drain, leave the node cordoned", api.Act{}, s.cancelDrain)
	act(http.MethodPost, "maintenance", "maintain-node", "Begin or end maintenance", api.MaintenanceRequest{}, s.maintenance)
	handle(s, route{method: http.MethodDelete, path: "/v1/nodes/{id}", id: "remove-node", summary: "Forget a node that is dead or has left", kind: write, body: api.NodeRemoval{}}, s.removeNode)
}

func (s *Server) getNodes(ctx context.Context, in *nodesRead) (*api.NodeList, error) {
	limit, err := pageLimit(in.Limit)
	if err != nil {
		return nil, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	status, facts := s.cfg.Leadership.Status(), s.facts()
	out := &api.NodeList{Nodes: []api.Node{}}
	v.Nodes.Ascend(placement.NodeID(firstAfter("", in.After)), func(_ placement.NodeID, n *placement.Node) bool {
		if len(out.Nodes) == limit {
			out.Next = api.NullString(out.Nodes[limit-1].ID)
			return false
		}
		out.Nodes = append(out.Nodes, renderNode(v, n, &status, facts))
		return true
	})
	return out, nil
}

func (s *Server) getNode(ctx context.Context, in *nodeRead) (*api.Node, error) {
	v, n, err := s.nodeOr404(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return new(s.node(v, n)), nil
}

// nodeAct commits an operation about a node and shows the node as it is then.
func (s *Server) nodeAct(ctx context.Context, id placement.NodeID, reason api.NullString, op fsm.Body) (*api.Node, error) {
	words, err := exchangeOf(ctx).reasonOf(reason)
	if err != nil {
		return nil, err
	}
	if _, err := s.propose(ctx, words, op); err != nil {
		return nil, err
	}
	v := s.cfg.State.View()
	n := v.Node(id)
	if n == nil {
		return nil, unknownNode(id)
	}
	return new(s.node(v, n)), nil
}

// setEligibility reads a body that has nothing but a reason.
func (s *Server) setEligibility(ctx context.Context, id string, to placement.Eligibility) (*api.Node, error) {
	nid, err := nodeID("id", id)
	if err != nil {
		return nil, err
	}
	var body api.Act
	if err := exchangeOf(ctx).decode(&body, true); err != nil {
		return nil, err
	}
	return s.nodeAct(ctx, nid, body.Reason, &fsm.SetEligibility{Node: nid, Eligibility: to})
}

func (s *Server) cordon(ctx context.Context, in *nodeWrite) (*api.Node, error) {
	return s.setEligibility(ctx, in.ID, placement.Cordoned)
}

func (s *Server) uncordon(ctx context.Context, in *nodeWrite) (*api.Node, error) {
	return s.setEligibility(ctx, in.ID, placement.Eligible)
}

func (s *Server) weigh(ctx context.Context, in *nodeWrite) (*api.Node, error) {
	nid, err := nodeID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.WeightRequest
	if err := exchangeOf(ctx).decode(&body, false); err != nil {
		return nil, err
	}
	if body.Weight == nil || *body.Weight < 0 || *body.Weight > 1 {
		return nil, api.InvalidField("weight", "weight: give a number from 0 to 1")
	}
	weight, _ := placement.ScoreOf(*body.Weight)
	return s.nodeAct(ctx, nid, body.Reason, &fsm.SetWeight{Node: nid, Weight: weight})
}

func (s *Server) drain(ctx context.Context, in *nodeWrite) (*api.Node, error) {
	nid, err := nodeID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.DrainRequest
	if err := exchangeOf(ctx).decode(&body, true); err != nil {
		return nil, err
	}
	op := &fsm.SetEligibility{Node: nid, Eligibility: placement.Draining}
	if body.Deadline != nil {
		if op.Deadline = time.Duration(*body.Deadline); op.Deadline <= 0 || op.Deadline > placement.DurationMax {
			return nil, api.InvalidField("deadline", "deadline: %v is not above 0s and at most %v", op.Deadline, placement.DurationMax)
		}
	}
	return s.nodeAct(ctx, nid, body.Reason, op)
}

// cancelDrain leaves the node cordoned. A node that is not draining is left as
// it is: cancelling twice is no error.
func (s *Server) cancelDrain(ctx context.Context, in *nodeWrite) (*api.Node, error) {
	return s.unless(ctx, in.ID, s.cordon, placement.Draining, placement.Drained, placement.DrainFailed)
}

// unless does the act if the node's eligibility is one of those named, and
// else only shows the node.
func (s *Server) unless(ctx context.Context, id string, act func(context.Context, *nodeWrite) (*api.Node, error), when ...placement.Eligibility) (*api.Node, error) {
	nid, err := nodeID("id", id)
	if err != nil {
		return nil, err
	}
	v, err := s.cfg.State.Read(ctx, false)
	if err != nil {
		return nil, err
	}
	n := v.Node(nid)
	if n == nil {
		return nil, unknownNode(nid)
	}
	if slices.Contains(when, n.Eligibility) {
		return act(ctx, &nodeWrite{IDParam: IDParam{ID: id}})
	}
	s.stamp(exchangeOf(ctx), v)
	return new(s.node(v, n)), nil
}

func (s *Server) maintenance(ctx context.Context, in *nodeWrite) (*api.Node, error) {
	nid, err := nodeID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.MaintenanceRequest
	if err := exchangeOf(ctx).decode(&body, true); err != nil {
		return nil, err
	}
	set := func(to placement.Eligibility) (*api.Node, error) {
		return s.nodeAct(ctx, nid, body.Reason, &fsm.SetEligibility{Node: nid, Eligibility: to})
	}
	if !body.End {
		return set(placement.Maintenance)
	}
	end := func(context.Context, *nodeWrite) (*api.Node, error) { return set(placement.Eligible) }
	return s.unless(ctx, in.ID, end, placement.Maintenance)
}

func (s *Server) removeNode(ctx context.Context, in *nodeWrite) (*api.Done, error) {
	x := exchangeOf(ctx)
	nid, err := nodeID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.NodeRemoval
	if err := x.decode(&body, true); err != nil {
		return nil, err
	}
	reason, err := x.reasonOf(body.Reason)
	if body.AllowDataLoss {
		if p := x.require(api.RoleAdmin, "allow_data_loss"); p != nil {
			return nil, p
		}
		reason, err = x.mustReason(body.Reason, "allow_data_loss")
	}
	if err != nil {
		return nil, err
	}
	r, err := s.propose(ctx, reason, &fsm.RemoveNode{Node: nid, AllowDataLoss: body.AllowDataLoss})
	if err != nil {
		return nil, err
	}
	return done(r), nil
}
