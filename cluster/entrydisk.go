package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/cluster/logstore"
)

// entryDisk is the data directory as the way into the cluster uses it: a write
// that outlasts the write limit of the raft log ends the node, as it does there.
// The goroutine of entry.run owns it.
type entryDisk struct {
	*datadir.Dir
	entry *entry
	live  *live
}

// SetPledge implements pledge.Store.
func (d entryDisk) SetPledge(record json.RawMessage) error {
	return d.within(func() error { return d.Dir.SetPledge(record) })
}

// ClearPledge implements pledge.Store.
func (d entryDisk) ClearPledge() error { return d.within(d.Dir.ClearPledge) }

// SetWithdrawn implements pledge.Store.
func (d entryDisk) SetWithdrawn(numbers []string) error {
	return d.within(func() error { return d.Dir.SetWithdrawn(numbers) })
}

// SetClusterID makes the directory part of a cluster.
func (d entryDisk) SetClusterID(id string) error {
	return d.within(func() error { return d.Dir.SetClusterID(id) })
}

// within waits for a write up to the limit.
func (d entryDisk) within(write func() error) error {
	limit := logstore.WriteLimit(d.live.engine.Load().heartbeat)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	select {
	case d.entry.node.diskBusy <- struct{}{}:
		err = d.entry.node.onDisk(ctx, write)
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("data directory %s: no answer from the disk for %v; the node stops: check the disk, then start the node again", d.Path(), limit)
		d.entry.broken = err
	}
	return err
}
