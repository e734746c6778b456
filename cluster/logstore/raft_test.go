package logstore

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// brokenDisk is a disk in memory whose writes go through a gate, to show raft
// with and without the Store above it.
type brokenDisk struct {
	*raft.InmemStore
	gate func(what string) error
}

func (d *brokenDisk) Close() error { return nil }

func (d *brokenDisk) StoreLogs(logs []*raft.Log) error {
	if err := d.gate("append"); err != nil {
		return err
	}
	return d.InmemStore.StoreLogs(logs)
}

func (d *brokenDisk) StoreLog(log *raft.Log) error { return d.StoreLogs([]*raft.Log{log}) }

func (d *brokenDisk) DeleteRange(min, max uint64) error {
	if err := d.gate("delete"); err != nil {
		return err
	}
	return d.InmemStore.DeleteRange(min, max)
}

func (d *brokenDisk) SetUint64(key []byte, value uint64) error {
	if err := d.gate("set"); err != nil {
		return err
	}
	return d.InmemStore.SetUint64(key, value)
}

func (d *brokenDisk) Set(key, value []byte) error {
	if err := d.gate("set"); err != nil {
		return err
	}
	return d.InmemStore.Set(key, value)
}

// applied is an FSM that remembers all it applied.
type applied struct {
	mu   sync.Mutex
	list []string
}

func (a *applied) Apply(log *raft.Log) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, string(log.Data))
	return nil
}

func (a *applied) has(command string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.list {
		if c == command {
			return true
		}
	}
	return false
}

func (a *applied) Snapshot() (raft.FSMSnapshot, error) { return nil, fmt.Errorf("not here") }
func (a *applied) Restore(io.ReadCloser) error         { return fmt.Errorf("not here") }

type node struct {
	id    raft.ServerID
	raft  *raft.Raft
	trans *raft.InmemTransport
	fsm   *applied
	store *Store // nil without the wrapper
	mu    sync.Mutex
	gate  func(string) error
}

func (n *node) setGate(gate func(string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gate = gate
}

func (n *node) pass(what string) error {
	n.mu.Lock()
	gate := n.gate
	n.mu.Unlock()
	if gate == nil {
		return nil
	}
	return gate(what)
}

// cluster starts three raft nodes inside the bubble.
func cluster(t *testing.T, wrapped bool) []*node {
	t.Helper()
	var nodes []*node
	var servers raft.Configuration
	for i := range 3 {
		n := &node{id: raft.ServerID(fmt.Sprint("n", i+1)), fsm: &applied{}}
		_, n.trans = raft.NewInmemTransport(raft.ServerAddress(n.id))
		nodes = append(nodes, n)
		servers.Servers = append(servers.Servers, raft.Server{ID: n.id, Address: raft.ServerAddress(n.id)})
	}
	for _, n := range nodes {
		connect(n, nodes)
		disk := &brokenDisk{InmemStore: raft.NewInmemStore(), gate: n.pass}
		var log raft.LogStore = disk
		var stable raft.StableStore = disk
		guard := func(f func() error) error { return f() }
		if wrapped {
			n.store = newStore(Config{Path: string(n.id), WriteLimit: 10 * time.Second}, disk)
			log, stable = n.store.ForRaft()
			guard = n.store.Guard
		}
		config := raft.DefaultConfig()
		config.LocalID = n.id
		config.Logger = hclog.NewNullLogger()
		snapshots := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(config, log, stable, snapshots, n.trans, servers); err != nil {
			t.Fatal(err)
		}
		err := guard(func() (err error) {
			n.raft, err = raft.NewRaft(config, n.fsm, log, stable, snapshots, n.trans)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return nodes
}

func connect(n *node, nodes []*node) {
	for _, peer := range nodes {
		if peer != n {
			n.trans.Connect(raft.ServerAddress(peer.id), peer.trans)
			peer.trans.Connect(raft.ServerAddress(n.id), n.trans)
		}
	}
}

func isolate(n *node, nodes []*node) {
	n.trans.DisconnectAll()
	for _, peer := range nodes {
		peer.trans.Disconnect(raft.ServerAddress(n.id))
	}
}

// leader waits until one of the nodes leads and returns it, nil after limit.
func leader(limit time.Duration, nodes ...*node) *node {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, n := range nodes {
			if n.raft.State() == raft.Leader && n.raft.VerifyLeader().Error() == nil {
				return n
			}
		}
	}
	return nil
}

func others(n *node, nodes []*node) []*node {
	var rest []*node
	for _, peer := range nodes {
		if peer != n {
			rest = append(rest, peer)
		}
	}
	return rest
}

func stop(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		future := n.raft.Shutdown()
		n.trans.Close()
		if err := future.Error(); err != nil {
			t.Error(err)
		}
		if n.store != nil {
			n.store.Close()
		}
	}
	time.Sleep(time.Minute) // stray timers of raft end
}

// hang makes the leader's disk hang and returns how long the others took to
// have a leader, and whether they had one within five minutes.
func hang(t *testing.T, wrapped bool) (took time.Duration, recovered bool) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, wrapped)
		old := leader(time.Minute, nodes...)
		if old == nil {
			t.Fatal("no first leader")
		}
		mended := make(chan struct{})
		old.setGate(func(string) error { <-mended; return errDisk })
		future := old.raft.Apply([]byte("lost"), time.Second)
		began := time.Now()
		next := leader(5*time.Minute, others(old, nodes)...)
		took, recovered = time.Since(began), next != nil
		if wrapped {
			<-old.store.Failed()
			if future.Error() == nil {
				t.Error("a write on the hanging disk was acknowledged")
			}
			stop(t, old) // though the write still hangs
		}
		if recovered {
			if err := next.raft.Apply([]byte("kept"), time.Second).Error(); err != nil {
				t.Error(err)
			}
		}
		close(mended)
		if wrapped {
			nodes = others(old, nodes)
		}
		stop(t, nodes...)
	})
	return took, recovered
}

// A leader whose disk hangs must lose its lead after the write limit, and its
// node must be able to stop. Without the Store it leads for ever: both are run.
func TestHangingDiskEndsLeader(t *testing.T) {
	if took, recovered := hang(t, true); !recovered || took > 20*time.Second {
		t.Errorf("with the store: recovered %v after %v, want within 20 s", recovered, took)
	}
	if took, recovered := hang(t, false); recovered {
		t.Errorf("raft alone recovered after %v: the store's limit may no longer be needed", took)
	}
}

// rejoin isolates a leader with entries that will never be committed, lets its
// DeleteRange fail 100 times when it comes back, and returns how many of those
// entries it applied.
func rejoin(t *testing.T, wrapped bool) (wrong int) {
	const stale = 50
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, wrapped)
		old := leader(time.Minute, nodes...)
		for i := range 100 {
			if err := old.raft.Apply(fmt.Append(nil, "before ", i), time.Second).Error(); err != nil {
				t.Fatal(err)
			}
		}
		isolate(old, nodes)
		for i := range stale {
			old.raft.Apply(fmt.Append(nil, "stale ", i), time.Second)
		}
		next := leader(time.Minute, others(old, nodes)...)
		if next == nil {
			t.Fatal("no second leader")
		}
		for i := range 200 {
			if err := next.raft.Apply(fmt.Append(nil, "after ", i), time.Second).Error(); err != nil {
				t.Fatal(err)
			}
		}
		failures := 100
		old.setGate(func(what string) error {
			if what == "delete" && failures > 0 {
				failures--
				return errDisk
			}
			return nil
		})
		connect(old, nodes)
		time.Sleep(time.Hour) // raft backs off up to seconds after each failure
		if failures == 100 {
			t.Error("DeleteRange was never called: the test shows nothing")
		}
		for i := range stale {
			if old.fsm.has(fmt.Sprint("stale ", i)) {
				wrong++
			}
		}
		stop(t, nodes...)
	})
	return wrong
}

// A log that could not be cut must never be applied. Without the Store raft
// applies entries that were never committed: both are run.
func TestFailedDeleteDoesNotDiverge(t *testing.T) {
	if wrong := rejoin(t, true); wrong != 0 {
		t.Errorf("with the store %d commands were applied that were never committed", wrong)
	}
	if wrong := rejoin(t, false); wrong == 0 {
		t.Error("raft alone applied nothing wrong: latching the error may no longer be needed")
	}
}

// A node that cannot write its term must stop as if it had died there, with
// no panic and no goroutine left, and the others go on: break one follower's
// disk and hand the lead over, which raises the term.
func TestFailedTermWriteIsNoPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, true)
		first := leader(time.Minute, nodes...)
		broken := others(first, nodes)[0]
		next := others(first, nodes)[1]
		broken.setGate(func(string) error { return errDisk })
		if err := first.raft.LeadershipTransferToServer(next.id, raft.ServerAddress(next.id)).Error(); err != nil {
			t.Fatal(err)
		}
		<-broken.store.Failed()
		stop(t, broken)
		rest := others(broken, nodes)
		if err := leader(time.Minute, rest...).raft.Apply([]byte("kept"), time.Second).Error(); err != nil {
			t.Error(err)
		}
		stop(t, rest...)
	})
}
