package simnet

import (
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// bufferMax is how many bytes one direction of a stream holds, on the way and
// arrived together, before writes block.
const bufferMax = 1 << 20

// What a chunk is.
type chunkKind uint8

const (
	chunkData chunkKind = iota
	chunkFin            // the other end closed; stays at the head of the queue
	chunkRst            // the other end is gone; stays at the head of the queue
)

// chunk is something that was sent and not yet read.
type chunk struct {
	kind    chunkKind
	data    []byte
	at      time.Time // when it arrives
	stalled bool      // the link is cut: it arrives some time after it heals
}

func (c *chunk) arrived(now time.Time) bool { return !c.stalled && !c.at.After(now) }

// conn is one end of a stream. Its fields are guarded by net.mu.
type conn struct {
	net           *Net
	host          *host
	peer          *conn
	local, remote *net.TCPAddr

	in            []chunk // sent by the peer
	inBytes       int
	closed        bool // by this end
	killed        bool // this end's host was killed
	readDeadline  time.Time
	writeDeadline time.Time
	sig           signal // anything above, or the peer's queue, changed
}

// pair makes a stream from a to b.
func (n *Net) pair(a, b *host, local, remote *net.TCPAddr) (*conn, *conn) {
	x := &conn{net: n, host: a, local: local, remote: remote}
	y := &conn{net: n, host: b, local: remote, remote: local}
	x.peer, y.peer = y, x
	n.conns = append(n.conns, x, y)
	return x, y
}

// send queues a chunk at the peer, unless the peer reads no more.
func (c *conn) send(k chunkKind, data []byte) {
	p, n := c.peer, c.net
	if p.closed || p.killed {
		return
	}
	ch := chunk{kind: k, data: data, at: time.Now().Add(n.delayOf(c.host, p.host)), stalled: n.isCut(c.host, p.host)}
	if len(p.in) > 0 {
		last := p.in[len(p.in)-1]
		if last.kind != chunkData {
			return
		}
		if last.at.After(ch.at) { // the link became faster: keep the order
			ch.at = last.at
		}
	}
	p.in = append(p.in, ch)
	p.inBytes += len(data)
	if len(p.in) == 1 {
		p.sig.wake() // otherwise it waits for an earlier chunk
	}
}

// end returns when the peer's end of the stream is known here, and as what.
func (c *conn) end() (chunk, bool) {
	if len(c.in) == 0 {
		return chunk{}, false
	}
	last := c.in[len(c.in)-1]
	return last, last.kind != chunkData
}

// Read returns what has arrived, or blocks.
func (c *conn) Read(b []byte) (int, error) {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		now := time.Now()
		if err := c.broken(c.readDeadline, now); err != nil {
			return 0, opError("read", "tcp", c.local, c.remote, err)
		}
		if len(b) == 0 {
			return 0, nil
		}
		var until time.Time
		if len(c.in) > 0 {
			head := &c.in[0]
			if head.arrived(now) {
				return c.take(b, now)
			}
			if !head.stalled {
				until = head.at
			}
		}
		n.wait(&c.sig, earlier(until, c.readDeadline), nil)
	}
}

// take reads from the chunks that have arrived, of which there is one.
func (c *conn) take(b []byte, now time.Time) (int, error) {
	switch c.in[0].kind {
	case chunkFin:
		return 0, io.EOF
	case chunkRst:
		return 0, opError("read", "tcp", c.local, c.remote, errReset)
	case chunkData:
	}
	got := 0
	for got < len(b) && len(c.in) > 0 && c.in[0].kind == chunkData && c.in[0].arrived(now) {
		k := copy(b[got:], c.in[0].data)
		got += k
		if c.in[0].data = c.in[0].data[k:]; len(c.in[0].data) == 0 {
			c.in[0] = chunk{}
			c.in = c.in[1:]
		}
	}
	if c.inBytes >= bufferMax {
		c.peer.sig.wake() // it may be waiting for room
	}
	c.inBytes -= got
	return got, nil
}

// Write queues b, and blocks while the queue is full.
func (c *conn) Write(b []byte) (int, error) {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	sent := 0
	for {
		now := time.Now()
		err := c.broken(c.writeDeadline, now)
		end, ended := c.end()
		if err == nil && ended && end.arrived(now) {
			if err = errPipe; end.kind == chunkRst {
				err = errReset
			}
		}
		if err != nil {
			return sent, opError("write", "tcp", c.local, c.remote, err)
		}
		if room := bufferMax - c.peer.inBytes; room > 0 {
			k := min(room, len(b)-sent)
			if k > 0 {
				c.send(chunkData, slices.Clone(b[sent:sent+k]))
			}
			sent += k
		}
		if sent == len(b) {
			return sent, nil
		}
		until := c.writeDeadline
		if ended && !end.stalled {
			until = earlier(until, end.at)
		}
		n.wait(&c.sig, until, nil)
	}
}

// broken returns why nothing works at this end any more.
func (c *conn) broken(deadline, now time.Time) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.killed:
		return errReset
	case passed(deadline, now):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// Close closes this end. It may be called often.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return opError("close", "tcp", c.local, c.remote, net.ErrClosed)
	}
	c.close()
	return nil
}

func (c *conn) close() {
	if c.closed {
		return
	}
	if !c.killed {
		if c.net.isCut(c.host, c.peer.host) {
			c.abort() // what has stalled is lost with the stream
		} else {
			c.send(chunkFin, nil)
		}
	}
	c.closed = true
	c.drop()
}

// abort resets the peer as soon as the link lets it, and takes back what has
// not arrived there.
func (c *conn) abort() {
	p, now := c.peer, time.Now()
	p.in = slices.DeleteFunc(p.in, func(ch chunk) bool { return !ch.arrived(now) })
	p.inBytes = 0
	for i := range p.in {
		p.inBytes += len(p.in[i].data)
	}
	c.send(chunkRst, nil)
}

// kill is what happens to this end when its host dies.
func (c *conn) kill() {
	if c.closed || c.killed {
		return
	}
	c.abort()
	if end, ended := c.peer.end(); ended && end.kind == chunkRst && !end.stalled {
		c.peer.in[len(c.peer.in)-1].at = time.Now() // at once
	}
	c.killed = true
	c.drop()
}

// drop forgets the stream's queue here, and the stream once both ends are done.
func (c *conn) drop() {
	c.in, c.inBytes = nil, 0
	c.sig.wake()
	c.peer.sig.wake()
	c.net.conns = slices.DeleteFunc(c.net.conns, func(o *conn) bool { return o == c })
}

// LocalAddr returns this end's address.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the other end's address.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline sets when reads give up; zero means never.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline sets when writes give up; zero means never.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return opError("set", "tcp", c.local, c.remote, net.ErrClosed)
	}
	if read != nil {
		c.readDeadline = *read
	}
	if write != nil {
		c.writeDeadline = *write
	}
	c.sig.wake()
	return nil
}
