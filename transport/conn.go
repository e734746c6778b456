package transport

import (
	"io"
	"net"
)

// Conn is a stream after its handshake.
type Conn struct {
	net.Conn
	Kind Kind     // the protocol it was opened for
	Peer Identity // who is at the other end, as it said itself

	mux *Mux
	raw net.Conn
}

// Close closes the stream.
func (c *Conn) Close() error {
	c.mux.untrack(c.raw)
	return c.Conn.Close()
}

// ReadFrom copies r into the stream. It is there so that copying a file to a
// plain TCP stream can be left to the kernel.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// PeerOf returns who is at the other end of a stream that came out of a Mux,
// also if it has been wrapped by something with a NetConn method (crypto/tls).
func PeerOf(c net.Conn) (Identity, bool) {
	for {
		switch t := c.(type) {
		case *Conn:
			return t.Peer, true
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return Identity{}, false
		}
	}
}
