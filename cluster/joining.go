package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// joinRequest is what a process says of itself at each start: it makes the
// node a member if it is none, and announces the process.
type joinRequest struct {
	Announce fsm.Announce `json:"announce"`
}

// joinAnswer lets the node in. It is given after every older server with the
// node's id or address is out of the raft configuration, committed, and the
// node is in it (rule S14).
type joinAnswer struct {
	ClusterID   string                `json:"cluster_id"`
	Incarnation placement.Incarnation `json:"incarnation"`
	Index       uint64                `json:"index"`               // a view from here on knows the incarnation
	Heartbeat   time.Duration         `json:"heartbeat,omitempty"` // in force, 0 = unknown
}

// leaveRequest takes a node out for good, by its own word.
type leaveRequest struct {
	Node        placement.NodeID      `json:"node"`
	Instance    string                `json:"instance"`
	Incarnation placement.Incarnation `json:"incarnation"`
}

// acceptJoin lets a node in, or refuses it; on the leader.
func (n *Node) acceptJoin(ctx context.Context, req joinRequest) (joinAnswer, error) {
	r := n.reign.Load()
	if r == nil {
		return joinAnswer{}, n.notLeader()
	}
	if err := r.lockMembership(ctx); err != nil {
		return joinAnswer{}, err
	}
	defer r.unlockMembership()
	a := req.Announce
	if a.Addresses.Node == "" {
		return joinAnswer{}, &RefusedError{placement.Invalid, fmt.Sprintf("node %s announced itself without a node address", a.Node)}
	}
	if err := r.makeRoom(ctx, a); err != nil {
		return joinAnswer{}, err
	}
	op := fsm.Op{Actor: nodeActor(a.Node), Reason: "start of a process", Body: &a}
	results, err := r.proposer.propose(ctx, fence{}, op)
	if err != nil {
		return joinAnswer{}, err
	}
	if res := results[0]; !res.OK() {
		return joinAnswer{}, &RefusedError{res.Code, res.Detail}
	}
	if err := r.enlist(ctx, a.Instance, a.Addresses.Node); err != nil {
		return joinAnswer{}, err
	}
	view := n.View()
	return joinAnswer{ClusterID: view.ClusterID, Incarnation: results[0].Incarnation, Index: view.Index, Heartbeat: view.Heartbeat.Timeout}, nil
}

// makeRoom removes every older server with the node's id or address. One that
// may still be alive refuses the newcomer instead.
func (r *reign) makeRoom(ctx context.Context, a fsm.Announce) error {
	nodes := nodesByInstance(r.node.View())
	for _, s := range r.servers() {
		if string(s.ID) == a.Instance {
			continue
		}
		old := nodes[string(s.ID)]
		sameName := old != nil && old.ID == a.Node
		sameAddress := string(s.Address) == a.Addresses.Node || old != nil && old.Addresses.Node == a.Addresses.Node
		if !sameName && !sameAddress {
			continue
		}
		if old != nil && old.State != placement.NodeDead && old.State != placement.NodeLeft {
			return &RefusedError{placement.NodeIDTaken, fmt.Sprintf("node %s at %s is %s and has another data directory: wait until it is dead, or give the new node an id and an address of its own", old.ID, s.Address, old.State)}
		}
		r.node.log.Info("removing an older server", "instance", s.ID, "address", s.Address, "for", a.Node)
		if err := r.change(ctx, "remove server", func(prev uint64) raft.IndexFuture { return r.raft.RemoveServer(s.ID, prev, configTimeout) }); err != nil {
			return err
		}
	}
	return nil
}

// enlist makes sure that the server is in the raft configuration, under that
// address: as a non-voter if it is new. AddNonvoter takes no vote away; of a
// voter it changes the address.
func (r *reign) enlist(ctx context.Context, instance, address string) error {
	id, at := raft.ServerID(instance), raft.ServerAddress(address)
	for _, s := range r.servers() {
		if s.ID == id && s.Address == at {
			return nil
		}
	}
	return r.change(ctx, "add server", func(prev uint64) raft.IndexFuture { return r.raft.AddNonvoter(id, at, prev, configTimeout) })
}

// acceptLeave takes a node out for good; on the leader.
func (n *Node) acceptLeave(ctx context.Context, req leaveRequest) (struct{}, error) {
	r := n.reign.Load()
	if r == nil {
		return struct{}{}, n.notLeader()
	}
	if req.Instance == n.instance() {
		return struct{}{}, errors.New("the leader must hand over before it leaves")
	}
	if err := r.lockMembership(ctx); err != nil {
		return struct{}{}, err
	}
	defer r.unlockMembership()
	op := fsm.Op{Actor: nodeActor(req.Node), Reason: "leaves", Body: &fsm.Leave{Node: req.Node, Instance: req.Instance, Incarnation: req.Incarnation}}
	results, err := r.proposer.propose(ctx, fence{}, op)
	if err != nil {
		return struct{}{}, err
	}
	if res := results[0]; !res.OK() {
		return struct{}{}, &RefusedError{res.Code, res.Detail}
	}
	return struct{}{}, r.dismiss(ctx, req.Instance)
}

// dismiss takes a server out of the raft configuration, if it is in it.
func (r *reign) dismiss(ctx context.Context, instance string) error {
	for _, s := range r.servers() {
		if string(s.ID) == instance {
			return r.change(ctx, "remove server", func(prev uint64) raft.IndexFuture { return r.raft.RemoveServer(s.ID, prev, configTimeout) })
		}
	}
	return nil
}

// Leave takes this node out of the cluster for good: its copies count as lost
// at once and are made anew elsewhere. A leader hands over first. Run should
// be ended afterwards.
func (n *Node) Leave(ctx context.Context) error {
	for {
		err := n.tryLeave(ctx)
		refused, no := errors.AsType[*RefusedError](err)
		if err == nil || no {
			if no {
				return refused
			}
			n.left.Store(true)
			return nil
		}
		if !sleep(ctx, retryPause(1)) {
			return fmt.Errorf("leave the cluster: %w", err)
		}
	}
}

func (n *Node) tryLeave(ctx context.Context) error {
	live := n.live.Load()
	if live == nil {
		return ErrStopped
	}
	if n.reign.Load() != nil {
		if len(n.Status().Voters) == 1 {
			return &RefusedError{placement.LastCopy, "this node is the only voter: add another server before it leaves"}
		}
		if err := n.transfer(ctx, live.raft()); err != nil {
			return err
		}
	}
	_, err := askLeader(ctx, n, methodLeave, leaveRequest{n.cfg.Node, n.instance(), n.ownIncarnation()}, n.acceptLeave)
	return err
}

// retryPause is how long to wait after the nth failure in a row: 50 ms
// doubling to about 5 s, with jitter so that a cluster does not ask in step.
func retryPause(failures int) time.Duration {
	pause := min(50*time.Millisecond<<min(failures-1, 7), 5*time.Second)
	return pause/2 + rand.N(pause)
}
