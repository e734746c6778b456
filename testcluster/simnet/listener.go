package simnet

import (
	"context"
	"net"
	"strconv"
	"time"
)

// backlogMax bounds the streams that a listener has not accepted; beyond it
// dials are refused.
const backlogMax = 1024

// listener is a TCP listener. Its fields are guarded by net.mu.
type listener struct {
	host    *host
	addr    *net.TCPAddr
	backlog []*conn
	closed  bool
	sig     signal
}

// Listen implements transport.Network. Listening on a loopback address or on
// none is listening on the host's own.
func (h *host) Listen(addr string) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	port, err := h.bindPort(addr)
	if err == nil && h.tcp[port] != nil {
		err = errInUse
	}
	if err != nil {
		return nil, opError("listen", "tcp", nil, rawAddr(addr), err)
	}
	l := &listener{host: h, addr: h.tcpAddr(port)}
	h.tcp[port] = l
	return l, nil
}

func (h *host) tcpAddr(port int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.ParseIP(h.ip), Port: port}
}

// Accept returns the next stream.
func (l *listener) Accept() (net.Conn, error) {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		if l.closed {
			return nil, opError("accept", "tcp", nil, l.addr, net.ErrClosed)
		}
		if len(l.backlog) > 0 {
			c := l.backlog[0]
			l.backlog = l.backlog[1:]
			return c, nil
		}
		n.wait(&l.sig, time.Time{}, nil)
	}
}

// Close stops listening and resets the streams that nobody accepted.
func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.closed {
		return opError("close", "tcp", nil, l.addr, net.ErrClosed)
	}
	l.close()
	return nil
}

func (l *listener) close() {
	if l.closed {
		return
	}
	l.closed = true
	delete(l.host.tcp, l.addr.Port)
	for _, c := range l.backlog {
		c.kill()
	}
	l.backlog = nil
	l.sig.wake()
}

// Addr returns the address to dial.
func (l *listener) Addr() net.Addr { return l.addr }

// rawAddr is an address as it was given.
type rawAddr string

// Network returns "tcp".
func (rawAddr) Network() string { return "tcp" }

// String returns the address.
func (a rawAddr) String() string { return string(a) }

// Dial implements transport.Network. It takes a round trip; over a cut link it
// blocks until the link heals or ctx ends.
func (h *host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	c, err := h.dial(ctx, addr)
	if err != nil {
		return nil, opError("dial", "tcp", nil, rawAddr(addr), err)
	}
	return c, nil
}

func (h *host) dial(ctx context.Context, addr string) (net.Conn, error) {
	n := h.net
	name, port, err := split(addr)
	if err != nil {
		return nil, err
	}
	ips, err := h.lookup(name)
	if err != nil {
		return nil, err
	}
	to := n.byIP[ips[0]]
	var due time.Time // when the round trip is over; zero while a link is cut
	for {
		switch {
		case n.closed:
			return nil, net.ErrClosed
		case h.down:
			return nil, errDown
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case to == nil:
			return nil, errNoRoute
		}
		now := time.Now()
		if n.isCut(h, to) || n.isCut(to, h) {
			due = time.Time{}
		} else if due.IsZero() {
			due = now.Add(n.delayOf(h, to) + n.delayOf(to, h))
		}
		if passed(due, now) {
			return h.connect(to, port)
		}
		n.wait(&n.topo, due, ctx.Done())
	}
}

// connect puts a new stream in the backlog of the listener at to.
func (h *host) connect(to *host, port int) (net.Conn, error) {
	l := to.tcp[port]
	if l == nil || len(l.backlog) >= backlogMax {
		return nil, errRefused
	}
	own, err := h.allot()
	if err != nil {
		return nil, err
	}
	mine, theirs := h.net.pair(h, to, h.tcpAddr(own), l.addr)
	l.backlog = append(l.backlog, theirs)
	l.sig.wake()
	return mine, nil
}

// Resolve implements transport.Network. It takes no time and knows the names
// of the hosts and those given to Net.DNS.
func (h *host) Resolve(ctx context.Context, addr string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	name, port, err := split(addr)
	if err != nil {
		return nil, err
	}
	ips, err := h.lookup(name)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		out = append(out, net.JoinHostPort(ip, strconv.Itoa(port)))
	}
	return out, nil
}
