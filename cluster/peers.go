package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Peer is a server of the raft configuration with what the leader's last
// answered probe has shown of it.
type Peer struct {
	Server
	Leader   bool
	Known    bool          // what follows is: only the leader probes
	Match    uint64        // last entry in its log
	Answered time.Duration // how long ago that was
}

// Peers returns the servers of the raft configuration.
func (n *Node) Peers() []Peer {
	status, reign := n.Status(), n.reign.Load()
	peers := make([]Peer, 0, len(status.Servers))
	for _, s := range status.Servers {
		p := Peer{Server: s, Leader: status.Leader != nil && status.Leader.Instance == s.Instance}
		if node := n.View().Node(s.Node); reign != nil && node != nil {
			_, throws := reign.clock.readThrows()
			seen := reign.health.of(s.Node, node.Incarnation, throws)
			if p.Known = !seen.answered.IsZero(); p.Known {
				p.Match, p.Answered = seen.index, time.Since(seen.answered)
			}
		}
		peers = append(peers, p)
	}
	return peers
}

// Transfer hands leadership to another voter, or to one that raft chooses if
// to is "". It commits cluster time first (rule S13). by says who wants it, for
// the log.
func (n *Node) Transfer(ctx context.Context, to placement.NodeID, by string) error {
	r := n.reign.Load()
	if r == nil {
		return n.notLeader()
	}
	if to == n.cfg.Node {
		return nil
	}
	var target *Server
	voters := 0
	for _, s := range n.Status().Servers {
		if s.Voter {
			voters++
		}
		if s.Voter && s.Node == to && to != "" {
			target = &s
		}
	}
	switch {
	case to != "" && target == nil:
		return &RefusedError{placement.Invalid, fmt.Sprintf("to: node %s is no voter", to)}
	case voters == 1:
		return &RefusedError{placement.Invalid, "to: there is no other voter to hand leadership to"}
	}
	n.log.Info("handing leadership over", "to", to, "by", by)
	if _, err := r.proposer.propose(ctx, fence{}); err != nil {
		return err
	}
	if target == nil {
		return n.transfer(ctx, r.raft)
	}
	err := n.await(ctx, func() raft.Future {
		return r.raft.LeadershipTransferToServer(raft.ServerID(target.Instance), raft.ServerAddress(target.Address))
	})
	if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
		return &RefusedError{placement.NotReady, fmt.Sprintf("node %s did not take over: %v", to, err)}
	}
	return err
}
