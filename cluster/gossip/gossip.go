package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/holdfast-cluster/holdfast/transport"
)

// forgetAfter is how long a member that is not alive is shown and called.
const forgetAfter = 24 * time.Hour

// Config says who gossips with whom.
type Config struct {
	NodeID  string            // the member's name
	Cluster string            // the cluster's name; packets of others are dropped
	Mux     *transport.Mux    // bound; Run must end before it does
	Network transport.Network // resolves names
	Meta    Meta              // at the start; see UpdateMeta
	Seeds   []string          // host:port, names allowed; joined again for ever
	// Known returns the addresses of nodes that should be there, from the
	// replicated state. It must not block. May be nil.
	Known func() []string
	// Cargo rides on the gossip. May be nil.
	Cargo Cargo
	// Keys encrypts packets and streams. nil = they are plain.
	Keys   *Keys
	Timing Timing
	Logger hclog.Logger
}

// Timing says how often memberlist speaks and how soon it gives up.
type Timing struct {
	Probe         time.Duration // interval of probes
	ProbeTimeout  time.Duration // of one direct probe
	Gossip        time.Duration // interval of gossip packets
	PushPull      time.Duration // interval of full exchanges
	Stream        time.Duration // limit of one stream exchange
	Reclaim       time.Duration // after which a dead node's name may move to another address
	Rejoin        time.Duration // interval of the rejoin loop, jitter of half of it added
	SuspicionMult int           // how long a suspect may defend itself, in probes
}

// LocalTiming is for nodes on one machine: death is seen in about 1 s.
func LocalTiming() Timing {
	return Timing{
		Probe: 200 * time.Millisecond, ProbeTimeout: 100 * time.Millisecond, Gossip: 50 * time.Millisecond,
		PushPull: time.Second, Stream: time.Second, Reclaim: 2 * time.Second, Rejoin: 2 * time.Second, SuspicionMult: 3,
	}
}

// LANTiming is for production: death is seen in about 5 s.
func LANTiming() Timing {
	return Timing{
		Probe: time.Second, ProbeTimeout: 500 * time.Millisecond, Gossip: 200 * time.Millisecond,
		PushPull: 15 * time.Second, Stream: 2 * time.Second, Reclaim: 30 * time.Second, Rejoin: 5 * time.Second, SuspicionMult: 4,
	}
}

// WANTiming is for nodes far from each other.
func WANTiming() Timing {
	return Timing{
		Probe: 3 * time.Second, ProbeTimeout: 2 * time.Second, Gossip: 500 * time.Millisecond,
		PushPull: 30 * time.Second, Stream: 5 * time.Second, Reclaim: time.Minute, Rejoin: 10 * time.Second, SuspicionMult: 5,
	}
}

// Member is one node as gossip sees it.
type Member struct {
	Meta               // its ClusterID is empty: see Hash
	ID     string      // node id
	Gossip string      // ip:port of its packets
	Alive  bool        // false: failed or left, which gossip cannot tell apart
	Since  time.Time   // when Alive changed here
	Hash   ClusterHash // of its cluster id, zero while it has none
}

// Gossip is one node's membership.
type Gossip struct {
	cfg     Config
	queue   memberlist.TransmitLimitedQueue
	living  atomic.Int64  // members that are alive
	changed chan struct{} // size 1
	dirty   chan struct{} // size 1: the own meta changed
	leave   chan leaving
	done    chan struct{} // closed when Run ends
	allowed allowance     // of own complaints

	mu      sync.Mutex // never held while memberlist is called
	started bool
	meta    []byte
	cluster ClusterHash
	members map[string]Member
	refused map[string]string // address or node → last complaint, to log it once
}

type leaving struct {
	timeout time.Duration
	result  chan error
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Gossip, error) {
	meta, err := cfg.Meta.encode()
	if err != nil {
		return nil, err
	}
	if n := len(cfg.Cluster); n == 0 || n > memberlist.LabelMaxSize {
		return nil, fmt.Errorf("gossip: the cluster name has %d bytes: use 1 to %d", n, memberlist.LabelMaxSize)
	}
	if cfg.Known == nil {
		cfg.Known = func() []string { return nil }
	}
	if cfg.Cargo == nil {
		cfg.Cargo = none{}
	}
	g := &Gossip{
		cfg: cfg, changed: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
		leave: make(chan leaving), done: make(chan struct{}),
		meta: meta, cluster: HashCluster(cfg.Meta.ClusterID),
		members: map[string]Member{}, refused: map[string]string{},
	}
	g.queue.NumNodes = func() int { return int(g.living.Load()) }
	g.queue.RetransmitMult = passOnMult
	return g, nil
}

// Run gossips until ctx ends. It runs once.
func (g *Gossip) Run(ctx context.Context) error {
	g.mu.Lock()
	again := g.started
	g.started = true
	g.mu.Unlock()
	if again {
		return errors.New("gossip: Run called twice")
	}
	defer close(g.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wire, err := newWire(ctx, g.cfg)
	if err != nil {
		return err
	}
	list, err := memberlist.Create(g.listConfig(wire))
	if err != nil {
		_ = wire.Shutdown() // the error that counts is the first
		return fmt.Errorf("gossip: %w", err)
	}
	joining, stopJoining := context.WithCancel(ctx)
	var joiner sync.WaitGroup
	joiner.Go(func() { g.rejoin(joining, list, wire) })
	g.serve(ctx, list, func() { stopJoining(); wire.closeStreams(); joiner.Wait() })
	stopJoining()
	cancel()
	wire.closeStreams()
	joiner.Wait()
	return list.Shutdown()
}

// serve does what must not run beside Shutdown, one at a time.
func (g *Gossip) serve(ctx context.Context, list *memberlist.Memberlist, stopJoining func()) {
	left := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.dirty:
			if left {
				continue
			}
			if err := list.UpdateNode(g.cfg.Timing.PushPull); err != nil {
				g.cfg.Logger.Debug("own meta not spread yet", "error", err)
			}
		case l := <-g.leave:
			left = true
			stopJoining()
			err := list.Leave(l.timeout)
			select { // let the news pass on before the node falls silent
			case <-time.After(min(l.timeout, 3*g.cfg.Timing.Gossip)):
			case <-ctx.Done():
			}
			l.result <- err
		}
	}
}

// Leave tells the others that the node goes, and waits at most about twice the
// timeout. Then end Run; a node that has left does not come back in this
// process.
func (g *Gossip) Leave(timeout time.Duration) error {
	l := leaving{timeout: timeout, result: make(chan error, 1)}
	select {
	case g.leave <- l:
	case <-g.done:
		return errors.New("gossip: leave: not running")
	case <-time.After(timeout):
		return errors.New("gossip: leave: no answer in time")
	}
	select {
	case err := <-l.result:
		return err
	case <-g.done:
		return errors.New("gossip: leave: stopped meanwhile")
	}
}

// UpdateMeta changes what the node tells about itself, and spreads it soon.
// With a cluster id nodes of others are refused from now on.
func (g *Gossip) UpdateMeta(meta Meta) error {
	b, err := meta.encode()
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.meta = b
	g.cluster = HashCluster(meta.ClusterID)
	g.mu.Unlock()
	poke(g.dirty)
	return nil
}

// Members returns all members ever seen and not forgotten, itself included,
// by id.
func (g *Gossip) Members() []Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	members := make([]Member, 0, len(g.members))
	for _, m := range g.members {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return members
}

// Changed gets a value when Members may have changed since the last one was
// taken.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

func poke(flag chan<- struct{}) {
	select {
	case flag <- struct{}{}:
	default:
	}
}

func (g *Gossip) listConfig(wire *wire) *memberlist.Config {
	t := g.cfg.Timing
	c := memberlist.DefaultLANConfig()
	c.Name = g.cfg.NodeID
	c.Transport = wire
	c.Label = g.cfg.Cluster
	c.BindAddr, c.BindPort, c.AdvertisePort = "", 0, 0
	c.ProbeInterval, c.ProbeTimeout = t.Probe, t.ProbeTimeout
	c.GossipInterval, c.PushPullInterval, c.TCPTimeout = t.Gossip, t.PushPull, t.Stream
	c.DeadNodeReclaimTime, c.SuspicionMult = t.Reclaim, t.SuspicionMult
	if g.cfg.Keys != nil {
		c.Keyring = g.cfg.Keys.ring
	}
	c.EnableCompression = false
	c.MsgpackUseNewTimeFormat = true
	c.Logger = log.New(&complaints{next: g.cfg.Logger.StandardWriter(&hclog.StandardLoggerOptions{InferLevels: true})}, "", 0)
	d := delegates{g}
	c.Delegate, c.Events, c.Alive, c.Merge, c.Conflict, c.Ping = d, d, d, d, d, d
	return c
}
