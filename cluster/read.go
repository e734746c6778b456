package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
)

// Consistency says how fresh a read must be (rule S21).
type Consistency string

// Consistencies. Stale is the local state. Leader is the leader's, after its
// barrier, without asking a quorum: it may be old after a pause or a
// partition. Linearizable asks a majority of the voters.
const (
	Stale        Consistency = "stale"
	FromLeader   Consistency = "leader"
	Linearizable Consistency = "linearizable"
)

// Propose puts operations into the log and returns their answers in order,
// once they are committed and applied here. Only the leader can; others
// return a *NotLeaderError. An error that wraps ErrOutcomeUnknown leaves open
// whether they were applied.
func (n *Node) Propose(ctx context.Context, ops ...fsm.Op) ([]fsm.Result, error) {
	r := n.reign.Load()
	if r == nil {
		return nil, n.notLeader()
	}
	return r.proposer.propose(ctx, fence{}, ops...)
}

// Read returns a view that is as fresh as the consistency asks. On a node that
// does not lead, only stale reads succeed; others return a *NotLeaderError.
func (n *Node) Read(ctx context.Context, c Consistency) (*fsm.View, error) {
	if c == Stale {
		return n.View(), nil
	}
	r := n.reign.Load()
	if r == nil {
		return nil, n.notLeader()
	}
	if c != Linearizable {
		return n.View(), nil
	}
	index := r.raft.CommitIndex()
	if err := r.proofs.get(ctx); err != nil {
		return nil, err
	}
	return n.appliedTo(ctx, index)
}

// appliedTo waits until the local state has every operation up to index.
func (n *Node) appliedTo(ctx context.Context, index uint64) (*fsm.View, error) {
	for {
		view := n.View()
		last, err := n.lastOperation(view.Index, index)
		if err != nil {
			return nil, err
		}
		if view.Index >= last {
			return view, nil
		}
		select {
		case <-view.Next():
		case <-ctx.Done():
			return nil, fmt.Errorf("the state is at %d and waits for %d: %w", view.Index, last, ctx.Err())
		}
	}
}

// lastOperation returns the last index in (applied, index] that holds an
// operation; raft's own entries never reach the state. Without one, or when a
// snapshot has replaced the entries, it is applied.
func (n *Node) lastOperation(applied, index uint64) (uint64, error) {
	store := n.live.Load().store
	for ; index > applied; index-- {
		var entry raft.Log
		err := store.GetLog(index, &entry)
		switch {
		case errors.Is(err, raft.ErrLogNotFound):
			return applied, nil
		case err != nil:
			return 0, err
		case entry.Type == raft.LogCommand:
			return index, nil
		}
	}
	return applied, nil
}

// LeaderChanged returns a channel that closes when the node may have learnt of
// another leader, or of another term, than [Node.Status] shows now.
func (n *Node) LeaderChanged() <-chan struct{} { return n.leaders.heard() }
