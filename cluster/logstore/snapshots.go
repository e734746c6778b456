package logstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
)

// retain is how many snapshots are kept: the newest, and one to fall back on.
const retain = 2

// Below the directory, as raft's file store lays them out, and our own.
const (
	snapshotsDir = "snapshots"
	damagedDir   = "snapshots-damaged"
	metaFile     = "meta.json"
	sumFile      = "meta.crc32c" // ours: raft has a checksum for state.bin only
	unfinished   = ".tmp"        // a snapshot that is being written ends so
)

// OpenSnapshots opens or makes the snapshot store below dir, and removes what a
// crash left of a snapshot under way. Gate, if set, is called before each write
// as that of [Config].
func OpenSnapshots(dir string, gate func(what string) error, logger hclog.Logger) (raft.SnapshotStore, error) {
	store, err := raft.NewFileSnapshotStoreWithLogger(dir, retain, logger)
	path := filepath.Join(dir, snapshotsDir)
	if err == nil {
		err = errors.Join(datadir.SyncDir(dir), datadir.SyncDir(path))
	}
	if err == nil {
		err = sweep(path)
	}
	if err != nil {
		return nil, fmt.Errorf("raft snapshots in %s cannot be used: %w", dir, err)
	}
	if gate == nil {
		gate = func(string) error { return nil }
	}
	return sealedSnapshots{store, path, gate}, nil
}

// sweep removes the snapshots that are unfinished, and seals those that have no
// seal: a crash came between.
func sweep(path string) error {
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		dir := filepath.Join(path, entry.Name())
		if strings.HasSuffix(dir, unfinished) {
			err = errors.Join(err, os.RemoveAll(dir))
		} else if there(dir, metaFile) && !there(dir, sumFile) {
			err = errors.Join(err, sealSnapshot(dir))
		}
	}
	return err
}

func there(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return !errors.Is(err, os.ErrNotExist)
}

// sealSnapshot keeps the checksum of a snapshot's description beside it.
func sealSnapshot(dir string) error {
	sum, err := sumOfMeta(dir)
	if err != nil {
		return err
	}
	return datadir.WriteFile(filepath.Join(dir, sumFile), []byte(sum))
}

func sumOfMeta(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, metaFile))
	return fmt.Sprintf("%08x\n", sumOf(nil, data)), err
}

// sealedSnapshots does two things that raft's store forgets. It makes the names
// of a snapshot's files durable: a power cut could leave an empty directory of a
// snapshot for which the log had been cut already. And it keeps a checksum of
// the description, which has the snapshot's index, its term and the servers.
type sealedSnapshots struct {
	*raft.FileSnapshotStore
	path string
	gate func(what string) error
}

// Create begins a snapshot; its two files have their names from the start.
func (s sealedSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	if err := s.gate("begin a snapshot"); err != nil {
		return nil, err
	}
	sink, err := s.FileSnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	if err := datadir.SyncDir(filepath.Join(s.path, sink.ID()+unfinished)); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return &sealingSink{SnapshotSink: sink, dir: filepath.Join(s.path, sink.ID()), gate: s.gate}, nil
}

// Open opens a snapshot whose bytes and description are what was written.
func (s sealedSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	dir := filepath.Join(s.path, id)
	kept, err := os.ReadFile(filepath.Join(dir, sumFile))
	if err != nil {
		return nil, nil, fmt.Errorf("the checksum of snapshot %s: %w", id, err)
	}
	if now, err := sumOfMeta(dir); err != nil || now != string(kept) {
		return nil, nil, errors.Join(fmt.Errorf("%s in %s is damaged: its checksum does not fit its content", metaFile, dir), err)
	}
	return s.FileSnapshotStore.Open(id)
}

// sealingSink seals a snapshot when it is complete.
type sealingSink struct {
	raft.SnapshotSink
	dir    string
	gate   func(what string) error
	closed bool
}

// Close ends the snapshot. raft may call it, or Cancel, more than once.
func (s *sealingSink) Close() error {
	if s.closed {
		return s.SnapshotSink.Close()
	}
	if err := s.gate("end a snapshot"); err != nil {
		return errors.Join(err, s.Cancel())
	}
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	s.closed = true
	return sealSnapshot(s.dir)
}

// Cancel gives the snapshot up; after Close it does nothing.
func (s *sealingSink) Cancel() error {
	s.closed = true
	return s.SnapshotSink.Cancel()
}

// CheckJoint reads the snapshots below dir and refuses a log that does not
// continue the newest sound one: entries are missing, and the node would go
// back in time. A damaged one is moved out of the way, and is returned, if the
// log has all that it had.
func CheckJoint(log *Store, snapshots raft.SnapshotStore, dir string) (damaged []string, err error) {
	first, err := log.FirstIndex()
	if err != nil {
		return nil, err
	}
	first = max(first, log.unbroken)
	entries, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	if err != nil {
		return nil, fmt.Errorf("raft snapshots cannot be listed: %w", err)
	}
	var covered uint64
	bad := map[string]uint64{} // and where each ends
	for _, entry := range entries {
		name := entry.Name()
		var index, term uint64
		if _, err := fmt.Sscanf(name, "%d-%d-", &term, &index); err != nil || !entry.IsDir() {
			continue // none of raft's
		}
		if sound(snapshots, name) {
			covered = max(covered, index)
			continue
		}
		damaged = append(damaged, name)
		if !has(log, index, term) {
			bad[name] = index
		}
	}
	refused := func(why string) error {
		return fmt.Errorf("raft snapshots in %s are missing or damaged: the log begins with entry %d, the newest readable snapshot ends with %d%s: restore the snapshots, or remove the node and start it with an empty data directory", dir, first, covered, why)
	}
	for _, name := range damaged {
		if bad[name] > covered {
			return nil, refused(fmt.Sprintf(", and snapshot %s cannot be read", name))
		}
	}
	if first > covered+1 {
		return nil, refused("")
	}
	return damaged, setAside(dir, damaged)
}

// sound reads a snapshot through.
func sound(snapshots raft.SnapshotStore, name string) bool {
	meta, state, err := snapshots.Open(name) // checks the bytes
	if err != nil {
		return false
	}
	state.Close()
	return meta.ID == name
}

// has tells whether the log reached the end of a snapshot by itself. One that
// was sent by the leader ends where the log never was, or had another term.
func has(log raft.LogStore, index, term uint64) bool {
	var entry raft.Log
	return log.GetLog(index, &entry) == nil && entry.Term == term
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
