package agent

import (
	"container/list"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of the connections of a port.
const (
	connsMax   = 8192             // or half of the files that the process may open
	writeStall = 30 * time.Second // for a client to take what one write sends
	writeBytes = 64 << 10         // that are handed to the kernel as one write
)

// conns are the connections of a port. They are bounded, in number and in the
// time for which a peer may take nothing of what it is sent. When one comes too
// many, the one is closed that has waited longest without a request that a
// handler answers: those who only keep connections open, or announce bodies that
// never come, shut nobody out, probes least of all. There is
// such a one, for fewer requests may be under way than connections are allowed
// (server.LimitsFor).
type conns struct {
	max    int
	stall  time.Duration
	closed prometheus.Counter // to make room

	mu   sync.Mutex
	open int
	idle *list.List // of *conn that no handler is at, longest first
}

func newConns(m *meter, port string) *conns {
	c := &conns{max: connsAllowed(), stall: writeStall, idle: list.New()}
	labels := prometheus.Labels{"port": port}
	c.closed = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "holdfast", Name: "http_connections_closed_total", ConstLabels: labels,
		Help: "Connections closed to make room for others, by port.",
	})
	m.registry.MustRegister(c.closed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "holdfast", Name: "http_connections", Help: "Open connections, by port.", ConstLabels: labels,
	}, func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(c.open)
	}))
	return c
}

func connsAllowed() int { return min(connsMax, filesMax()/2) }

// guarded is a listener whose connections belong to conns.
type guarded struct {
	net.Listener
	conns *conns
}

// conn is one of conns.
type conn struct {
	net.Conn
	of     *conns
	place  *list.Element // in idle; under of.mu
	closed bool          // under of.mu
}

// Accept implements net.Listener.
func (g guarded) Accept() (net.Conn, error) {
	for c := g.conns; ; {
		raw, err := g.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http knows some by their type
		}
		in := &conn{Conn: raw, of: c}
		if victim := c.admit(in); victim != nil {
			c.closed.Inc()
			_ = victim.Close() // it is of no use any more
			if victim == in {
				continue
			}
		}
		return in, nil
	}
}

// admit counts a new connection and returns the one that has to go, if one
// has to.
func (c *conns) admit(in *conn) (victim *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in.place = c.idle.PushBack(in)
	if c.open++; c.open <= c.max {
		return nil
	}
	return c.idle.Front().Value.(*conn) //nolint:errcheck,forcetypeassert // nothing else is put there, and in is
}

// state follows what a connection does, for http.Server, and for a handler that
// has returned.
func (c *conns) state(nc net.Conn, state http.ConnState) {
	if over, ok := nc.(*tls.Conn); ok {
		nc = over.NetConn()
	}
	in, ok := nc.(*conn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case state == http.StateActive:
		in.unlist()
	case state == http.StateIdle && in.place == nil && !in.closed:
		in.place = c.idle.PushBack(in)
	default:
	}
}

func (in *conn) unlist() {
	if in.place != nil {
		in.of.idle.Remove(in.place)
		in.place = nil
	}
}

// Write implements net.Conn, a part at a time.
func (in *conn) Write(b []byte) (int, error) {
	for sent := 0; ; {
		if err := in.SetWriteDeadline(time.Now().Add(in.of.stall)); err != nil {
			return sent, err //nolint:wrapcheck // it is net's own
		}
		n, err := in.Conn.Write(b[sent:min(sent+writeBytes, len(b))])
		if sent += n; err != nil || sent == len(b) {
			return sent, err //nolint:wrapcheck // as above
		}
	}
}

// ReadFrom implements io.ReaderFrom: a file goes out by the kernel, a part at
// a time.
func (in *conn) ReadFrom(r io.Reader) (int64, error) {
	to, direct := in.Conn.(io.ReaderFrom)
	all, bounded := r.(*io.LimitedReader)
	if !direct || !bounded {
		return io.Copy(struct{ io.Writer }{in}, r) //nolint:wrapcheck // as above
	}
	for sent := int64(0); ; {
		part := min(all.N, writeBytes)
		if err := in.SetWriteDeadline(time.Now().Add(in.of.stall)); err != nil {
			return sent, err //nolint:wrapcheck // as above
		}
		n, err := to.ReadFrom(&io.LimitedReader{R: all.R, N: part})
		all.N -= n
		if sent += n; err != nil || n < part || all.N == 0 {
			return sent, err //nolint:wrapcheck // as above
		}
	}
}

// Close implements net.Conn.
func (in *conn) Close() error {
	in.of.mu.Lock()
	if !in.closed {
		in.closed = true
		in.of.open--
		in.unlist()
	}
	in.of.mu.Unlock()
	return in.Conn.Close() //nolint:wrapcheck // as above
}
