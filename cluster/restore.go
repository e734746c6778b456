package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// restoreTimeout bounds how long raft may take to begin with a restore.
const restoreTimeout = time.Minute

// What a snapshot that is being restored is called on disk.
const (
	restoreBegin = "restore-"
	restoreEnd   = ".tmp"
)

// forgetRestores removes what a crash in a restore left behind.
func forgetRestores(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, restoreBegin) && strings.HasSuffix(name, restoreEnd) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
		}
	}
	return err
}

// restoring is a restore on its way to the goroutine that owns the reigns.
type restoring struct {
	saved  io.ReadSeeker
	by     string
	result chan error // has room for the one result
}

// Restoration says how a snapshot is to be restored.
type Restoration struct {
	By      string // who restores it, for the log
	Foreign bool   // it may be of another cluster
}

// restoreBytesMax bounds a snapshot that is restored: it is kept on the disk of
// the log meanwhile.
const restoreBytesMax = 4 << 30

// Restore replaces the state of the cluster by a saved snapshot, under a new
// lineage and a restore guard (rule S5). Only the leader can; it stops leading
// for that time and then begins as if newly elected. A snapshot that is
// damaged, of another cluster or of a newer feature level changes nothing. When
// ctx ends before the result is there, the restore may still happen.
func (n *Node) Restore(ctx context.Context, saved io.Reader, how Restoration) error {
	if n.reign.Load() == nil {
		return n.notLeader()
	}
	select {
	case n.oneRestore <- struct{}{}:
		defer func() { <-n.oneRestore }()
	default:
		return &RefusedError{placement.Overloaded, "another snapshot is being restored; wait for its end"}
	}
	file, err := n.restoreFile()
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := n.checkSaved(file, saved, how); err != nil {
		return err
	}
	one := restoring{file, how.By, make(chan error, 1)}
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

// restoreFile makes a file for a snapshot beside raft's own.
func (n *Node) restoreFile() (*os.File, error) {
	dir, err := n.live.Load().dir.Sub("raft")
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(dir, restoreBegin+"*"+restoreEnd)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return file, nil
}

// checkSaved copies a snapshot to the file, which is much slower than reading
// it there, and refuses it there: the leader stops leading for good ones only.
func (n *Node) checkSaved(file *os.File, saved io.Reader, how Restoration) error {
	size, err := io.Copy(file, io.LimitReader(saved, restoreBytesMax+1))
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return &RefusedError{placement.NoSpace, "the leader's data directory has no room for the snapshot"}
	case err != nil:
		return &RefusedError{placement.Invalid, fmt.Sprintf("the snapshot did not arrive whole: %v", err)}
	case size > restoreBytesMax:
		return &RefusedError{placement.Invalid, fmt.Sprintf("the snapshot has more than %d bytes", int64(restoreBytesMax))}
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	view, err := fsm.ReadSnapshot(file)
	switch {
	case err != nil:
		return &RefusedError{placement.Invalid, err.Error()}
	case view.ClusterID != n.clusterID() && !how.Foreign:
		return &RefusedError{placement.Invalid, fmt.Sprintf("the snapshot is of another cluster, %s (id %s): say foreign if that is what you want", view.ClusterName, view.ClusterID)}
	}
	return nil
}

// mindEvery is how often the disk of the log is written to meanwhile.
const mindEvery = time.Second

// mind writes to the log's disk now and then until its result is called: without
// a reign nobody writes there, and a disk that hangs would end no leader.
func (l *live) mind(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var minder sync.WaitGroup
	minder.Go(func() {
		for sleep(ctx, mindEvery) && l.store.Set([]byte("restoring"), nil) == nil {
		}
	})
	return func() {
		cancel()
		minder.Wait()
	}
}

// restore rewrites the snapshot for the present cluster and hands it to raft.
// No reign runs meanwhile.
func (n *Node) restore(r *raft.Raft, one restoring) error {
	if r.State() != raft.Leader {
		return n.notLeader()
	}
	file, err := n.restoreFile()
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := one.saved.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	lineage := uuid.NewString()
	if err := fsm.Rewrite(one.saved, n.View(), lineage, file); err != nil {
		return &RefusedError{placement.Invalid, err.Error()}
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	n.log.Warn("restoring a snapshot", "by", one.by, "bytes", size, "lineage", lineage, "file", filepath.Base(file.Name()))
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
