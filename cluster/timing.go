package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Times of measuring.
const (
	lagEvery    = 100 * time.Millisecond
	firstWrites = 5 // with which a disk is measured of which nothing is known
)

// lag is how late timers fire under load: the leader's beats and the followers'
// patience are timers.
type lag struct{ worst pace.Worst }

// watch measures until ctx ends.
func (l *lag) watch(ctx context.Context) error {
	for due := time.Now().Add(lagEvery); sleep(ctx, time.Until(due)); {
		now := time.Now()
		if late := now.Sub(due); late < pace.Pause {
			l.worst.Add(now, late)
		}
		due = now.Add(lagEvery)
	}
	return nil
}

// firstHeartbeat is the one to start with: the cluster's as it was last in
// force, or in a new data directory what this node can bear by a first look at
// its disk.
func (n *Node) firstHeartbeat(live *live) (time.Duration, error) {
	kept, err := live.dir.Heartbeat()
	fixed, _ := n.cfg.Profile.heartbeat()
	if known := cmp.Or(kept, fixed); err != nil || known > 0 {
		return known, err
	}
	took := make([]time.Duration, firstWrites)
	for i := range took {
		began := time.Now()
		if err := live.dir.Probe(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took) // one that was slow by chance is not the disk
	report := pace.Measure{Write: took[firstWrites/2]}.Report()
	n.log.Info("measured the disk", "write", took[firstWrites/2], "heartbeat", report.Heartbeat)
	return report.Heartbeat, nil
}

// bearable returns the shortest heartbeat that this node can bear now.
func (n *Node) bearable() pace.Report {
	if fixed, _ := n.cfg.Profile.heartbeat(); fixed > 0 {
		return pace.Report{Heartbeat: fixed, Why: "its profile is " + string(n.cfg.Profile)}
	}
	m := pace.Measure{Write: n.live.Load().store.WorstWrite(), Lag: n.lag.worst.Get(time.Now())}
	facts := n.Facts()
	for _, id := range n.Status().Voters {
		if trip, ok := facts.RTT(n.cfg.Node, id); ok && id != n.cfg.Node && trip > m.Trip {
			m.Trip, m.Peer = trip, string(id)
		}
	}
	return m.Report()
}

// paceRequest asks a voter for what it can bear, and tells it with what it
// should run raft from now on.
type paceRequest struct {
	Heartbeat time.Duration `json:"heartbeat,omitempty"` // 0 = as it is
	Why       string        `json:"why,omitempty"`
}

// paceAnswer is what a voter can bear, and what it runs with.
type paceAnswer struct {
	pace.Report
	Running time.Duration `json:"running"`
}

// answerPace answers the leader, or a voter that misses one. A heartbeat is
// answered when raft runs with it and has heard of a leader.
func (n *Node) answerPace(ctx context.Context, asked paceRequest) (paceAnswer, error) {
	if n.live.Load() == nil {
		return paceAnswer{}, ErrStopped
	}
	if h := asked.Heartbeat; h != 0 && h != n.running() {
		if h != pace.Step(h) || n.reign.Load() != nil {
			return paceAnswer{}, &RefusedError{placement.Invalid, "a leader does not change its heartbeat for another, and only to one of the steps"}
		}
		if err := n.retime(ctx, h, asked.Why); err != nil {
			return paceAnswer{}, err
		}
		for changed := n.leaders.heard(); n.leader() == nil; changed = n.leaders.heard() {
			select {
			case <-changed:
			case <-ctx.Done():
				return paceAnswer{}, n.notLeader()
			}
		}
	}
	return paceAnswer{n.bearable(), n.running()}, nil
}

// askPaces asks all voters of the raft configuration at once. Those that do
// not answer are missing.
func (n *Node) askPaces(ctx context.Context) (answers map[string]paceAnswer, missing int) {
	type one struct {
		instance string
		answer   paceAnswer
		err      error
	}
	asking, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	came := make(chan one)
	asked := 0
	for _, s := range n.votingServers() {
		asked++
		go func() { // ends with asking, and is waited for below
			a, err := n.askPace(asking, s, paceRequest{})
			came <- one{string(s.ID), a, err}
		}()
	}
	answers = map[string]paceAnswer{}
	for range asked {
		if o := <-came; o.err == nil {
			answers[o.instance] = o.answer
		} else {
			missing++
		}
	}
	return answers, missing
}

func (n *Node) askPace(ctx context.Context, s raft.Server, request paceRequest) (paceAnswer, error) {
	if string(s.ID) == n.instance() {
		return n.answerPace(ctx, request)
	}
	return call[paceAnswer](ctx, n, n.addressOf(string(s.ID)), methodPace, request)
}

// votingServers returns the voters of the raft configuration.
func (n *Node) votingServers() []raft.Server {
	servers := n.live.Load().raft().GetConfiguration().Configuration().Servers
	return slices.DeleteFunc(slices.Clone(servers), func(s raft.Server) bool { return s.Suffrage != raft.Voter })
}
