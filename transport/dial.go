package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Limits of HTTP over the node port.
const (
	httpIdlePerHost    = 256 // as many clients may be forwarded at once without dialing anew
	httpIdle           = 512
	httpIdleTimeout    = 90 * time.Second
	httpHeaderBytesMax = 64 << 10
)

// Dial opens a stream of one kind to the node at addr and returns it after the
// handshake. It gives up when ctx ends, at the latest after Config.Timeout.
// The error wraps a *Refused if the node answered but does not want the stream.
func (m *Mux) Dial(ctx context.Context, kind Kind, addr string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(m.done, cancel)()
	c, err := m.dial(ctx, kind, addr)
	if err != nil {
		if m.done.Err() != nil {
			err = net.ErrClosed
		}
		return nil, fmt.Errorf("%s stream to %s: %w", kind, addr, err)
	}
	return c, nil
}

// Vacant tells whether the host at addr answers that nothing listens there, by
// a fresh dial. No answer, or any other, is a no.
func (m *Mux) Vacant(ctx context.Context, addr string) bool {
	conn, err := m.cfg.Network.Dial(ctx, addr)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func (m *Mux) dial(ctx context.Context, kind Kind, addr string) (*Conn, error) {
	raw, err := m.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if !m.track(raw, kind) {
		return nil, net.ErrClosed
	}
	// The end of ctx, its deadline included, cuts the handshake short.
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	conn, peer, err := m.introduce(raw, kind, addr)
	if !stop() {
		err = fmt.Errorf("no answer to the handshake: %w", ctx.Err())
	}
	if err != nil {
		m.untrack(raw)
		raw.Close()
		return nil, err
	}
	return &Conn{Conn: conn, Kind: kind, Peer: peer, mux: m, raw: raw}, nil
}

// introduce runs the dialer's half of the handshake.
func (m *Mux) introduce(raw net.Conn, kind Kind, addr string) (net.Conn, Identity, error) {
	fail := func(err error) (net.Conn, Identity, error) { return nil, Identity{}, err }
	conn := raw
	if m.cfg.Wrap.ClientConn != nil {
		var err error
		if conn, err = m.cfg.Wrap.ClientConn(raw, addr); err != nil {
			return fail(fmt.Errorf("%w: %w", ErrUnsecured, err))
		}
	}
	own := m.identity()
	b, err := hello{kind: kind, from: own}.encode()
	if err != nil {
		return fail(err)
	}
	if _, err := conn.Write(b); err != nil {
		return fail(err)
	}
	rep, err := readReply(conn)
	if err != nil {
		return fail(err)
	}
	if rep.refused != nil {
		m.cfg.OnTurnedAway(rep.refused)
		return fail(rep.refused)
	}
	// The acceptor has checked the same; one that did not is not to be trusted.
	if r := check(own, rep.from); r != nil {
		return fail(r)
	}
	return conn, rep.from, nil
}

// HTTPTransport returns an HTTP transport that sends each request over a
// stream of the given kind to the node port that the URL's host names
// ("http://10.0.0.1:7400/path"). No proxy, no compression, HTTP/1.1. The
// caller owns it and calls CloseIdleConnections when done; the end of the Mux closes its connections too.
func (m *Mux) HTTPTransport(kind Kind) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return m.Dial(ctx, kind, addr)
		},
		DisableCompression:     true,
		MaxIdleConns:           httpIdle,
		MaxIdleConnsPerHost:    httpIdlePerHost,
		IdleConnTimeout:        httpIdleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: httpHeaderBytesMax,
	}
}
