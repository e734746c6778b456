package cluster

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// inTurn is raft's transport without its fast path for heartbeats, on which
// raft handles them beside its main thread. There a leader that has been deposed
// while it was paused learns the new term before it knows that it leads no more,
// and appends its own proposals as entries of that term: entries of one index and
// term then differ between servers, which raft never finds out. In turn, a
// heartbeat waits for the write that is under way, for which the heartbeat
// timeout allows (rule S17).
//
// Only a snapshot takes longer than any heartbeat. While raft takes one it neither
// votes nor changes its term, so the heartbeats of the leader that sends it are
// answered here. Without that the leader would give up for want of a majority.
type inTurn struct {
	*raft.NetworkTransport
	turns  chan raft.RPC             // what raft gets
	raft   atomic.Pointer[raft.Raft] // nil until it is made
	taking atomic.Pointer[raft.InstallSnapshotRequest]
	began  bell // rings when raft begins to take a snapshot
	// stray is asked about entries before raft gets them; true keeps them from it.
	stray  func(*raft.AppendEntriesRequest) bool
	once   sync.Once
	closed chan struct{}
}

func newInTurn(trans *raft.NetworkTransport) *inTurn {
	t := &inTurn{NetworkTransport: trans, turns: make(chan raft.RPC), closed: make(chan struct{})}
	t.stray = func(*raft.AppendEntriesRequest) bool { return false }
	trans.SetHeartbeatHandler(t.heartbeat)
	return t
}

// SetHeartbeatHandler sets none: heartbeats take their turn with the rest.
func (*inTurn) SetHeartbeatHandler(func(raft.RPC)) {}

// Consumer is where raft gets its turns from.
func (t *inTurn) Consumer() <-chan raft.RPC { return t.turns }

// Close ends run, and the transport.
func (t *inTurn) Close() error {
	t.once.Do(func() { close(t.closed) })
	return t.NetworkTransport.Close()
}

// run passes on what is no heartbeat, until the transport is closed.
func (t *inTurn) run() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			t.pass(rpc)
		case <-t.closed:
			return
		}
	}
}

func (t *inTurn) pass(rpc raft.RPC) {
	if a, ok := rpc.Command.(*raft.AppendEntriesRequest); ok && t.stray(a) {
		rpc.Respond(nil, errStray)
		return
	}
	snapshot, ok := rpc.Command.(*raft.InstallSnapshotRequest)
	answer, answered := rpc.RespChan, make(chan raft.RPCResponse, 1)
	if ok {
		rpc.RespChan = answered
	}
	select {
	case t.turns <- rpc:
	case <-t.closed:
		return
	}
	if !ok {
		return
	}
	t.taking.Store(snapshot)
	t.began.ring()
	select {
	case a := <-answered:
		t.taking.Store(nil)
		answer <- a // has room for it
	case <-t.closed:
	}
}

// heartbeat lets a heartbeat wait for its turn, or answers it.
func (t *inTurn) heartbeat(rpc raft.RPC) {
	for {
		began := t.began.heard()
		if t.answers(rpc) {
			return
		}
		select {
		case t.turns <- rpc:
			return
		case <-began:
		case <-t.closed:
			return // the stream ends with the transport
		}
	}
}

// answers answers a heartbeat of the leader whose snapshot raft is taking.
func (t *inTurn) answers(rpc raft.RPC) bool {
	beat, ok := rpc.Command.(*raft.AppendEntriesRequest)
	snapshot, r := t.taking.Load(), t.raft.Load()
	if !ok || snapshot == nil || r == nil || beat.Term != snapshot.Term || beat.Term != r.CurrentTerm() || !bytes.Equal(beat.ID, snapshot.ID) {
		return false
	}
	rpc.Respond(&raft.AppendEntriesResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, Term: beat.Term, Success: true}, nil)
	return true
}
