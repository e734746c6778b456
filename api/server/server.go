package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// ErrNotLeader is wrapped by the errors of [State.Read] and [Writer.Propose]
// on a node that does not lead, or not yet: nothing was done.
var ErrNotLeader = errors.New("this node does not lead")

// ErrOutcomeUnknown is wrapped by the error of a [Writer.Propose] whose fate
// cannot be known. The same request with the same key may be sent again.
var ErrOutcomeUnknown = errors.New("the outcome is unknown")

// Refusal is an error with a code of the API: what a [Writer] or [Content]
// refuses as a whole.
type Refusal struct {
	Code   placement.Code
	Detail string
}

// Error returns detail and code in one line.
func (r *Refusal) Error() string { return fmt.Sprintf("%s (%s)", r.Detail, r.Code) }

// State is how the replicated state is read.
type State interface {
	// View returns the node's own state at once.
	View() *fsm.View
	// Read returns the state as the leader may show it: past the barrier of
	// its term and, if linearizable, after it has proved that it still leads.
	Read(ctx context.Context, linearizable bool) (*fsm.View, error)
}

// Writer is how it is changed.
type Writer interface {
	// Propose commits operations and returns an answer for each.
	Propose(ctx context.Context, ops ...fsm.Op) ([]fsm.Result, error)
}

// Leadership says who leads and how a request gets there.
type Leadership interface {
	Status() Status
	// WaitLeader returns the leader once one is known that takes requests.
	WaitLeader(ctx context.Context) (Leader, error)
	// LeaderChanged returns a channel that closes when the node may have
	// learnt of another leader, or term, than it knows now.
	LeaderChanged() <-chan struct{}
	// NodeTransport carries requests to the node address in their URL's host.
	NodeTransport() http.RoundTripper
}

// Status is what a node knows about raft, and itself.
type Status struct {
	Node        placement.NodeID
	IsLeader    bool
	Leader      *Leader // nil = not known
	Term        uint64
	LastContact time.Duration // since the leader was heard; 0 on the leader
	Voters      []placement.NodeID
	Ready       bool // replayed to the commit index known at start
}

// Leader says which node leads and where it is reached.
type Leader struct {
	Node    placement.NodeID
	Address string // its node port
	HTTP    string // its API
}

// Decider gathers what a decision depends on, as the leader's loop does.
type Decider interface {
	DecideInput(view *fsm.View) scheduler.Input
}

// Content stores and fetches the bytes of chains.
type Content interface {
	// Put streams body to enough holders, commits it, and answers when they
	// have it on disk (rule S3).
	Put(ctx context.Context, w ContentWrite, body io.Reader) (api.ContentPut, error)
	// Open returns the bytes asked for, from this node or a source.
	Open(ctx context.Context, r ContentRead) (io.ReadCloser, error)
}

// ContentWrite is what is known of a content before its bytes.
type ContentWrite struct {
	Chain   placement.ChainID
	Size    int64
	IfMatch string // SHA-256 that the current content must have; "" = any
	First   bool   // there must be no content yet
	Key     string // idempotency key of the commit, never empty
	Actor   string
	Reason  string
	Timeout time.Duration // how long to wait for enough holders
}

// ContentRead asks for a part of one version of a content.
type ContentRead struct {
	Chain          placement.ChainID
	Content        placement.Content
	Sources        []fsm.Source // nodes with a live copy, at least one
	Offset, Length int64
}

// Config is what a [Server] needs. All fields but those marked are required.
type Config struct {
	Version    string
	State      State
	Writer     Writer
	Leadership Leadership
	Decider    Decider
	Operator   Operator
	Telemetry  Telemetry            // nil = nothing is known but the state
	Content    Content              // nil = this node stores no content: 501
	Metrics    *prometheus.Registry // served at /metrics; the server's own are added to it
	// Authenticate says whose a token is. nil = everybody may do everything,
	// under the name "anonymous".
	Authenticate func(token string) (Caller, bool)
	Limits       Limits      // zero fields = defaults
	OnError      func(error) // told of panics and other defects; nil = nobody
}

// Validate names the first field that is missing.
func (c *Config) Validate() error {
	for _, f := range []struct {
		name    string
		missing bool
	}{
		{"State", c.State == nil},
		{"Writer", c.Writer == nil},
		{"Leadership", c.Leadership == nil},
		{"Decider", c.Decider == nil},
		{"Operator", c.Operator == nil},
		{"Metrics", c.Metrics == nil},
	} {
		if f.missing {
			return fmt.Errorf("api server: Config.%s is missing", f.name)
		}
	}
	return nil
}

// Server is the handler of all routes. Build it with [New].
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	api     huma.API
	routes  map[string]*route // by ServeMux pattern
	metrics *metrics
	tally   tally
	fields  fieldTable
	limits  Limits
	clients *gates // of the API's port
	peers   *gates // of the node port
}

// New returns a server. It starts nothing; mount it as an [http.Handler].
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("api server: %w", err)
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux(), routes: map[string]*route{}, metrics: m, limits: cfg.Limits.withDefaults()}
	s.clients, s.peers = newGates(s.limits, m, "http"), newGates(s.limits, m, "node")
	if err := cfg.Metrics.Register(newHealthCollector(cfg.State, &s.tally)); err != nil {
		return nil, fmt.Errorf("api server: registering metrics: %w", err)
	}
	s.api = newAPI(s.mux, cfg.Version)
	s.addRoutes()
	return s, nil
}
