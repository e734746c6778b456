package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Operator is what an operator does to the cluster beneath the state.
type Operator interface {
	// Raft returns the raft configuration as this node knows it.
	Raft() Raft
	// Transfer hands leadership to a voter, "" = any. Only the leader can.
	Transfer(ctx context.Context, to placement.NodeID, by string) error
	// Restore replaces the state by a saved snapshot (rule S5). Only the leader
	// can.
	Restore(ctx context.Context, saved io.Reader, wish Restoration) error
}

// Restoration says how a snapshot is to be restored.
type Restoration struct {
	By      string // who restores it, and why
	Foreign bool   // it may be of another cluster
}

// Raft is the raft configuration and how far this node is in its log.
type Raft struct {
	Index       uint64
	CommitIndex uint64
	Servers     []RaftServer
}

// RaftServer is a member of the raft configuration.
type RaftServer struct {
	Node          placement.NodeID // "" = it has never announced itself
	Instance      string
	Address       string
	Voter, Leader bool
	Known         bool          // what follows is: only the leader knows it
	Match         uint64        // last entry in its log
	LastContact   time.Duration // ago
}

func (s *Server) addOperatorRoutes() {
	const path = "/v1/snapshot"
	s.plain(route{method: http.MethodGet, path: path, id: "get-snapshot", summary: "Save the state", long: true},
		[]string{"consistency", "timeout"}, s.getSnapshot)
	s.plain(route{method: http.MethodPut, path: path, id: "put-snapshot", summary: "Restore a saved state, under a new lineage", long: true},
		[]string{"timeout", "reason", "foreign"}, s.putSnapshot)
	handle(s, route{method: http.MethodGet, path: "/v1/raft", id: "get-raft", summary: "The servers that take part in consensus", kind: read, stale: true}, s.getRaft)
	handle(s, route{method: http.MethodPost, path: "/v1/raft/transfer", id: "transfer-leadership", summary: "Hand leadership to another voter", kind: write, body: api.TransferRequest{}}, s.transfer)
}

// getSnapshot streams the node's own state once it is as new as asked. The
// snapshot ends with a checksum of all of it.
func (s *Server) getSnapshot(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	v, err := s.catchUp(x)
	switch {
	case err != nil:
		return err
	case v.ClusterID == "":
		return api.NewProblem(api.NotReady, "the cluster has not been founded yet")
	}
	s.stamp(x, v)
	w.Header().Set(api.HeaderCluster, v.ClusterID)
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := v.WriteTo(w); err != nil {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	return nil
}

// putSnapshot restores here if this node leads, and otherwise sends the bytes
// on to the leader as they come, once: they cannot be had again.
func (s *Server) putSnapshot(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	wish, err := s.restoration(x, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), x.timeout)
	defer cancel()
	leader, err := s.cfg.Leadership.WaitLeader(ctx)
	if err != nil {
		return noAnswer(false, x.timeout)
	}
	// The whole body has to arrive within the time of a slow line, and what nobody
	// reads of it too: net/http ends the limit where the body ends.
	patience := s.limits.BodyTimeout + time.Duration(r.ContentLength/bodyBytesSecond)*time.Second
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)) // a request of this process has no connection
	switch {
	case s.cfg.Leadership.Status().IsLeader:
		err = s.restoreHere(w, r, x, wish)
	case x.forwarded:
		err = ErrNotLeader
	default:
		err = s.restoreThere(w, r, x, leader)
	}
	if errors.Is(err, ErrOutcomeUnknown) {
		return api.NewProblem(api.OutcomeUnknown, "the snapshot may or may not have been restored: look whether the lineage in /v1/status has changed before you send it again")
	}
	return err
}

// restoration checks all that can be told before the first byte.
func (s *Server) restoration(x *exchange, r *http.Request) (Restoration, error) {
	v := s.cfg.State.View()
	foreign := r.URL.Query().Get("foreign")
	confirm := r.Header.Get(api.HeaderConfirm)
	reason, err := x.reasonOf("")
	switch {
	case err != nil:
		return Restoration{}, err
	case v.ClusterID == "":
		return Restoration{}, api.NewProblem(api.NotReady, "the cluster has not been founded yet")
	case confirm != v.ClusterID:
		return Restoration{}, api.InvalidField(api.HeaderConfirm, "%s: a restore replaces the state of the whole cluster: give the cluster's id, %s, not %.80q", api.HeaderConfirm, v.ClusterID, confirm)
	case foreign != "" && foreign != "0" && foreign != "1":
		return Restoration{}, api.InvalidField("foreign", "foreign: %.40q is neither 0 nor 1", foreign)
	case r.ContentLength < 0:
		return Restoration{}, api.NewProblem(api.LengthRequired, "a snapshot needs its Content-Length")
	case r.ContentLength > api.SnapshotBytesMax:
		return Restoration{}, api.NewProblem(api.TooLarge, "the snapshot has %d bytes, at most %d are taken", r.ContentLength, int64(api.SnapshotBytesMax))
	case x.lineage != "" && x.lineage != v.Lineage:
		return Restoration{}, api.NewProblem(api.StaleGeneration, "the cluster is of lineage %s, not %s: a snapshot has been restored meanwhile", v.Lineage, x.lineage)
	}
	return Restoration{By: s.signature(r.Context(), reason), Foreign: foreign == "1"}, nil
}

// signature says who acts and why, for the node's log: what is no operation
// leaves no other trace.
func (s *Server) signature(ctx context.Context, reason string) string {
	if reason == "" {
		return actor(ctx)
	}
	return actor(ctx) + ": " + reason
}

func (s *Server) restoreHere(w http.ResponseWriter, r *http.Request, x *exchange, wish Restoration) error {
	if err := s.cfg.Operator.Restore(r.Context(), r.Body, wish); err != nil {
		return err //nolint:wrapcheck // it is put into words by problem
	}
	v := s.cfg.State.View()
	s.stamp(x, v)
	writeJSON(w, http.StatusOK, "application/json", api.Restored{Lineage: v.Lineage, Revision: uint64(v.Revision), Missing: texts(v.RestoreGuard)})
	return nil
}

func (s *Server) restoreThere(w http.ResponseWriter, r *http.Request, x *exchange, leader Leader) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	self, unwatch := s.watchLeader(leader, cancel)
	defer unwatch()
	out := s.outgoing(ctx, x, leader, self)
	out.Body, out.ContentLength = r.Body, r.ContentLength
	resp, code := s.roundTrip(ctx, out, true)
	switch code {
	case "":
	case api.OutcomeUnknown:
		return ErrOutcomeUnknown
	default:
		return noAnswer(false, x.timeout)
	}
	defer resp.Body.Close()
	copyHead(w, resp)
	_, _ = io.Copy(w, resp.Body) // the client is gone if this fails
	return nil
}

func (s *Server) getRaft(ctx context.Context, _ *ReadParams) (*api.RaftState, error) {
	if _, err := s.view(ctx); err != nil {
		return nil, err
	}
	status, raft := s.cfg.Leadership.Status(), s.cfg.Operator.Raft()
	out := &api.RaftState{
		Node: string(status.Node), Term: status.Term, Index: raft.Index, CommitIndex: raft.CommitIndex,
		Servers: list(raft.Servers, renderServer),
	}
	if l := status.Leader; l != nil {
		out.Leader = &api.Leader{Node: string(l.Node), HTTP: l.HTTP}
	}
	return out, nil
}

func renderServer(r RaftServer) api.RaftServer {
	out := api.RaftServer{Node: api.NullString(r.Node), Instance: r.Instance, Address: r.Address, Voter: r.Voter, Leader: r.Leader}
	if r.Known {
		ago := api.Seconds(r.LastContact)
		out.Match, out.LastContact = &r.Match, &ago
	}
	return out
}

func (s *Server) transfer(ctx context.Context, _ *WriteParams) (*api.Done, error) {
	x := exchangeOf(ctx)
	var body api.TransferRequest
	if err := x.decode(&body, true); err != nil {
		return nil, err
	}
	reason, err := x.reasonOf(body.Reason)
	if err != nil {
		return nil, err
	}
	var to placement.NodeID
	if body.To != "" {
		if to, err = nodeID("to", string(body.To)); err != nil {
			return nil, err
		}
	}
	if err := s.cfg.Operator.Transfer(ctx, to, s.signature(ctx, reason)); err != nil {
		return nil, err //nolint:wrapcheck // it is put into words by problem
	}
	v := s.cfg.State.View()
	s.stamp(x, v)
	return &api.Done{Revision: uint64(v.Revision)}, nil
}
