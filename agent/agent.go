package agent

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/agent/authfile"
	"github.com/holdfast-cluster/holdfast/api/server"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// Times of the start and the end.
const (
	readyPoll     = 50 * time.Millisecond
	drainPatience = time.Second // for requests under way when the agent is told to stop
)

// Agent is one node with all that belongs to it. Make one with New; it runs
// once.
type Agent struct {
	cfg    Config
	ports  secured
	log    hclog.Logger
	ran    atomic.Bool
	node   atomic.Pointer[cluster.Node]
	http   atomic.Pointer[string]
	store  *store
	tokens *authfile.File // nil without an auth-file
	ready  chan struct{}
	hurry  context.Context // ends with Kill
	kill   context.CancelFunc
}

// New checks the configuration, the file of tokens included, and names the
// field that is wrong. It starts nothing.
func New(cfg Config) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	a := &Agent{cfg: cfg.withDefaults(), ready: make(chan struct{}), store: newStore()}
	a.log = a.cfg.Cluster.Logger
	a.hurry, a.kill = context.WithCancel(context.Background())
	// The node itself is made once its API's address is known; this one shows
	// what is wrong before anything runs.
	var err error
	if a.ports, err = a.cfg.secure(); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	trial, err := a.cfg.node("", a.store, a.ports)
	if err == nil {
		_, err = cluster.New(trial)
	}
	if err == nil && cfg.AuthFile != "" {
		if a.tokens, err = authfile.Open(cfg.AuthFile, a.log); err != nil {
			err = wrong("auth-file", "%w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	return a, nil
}

// Registry is where the scorer can be replaced while the node runs.
func (a *Agent) Registry() *scheduler.Registry { return a.cfg.Cluster.Registry }

// Node returns the node, or nil before Run has bound the API's port.
func (a *Agent) Node() *cluster.Node { return a.node.Load() }

// Addr returns the node port as others reach it, "" before it is bound.
func (a *Agent) Addr() string {
	if n := a.node.Load(); n != nil {
		return n.Address()
	}
	return ""
}

// HTTPAddr returns the API's port as others reach it, "" before it is bound.
func (a *Agent) HTTPAddr() string {
	if s := a.http.Load(); s != nil {
		return *s
	}
	return ""
}

// Ready is closed once the node has replayed what was committed when it first
// heard of a leader. It stays open when Run ends before that.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// Kill makes Run stop at once: nothing is handed over, no request is
// finished. It may be called often, from anywhere, also after Run's context has
// ended.
func (a *Agent) Kill() { a.kill() }

// Run starts everything, runs until ctx ends, stops everything and returns
// nil. An error says what ended the agent before that; the process should exit
// with it.
func (a *Agent) Run(ctx context.Context) error {
	if !a.ran.CompareAndSwap(false, true) {
		return errors.New("agent: Run called twice")
	}
	ln, err := a.bind()
	if err != nil {
		return err
	}
	r, err := a.assemble()
	if err == nil {
		err = r.node.Check() // before the API says that anything runs
	}
	if err != nil {
		ln.Close()
		return err
	}
	defer r.parts.Wait()
	defer r.own.stop()
	r.launch(func() error { return r.own.serve(ln, a.ports.listen) })
	a.log.Info("the API answers; the node is not ready yet", "http", a.HTTPAddr())
	stopStore, err := r.startStore()
	if err != nil {
		return err
	}
	defer stopStore()
	return r.run(ctx)
}

// bind binds the API's port.
func (a *Agent) bind() (net.Listener, error) {
	ln, err := a.cfg.Cluster.Network.Listen(a.cfg.HTTP)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("HTTP address %s is in use: stop the process that has it, or listen on another address: %w", a.cfg.HTTP, err)
	}
	if err != nil {
		return nil, fmt.Errorf("bind HTTP address %s: %w", a.cfg.HTTP, err)
	}
	bound := ln.Addr().String()
	if a.cfg.HTTPAdvertise != "" {
		host, port, _ := net.SplitHostPort(a.cfg.HTTPAdvertise) // checked by Validate
		if port == "0" || port == "" {
			_, port, _ = net.SplitHostPort(bound)
		}
		bound = net.JoinHostPort(host, port)
	}
	a.http.Store(&bound)
	return ln, nil
}

// running is what one Run has made.
type running struct {
	agent     *Agent
	node      *cluster.Node
	own       *service // the API's port
	forwarded *service // the API on the node port
	pulls     *service // content on the node port, nil without a filestore
	parts     sync.WaitGroup
	failed    chan error // the first part that ended by itself
}

// assemble makes the node and its handlers. Nothing is started.
func (a *Agent) assemble() (*running, error) {
	r := &running{agent: a, failed: make(chan error, 1)}
	cfg, err := a.cfg.node(a.HTTPAddr(), a.store, a.ports)
	if err != nil {
		return nil, err
	}
	meter, err := newMeter()
	if err == nil {
		err = meter.expiry(a.ports)
	}
	if err != nil {
		return nil, err
	}
	if cfg.Metrics == nil {
		cfg.Metrics = meter.cluster()
	}
	if r.node, err = cluster.New(cfg); err != nil {
		return nil, err
	}
	b := bridge{r.node}
	c := server.Config{
		Version: a.cfg.Cluster.Version, State: b, Writer: b, Leadership: b, Decider: b, Operator: b, Telemetry: b, Metrics: meter.registry,
		Limits:  server.LimitsFor(connsAllowed()),
		OnError: func(err error) { a.log.Error("a request met a defect", "error", err) },
	}
	if a.tokens != nil {
		c.Authenticate = a.tokens.Authenticate
	}
	var bytes *content
	if a.cfg.Runner == Filestore {
		bytes = newContent(a.cfg.Cluster.Node, r.node, a.store)
		c.Content = bytes
	}
	handler, err := server.New(c)
	if err != nil {
		return nil, err
	}
	if bytes != nil {
		bytes.own = local{handler}
		r.pulls = newService("content on the node port", "pull", meter, http.HandlerFunc(a.store.serve))
	}
	r.own = newService("the API's port", "http", meter, handler)
	r.forwarded = newService("the API on the node port", "node", meter, handler.Peers())
	r.own.http.ErrorLog = stdlog.New(httpLog{a.log.Named("http")}, "", 0)
	a.node.Store(r.node)
	return r, nil
}

// serve is the store's handler, once it is open.
func (s *store) serve(w http.ResponseWriter, req *http.Request) {
	fs, err := s.get()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fs.Handler().ServeHTTP(w, req)
}

// launch runs a part. Its error ends the agent.
func (r *running) launch(part func() error) {
	r.parts.Go(func() {
		if err := part(); err != nil {
			select {
			case r.failed <- err:
			default: // another was first
			}
		}
	})
}

// startStore opens the content directory and looks after it. stop waits for
// that and closes it.
func (r *running) startStore() (stop func(), err error) {
	if r.pulls == nil {
		return func() {}, nil
	}
	fs, err := r.agent.openStore(r.node)
	if err != nil {
		return nil, err
	}
	r.agent.store.open.Store(fs)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.launch(func() error {
		defer close(done)
		if err := fs.Run(ctx); ctx.Err() == nil {
			return fmt.Errorf("the content directory: %w", err)
		}
		return nil
	})
	return func() {
		cancel()
		<-done
		if err := fs.Close(); err != nil {
			r.agent.log.Error("close the content directory", "error", err)
		}
	}, nil
}

// run runs the node and what it serves until ctx ends or something fails, and
// stops it, in the order that doc.go gives.
func (r *running) run(ctx context.Context) error {
	log := r.agent.log
	nodeCtx, endNode := context.WithCancel(context.Background())
	defer endNode()
	nodeEnded := make(chan error, 1)
	r.parts.Go(func() { nodeEnded <- r.node.Run(nodeCtx) })
	r.launch(func() error { return r.forwarded.serve(r.node.HTTPListener(), plain) })
	if r.pulls != nil {
		r.launch(func() error { return r.pulls.serve(r.node.PullListener(), plain) })
	}
	if tokens := r.agent.tokens; tokens != nil {
		r.launch(func() error { return tokens.Run(nodeCtx) })
	}
	r.parts.Go(func() { r.agent.announceReady(nodeCtx, r.node) })
	if r.agent.ports != (secured{}) {
		r.parts.Go(func() { r.agent.ports.follow(nodeCtx, log) })
	}

	err, ended := error(nil), false
	select {
	case <-ctx.Done():
		log.Info("told to stop: the API's port first, so that clients go elsewhere")
		r.own.drain(r.agent.hurry, drainPatience)
	case <-r.agent.hurry.Done():
	case err = <-r.failed:
		log.Error("stopping: a part failed", "error", err)
	case err = <-nodeEnded:
		ended = true
	}
	r.own.stop()
	if !ended {
		stop := context.AfterFunc(r.agent.hurry, r.node.Kill)
		log.Info("stopping the node: a leader hands over first, the others' requests are still served")
		endNode()
		nodeErr := <-nodeEnded
		stop()
		if err == nil {
			err = nodeErr
		}
	}
	r.forwarded.stop()
	if r.pulls != nil {
		r.pulls.stop()
	}
	log.Info("the node has stopped; closing the content directory last")
	return err
}

// announceReady closes Ready once the node is.
func (a *Agent) announceReady(ctx context.Context, node *cluster.Node) {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for !node.Status().Ready {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	close(a.ready)
	a.log.Info("ready", "node", a.cfg.Cluster.Node, "address", a.Addr(), "http", a.HTTPAddr())
}
