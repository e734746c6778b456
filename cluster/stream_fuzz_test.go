package cluster

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/internal/appetite"
)

// oneStream is a raft network of one accepted stream.
type oneStream struct {
	conn   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (s *oneStream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conn:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *oneStream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *oneStream) Addr() net.Addr { return &net.TCPAddr{} }

func (s *oneStream) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	return nil, errors.New("nobody is there")
}

// script is a connection whose other end has said all that it says.
type script struct {
	net.Conn
	in     *bytes.Reader
	closed chan struct{}
	once   sync.Once
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// sender is a raft network on which everything that is sent is written down.
type sender struct {
	oneStream
	sent bytes.Buffer
}

func (s *sender) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	return &recorder{script{in: new(bytes.Reader), closed: make(chan struct{})}, &s.sent}, nil
}

// recorder is a connection to nobody who answers.
type recorder struct {
	script
	sent *bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) { return r.sent.Write(b) }

// framed returns what raft's transport sends in a call.
func framed(f *testing.F, call func(to *raft.NetworkTransport) error) []byte {
	f.Helper()
	s := &sender{oneStream: oneStream{closed: make(chan struct{})}}
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: s, MaxPool: 1, MaxRPCsInFlight: 1, Timeout: time.Second, Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true})
	defer trans.Close()
	if err := call(trans); err == nil || s.sent.Len() == 0 {
		f.Fatalf("%d bytes were sent: %v", s.sent.Len(), err)
	}
	return s.sent.Bytes()
}

// Whatever a peer sends on a stream of raft, its decoder neither panics nor
// waits for ever, hands raft no more entries than there were bytes, reads of a
// snapshot no more than was announced, and asks for memory in proportion.
func FuzzRaftStream(f *testing.F) {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("i1"), Addr: []byte("a1")}
	appendEntries := &raft.AppendEntriesRequest{
		RPCHeader: header, Term: 2, PrevLogEntry: 3, PrevLogTerm: 1, LeaderCommitIndex: 3,
		Entries: []*raft.Log{{Index: 4, Term: 2, Type: raft.LogCommand, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(1, 0)}},
	}
	vote := &raft.RequestVoteRequest{RPCHeader: header, Term: 2, LastLogIndex: 3, LastLogTerm: 1}
	preVote := &raft.RequestPreVoteRequest{RPCHeader: header, Term: 2, LastLogIndex: 3, LastLogTerm: 1}
	install := &raft.InstallSnapshotRequest{RPCHeader: header, SnapshotVersion: 1, Term: 2, LastLogIndex: 3, LastLogTerm: 1, Configuration: []byte("config"), Size: 8}
	entries := framed(f, func(to *raft.NetworkTransport) error {
		return to.AppendEntries("i2", "a2", appendEntries, new(raft.AppendEntriesResponse))
	})
	f.Add(append(entries, entries...))
	f.Add(framed(f, func(to *raft.NetworkTransport) error {
		return to.RequestVote("i2", "a2", vote, new(raft.RequestVoteResponse))
	}))
	f.Add(framed(f, func(to *raft.NetworkTransport) error {
		return to.RequestPreVote("i2", "a2", preVote, new(raft.RequestPreVoteResponse))
	}))
	snapshot := framed(f, func(to *raft.NetworkTransport) error {
		return to.InstallSnapshot("i2", "a2", install, new(raft.InstallSnapshotResponse), strings.NewReader("snapshot"))
	})
	f.Add(append(snapshot, entries...))
	f.Add(framed(f, func(to *raft.NetworkTransport) error {
		return to.TimeoutNow("i2", "a2", &raft.TimeoutNowRequest{RPCHeader: header}, new(raft.TimeoutNowResponse))
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		streams := &oneStream{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
		conn := &script{in: bytes.NewReader(in), closed: make(chan struct{})}
		trans := newInTurn(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: streams, MaxPool: 1, MaxRPCsInFlight: 1, Timeout: time.Second, Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true,
		}))
		var passing sync.WaitGroup
		passing.Go(trans.run)
		entries := 0
		asked := appetite.Of(func() {
			streams.conn <- conn
			for {
				select {
				case rpc := <-trans.Consumer():
					entries += taken(t, rpc)
					continue
				case <-conn.closed:
				}
				break
			}
		})
		if err := trans.Close(); err != nil {
			t.Error(err)
		}
		passing.Wait()
		if entries > len(in) {
			t.Errorf("%d entries in %d bytes", entries, len(in))
		}
		if limit := uint64(1<<20 + 512*len(in)); asked > limit {
			t.Errorf("%d bytes asked for %d of memory", len(in), asked)
		}
	})
}

// taken answers an rpc as raft does, and counts its entries.
func taken(t *testing.T, rpc raft.RPC) int {
	t.Helper()
	switch command := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		rpc.Respond(&raft.AppendEntriesResponse{}, nil)
		return len(command.Entries)
	case *raft.RequestVoteRequest:
		rpc.Respond(&raft.RequestVoteResponse{}, nil)
	case *raft.RequestPreVoteRequest:
		rpc.Respond(&raft.RequestPreVoteResponse{}, nil)
	case *raft.InstallSnapshotRequest:
		n, err := io.Copy(io.Discard, rpc.Reader)
		if err != nil || n > max(command.Size, 0) {
			t.Errorf("%d bytes of a snapshot of %d: %v", n, command.Size, err)
		}
		rpc.Respond(&raft.InstallSnapshotResponse{}, nil)
	case *raft.TimeoutNowRequest:
		rpc.Respond(&raft.TimeoutNowResponse{}, nil)
	default:
		t.Errorf("raft gets a %T", command)
		rpc.Respond(nil, errors.New("unknown"))
	}
	return 0
}
