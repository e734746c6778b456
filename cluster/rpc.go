package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/transport"
)

// Methods of the node port. Bodies are JSON; unknown fields are ignored, so
// that builds of different ages can talk.
const (
	methodPledge = "pledge" // before there is a cluster
	methodJoin   = "join"   // membership, and the start of a process
	methodReport = "report" // of a holder loop
	methodLeave  = "leave"
	methodProbe  = "probe"
	methodTerm   = "term" // for linearizable reads
	methodPace   = "pace" // the heartbeat that a voter can bear, and shall have
)

// codeNotLeader is answered by a node that does not lead; the detail is the
// leader's node address, "" if it knows none.
const codeNotLeader = "not-leader"

// Limits of a body where less than [transport.RPCBodyMax] is enough: decoded it
// takes up to a hundred times as much memory. Who pledges writes the proposal
// into a file, and must be able to read it again.
const (
	pledgeBytesMax = 128 << 10
	callBytesMax   = fsm.BatchBytesMax
)

// bodyMax returns how long a request or an answer of a method may be.
func bodyMax(method string) int {
	switch method {
	case methodPledge:
		return pledgeBytesMax
	case methodReport:
		return transport.RPCBodyMax
	}
	return callBytesMax
}

// leaderCallTimeout bounds one call of the leader.
const leaderCallTimeout = 10 * time.Second

// serveCall answers one rpc. Who is no member, or talks to one who is none,
// may only find its way into a cluster (rule S15).
func (n *Node) serveCall(ctx context.Context, peer transport.Identity, method string, body []byte) ([]byte, error) {
	if most := bodyMax(method); len(body) > most {
		return nil, &transport.RPCError{Code: transport.RPCCodeTooLarge, Detail: fmt.Sprintf("request of %d bytes: method %s takes at most %d", len(body), method, most)}
	}
	switch method {
	case methodPledge:
		return answerCall(ctx, body, n.answerPledge)
	case methodJoin:
		return answerCall(ctx, body, func(ctx context.Context, req joinRequest) (joinAnswer, error) {
			if req.Announce.Instance != peer.Instance || string(req.Announce.Node) != peer.Node {
				return joinAnswer{}, errors.New("a node can only join as itself")
			}
			return n.acceptJoin(ctx, req)
		})
	}
	if peer.ClusterID == "" || peer.ClusterID != n.clusterID() {
		return nil, &transport.RPCError{Code: codeNoMember, Detail: "only members of this cluster may ask that"}
	}
	switch method {
	case methodReport:
		return answerCall(ctx, body, n.acceptReport)
	case methodLeave:
		return answerCall(ctx, body, n.acceptLeave)
	case methodProbe:
		return answerCall(ctx, body, n.answerProbe)
	case methodTerm:
		return answerCall(ctx, body, n.answerTerm)
	case methodPace:
		return answerCall(ctx, body, n.answerPace)
	}
	return nil, &transport.RPCError{Code: transport.RPCCodeInvalid, Detail: fmt.Sprintf("method %q is not known here", method)}
}

// answerCall decodes a request, runs the handler and encodes its answer.
func answerCall[Q, A any](ctx context.Context, body []byte, handle func(context.Context, Q) (A, error)) ([]byte, error) {
	var request Q
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, &transport.RPCError{Code: transport.RPCCodeInvalid, Detail: err.Error()}
	}
	answer, err := handle(ctx, request)
	if err != nil {
		return nil, asRPCError(err)
	}
	return json.Marshal(answer)
}

// asRPCError keeps what a caller can act on.
func asRPCError(err error) error {
	if not, ok := errors.AsType[*NotLeaderError](err); ok {
		e := &transport.RPCError{Code: codeNotLeader}
		if not.Leader != nil {
			e.Detail = not.Leader.Address
		}
		return e
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return &transport.RPCError{Code: string(refused.Code), Detail: refused.Detail}
	}
	return err
}

// call asks one node.
func call[A, Q any](ctx context.Context, n *Node, addr, method string, request Q) (A, error) {
	var answer A
	body, err := json.Marshal(request)
	if err != nil {
		return answer, fmt.Errorf("rpc %s: %w", method, err)
	}
	data, err := transport.Call(ctx, n.mux, addr, method, body)
	if err != nil {
		return answer, err
	}
	if most := bodyMax(method); len(data) > most {
		return answer, fmt.Errorf("rpc %s: answer of %s: %d bytes, at most %d are taken", method, addr, len(data), most)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, fmt.Errorf("rpc %s: answer of %s: %w", method, addr, err)
	}
	return answer, nil
}

// askLeader asks the leader, which may be this node, and follows one hint
// about who that is.
func askLeader[A, Q any](ctx context.Context, n *Node, method string, request Q, local func(context.Context, Q) (A, error)) (A, error) {
	var none A
	if n.reign.Load() != nil {
		return local(ctx, request)
	}
	leader := n.leader()
	if leader == nil || leader.Instance == n.instance() {
		return none, n.notLeader()
	}
	answer, err := call[A](ctx, n, leader.Address, method, request)
	if hint := leaderHint(err); hint != "" && hint != leader.Address {
		answer, err = call[A](ctx, n, hint, method, request)
	}
	return answer, fromWire(err)
}

// leaderHint returns the address that a node which does not lead named.
func leaderHint(err error) string {
	if e, ok := errors.AsType[*transport.RPCError](err); ok && e.Code == codeNotLeader {
		return e.Detail
	}
	return ""
}

// fromWire turns a refusal of another node back into a *RefusedError.
func fromWire(err error) error {
	e, ok := errors.AsType[*transport.RPCError](err)
	if !ok {
		return err
	}
	switch e.Code {
	case codeNotLeader, codeNoMember, transport.RPCCodeFailed, transport.RPCCodeInvalid, transport.RPCCodeTooLarge:
		return err
	}
	return &RefusedError{placement.Code(e.Code), e.Detail}
}
