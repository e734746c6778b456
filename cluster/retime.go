package cluster

import (
	"context"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Times of the heartbeat.
const (
	paceEvery = 2 * time.Second // between two looks of the leader
	// A voter that misses a leader for so long, and for so many heartbeats, asks
	// whether its heartbeat is too short for an election to come to an end.
	patienceMin   = 3 * time.Second
	patienceBeats = 10
	retimeTimeout = 15 * time.Second // for a voter to change its heartbeat and hear of a leader again
)

// keepPace keeps one heartbeat for all voters until ctx ends: the longest that
// one of them asks for (rule S17).
func (r *reign) keepPace(ctx context.Context) {
	var rule pace.Rule
	for sleep(ctx, paceEvery) {
		answers, missing := r.node.askPaces(ctx)
		if ctx.Err() != nil {
			return
		}
		view := r.node.View()
		force := view.Heartbeat
		next, why := rule.Next(r.clock.read(), force.Timeout, r.node.running(), force.Since, r.votes(view, answers), missing > 0)
		if next != force.Timeout {
			r.node.log.Info("another heartbeat for all voters", "heartbeat", next, "was", force.Timeout, "why", why)
			proposing, cancel := context.WithTimeout(ctx, proposeTimeout)
			_, err := r.proposer.propose(proposing, fence{}, r.operation(why, &fsm.SetHeartbeat{Timeout: next}))
			cancel()
			if err != nil {
				continue // the next look proposes it anew
			}
			view = r.node.View()
		}
		if view.Heartbeat.Timeout > 0 {
			r.spread(ctx, view.Heartbeat, answers)
		}
	}
}

// votes lists the answers in the order of the raft configuration.
func (r *reign) votes(view *fsm.View, answers map[string]paceAnswer) []pace.Vote {
	nodes := nodesByInstance(view)
	var votes []pace.Vote
	for _, s := range r.node.votingServers() {
		answer, ok := answers[string(s.ID)]
		if !ok {
			continue
		}
		vote := pace.Vote{Node: placement.NodeID(s.Address), Report: answer.Report}
		if node := nodes[string(s.ID)]; node != nil {
			vote.Node = node.ID
		}
		votes = append(votes, vote)
	}
	return votes
}

// spread brings the heartbeat to the voters that run with another: one at a
// time, each confirmed, those that did not answer when they do again, and this
// one last, after handing leadership over.
func (r *reign) spread(ctx context.Context, to placement.Heartbeat, answers map[string]paceAnswer) {
	self := r.node.instance()
	others := 0
	for _, s := range r.node.votingServers() {
		answer, ok := answers[string(s.ID)]
		if string(s.ID) == self || !ok {
			continue
		}
		others++
		if answer.Running == to.Timeout {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, retimeTimeout)
		answer, err := r.node.askPace(asking, s, paceRequest{Heartbeat: to.Timeout, Why: to.Reason})
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				r.node.log.Warn("a voter did not take the heartbeat; it is asked again", "instance", s.ID, "heartbeat", to.Timeout, "error", err)
			}
			return
		}
		r.node.log.Info("a voter runs with the heartbeat", "instance", s.ID, "heartbeat", answer.Running)
	}
	switch running := r.node.running(); {
	case running == to.Timeout:
	case len(r.node.votingServers()) == 1:
		r.retimeSelf(ctx, to)
	case others == 0:
		// Nobody to hand over to: later.
	default:
		if err := r.node.transfer(ctx, r.raft); err != nil && ctx.Err() == nil {
			r.node.log.Info("leadership is not handed over for the heartbeat; tried again", "error", err)
		}
	}
}

// retimeSelf asks for the heartbeat here, where nobody else may lead. It ends
// this reign and does not wait for that.
func (r *reign) retimeSelf(ctx context.Context, to placement.Heartbeat) {
	select {
	case r.node.retimes <- retiming{to.Timeout, to.Reason, make(chan error, 1)}:
	case <-ctx.Done():
	}
}

// patience helps voters that cannot elect a leader because their heartbeat is
// too short for their disks, until ctx ends. Without a leader nothing can be
// committed, so each voter asks the others and takes the longest that one of
// them needs or runs with; if all have the same, the next step. A standby, which no
// leader asks, takes the one in force: with a shorter one it would lose its leader
// between two beats.
func (n *Node) patience(ctx context.Context) error {
	since := n.cfg.Elapsed()
	for sleep(ctx, time.Second) {
		now, votes := n.cfg.Elapsed(), n.votes()
		if force := n.View().Heartbeat; !votes && force.Timeout > 0 && pace.Step(force.Timeout) != n.running() {
			if err := n.retime(ctx, pace.Step(force.Timeout), force.Reason); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if n.leader() != nil || !votes {
			since = now
			continue
		}
		running := n.running()
		if now-since < max(patienceMin, patienceBeats*running) {
			continue
		}
		since = now
		answers, missing := n.askPaces(ctx)
		if len(answers) <= missing { // no majority is there: that is why
			continue
		}
		longest := time.Duration(0)
		for _, a := range answers {
			longest = max(longest, a.Heartbeat, a.Running)
		}
		longest = pace.Step(longest) // whatever they say, raft must run with it
		if longest <= running {
			longest = pace.Above(running)
		}
		if longest == running || n.leader() != nil {
			continue
		}
		n.log.Warn("no leader is elected though a majority answers: trying a longer heartbeat", "heartbeat", longest, "was", running)
		if err := n.retime(ctx, longest, "no leader was elected with "+running.String()); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// votes tells whether this node is a voter.
func (n *Node) votes() bool {
	for _, s := range n.votingServers() {
		if string(s.ID) == n.instance() {
			return true
		}
	}
	return false
}
