package cluster

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Leader is the node that leads.
type Leader struct {
	Node     placement.NodeID // "" until it has announced itself
	Instance string
	Address  string // of its node port
	HTTP     string // of its API, "" until it has announced itself
}

// Status is what a node knows of itself and of raft, at one moment.
type Status struct {
	Node        placement.NodeID
	Instance    string
	ClusterID   string  // "" until the node is a member
	Leader      *Leader // nil = none is known
	IsLeader    bool    // past the barrier of its term
	Term        uint64
	Index       uint64        // last entry in the local state
	CommitIndex uint64        // as far as this node knows
	LastContact time.Duration // since the leader was heard; 0 on the leader, negative = never
	Voters      []placement.NodeID
	Servers     []Server // the raft configuration
	Ready       bool     // has replayed what was committed when it first heard of a leader
	Incarnation placement.Incarnation
}

// Server is a member of the raft configuration.
type Server struct {
	Node     placement.NodeID // "" until it has announced itself
	Instance string
	Address  string
	Voter    bool
}

// Status returns what the node knows now. It never blocks.
func (n *Node) Status() Status {
	view := n.View()
	s := Status{
		Node: n.cfg.Node, Instance: n.instance(), ClusterID: n.clusterID(), Index: view.Index,
		LastContact: -1, Ready: n.ready.Load(), Incarnation: n.ownIncarnation(),
	}
	live := n.live.Load()
	if live == nil {
		return s
	}
	s.Leader, s.IsLeader = n.leader(), n.reign.Load() != nil
	s.Term, s.CommitIndex = live.raft().CurrentTerm(), live.raft().CommitIndex()
	if live.raft().State() == raft.Leader {
		s.LastContact = 0
	} else if heard := live.raft().LastContact(); !heard.IsZero() {
		s.LastContact = time.Since(heard)
	}
	nodes := n.addressBook().node // every read asks: no walk over all nodes each time
	for _, server := range live.raft().GetConfiguration().Configuration().Servers {
		one := Server{Instance: string(server.ID), Address: string(server.Address), Voter: server.Suffrage == raft.Voter}
		if node := nodes[one.Instance]; node != nil {
			one.Node = node.ID
		}
		if one.Voter {
			s.Voters = append(s.Voters, one.Node)
		}
		s.Servers = append(s.Servers, one)
	}
	slices.Sort(s.Voters)
	return s
}

// leader returns who leads as far as this node knows, or nil.
func (n *Node) leader() *Leader {
	live := n.live.Load()
	if live == nil {
		return nil
	}
	address, id := live.raft().LeaderWithID()
	if id == "" {
		return nil
	}
	l := &Leader{Instance: string(id), Address: string(address)}
	book := n.addressBook()
	if now := book.address[l.Instance]; now != "" {
		l.Address = now
	}
	if l.Instance == n.instance() {
		l.Node, l.Address, l.HTTP = n.cfg.Node, n.Address(), n.cfg.HTTP
	} else if node := book.node[l.Instance]; node != nil {
		l.Node, l.HTTP = node.ID, node.Addresses.HTTP
	}
	return l
}

// notLeader returns the error of what only the leader can do.
func (n *Node) notLeader() error { return &NotLeaderError{n.leader()} }

// WaitLeader waits for a leader that is past its barrier, as far as this node
// can tell: its first entry has arrived here.
func (n *Node) WaitLeader(ctx context.Context) (Leader, error) {
	for {
		changed, view := n.leaders.heard(), n.View()
		if live := n.live.Load(); live != nil {
			l := n.leader()
			self := l != nil && l.Instance == n.instance()
			if l != nil && (self && n.reign.Load() != nil || !self && view.Term == live.raft().CurrentTerm()) {
				return *l, nil
			}
		}
		timer := time.NewTimer(leaderPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return Leader{}, fmt.Errorf("no leader is known: %w", ctx.Err())
		case <-changed:
		case <-view.Next():
		case <-timer.C: // a node that is not running yet rings no bell
		}
		timer.Stop()
	}
}

// leaderPoll is how often a wait looks without being woken.
const leaderPoll = 100 * time.Millisecond

// showReadings sets the gauges of what this node measures of itself.
func (n *Node) showReadings(s placement.Sample) {
	number := func(bytes int64) float64 {
		if bytes < 0 {
			return math.NaN()
		}
		return float64(bytes)
	}
	n.cfg.Metrics.Load.Set(s.Load)
	n.cfg.Metrics.FreeBytes.Set(number(s.FreeBytes))
	n.cfg.Metrics.MemoryFreeBytes.Set(number(s.MemoryFreeBytes))
}

// gaugesEvery is how often the gauges are set.
const gaugesEvery = time.Second

// gauges keeps the gauges and the readiness up to date.
func (n *Node) gauges(ctx context.Context) error {
	m, live := n.cfg.Metrics, n.live.Load()
	var known uint64 // committed when a leader was first heard of
	ticker := time.NewTicker(gaugesEvery)
	defer ticker.Stop()
	for {
		view, leaders, r := n.View(), n.leaders.heard(), live.raft()
		if known == 0 && n.leader() != nil {
			known = r.CommitIndex()
		}
		if known > 0 && r.AppliedIndex() >= known {
			n.ready.Store(true)
		}
		m.Leader.Set(0)
		if n.reign.Load() != nil {
			m.Leader.Set(1)
		}
		m.Term.Set(float64(r.CurrentTerm()))
		m.AppliedIndex.Set(float64(view.Index))
		m.Revision.Set(float64(view.Revision))
		m.Heartbeat.Set(n.running().Seconds())
		m.WorstWriteSeconds.Set(live.store.WorstWrite().Seconds())
		m.WorstLagSeconds.Set(n.lag.worst.Get(time.Now()).Seconds())
		m.Chains.Set(float64(view.Chains.Len()))
		m.Nodes.Set(float64(view.Nodes.Len()))
		next := view.Next()
		if n.ready.Load() {
			next = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-leaders:
		case <-next:
			sleep(ctx, enrolGap)
		}
	}
}
