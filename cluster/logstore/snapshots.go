package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// retain is how many snapshots are kept: the newest, and one to fall back on.
const retain = 2

// Below the directory, as raft's file store lays them out, and our own.
const (
	snapshotsDir = "snapshots"
	damagedDir   = "snapshots-damaged"
	unfinished   = ".tmp" // a snapshot that is being written ends so
)

// OpenSnapshots opens or makes the snapshot store below dir, and removes what a
// crash left of a snapshot under way.
func OpenSnapshots(dir string, logger hclog.Logger) (raft.SnapshotStore, error) {
	store, err := raft.NewFileSnapshotStoreWithLogger(dir, retain, logger)
	path := filepath.Join(dir, snapshotsDir)
	if err == nil {
		err = errors.Join(syncDir(dir), syncDir(path))
	}
	var left []string
	if err == nil {
		left, err = filepath.Glob(filepath.Join(path, "*"+unfinished))
	}
	for _, old := range left {
		err = errors.Join(err, os.RemoveAll(old))
	}
	if err != nil {
		return nil, fmt.Errorf("raft snapshots in %s cannot be used: %w", dir, err)
	}
	return syncedSnapshots{store, path}, nil
}

// syncedSnapshots makes the names of a snapshot's files durable, which raft's
// store forgets: a power cut could leave an empty directory of a snapshot for
// which the log had been cut already.
type syncedSnapshots struct {
	*raft.FileSnapshotStore
	path string
}

// Create begins a snapshot; its two files have their names from the start.
func (s syncedSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Join(s.path, sink.ID()+unfinished)); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// CheckJoint reads the snapshots below dir and refuses a log that does not
// continue the newest sound one: entries are missing, and the node would go
// back in time. A damaged one is moved out of the way, and is returned, if the
// log has all that it had.
func CheckJoint(log raft.LogStore, snapshots raft.SnapshotStore, dir string) (damaged []string, err error) {
	first, err := log.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("raft log: %w", err)
	}
	sound, covered, err := readSnapshots(snapshots)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	if err != nil {
		return nil, fmt.Errorf("raft snapshots cannot be listed: %w", err)
	}
	refused := func(why string) error {
		return fmt.Errorf("raft snapshots in %s are missing or damaged: the log begins with entry %d, the newest readable snapshot ends with %d%s: restore the snapshots, or remove the node and start it with an empty data directory", dir, first, covered, why)
	}
	for _, entry := range entries {
		name := entry.Name()
		var index, term uint64
		if _, err := fmt.Sscanf(name, "%d-%d-", &term, &index); err != nil || !entry.IsDir() {
			continue // none of raft's
		}
		isSound, listed := sound[name]
		if isSound || !listed && index <= covered {
			continue
		}
		if index > covered && !has(log, index, term) {
			return nil, refused(fmt.Sprintf(", and snapshot %s cannot be read", name))
		}
		damaged = append(damaged, name)
	}
	if first > covered+1 {
		return nil, refused("")
	}
	return damaged, setAside(dir, damaged)
}

// has tells whether the log reached the end of a snapshot by itself. One that
// was sent by the leader ends where the log never was, or had another term.
func has(log raft.LogStore, index, term uint64) bool {
	var entry raft.Log
	return log.GetLog(index, &entry) == nil && entry.Term == term
}

// readSnapshots reads the newest snapshots through, and returns which are sound
// and where the newest of these ends.
func readSnapshots(snapshots raft.SnapshotStore) (sound map[string]bool, covered uint64, err error) {
	list, err := snapshots.List()
	if err != nil {
		return nil, 0, fmt.Errorf("raft snapshots cannot be listed: %w", err)
	}
	sound = map[string]bool{}
	for _, meta := range list {
		_, state, err := snapshots.Open(meta.ID) // checks the bytes
		if sound[meta.ID] = err == nil; err == nil {
			state.Close()
			covered = max(covered, meta.Index)
		}
	}
	return sound, covered, nil
}

// setAside keeps damaged snapshots for people: raft would go on to count them,
// and offer them to followers.
func setAside(dir string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	aside := filepath.Join(dir, damagedDir)
	err := os.MkdirAll(aside, 0o700)
	for _, name := range names {
		err = errors.Join(err, os.Rename(filepath.Join(dir, snapshotsDir, name), filepath.Join(aside, name)))
	}
	if err != nil {
		return fmt.Errorf("set damaged raft snapshots aside: %w", err)
	}
	return nil
}
