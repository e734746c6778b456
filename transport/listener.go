package transport

import (
	"fmt"
	"net"
	"sync"
)

// Accept returns the listener that hands out accepted streams of one kind; the
// streams are of type *Conn. While it is open each call returns the same one; after its Close
// the next call opens a new one. Streams of a kind without an open listener
// are refused.
func (m *Mux) Accept(kind Kind) net.Listener {
	m.mu.Lock()
	l := m.listeners[kind]
	if l == nil || l.isClosed() {
		l = &listener{
			mux:    m,
			kind:   kind,
			queue:  make(chan *Conn, queueMax),
			closed: make(chan struct{}),
		}
		m.listeners[kind] = l
	}
	m.mu.Unlock()
	if m.done.Err() != nil {
		l.Close() // shutdown may have missed it
	}
	return l
}

// listener is a bounded queue of accepted streams. A place is reserved before
// the peer is told that it is accepted, so handing over never blocks.
type listener struct {
	mux    *Mux
	kind   Kind
	queue  chan *Conn
	closed chan struct{} // closed under mu

	mu       sync.Mutex
	reserved int // places taken: promised, or in the queue
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// reserve takes a place in the queue; false means that it is full.
func (l *listener) reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reserved >= queueMax {
		return false
	}
	l.reserved++
	return true
}

// release gives a reserved place back.
func (l *listener) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved--
}

// hand puts a stream in its reserved place, or closes it if the listener is closed.
func (l *listener) hand(c *Conn) {
	l.mu.Lock()
	open := !l.isClosed()
	if open {
		l.queue <- c // has room: the place is reserved
	}
	l.mu.Unlock()
	if !open {
		c.Close()
	}
}

// Accept returns the next stream.
func (l *listener) Accept() (net.Conn, error) {
	if l.isClosed() {
		return nil, l.errClosed()
	}
	select {
	case c := <-l.queue:
		l.release()
		return c, nil
	case <-l.closed:
		return nil, l.errClosed()
	}
}

func (l *listener) errClosed() error {
	return fmt.Errorf("listener for %s streams: %w", l.kind, net.ErrClosed)
}

// Close stops the listener and closes what it had not handed out. It may be
// called often.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.isClosed() {
		l.mu.Unlock()
		return nil
	}
	close(l.closed)
	l.mu.Unlock()
	for {
		select {
		case c := <-l.queue:
			c.Close()
		default:
			return nil
		}
	}
}

// Addr returns the address that the Mux advertises.
func (l *listener) Addr() net.Addr { return advertised(l.mux.AdvertiseAddr()) }

// advertised is an address that may carry a name.
type advertised string

// Network returns "tcp".
func (advertised) Network() string { return "tcp" }

// String returns "host:port".
func (a advertised) String() string { return string(a) }
