package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
)

// Times of a follower that may have lost its leader, as shares of the heartbeat.
const (
	vacantShare = 15 // between two looks at the leader's port
	turnShare   = 10 // between the starts of two candidates, so that they do not split the votes
)

// bereft watches for the death of the leader's process, until ctx ends, so that
// the election need not wait for the timeout. When a process dies its streams
// end, and its port refuses: either alone says nothing, a network cuts streams
// and a busy host is slow to accept. What follows is no more than a heartbeat
// timeout that is one lease, for one round.
func (n *Node) bereft(ctx context.Context) error {
	live := n.live.Load()
	for ctx.Err() == nil {
		hungUp, e := n.hangups.heard(), live.engine.Load()
		if _, leader := e.raft.LeaderWithID(); leader != "" && e.raft.State() == raft.Follower && e.streams.from(leader) == 0 {
			n.mourn(ctx, e, leader)
		}
		select {
		case <-hungUp:
		case <-ctx.Done():
		}
	}
	return nil
}

// mourn shortens this follower's heartbeat timeout to the lease for one round, if
// the leader's port refuses, and nothing is heard of the leader for a lease.
func (n *Node) mourn(ctx context.Context, e *engine, leader raft.ServerID) {
	began, lease := time.Now(), pace.Lease(e.heartbeat)
	silent := func() bool {
		_, now := e.raft.LeaderWithID()
		return now == leader && e.raft.State() == raft.Follower && e.streams.from(leader) == 0 &&
			e.raft.LastContact().Before(began) && n.live.Load().engine.Load() == e
	}
	turn, votes := n.turn(leader)
	dialing, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	for votes && !n.mux.Vacant(dialing, n.addressOf(string(leader))) {
		if !silent() || !sleep(dialing, e.heartbeat/vacantShare) {
			return
		}
	}
	if !votes || !sleep(ctx, time.Until(began.Add(lease))+time.Duration(turn)*e.heartbeat/turnShare) || !silent() {
		return
	}
	usual := e.raft.ReloadableConfig()
	short := usual
	short.HeartbeatTimeout, short.ElectionTimeout = lease, lease
	n.log.Info("the leader's process has ended: not waiting for its heartbeat", "leader", leader, "after", time.Since(began))
	if err := e.raft.ReloadConfig(short); err != nil {
		n.log.Warn("raft does not take a shorter heartbeat for a round", "error", err)
		return
	}
	sleep(ctx, e.heartbeat)
	if err := e.raft.ReloadConfig(usual); err != nil {
		n.log.Warn("raft does not take its heartbeat back", "error", err)
	}
}

// turn returns when this voter may start an election after the leader's death,
// counted in turns; votes is false if it is none. The first ones, which are no
// majority even together, begin at once: they only must have given the leader
// up before another asks for their votes.
func (n *Node) turn(leader raft.ServerID) (turn int, votes bool) {
	servers, before := n.votingServers(), 0
	for _, s := range servers {
		switch string(s.ID) {
		case n.instance():
			return max(before+1-len(servers)/2, 0), true
		case string(leader):
		default:
			before++
		}
	}
	return 0, false
}
