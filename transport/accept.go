package transport

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// begin starts the handshake of an accepted connection in a goroutine of its
// own, so that a slow peer delays nobody. If too many handshakes are
// unfinished the oldest is cut off: an honest one is over in a round trip.
func (m *Mux) begin(raw net.Conn) {
	if !m.track(raw, 0) {
		return
	}
	m.mu.Lock()
	var oldest net.Conn
	if len(m.pending) >= handshakesMax {
		oldest = m.pending[0]
		m.pending = slices.Delete(m.pending, 0, 1)
	}
	m.pending = append(m.pending, raw)
	m.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	m.running.Go(func() {
		remote := raw.RemoteAddr().String()
		if err := m.receive(raw); err != nil {
			m.untrack(raw)
			raw.Close()
			// Streams that fail because the Mux ends are no news.
			if _, refused := errors.AsType[*Refused](err); refused || m.done.Err() == nil {
				m.cfg.OnRefused(remote, err)
			}
		}
	})
}

// receive runs the acceptor's half of the handshake and hands the stream to
// its listener.
func (m *Mux) receive(raw net.Conn) error {
	conn, h, slot, err := m.greet(raw)
	m.mu.Lock()
	m.pending = slices.DeleteFunc(m.pending, func(c net.Conn) bool { return c == raw })
	m.mu.Unlock()
	if err != nil {
		if slot != nil {
			slot.release()
		}
		return err
	}
	slot.hand(&Conn{Conn: conn, Kind: h.kind, Peer: h.from, mux: m, raw: raw})
	return nil
}

// greet reads the hello, judges it and answers. A non-nil listener has a place
// reserved for the stream.
func (m *Mux) greet(raw net.Conn) (net.Conn, hello, *listener, error) {
	fail := func(err error) (net.Conn, hello, *listener, error) { return nil, hello{}, nil, err }
	if err := raw.SetDeadline(time.Now().Add(m.cfg.Timeout)); err != nil {
		return fail(err)
	}
	conn := raw
	if m.cfg.Wrap.ServerConn != nil {
		var err error
		if conn, err = m.cfg.Wrap.ServerConn(raw); err != nil {
			return fail(fmt.Errorf("incoming stream: %w: %w", ErrUnsecured, err))
		}
	}
	own := m.identity()
	h, err := readHello(conn)
	if err != nil {
		return fail(m.turnAway(conn, own, hello{}, unreadable(own, err), err))
	}
	slot, refused := m.judge(own, h)
	if refused != nil {
		return fail(m.turnAway(conn, own, h, refused, refused))
	}
	b, err := reply{from: own}.encode()
	if err == nil {
		_, err = conn.Write(b)
	}
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	if err == nil && !m.setKind(raw, h.kind) {
		err = net.ErrClosed
	}
	if err != nil {
		return nil, h, slot, fmt.Errorf("%s stream from node %q: %w", h.kind, h.from.Node, err)
	}
	return conn, h, slot, nil
}

// setKind notes which kind a stream has turned out to be. It returns false if
// the stream was closed meanwhile.
func (m *Mux) setKind(raw net.Conn, kind Kind) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.streams[raw]; !ok {
		return false
	}
	m.streams[raw] = kind
	return true
}

// unreadable says in the protocol's words what was wrong with a hello.
func unreadable(own Identity, err error) *Refused {
	if ve, ok := errors.AsType[*versionError](err); ok {
		return refuse(CodeBadVersion, "node %q speaks version %d of the node protocol, not %d: run releases that know each other",
			own.Node, version, ve.got)
	}
	return refuse(CodeBadPreamble, "this is a node port, and %s", err)
}

// turnAway sends a refusal, as far as the peer will hear it, and returns what
// to tell OnRefused.
func (m *Mux) turnAway(conn net.Conn, own Identity, h hello, refused *Refused, cause error) error {
	if b, err := (reply{refused: refused, from: own}).encode(); err == nil {
		// The peer may be gone or not listening; refusing it is all the same.
		_, _ = conn.Write(b)
	}
	if h.kind == 0 {
		return fmt.Errorf("incoming stream: %w", cause)
	}
	return fmt.Errorf("%s stream from node %q of cluster %q: %w", h.kind, h.from.Node, h.from.ClusterName, cause)
}

// judge applies the first hook and the built-in checks, then the policy hook, then reserves a
// place with the kind's listener.
func (m *Mux) judge(own Identity, h hello) (*listener, *Refused) {
	if r := m.cfg.Vet(h.from); r != nil {
		return nil, r
	}
	if r := check(own, h.from); r != nil {
		return nil, r
	}
	if !h.kind.known() {
		return nil, refuse(CodeKindRefused, "node %q does not know streams of %s", own.Node, h.kind)
	}
	if m.cfg.Admit != nil {
		if r := m.cfg.Admit(h.kind, h.from); r != nil {
			return nil, r
		}
	}
	m.mu.Lock()
	l := m.listeners[h.kind]
	m.mu.Unlock()
	if l == nil || l.isClosed() {
		return nil, refuse(CodeKindRefused, "node %q takes no %s streams at the moment", own.Node, h.kind)
	}
	if !l.reserve() {
		return nil, refuse(CodeOverloaded, "node %q has %d %s streams waiting: try again", own.Node, queueMax, h.kind)
	}
	return l, nil
}
