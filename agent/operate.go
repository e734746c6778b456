package agent

import (
	"context"
	"io"

	"github.com/holdfast-cluster/holdfast/api/server"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/placement"
)

var _ server.Operator = bridge{}

// Raft implements server.Operator.
func (b bridge) Raft() server.Raft {
	s := b.node.Status()
	out := server.Raft{Index: s.Index, CommitIndex: s.CommitIndex}
	for _, p := range b.node.Peers() {
		out.Servers = append(out.Servers, server.RaftServer{
			Node: p.Node, Instance: p.Instance, Address: p.Address, Voter: p.Voter, Leader: p.Leader,
			Known: p.Known, Match: p.Match, LastContact: p.Answered,
		})
	}
	return out
}

// Transfer implements server.Operator.
func (b bridge) Transfer(ctx context.Context, to placement.NodeID, by string) error {
	return inServersWords(b.node.Transfer(ctx, to, by))
}

// Restore implements server.Operator.
func (b bridge) Restore(ctx context.Context, saved io.Reader, wish server.Restoration) error {
	return inServersWords(b.node.Restore(ctx, saved, cluster.Restoration(wish)))
}
