package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
)

// BindNode ties the directory to a node id, for good; one that was made for
// another node is refused.
func (d *Dir) BindNode(nodeID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nodeID == nodeID {
		return nil
	}
	if d.nodeID != "" {
		return fmt.Errorf("data directory %s belongs to node %q, not to %q: start it with --node-id %s or choose another directory", d.path, d.nodeID, nodeID, d.nodeID)
	}
	if nodeID == "" {
		return errors.New("a data directory cannot be bound to an empty node id")
	}
	if err := d.write(nodeFile, nodeID); err != nil {
		return err
	}
	d.seen.Lock()
	defer d.seen.Unlock()
	d.nodeID = nodeID
	return nil
}

// BindName ties the directory to the name of a cluster; one of another
// cluster is refused.
func (d *Dir) BindName(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cluster.Name == name {
		return nil
	}
	if d.cluster.Name != "" {
		return fmt.Errorf("data directory %s belongs to cluster %q, not to %q: start it with --cluster %s or choose another directory", d.path, d.cluster.Name, name, d.cluster.Name)
	}
	return d.saveCluster(Cluster{Name: name, ID: d.cluster.ID, Former: d.cluster.Former})
}

// SetClusterID makes the directory part of the cluster id, for good. A second
// id is refused.
func (d *Dir) SetClusterID(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cluster.ID == id {
		return nil
	}
	if d.cluster.ID != "" {
		return fmt.Errorf("data directory %s belongs to cluster id %s, not to %s: choose an empty directory to join another cluster", d.path, d.cluster.ID, id)
	}
	return d.saveCluster(Cluster{Name: d.cluster.Name, ID: id, Former: d.cluster.Former})
}

// Succeed makes the directory part of the cluster id, which goes on in the
// place of the one that it was part of.
func (d *Dir) Succeed(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.saveCluster(Cluster{Name: d.cluster.Name, ID: id, Former: d.cluster.formerly()})
}

// Reset makes the directory one that has yet to join, as a new instance under
// the same node id: what raft kept is set aside, a pledge goes, the rest stays. It
// returns where raft's files are now. Broken off at any point it leaves a
// directory that does not start, and can be repeated.
func (d *Dir) Reset() (aside string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	aside = d.file("raft-of-" + d.instance)
	_ = os.Remove(d.file("raft")) // empty, if the node was started since an earlier try; else it stays
	err = os.Rename(d.file("raft"), aside)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = os.Remove(d.file(pledgeFile)) // of long ago: it lets others than the leader speak to raft
	}
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = SyncDir(d.path)
	}
	if err != nil {
		return "", fmt.Errorf("set raft's files aside: %w", err)
	}
	instance := uuid.NewString()
	if err := d.write(instanceFile, instance); err != nil {
		return "", err
	}
	d.instance = instance
	return aside, d.saveCluster(Cluster{Name: d.cluster.Name, Former: d.cluster.formerly()})
}

// formerly lists the ids of the cluster up to now.
func (c Cluster) formerly() []string {
	if c.ID == "" || slices.Contains(c.Former, c.ID) {
		return c.Former
	}
	return append(slices.Clone(c.Former), c.ID)
}

func (d *Dir) saveCluster(cluster Cluster) error {
	data, err := json.Marshal(cluster)
	if err != nil {
		return err
	}
	if err := d.write(clusterFile, string(data)); err != nil {
		return err
	}
	d.seen.Lock()
	defer d.seen.Unlock()
	d.cluster = cluster
	return nil
}

// SetHeartbeat keeps the heartbeat in force for the next start.
func (d *Dir) SetHeartbeat(heartbeat time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write(heartbeatFile, heartbeat.String())
}

// Pledge returns what SetPledge kept, one line of JSON; ok is false without
// a pledge.
func (d *Dir) Pledge() (record json.RawMessage, ok bool, err error) {
	ok, err = d.readJSON(pledgeFile, &record)
	return record, ok, err
}

// SetPledge keeps the record of the node's one pledge, durably.
func (d *Dir) SetPledge(record json.RawMessage) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	line, err := json.Marshal(record) // compacts: a record is one line
	if err != nil {
		return fmt.Errorf("encode the pledge: %w", err)
	}
	return d.write(pledgeFile, string(line))
}

// ClearPledge removes the pledge, durably.
func (d *Dir) ClearPledge() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate != nil {
		if err := d.gate(pledgeFile); err != nil {
			return fmt.Errorf("remove %s: %w", d.file(pledgeFile), err)
		}
	}
	err := os.Remove(d.file(pledgeFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the pledge: %w", err)
	}
	if err := SyncDir(d.path); err != nil {
		return fmt.Errorf("remove the pledge: %w", err)
	}
	return nil
}

// Withdrawn returns the numbers that SetWithdrawn kept.
func (d *Dir) Withdrawn() (numbers []string, err error) {
	_, err = d.readJSON(withdrawnFile, &numbers)
	return numbers, err
}

// SetWithdrawn keeps the numbers of the proposals that this instance has
// withdrawn, durably.
func (d *Dir) SetWithdrawn(numbers []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	line, err := json.Marshal(numbers)
	if err != nil {
		return fmt.Errorf("encode the withdrawn numbers: %w", err)
	}
	return d.write(withdrawnFile, string(line))
}
