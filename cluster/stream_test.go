package cluster

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
	"github.com/holdfast-cluster/holdfast/transport"
)

// simStreams is raft's network over a simulated one.
type simStreams struct {
	net.Listener
	host transport.Network
}

func (s simStreams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.host.Dial(ctx, string(address))
}

func simTransport(t *testing.T, sim *simnet.Net, name, ip string) *raft.NetworkTransport {
	t.Helper()
	host := sim.Host(name, ip)
	listener, err := host.Listen(ip + ":1")
	if err != nil {
		t.Fatal(err)
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: simStreams{listener, host}, MaxPool: 1, MaxRPCsInFlight: 1, Timeout: time.Minute, Logger: hclog.NewNullLogger(),
	})
}

// heldStore is a raft log whose next append waits.
type heldStore struct {
	*raft.InmemStore
	hold chan chan struct{}
}

func (s heldStore) StoreLogs(logs []*raft.Log) error {
	select {
	case released := <-s.hold:
		<-released
	default:
	}
	return s.InmemStore.StoreLogs(logs)
}

// A leader learns of a later term between two of its steps, not in the middle
// of one, or it would sign its own entries with a term that another leads: it is
// held in an append, and gets the heartbeat of its successor.
func TestHeartbeatsTakeTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simnet.New(1)
		trans, successor := simTransport(t, sim, "a", "10.0.0.1"), simTransport(t, sim, "b", "10.0.0.2")
		store := heldStore{raft.NewInmemStore(), make(chan chan struct{}, 1)}
		config := raft.DefaultConfig()
		config.LocalID, config.Logger, config.NoLegacyTelemetry = "a", hclog.NewNullLogger(), true
		servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: trans.LocalAddr()}}}
		if err := raft.BootstrapCluster(config, store, store, raft.NewInmemSnapshotStore(), trans, servers); err != nil {
			t.Fatal(err)
		}
		turns := newInTurn(trans)
		go turns.run() // ends with the transport
		node, err := raft.NewRaft(config, new(raft.MockFSM), store, store, raft.NewInmemSnapshotStore(), turns)
		if err != nil {
			t.Fatal(err)
		}
		<-node.LeaderCh()
		if err := node.Barrier(0).Error(); err != nil { // past the append with which a term begins
			t.Fatal(err)
		}
		term := node.CurrentTerm()
		released := make(chan struct{})
		store.hold <- released
		node.Apply([]byte("x"), 0)
		synctest.Wait()

		answered := make(chan error, 1)
		go func() {
			beat := raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("b"), Addr: []byte(successor.LocalAddr())}, Term: term + 1}
			answered <- successor.AppendEntries("a", trans.LocalAddr(), &beat, new(raft.AppendEntriesResponse))
		}()
		time.Sleep(time.Second)
		if got := node.CurrentTerm(); got != term {
			t.Errorf("in the middle of an append the leader of term %d went to term %d", term, got)
		}
		close(released)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if got := node.CurrentTerm(); got != term+1 {
			t.Errorf("after the heartbeat of term %d the node is in term %d", term+1, got)
		}
		for _, end := range []io.Closer{turns, successor} {
			_ = end.Close()
		}
		if err := node.Shutdown().Error(); err != nil {
			t.Error(err)
		}
		trans.CloseStreams()
		successor.CloseStreams()
		sim.Close()
		time.Sleep(time.Minute)
	})
}
