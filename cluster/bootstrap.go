package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/cluster/pledge"
	"github.com/holdfast-cluster/holdfast/transport"
)

// Times of the way into a cluster.
const (
	entryTick    = 200 * time.Millisecond
	entryTimeout = 2 * time.Second
	entryFresh   = 5 * time.Second // how long a server that was heard of counts
	entryCalls   = 32              // requests in flight, and servers that one names
	entrySeen    = 1024            // servers remembered of those that spoke or were named
	resolveEvery = 30 * time.Second
)

// entry is a node's way into a cluster: it asks the seeds, joins what they
// belong to, or takes part in the pledge that begins a new one. All of it but
// the requests in flight belongs to the goroutine of run. Once the node is a
// member it only answers.
type entry struct {
	node      *Node
	dir       entryDisk
	raft      func() *raft.Raft
	machine   *pledge.Machine
	self      pledge.Server
	turns     chan func() // work for the goroutine of run
	sends     chan struct{}
	flying    sync.WaitGroup
	direct    map[string]sighted // by instance: servers that spoke to this node
	told      map[string]sighted // servers that others named
	seeds     []string
	resolved  time.Time
	resolving bool
	tries     tries // to join, counted by the one that is under way
	broken    error
	joining   bool
	logged    string
	ended     chan struct{} // run has returned
}

// pledgeCall carries a request of the pledge, and who else the sender has
// heard itself: before there is a cluster nobody gossips.
type pledgeCall struct {
	Request pledge.Request  `json:"request"`
	Known   []pledge.Server `json:"known,omitempty"`
}

type pledgeReply struct {
	Answer pledge.Answer   `json:"answer"`
	Known  []pledge.Server `json:"known,omitempty"`
}

func newEntry(n *Node, live *live) (*entry, error) {
	dir := live.dir
	e := &entry{
		node: n, raft: live.raft,
		self:  pledge.Server{NodeID: string(n.cfg.Node), Instance: dir.Instance(), Address: n.mux.AdvertiseAddr()},
		turns: make(chan func()), sends: make(chan struct{}, entryCalls),
		direct: map[string]sighted{}, told: map[string]sighted{},
		ended: make(chan struct{}),
	}
	e.dir = entryDisk{dir, e, live}
	var err error
	e.machine, err = pledge.New(pledge.Config{
		Self: e.self, Cluster: n.cfg.Cluster, ClusterID: dir.Cluster().ID, Expect: n.expect(dir),
		Heartbeat: live.engine.Load().heartbeat, NewID: uuid.NewString, Jitter: jitter,
	}, e.dir)
	if err != nil {
		return nil, err
	}
	e.publish()
	return e, nil
}

// jitter draws a duration below the bound.
func jitter(bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	return rand.N(bound)
}

// run works until ctx ends.
func (e *entry) run(ctx context.Context) error {
	defer e.flying.Wait()
	defer close(e.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ticker := time.NewTicker(entryTick)
	defer ticker.Stop()
	for {
		if err := e.step(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case turn := <-e.turns:
			turn()
		case <-ticker.C:
		}
	}
}

// do runs f on the goroutine of run, and waits for it.
func (e *entry) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case e.turns <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-e.ended:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// step looks at everything once.
func (e *entry) step(ctx context.Context) error {
	if e.broken != nil {
		return e.broken
	}
	if !e.dir.Fresh() {
		return nil
	}
	e.adopt(ctx)
	if err := e.bootstrap(ctx); err != nil || !e.dir.Fresh() {
		return err
	}
	if e.resolve(ctx); e.seeds == nil && len(e.node.cfg.Join) > 0 {
		return nil // the seeds are asked before anything else
	}
	now := time.Now()
	sends, err := e.machine.Tick(now, pledge.View{Servers: e.servers(now), Seeds: e.seeds})
	if err != nil {
		return err
	}
	e.publish()
	for _, send := range sends {
		e.request(ctx, send)
	}
	if _, pledged := e.machine.Pledge(); !pledged {
		e.join(ctx)
	}
	if waiting := e.machine.Waiting(); waiting != e.logged {
		e.logged = waiting
		e.node.log.Info("not in a cluster yet", "waiting", waiting)
	}
	return nil
}

// adopt lets raft run with the heartbeat of the pledge, before anybody may speak
// to it. What fails is tried again in the next step.
func (e *entry) adopt(ctx context.Context) {
	p, ok := e.machine.Pledge()
	if ok && p.Heartbeat > 0 && e.dir.Fresh() && p.Heartbeat != e.node.running() {
		if err := e.node.retime(ctx, p.Heartbeat, "the founders need it"); err != nil && ctx.Err() == nil {
			e.node.log.Warn("the heartbeat of the pledge is not in force", "error", err)
		}
	}
}

// publish shows the present pledge to admit.
func (e *entry) publish() {
	if p, ok := e.machine.Pledge(); ok {
		e.node.pledged.Store(&p)
		return
	}
	e.node.pledged.Store(nil)
}

// bootstrap founds the cluster if the own proposal is decided. A crash between
// the steps repeats them.
func (e *entry) bootstrap(ctx context.Context) error {
	p, ok := e.machine.Decided()
	if !ok {
		return nil
	}
	var servers []raft.Server
	for _, s := range p.Servers {
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(s.Instance), Address: raft.ServerAddress(s.Address)})
	}
	err := e.raft().BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("bootstrap the cluster: %w", err)
	}
	e.node.log.Info("founded a cluster", "cluster_id", p.ClusterID, "servers", len(servers))
	return e.member(p.ClusterID)
}

// member makes this node a member for good.
func (e *entry) member(clusterID string) error {
	if err := e.dir.SetClusterID(clusterID); err != nil {
		return err
	}
	e.node.id.Store(&ids{e.self.Instance, clusterID, e.dir.Cluster().Former})
	if err := e.machine.Joined(clusterID); err != nil {
		return err
	}
	e.publish()
	e.node.entered.Store(int64(e.node.cfg.Elapsed()))
	close(e.node.member)
	return nil
}

// enterRaft is asked before raft gets a stream of peer. The first one of a
// pledged node makes it a member, durably: from then on it may vote, and must
// not forget it (rule S14).
func (e *entry) enterRaft(ctx context.Context, peer transport.Identity) error {
	if !e.dir.Fresh() {
		return nil
	}
	err := errors.New("not pledged to it any more")
	if ended := e.do(ctx, func() {
		switch p, ok := e.machine.Pledge(); {
		case !e.dir.Fresh():
			err = nil
		case ok && p.Allows(peer.ClusterID, peer.Node, peer.Instance):
			err = e.member(p.ClusterID)
			e.broken = err
		}
	}); ended != nil {
		return ended
	}
	return err
}

// request sends one request of the pledge and brings its answer back.
func (e *entry) request(ctx context.Context, send pledge.Send) {
	select {
	case e.sends <- struct{}{}:
	default:
		return // asked again in the next round
	}
	body := pledgeCall{Request: send.Request, Known: e.heardMyself(time.Now())}
	e.flying.Go(func() {
		defer func() { <-e.sends }()
		calling, cancel := context.WithTimeout(ctx, entryTimeout)
		defer cancel()
		reply, err := call[pledgeReply](calling, e.node, send.To, methodPledge, body)
		// When run has ended nobody wants the answer.
		_ = e.do(ctx, func() { e.answered(send, reply, err) })
	})
}

func (e *entry) answered(send pledge.Send, reply pledgeReply, err error) {
	if err != nil {
		e.machine.Failed(send)
		e.node.turnedAwayBy(send.To, err)
		e.node.log.Debug("no answer on the way into a cluster", "address", send.To, "error", err)
		return
	}
	e.sighted(reply.Answer.From, reply.Answer.Cluster, reply.Known)
	if err := e.machine.Answered(time.Now(), send, reply.Answer); err != nil {
		e.node.log.Error("pledge failed", "error", err) // the next step returns it
	}
}

// answerPledge answers a request of another node's pledge.
func (n *Node) answerPledge(ctx context.Context, asked pledgeCall) (pledgeReply, error) {
	live := n.live.Load()
	if live == nil {
		return pledgeReply{}, ErrStopped
	}
	e := live.entry
	var reply pledgeReply
	var err error
	if ended := e.do(ctx, func() {
		e.sighted(asked.Request.From, asked.Request.Cluster, asked.Known)
		reply.Answer, err = e.machine.Handle(asked.Request)
		e.adopt(ctx)
		reply.Known = e.heardMyself(time.Now())
		e.publish()
	}); ended != nil {
		return reply, ended
	}
	return reply, err
}

// resolve looks the seeds up, and again from time to time: their names may
// come to stand for other addresses.
func (e *entry) resolve(ctx context.Context) {
	if e.resolving || time.Since(e.resolved) < resolveEvery {
		return
	}
	e.resolving = true
	e.flying.Go(func() {
		calling, cancel := context.WithTimeout(ctx, entryTimeout)
		defer cancel()
		seeds := e.node.seedAddresses(calling)
		_ = e.do(ctx, func() { e.resolving, e.resolved, e.seeds = false, time.Now(), seeds })
	})
}

// join asks the member of a cluster that was found to be let in.
func (e *entry) join(ctx context.Context) {
	found, ok := e.machine.Found()
	if !ok || e.joining {
		return
	}
	e.joining = true
	e.flying.Go(func() {
		calling, cancel := context.WithTimeout(ctx, enrolTimeout)
		answer, err := e.node.joinBy(calling, found.From.Address)
		cancel()
		if err != nil {
			e.tries.failed()
			e.node.logEnrolment(e.tries, err)
			sleep(ctx, retryPause(min(e.tries.failures, 6)))
		}
		_ = e.do(ctx, func() { e.joined(ctx, answer, err) })
	})
}

// joined takes the leader's answer. The cluster id is on disk before raft may
// speak to this node.
func (e *entry) joined(ctx context.Context, answer joinAnswer, err error) {
	e.joining = false
	if err != nil || !e.dir.Fresh() {
		return
	}
	if h := answer.Heartbeat; h == pace.Step(h) && h != e.node.running() { // raft cannot run with any
		if err := e.node.retime(ctx, h, "the cluster runs with it"); err != nil {
			return // asked to join again
		}
	}
	if err := e.member(answer.ClusterID); err != nil {
		e.broken = err
		return
	}
	e.node.log.Info("joined the cluster", "cluster_id", answer.ClusterID)
	e.node.enrolled.set(enrolment{answer.Incarnation, answer.Index})
}
