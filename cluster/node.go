package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/cluster/gossip"
	"github.com/holdfast-cluster/holdfast/cluster/logstore"
	"github.com/holdfast-cluster/holdfast/cluster/pledge"
	"github.com/holdfast-cluster/holdfast/cluster/telemetry"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
	"github.com/holdfast-cluster/holdfast/transport"
)

// Node is one member of a cluster. Make one with New; it runs once.
type Node struct {
	cfg     Config
	log     hclog.Logger
	process string // random id of this run
	mux     *transport.Mux
	pulls   *http.Transport
	https   *http.Transport
	machine *machine
	board   *telemetry.Board

	ran      atomic.Bool
	bound    chan struct{} // closed when the node port is bound
	member   chan struct{} // closed when the cluster id is on disk
	outcast  chan error    // has room for one: the cluster went on without this node
	killed   chan struct{}
	killOnce sync.Once

	live        atomic.Pointer[live] // nil before the start
	id          atomic.Pointer[ids]
	pledged     atomic.Pointer[pledge.Proposal] // what this node has pledged to
	reign       atomic.Pointer[reign]           // while this node leads, past its barrier
	enrolled    enrolledState
	left        atomic.Bool // Leave has succeeded
	ready       atomic.Bool
	book        atomic.Pointer[book]
	leaders     bell // rings when the leader, or its reign, may have changed
	hangups     bell // rings when the last raft stream of a peer has ended
	calls       gate // calls that use raft
	restores    chan restoring
	retimes     chan retiming
	unled       chan struct{} // closed when nobody takes from restores and retimes any more
	lag         lag
	oneRestore  chan struct{} // size 1: held by the one restore that may be under way
	stopped     chan struct{} // closed when Run returns
	diskBusy    chan struct{}
	contentBusy chan struct{}
	seldom      seldom
	entered     atomic.Int64 // when this node became a member, by cfg.Elapsed; 0 = before it started
}

// ids are what the data directory says of the node.
type ids struct {
	instance, clusterID string
	former              []string // ids that the cluster had before it was recovered
}

// live is what a running node has open.
type live struct {
	dir       *datadir.Dir
	store     *logstore.Store
	snapshots raft.SnapshotStore
	entered   chan struct{}          // closed when entry is there, so that raft may take streams
	engine    atomic.Pointer[engine] // replaced by the goroutine of leadership only
	gossip    *gossip.Gossip         // nil until the node is a member
	entry     *entry
	loop      *holder.Loop // nil with an external runner
}

// raft returns raft as it runs now. It is replaced while the node runs: nobody
// keeps it but a reign, which ends before that.
func (l *live) raft() *raft.Raft { return l.engine.Load().raft }

// New checks the configuration and names the field that is wrong. It opens
// and starts nothing.
func New(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	cfg = cfg.withDefaults()
	n := &Node{
		cfg: cfg, log: cfg.Logger.With("node", string(cfg.Node)), process: rand.Text(),
		machine: newMachine(cfg.Metrics),
		bound:   make(chan struct{}), member: make(chan struct{}), killed: make(chan struct{}),
		outcast: make(chan error, 1), diskBusy: make(chan struct{}, 1), contentBusy: make(chan struct{}, 1), restores: make(chan restoring), retimes: make(chan retiming), unled: make(chan struct{}), oneRestore: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	n.machine.observe = cfg.OnApply
	n.id.Store(&ids{})
	var err error
	n.mux, err = transport.New(transport.Config{
		Network: cfg.Network, Listen: cfg.Listen, Advertise: cfg.Advertise, Wrap: cfg.Wrap,
		Identity: n.identity, Admit: n.admit,
		OnRefused: n.turnedAway, Vet: n.vet, OnTurnedAway: n.hearRefusal,
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	n.board, err = telemetry.New(telemetry.Config{
		Node: cfg.Node, Read: cfg.Telemetry, Incarnation: n.ownIncarnation, Elapsed: cfg.Elapsed,
		Spread: func(about string, message func() []byte) { n.live.Load().gossip.Spread(about, message) },
		Show:   n.showReadings,
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	n.https, n.pulls = n.mux.HTTPTransport(transport.KindHTTP), n.mux.HTTPTransport(transport.KindPull)
	return n, nil
}

// productionScorer returns a registry with the scorer that a cluster uses
// unless it is told otherwise.
func productionScorer() *scheduler.Registry {
	r := new(scheduler.Registry)
	r.Install(scorer.New())
	return r
}

// Run opens everything, runs until ctx ends, stops everything and returns nil.
// At the end of ctx a leader hands over first. An error says what ended the
// node before that; the process should exit with it.
func (n *Node) Run(ctx context.Context) error {
	if !n.ran.CompareAndSwap(false, true) {
		return errors.New("cluster: Run called twice")
	}
	defer close(n.stopped)
	crew := newCrew(n.log)
	err := n.start(ctx, crew)
	if err == nil {
		err = n.wait(ctx, crew)
	} else if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		n.log.Info("stopping: told to, before everything had started")
		err = nil
	}
	if err == nil {
		n.handOver()
	}
	n.mux.CloseStreams(transport.KindHTTP)
	n.https.CloseIdleConnections()
	n.pulls.CloseIdleConnections()
	crew.stop()
	if errors.Is(err, errKilled) {
		return nil
	}
	if err != nil {
		n.log.Error("the node has stopped", "error", err)
		return fmt.Errorf("node %s: %w", n.cfg.Node, err)
	}
	n.log.Info("the node has stopped")
	return nil
}

// wait returns nil when ctx ends, or what ends the node before that.
func (n *Node) wait(ctx context.Context, crew *crew) (err error) {
	live := n.live.Load()
	select {
	case <-ctx.Done():
		n.log.Info("stopping: told to")
		return nil
	case <-n.killed:
		n.log.Info("stopping: killed")
		return errKilled
	case err = <-crew.failed:
	case err = <-n.outcast:
	case <-live.store.Failed():
		err = live.store.Err()
	case <-n.machine.failed:
		err = n.machine.failure()
	}
	// A disk that hangs may hold up the end.
	n.log.Error("stopping: the node has failed", "error", err)
	live.engine.Load().silence(n)
	return err
}

// Kill makes Run stop at once: no hand-over, no goodbye. It is what comes
// closest to a crash inside a process. It may be called often.
func (n *Node) Kill() { n.killOnce.Do(func() { close(n.killed) }) }

// Bound is closed when the node port is bound, so that Address is known.
func (n *Node) Bound() <-chan struct{} { return n.bound }

// Address returns the node address as others reach it, "" before it is bound.
func (n *Node) Address() string { return n.mux.AdvertiseAddr() }

// View returns the local state: it may be behind the leader's.
func (n *Node) View() *fsm.View { return n.machine.fsm.View() }

// Facts returns the telemetry of all nodes as this one knows it, whoever leads.
// The same facts are the same table.
func (n *Node) Facts() placement.Facts { return n.board.Facts() }

// NodeTransport sends HTTP requests over the node port: the URL's host is a
// node address, and the handler on that node's HTTPListener answers.
func (n *Node) NodeTransport() http.RoundTripper { return n.https }

// HTTPListener accepts what other nodes send with NodeTransport.
func (n *Node) HTTPListener() net.Listener { return n.mux.Accept(transport.KindHTTP) }

// PullTransport sends HTTP requests for content over the node port.
func (n *Node) PullTransport() http.RoundTripper { return n.pulls }

// PullListener accepts what other nodes send with PullTransport.
func (n *Node) PullListener() net.Listener { return n.mux.Accept(transport.KindPull) }

// CheckDisk writes and reads the data directory, within ctx.
func (n *Node) CheckDisk(ctx context.Context) error { return n.checkDisk(ctx) }

func (n *Node) instance() string  { return n.id.Load().instance }
func (n *Node) clusterID() string { return n.id.Load().clusterID }
