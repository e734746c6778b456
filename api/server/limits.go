package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-cluster/holdfast/api"
)

// Limits bound what clients can take of a node. What goes beyond a number is
// refused with 429 overloaded; probes are never refused. Requests that nodes
// pass on have places of their own, as many again, so that each request is
// counted once on a node, and its clients and the other nodes' do not crowd each
// other out.
type Limits struct {
	Requests int // under way at once that are answered soon
	Watchers int // event streams and reads that wait for news
	Contents int // contents and snapshots on their way in or out
	Pages    int // metrics, documents and the page: open to everybody
	// BodyBytes is how many bytes the bodies that are kept in memory may have,
	// all together. Default 256 MiB.
	BodyBytes int64
	// BodyTimeout is how long such a body may take, beside a second for each
	// 256 KiB; and any body that nobody reads. Default 15 s.
	BodyTimeout time.Duration
	// Stall is how long the next 16 KiB of a content may take; all of it may take
	// as long as it likes. Default 30 s.
	Stall time.Duration
}

// LimitsFor returns the numbers that fit a port with so many connections: more
// than a quarter of these is always left to probes and to those that wait for
// their next request.
func LimitsFor(connections int) Limits {
	return Limits{Requests: connections / 8, Watchers: connections / 2, Contents: connections / 32, Pages: connections / 64}
}

// withDefaults fills in what is 0, the numbers as for 8,192 connections.
func (l Limits) withDefaults() Limits {
	def := LimitsFor(8192)
	for _, f := range []struct{ field, def *int }{
		{&l.Requests, &def.Requests}, {&l.Watchers, &def.Watchers}, {&l.Contents, &def.Contents}, {&l.Pages, &def.Pages},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	if l.BodyBytes == 0 {
		l.BodyBytes = 256 << 20
	}
	if l.BodyTimeout == 0 {
		l.BodyTimeout = 15 * time.Second
	}
	if l.Stall == 0 {
		l.Stall = 30 * time.Second
	}
	return l
}

// bodyBytesSecond is what the sender of a body has to manage.
const bodyBytesSecond = 256 << 10

// stallBytes is what counts as progress of a content: a byte now and then is
// none.
const stallBytes = 16 << 10

// gate lets a bounded number of requests of one kind through at a time.
type gate struct {
	name    string
	limit   int64
	within  atomic.Int64
	open    prometheus.Gauge
	refused prometheus.Counter
}

// take takes n places, or says that they are not there.
func (g *gate) take(n int64) *api.Problem {
	if g.within.Add(n) > g.limit {
		g.within.Add(-n)
		g.refused.Inc()
		return api.NewProblem(api.Overloaded, "this node has as many %s under way as it takes (%d): retry in a moment, or ask another node", g.name, g.limit)
	}
	g.open.Add(float64(n))
	return nil
}

func (g *gate) leave(n int64) {
	g.within.Add(-n)
	g.open.Add(-float64(n))
}

// gates are those of one port.
type gates struct{ requests, watchers, contents, pages, bodies *gate }

func newGates(l Limits, m *metrics, port string) *gates {
	gate := func(name string, limit int64) *gate {
		return &gate{name: name, limit: limit, open: m.open.WithLabelValues(name, port), refused: m.refused.WithLabelValues(name, port)}
	}
	return &gates{
		gate("requests", int64(l.Requests)), gate("watchers", int64(l.Watchers)), gate("contents", int64(l.Contents)),
		gate("pages", int64(l.Pages)), gate("body bytes", l.BodyBytes),
	}
}

// gatesOf returns the gates that a request has to pass: those of the port
// that it came in by, none if it is part of another that passed them.
func (s *Server) gatesOf(r *http.Request) *gates {
	switch {
	case r.Context().Value(exchangeKey{}) != nil:
		return nil
	case fromPeer(r):
		return s.peers
	default:
		return s.clients
	}
}

// enter takes a place for the request until leave. Supervisors always get in.
func (x *exchange) enter() *api.Problem {
	g := x.server.gatesOf(x.r)
	_, open := x.route.need()
	if g != nil {
		x.bodies = g.bodies
	}
	switch {
	case g == nil || x.route.path == "/livez" || x.route.path == "/readyz":
		return nil
	case open:
		x.gate = g.pages
	case x.route.path == "/v1/events":
		x.gate = g.watchers
	case x.route.long: // also one that waits first
		x.gate = g.contents
	case x.route.kind != write && x.wait > 0:
		x.gate = g.watchers
	default:
		x.gate = g.requests
	}
	p := x.gate.take(1)
	if p != nil {
		x.gate = nil
	}
	return p
}

// reserving takes room in memory for what it reads of a body, until leave. What
// is announced and does not come takes none.
type reserving struct {
	io.Reader
	x *exchange
}

// Read implements io.Reader.
func (r *reserving) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.x.bodies == nil || n == 0 {
		return n, err
	}
	if full := r.x.bodies.take(int64(n)); full != nil {
		return n, full
	}
	r.x.reserved += int64(n)
	return n, err
}

// leave gives back what the request has taken.
func (x *exchange) leave() {
	if x.gate != nil {
		x.gate.leave(1)
	}
	if x.bodies != nil {
		x.bodies.leave(x.reserved)
	}
}

// limitBody bounds the time in which the body has to arrive if nobody reads
// it: net/http reads the rest itself before it goes on with the connection.
// Whoever reads it sets another time, and this one again if it stops early:
// where time is over, the connection is closed under what is still being sent,
// and the answer may be lost with it.
func (s *Server) limitBody(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.limits.BodyTimeout)) // a request of this process has no connection
	}
}

// pacedBody gives up a sender that makes no progress. The time that its reader
// takes does not count against the sender.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	left    time.Duration // of it, for the bytes that are awaited
	got     int           // of these
}

func (s *Server) paced(w http.ResponseWriter, r *http.Request) io.ReadCloser {
	return &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), stall: s.limits.Stall, left: s.limits.Stall}
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	begin := time.Now()
	bounded := b.control.SetReadDeadline(begin.Add(b.left)) == nil
	n, err := b.ReadCloser.Read(p)
	b.left -= time.Since(begin)
	if b.got += n; b.got >= stallBytes {
		b.got, b.left = 0, b.stall
	}
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, api.InvalidField("body", "body: fewer than %d bytes came within %v", stallBytes, b.stall)
	case !errors.Is(err, io.EOF):
		return n, api.InvalidField("body", "body: it broke off: %v", err)
	case bounded:
		_ = b.control.SetReadDeadline(time.Time{}) // all is here: what follows waits for the answer
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}
