package cluster

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/transport"
)

// raftStreams is raft's network: streams of kind raft over the node port.
type raftStreams struct {
	net.Listener
	mux *transport.Mux
	// enter is called before raft gets an accepted stream. An error closes it.
	enter  func(transport.Identity) error
	ready  <-chan struct{} // closed when enter may be called
	hangup func()          // called when the last stream of a peer has ended
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	open map[string]int // accepted streams that are open, by instance
}

// Close ends Accept and Dial.
func (s *raftStreams) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Listener.Close()
}

// Accept returns the next stream that may enter.
func (s *raftStreams) Accept() (net.Conn, error) {
	select {
	case <-s.ready:
	case <-s.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, _ := transport.PeerOf(conn)
		if err := s.enter(peer); err != nil {
			conn.Close()
			continue
		}
		return s.counted(conn, peer.Instance), nil
	}
}

// counted notes an accepted stream.
func (s *raftStreams) counted(conn net.Conn, instance string) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[instance]++
	return &countedStream{Conn: conn, ended: sync.OnceFunc(func() { s.ended(instance) })}
}

// ended notes the end of an accepted stream.
func (s *raftStreams) ended(instance string) {
	s.mu.Lock()
	s.open[instance]--
	last := s.open[instance] == 0
	if last {
		delete(s.open, instance)
	}
	s.mu.Unlock()
	if last {
		s.hangup()
	}
}

// from returns how many streams that a server has opened are open.
func (s *raftStreams) from(id raft.ServerID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[string(id)]
}

// countedStream is an accepted stream. raft closes it as soon as it cannot be
// read any more.
type countedStream struct {
	net.Conn
	ended func()
}

// Close implements net.Conn.
func (c *countedStream) Close() error {
	defer c.ended()
	return c.Conn.Close()
}

// Dial opens a stream to a server.
func (s *raftStreams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := s.mux.Dial(ctx, transport.KindRaft, string(address))
	if err != nil {
		return nil, err
	}
	select {
	case <-s.closed: // raft may go on for long when its disk hangs
		conn.Close()
		return nil, net.ErrClosed
	default:
		return conn, nil
	}
}
