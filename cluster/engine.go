package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/logstore"
	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/transport"
)

// engine is raft with its own transport. raft cannot change its lease while it
// runs, so another heartbeat is another engine, over the same log and the same
// state machine (rule S17). The goroutine of leadership replaces it; before
// that runs, start does.
type engine struct {
	raft      *raft.Raft
	trans     *inTurn
	passing   sync.WaitGroup // trans.run
	streams   *raftStreams
	heartbeat time.Duration
}

// startEngine starts raft with a heartbeat. The state machine goes on from where
// it is, unless the newest snapshot is ahead of it.
func (n *Node) startEngine(live *live, heartbeat time.Duration) error {
	streams := &raftStreams{
		Listener: n.mux.Accept(transport.KindRaft), mux: n.mux, ready: live.entered, closed: make(chan struct{}), hangup: n.hangups.ring, open: map[string]int{},
		enter: func(peer transport.Identity) error { return live.entry.enterRaft(context.Background(), peer) },
	}
	e := &engine{heartbeat: heartbeat, streams: streams}
	e.trans = newInTurn(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: streams, ServerAddressProvider: bookOf{n}, Logger: calmLog{n.log.Named("raft-net"), n},
		MaxPool: 3, MaxRPCsInFlight: 1, Timeout: 10 * time.Second, MsgpackUseNewTimeFormat: true,
	}))
	live.store.SetWriteLimit(logstore.WriteLimit(heartbeat))
	err := live.store.Guard(func() error {
		list, err := live.snapshots.List()
		if err != nil {
			return fmt.Errorf("raft snapshots cannot be listed: %w", err)
		}
		config := n.raftConfig(heartbeat)
		config.NoSnapshotRestoreOnStart = len(list) > 0 && list[0].Index <= n.View().Index
		logs, stable := live.store.ForRaft()
		e.raft, err = raft.NewRaft(config, n.machine, logs, stable, live.snapshots, e.trans)
		return err
	})
	if failed := n.machine.failure(); failed != nil {
		err = failed // raft only says that no snapshot could be restored
	} else if err != nil {
		err = fmt.Errorf("start raft: %w", err)
	}
	if err != nil {
		e.trans.Close()
		return err
	}
	e.trans.raft.Store(e.raft)
	e.trans.stray = func(a *raft.AppendEntriesRequest) bool { return n.stray(live, e.raft, a) }
	e.passing.Go(e.trans.run)
	live.engine.Store(e)
	return nil
}

// silence ends all that raft hears and says: who hears nothing of a leader elects
// another, also when a disk that hangs holds up the end of this one.
func (e *engine) silence(n *Node) {
	e.trans.Close()
	n.mux.CloseStreams(transport.KindRaft)
}

// stop ends raft, and waits for it and for what it does to log and state.
func (e *engine) stop(n *Node) error {
	down := e.raft.Shutdown()
	e.silence(n)
	e.trans.CloseStreams()
	defer e.passing.Wait()
	return down.Error()
}

// retiming is a wish for another heartbeat on its way to the goroutine that
// owns reigns and raft.
type retiming struct {
	heartbeat time.Duration
	why       string
	result    chan error // has room for the one result
}

// retime lets raft run with another heartbeat from now on, and returns when it
// does. A leader ends its reign by it. When ctx ends before that, it may still
// happen.
func (n *Node) retime(ctx context.Context, heartbeat time.Duration, why string) error {
	one := retiming{heartbeat, why, make(chan error, 1)}
	select {
	case n.retimes <- one:
	case <-ctx.Done():
		return fmt.Errorf("another heartbeat: %w", ctx.Err())
	case <-n.unled:
		return ErrStopped
	}
	select {
	case err := <-one.result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("another heartbeat: %w", ctx.Err())
	case <-n.unled:
		return ErrStopped
	}
}

// exchange replaces the engine. No reign runs meanwhile. The heartbeat is on
// disk before it is in force; an error of raft ends the node. A disk that hangs
// does not hold up the node's end.
func (n *Node) exchange(ctx context.Context, live *live, one retiming) error {
	old := live.engine.Load()
	if old.heartbeat == one.heartbeat {
		return nil
	}
	began := time.Now()
	select {
	case n.diskBusy <- struct{}{}:
	case <-ctx.Done():
		return ErrStopped
	}
	if err := n.onDisk(ctx, func() error { return live.dir.SetHeartbeat(one.heartbeat) }); err != nil {
		return err
	}
	if err := errors.Join(old.stop(n), n.startEngine(live, one.heartbeat)); err != nil {
		return err
	}
	n.log.Info("raft runs with another heartbeat", "heartbeat", one.heartbeat, "was", old.heartbeat, "why", one.why, "took", time.Since(began))
	return nil
}

// running returns the heartbeat that raft runs with, 0 before it does.
func (n *Node) running() time.Duration {
	if live := n.live.Load(); live != nil {
		return live.engine.Load().heartbeat
	}
	return 0
}

// Idle leaders tell their followers the commit index once in commitEvery, or
// once in that share of a long heartbeat.
const (
	commitEvery = 50 * time.Millisecond
	commitShare = 20
)

func (n *Node) raftConfig(heartbeat time.Duration) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.instance())
	c.ProtocolVersion = raft.ProtocolVersionMax
	c.HeartbeatTimeout, c.ElectionTimeout = heartbeat, heartbeat
	c.LeaderLeaseTimeout, c.CommitTimeout = pace.Lease(heartbeat), max(commitEvery, heartbeat/commitShare)
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	n.cfg.Snapshots.set(c)
	c.Logger = calmLog{n.log.Named("raft"), n}
	return c
}
