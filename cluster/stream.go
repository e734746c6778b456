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
	closed chan struct{}
	once   sync.Once
}

// Close ends Accept.
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
		return conn, nil
	}
}

// Dial opens a stream to a server.
func (s *raftStreams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.mux.Dial(ctx, transport.KindRaft, string(address))
}

// inTurn is raft's transport without its fast path for heartbeats, on which
// raft handles them beside its main thread. There a leader that has been deposed
// while it was paused learns the new term before it knows that it leads no more,
// and appends its own proposals as entries of that term: entries of one index and
// term then differ between servers, which raft never finds out. In turn, a
// heartbeat waits for the write that is under way, for which the heartbeat
// timeout allows (rule S17).
type inTurn struct{ *raft.NetworkTransport }

// SetHeartbeatHandler sets none: heartbeats take their turn with the rest.
func (inTurn) SetHeartbeatHandler(func(raft.RPC)) {}
