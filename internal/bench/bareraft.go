package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// Times of a bare cluster.
const (
	bareTimeout = 10 * time.Second
	barePoll    = 10 * time.Millisecond
)

// bare is hashicorp/raft on raft-boltdb and nothing else: the rival of
// everything that is committed here.
type bare struct {
	nodes  []*raft.Raft
	stores []*raftboltdb.BoltStore
	trans  []*raft.NetworkTransport
	leader *raft.Raft
}

// ignore is the state machine of a bare cluster.
type ignore struct{}

func (ignore) Apply(*raft.Log) any { return nil }
func (ignore) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errors.New("a bare cluster has no state")
}
func (ignore) Restore(from io.ReadCloser) error { return from.Close() }

// newBare starts a cluster of so many servers on loopback, each with its log
// in a directory of its own, and waits for its leader.
func newBare(ctx context.Context, dir string, servers int) (*bare, error) {
	b := new(bare)
	var err error
	var all raft.Configuration
	for i := range servers {
		var t *raft.NetworkTransport
		if t, err = raft.NewTCPTransportWithLogger("127.0.0.1:0", nil, 3, bareTimeout, hclog.NewNullLogger()); err != nil {
			return nil, errors.Join(err, b.close())
		}
		b.trans = append(b.trans, t)
		all.Servers = append(all.Servers, raft.Server{ID: bareID(i), Address: t.LocalAddr()})
	}
	for i := range servers {
		if err := b.start(i, filepath.Join(dir, fmt.Sprintf("bare-%d-%d.db", servers, i)), all); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	if err := until(ctx, "a bare raft cluster elects a leader", func() bool {
		for _, r := range b.nodes {
			if r.State() == raft.Leader {
				b.leader = r
			}
		}
		return b.leader != nil
	}); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func bareID(i int) raft.ServerID { return raft.ServerID(fmt.Sprintf("bare-%d", i)) }

func (b *bare) start(i int, path string, all raft.Configuration) error {
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: true})
	if err != nil {
		return err
	}
	b.stores = append(b.stores, store)
	c := raft.DefaultConfig()
	c.LocalID, c.Logger, c.NoLegacyTelemetry = bareID(i), hclog.NewNullLogger(), true
	snapshots := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(c, store, store, snapshots, b.trans[i], all); err != nil {
		return err
	}
	r, err := raft.NewRaft(c, ignore{}, store, store, snapshots, b.trans[i])
	if err == nil {
		b.nodes = append(b.nodes, r)
	}
	return err
}

// propose commits one entry.
func (b *bare) propose(data []byte) error { return b.leader.Apply(data, bareTimeout).Error() }

// close stops everything and waits for it.
func (b *bare) close() error {
	var errs []error
	for _, r := range b.nodes {
		errs = append(errs, r.Shutdown().Error())
	}
	for _, t := range b.trans {
		t.CloseStreams()
		errs = append(errs, t.Close())
	}
	for _, s := range b.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// patience bounds what is waited for before a measurement can begin.
const patience = time.Minute

// until waits for something to become true.
func until(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v: %s", patience, what))
	defer cancel()
	ticker := time.NewTicker(barePoll)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}
