package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
)

// restoreTimeout bounds how long raft may take to begin with a restore.
const restoreTimeout = time.Minute

// restoreFiles is what a snapshot that is being restored is called on disk.
const restoreFiles = "restore-*.tmp"

// forgetRestores removes what a crash in a restore left behind.
func forgetRestores(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, restoreFiles))
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// restoring is a restore on its way to the goroutine that owns the reigns.
type restoring struct {
	saved  io.Reader
	result chan error // has room for the one result
}

// Restore replaces the state of the cluster by a saved snapshot, under a new
// lineage and a restore guard (rule S5). Only the leader can; it stops leading
// for that time and then begins as if newly elected. When ctx ends before the
// result is there, the restore may still happen.
func (n *Node) Restore(ctx context.Context, saved io.Reader) error {
	if n.reign.Load() == nil {
		return n.notLeader()
	}
	one := restoring{saved, make(chan error, 1)}
	select {
	case n.restores <- one:
	case <-ctx.Done():
		return fmt.Errorf("restore: %w", ctx.Err())
	case <-n.stopped:
		return ErrStopped
	}
	select {
	case err := <-one.result:
		return err
	case <-n.stopped:
		return fmt.Errorf("restore: %w", ErrOutcomeUnknown)
	}
}

// restore rewrites the snapshot for the present cluster and hands it to raft.
// No reign runs meanwhile.
func (n *Node) restore(r *raft.Raft, saved io.Reader) error {
	if r.State() != raft.Leader {
		return n.notLeader()
	}
	dir, err := n.live.Load().dir.Sub("raft")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, restoreFiles)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	lineage := uuid.NewString()
	if err := fsm.Rewrite(saved, n.View(), lineage, file); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	n.log.Warn("restoring a snapshot", "bytes", size, "lineage", lineage, "file", filepath.Base(file.Name()))
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: size}
	err = r.Restore(meta, file, restoreTimeout)
	if errors.Is(err, raft.ErrNotLeader) {
		return n.notLeader()
	}
	if err != nil {
		return fmt.Errorf("restore: %w: %w", ErrOutcomeUnknown, err)
	}
	return nil
}

// Transfer hands leadership to another server, which raft chooses.
func (n *Node) Transfer(ctx context.Context) error {
	r := n.reign.Load()
	if r == nil {
		return n.notLeader()
	}
	return n.transfer(ctx, r.raft)
}
