package simnet

import (
	"net"
	"os"
	"slices"
	"time"
)

const (
	packetMax      = 65507 // bytes of one packet
	packetQueueMax = 1024  // packets a socket holds, on the way and arrived; further ones are lost
)

// packet is one datagram on its way.
type packet struct {
	from *host
	addr *net.UDPAddr
	data []byte
	at   time.Time
}

// packetConn is a UDP socket. Its fields are guarded by net.mu.
type packetConn struct {
	host          *host
	addr          *net.UDPAddr
	queue         []packet // by time of arrival
	closed        bool
	readDeadline  time.Time
	writeDeadline time.Time
	sig           signal
}

// ListenPacket implements transport.Network.
func (h *host) ListenPacket(addr string) (net.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	port, err := h.bindPort(addr)
	if err == nil && h.udp[port] != nil {
		err = errInUse
	}
	if err != nil {
		return nil, opError("listen", "udp", nil, rawAddr(addr), err)
	}
	p := &packetConn{host: h, addr: &net.UDPAddr{IP: net.ParseIP(h.ip), Port: port}}
	h.udp[port] = p
	return p, nil
}

// ReadFrom returns the next packet that has arrived, cut to the size of b.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n := p.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		now := time.Now()
		if p.closed || passed(p.readDeadline, now) {
			return 0, nil, opError("read", "udp", p.addr, nil, p.why())
		}
		var until time.Time
		if len(p.queue) > 0 {
			head := p.queue[0]
			if !head.at.After(now) {
				p.queue = slices.Delete(p.queue, 0, 1)
				return copy(b, head.data), head.addr, nil
			}
			until = head.at
		}
		n.wait(&p.sig, earlier(until, p.readDeadline), nil)
	}
}

// why returns the error of a socket that is closed or past a deadline.
func (p *packetConn) why() error {
	if p.closed {
		return net.ErrClosed
	}
	return os.ErrDeadlineExceeded
}

// WriteTo sends a packet to any address whose String is "ip:port". Like UDP,
// it does not tell whether the packet arrives.
func (p *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	n := p.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	ip, port, err := split(addr.String())
	switch {
	case err != nil:
	case p.closed || passed(p.writeDeadline, time.Now()):
		err = p.why()
	case len(b) > packetMax:
		err = errTooLarge
	}
	if err != nil {
		return 0, opError("write", "udp", p.addr, addr, err)
	}
	to := n.byIP[ip]
	if p.host.isLocal(ip) {
		to = p.host
	}
	if to == nil || n.isCut(p.host, to) || n.lost(p.host, to) {
		return len(b), nil
	}
	if q := to.udp[port]; q != nil {
		q.arrive(packet{from: p.host, addr: p.addr, data: slices.Clone(b), at: time.Now().Add(n.delayOf(p.host, to))})
	}
	return len(b), nil
}

// lost draws whether a packet is lost on the way.
func (n *Net) lost(a, b *host) bool {
	chance := n.loss[link{a.name, b.name}]
	return chance > 0 && n.rng.Float64() < chance
}

// arrive queues a packet that has not arrived yet.
func (p *packetConn) arrive(pk packet) {
	if len(p.queue) >= packetQueueMax {
		return
	}
	i := len(p.queue)
	for i > 0 && p.queue[i-1].at.After(pk.at) {
		i--
	}
	p.queue = slices.Insert(p.queue, i, pk)
	if i == 0 {
		p.sig.wake()
	}
}

// Close closes the socket.
func (p *packetConn) Close() error {
	p.host.net.mu.Lock()
	defer p.host.net.mu.Unlock()
	if p.closed {
		return opError("close", "udp", p.addr, nil, net.ErrClosed)
	}
	p.close()
	return nil
}

func (p *packetConn) close() {
	if p.closed {
		return
	}
	p.closed = true
	p.queue = nil
	delete(p.host.udp, p.addr.Port)
	p.sig.wake()
}

// LocalAddr returns the socket's address.
func (p *packetConn) LocalAddr() net.Addr { return p.addr }

// SetDeadline sets both deadlines.
func (p *packetConn) SetDeadline(t time.Time) error { return p.setDeadlines(&t, &t) }

// SetReadDeadline sets when reads give up; zero means never.
func (p *packetConn) SetReadDeadline(t time.Time) error { return p.setDeadlines(&t, nil) }

// SetWriteDeadline sets when writes give up; zero means never.
func (p *packetConn) SetWriteDeadline(t time.Time) error { return p.setDeadlines(nil, &t) }

func (p *packetConn) setDeadlines(read, write *time.Time) error {
	p.host.net.mu.Lock()
	defer p.host.net.mu.Unlock()
	if p.closed {
		return opError("set", "udp", p.addr, nil, net.ErrClosed)
	}
	if read != nil {
		p.readDeadline = *read
	}
	if write != nil {
		p.writeDeadline = *write
	}
	p.sig.wake()
	return nil
}
