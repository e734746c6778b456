package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/holdfast-cluster/holdfast/transport"
)

const (
	packetMax  = 64 << 10 // larger than any packet that memberlist sends
	streamsMax = 64       // accepted ones that are open; beyond it the oldest is cut off
)

// wire is the node port as memberlist wants it.
type wire struct {
	cfg     Config
	ctx     context.Context
	own     netip.AddrPort // that others reach the node by
	packets chan *memberlist.Packet
	streams chan net.Conn
	end     context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // handed to memberlist and open
	taken []net.Conn        // those of them that others have opened, oldest first
}

// newWire starts to receive; Shutdown ends that.
func newWire(ctx context.Context, cfg Config) (*wire, error) {
	own, err := ownAddress(ctx, cfg)
	if err != nil {
		return nil, err
	}
	w := &wire{
		cfg: cfg, own: own, conns: map[net.Conn]bool{},
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
	}
	w.ctx, w.end = context.WithCancel(ctx)
	socket := cfg.Mux.PacketConn()
	if err := socket.SetReadDeadline(time.Time{}); err != nil { // an earlier wire ended with one
		w.end()
		return nil, fmt.Errorf("gossip: %w", err)
	}
	listener := cfg.Mux.Accept(transport.KindGossip)
	context.AfterFunc(w.ctx, func() {
		listener.Close()
		socket.SetReadDeadline(time.Unix(1, 0)) // the socket is the Mux's to close
	})
	w.running.Go(func() { w.receive(socket) })
	w.running.Go(func() { w.accept(listener) })
	return w, nil
}

// ownAddress is the IP that the advertised name stands for.
func ownAddress(ctx context.Context, cfg Config) (netip.AddrPort, error) {
	advertised := cfg.Mux.AdvertiseAddr()
	if advertised == "" {
		return netip.AddrPort{}, errors.New("gossip: the node port is not bound")
	}
	all, err := cfg.Network.Resolve(ctx, advertised)
	if err == nil && len(all) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gossip: the advertised address %s: %w", advertised, err)
	}
	own, err := netip.ParseAddrPort(all[0])
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gossip: the advertised address %s: %w", advertised, err)
	}
	return own, nil
}

func (w *wire) receive(socket net.PacketConn) {
	buffer := make([]byte, packetMax)
	for w.ctx.Err() == nil {
		n, from, err := socket.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error of an earlier send, or the end
			w.pause()
			continue
		}
		if w.cfg.Keys == nil && packed(buffer[:n]) {
			continue
		}
		packet := &memberlist.Packet{Buf: append([]byte(nil), buffer[:n]...), From: from, Timestamp: time.Now()}
		select {
		case w.packets <- packet:
		case <-w.ctx.Done():
		}
	}
}

func (w *wire) pause() {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-w.ctx.Done():
	}
}

func (w *wire) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed
		}
		conn = w.track(conn)
		w.bound(conn)
		select {
		case w.streams <- conn:
		case <-w.ctx.Done():
			conn.Close()
		}
	}
}

// bound cuts off the oldest of too many streams: an honest one is over in a
// round trip.
func (w *wire) bound(conn net.Conn) {
	w.mu.Lock()
	var oldest net.Conn
	w.taken = append(w.taken, conn)
	if len(w.taken) > streamsMax {
		oldest = w.taken[0]
	}
	w.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
}

// stream is a connection that is closed with the wire. It brings one message,
// which memberlist gets once it has passed the sieve. One goroutine reads it.
type stream struct {
	net.Conn
	wire    *wire
	sifted  bool
	message []byte // what is left of it
}

// Read reads of the message.
func (s *stream) Read(b []byte) (int, error) {
	if !s.sifted {
		s.sifted = true
		var err error
		if s.message, err = sift(s.Conn, s.wire.cfg.Keys != nil); err != nil {
			return 0, err
		}
	}
	if len(s.message) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.message)
	s.message = s.message[n:]
	return n, nil
}

func (s *stream) Close() error {
	s.wire.mu.Lock()
	delete(s.wire.conns, s)
	s.wire.taken = slices.DeleteFunc(s.wire.taken, func(c net.Conn) bool { return c == s })
	s.wire.mu.Unlock()
	return s.Conn.Close()
}

func (w *wire) track(conn net.Conn) net.Conn {
	s := &stream{Conn: conn, wire: w}
	w.mu.Lock()
	w.conns[s] = true
	w.mu.Unlock()
	return s
}

func (w *wire) closeStreams() {
	w.mu.Lock()
	conns := make([]net.Conn, 0, len(w.conns))
	for conn := range w.conns {
		conns = append(conns, conn)
	}
	w.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
}

// FinalAdvertiseAddr tells memberlist where the node is.
func (w *wire) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return w.own.Addr().AsSlice(), int(w.own.Port()), nil
}

// WriteTo sends one packet.
func (w *wire) WriteTo(b []byte, addr string) (time.Time, error) {
	return time.Now(), w.cfg.Mux.SendPacket(w.ctx, b, addr)
}

// PacketCh is where packets come from.
func (w *wire) PacketCh() <-chan *memberlist.Packet { return w.packets }

// DialTimeout opens a stream.
func (w *wire) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(w.ctx, timeout)
	defer cancel()
	conn, err := w.cfg.Mux.Dial(ctx, transport.KindGossip, addr)
	if err != nil {
		return nil, err
	}
	tracked := w.track(conn)
	if w.ctx.Err() != nil {
		tracked.Close()
		return nil, net.ErrClosed
	}
	return tracked, nil
}

// StreamCh is where accepted streams come from.
func (w *wire) StreamCh() <-chan net.Conn { return w.streams }

// Shutdown stops receiving and closes the streams.
func (w *wire) Shutdown() error {
	w.end()
	w.closeStreams()
	w.running.Wait()
	w.closeStreams()
	return nil
}
