package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/cluster/pace"
)

// Config says where the log is and what it bears.
type Config struct {
	// Path is the bolt file; its directory must exist.
	Path string
	// MustExist refuses to make the file: for a node that has voted before,
	// a missing log is damage (S14).
	MustExist bool
	// WriteLimit ends the store when one write lasts longer; see WriteLimit.
	WriteLimit time.Duration
	// Gate, if set, is called before every write with what is to be written.
	// It may wait, and its error is the write's. Tests break the disk with it.
	Gate func(what string) error
}

// WriteLimit is how long one write may take at the given heartbeat (S17).
func WriteLimit(heartbeat time.Duration) time.Duration {
	return max(10*time.Second, 10*heartbeat)
}

// disk is what lies under a Store: a BoltStore, in tests anything.
type disk interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// Store is a fail-stop raft.LogStore and raft.StableStore.
type Store struct {
	path   string
	disk   disk
	gate   func(string) error
	limit  atomic.Int64 // nanoseconds
	worst  pace.Worst
	failed chan struct{}
	// unbroken is the entry from which on none was missing at the start.
	unbroken uint64

	mu      sync.Mutex // guards what follows
	err     error
	writers int  // writes that have not ended
	closing bool // the last of them closes the disk
}

var (
	_ raft.LogStore    = (*Store)(nil)
	_ raft.StableStore = (*Store)(nil)
)

// Open opens or makes the log. A file that cannot be read is refused and left
// as it is.
func Open(config Config) (*Store, error) {
	if config.WriteLimit <= 0 {
		return nil, errors.New("raft log: WriteLimit must be positive")
	}
	if err := checkThere(config); err != nil {
		return nil, err
	}
	bolt, unbroken, err := openBolt(config.Path)
	if err != nil {
		return nil, err
	}
	s := newStore(config, bolt)
	s.unbroken = unbroken
	return s, nil
}

func newStore(config Config, under disk) *Store {
	s := &Store{path: config.Path, disk: under, gate: config.Gate, failed: make(chan struct{})}
	s.SetWriteLimit(config.WriteLimit)
	return s
}

func checkThere(config Config) error {
	info, err := os.Stat(config.Path)
	switch {
	case errors.Is(err, os.ErrNotExist) && !config.MustExist:
		return nil
	case errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 && config.MustExist:
		return fmt.Errorf("raft log %s is missing or empty, but this node is a member of a cluster: restore the file, or remove the node and start it with an empty data directory", config.Path)
	case err != nil:
		return fmt.Errorf("raft log: %w", err)
	}
	return nil
}

// openBolt reads through the file and opens it, which writes to it. bolt panics
// on some damage, and faults on a file that was cut short.
func openBolt(path string) (store *raftboltdb.BoltStore, unbroken uint64, err error) {
	damaged := func(why any) error {
		return fmt.Errorf("raft log %s cannot be read: %v; the file is left as it is: restore it, or remove the node and start it with an empty data directory", path, why)
	}
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			store, err = nil, damaged(p)
		}
	}()
	unbroken, err = checkFile(path)
	if err != nil {
		return nil, 0, damaged(err)
	}
	store, err = raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		BoltOptions:             &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType},
		MsgpackUseNewTimeFormat: true,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, 0, fmt.Errorf("raft log %s is in use by another process: stop that process", path)
	case errors.Is(err, os.ErrPermission):
		return nil, 0, fmt.Errorf("raft log: %w", err)
	case err != nil:
		return nil, 0, damaged(err)
	}
	// bolt has written, and so synced the file with all that is seen in it, but
	// not its name.
	if err := datadir.SyncDir(filepath.Dir(path)); err != nil {
		store.Close()
		return nil, 0, fmt.Errorf("raft log %s: %w", path, err)
	}
	return store, unbroken, nil
}

// SetWriteLimit changes the limit for writes that begin from now on.
func (s *Store) SetWriteLimit(limit time.Duration) { s.limit.Store(int64(limit)) }

// WorstWrite is the longest that a write took within the last one to two
// minutes, 0 without writes. It is what a heartbeat must be a multiple of.
func (s *Store) WorstWrite() time.Duration { return s.worst.Get(time.Now()) }

// Failed is closed when the store has failed. The node must then stop.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err says why the store failed, nil while it works.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close closes the file. If a write still hangs, it says so, and the file is
// closed when that write ends.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	writers := s.writers
	s.mu.Unlock()
	if writers > 0 {
		return fmt.Errorf("raft log %s: a write still hangs; the file stays open until it ends", s.path)
	}
	return s.disk.Close()
}

// FirstIndex is the first index of the log, 0 if it is empty.
func (s *Store) FirstIndex() (uint64, error) {
	if err := s.Err(); err != nil {
		return 0, err
	}
	return s.disk.FirstIndex()
}

// LastIndex is the last index of the log, 0 if it is empty.
func (s *Store) LastIndex() (uint64, error) {
	if err := s.Err(); err != nil {
		return 0, err
	}
	return s.disk.LastIndex()
}

// GetLog reads one entry. One that is there and cannot be read fails the store.
func (s *Store) GetLog(index uint64, entry *raft.Log) error {
	if err := s.Err(); err != nil {
		return err
	}
	err := s.read(func() error { return s.disk.GetLog(index, entry) })
	if errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	if err == nil {
		err = unsealEntry(index, entry)
	}
	if err == nil {
		return nil
	}
	return s.fail(fmt.Sprintf("read entry %d", index), err)
}

// StoreLog appends one entry.
func (s *Store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries.
func (s *Store) StoreLogs(entries []*raft.Log) error {
	sealed := sealEntries(entries)
	return s.write("append entries", func() error { return s.disk.StoreLogs(sealed) })
}

// DeleteRange removes the entries from min to max, both included.
func (s *Store) DeleteRange(min, max uint64) error {
	return s.write("delete entries", func() error { return s.disk.DeleteRange(min, max) })
}

// Set keeps a stable value.
func (s *Store) Set(key, value []byte) error {
	sealed := seal(value, sumOf(key, value))
	return s.write("set "+string(key), func() error { return s.disk.Set(key, sealed) })
}

// Get returns a stable value; the error says "not found" if there is none. One
// that is there and cannot be read fails the store.
func (s *Store) Get(key []byte) (value []byte, err error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	err = s.read(func() error { value, err = s.disk.Get(key); return err })
	if err != nil && err.Error() == raftboltdb.ErrKeyNotFound.Error() { // raft goes by the text as well
		return nil, err
	}
	if err == nil {
		value, err = unseal(value, func(value []byte) uint32 { return sumOf(key, value) })
	}
	if err == nil {
		return value, nil
	}
	return nil, s.fail("read "+string(key), err)
}

// SetUint64 keeps a stable number.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 returns a stable number; the error says "not found" if there is none.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, s.fail("read "+string(key), errSeal)
	}
	return binary.BigEndian.Uint64(value), nil
}

// read runs do, in which bolt panics, or faults, over a damaged page.
func (s *Store) read(do func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a page is damaged: %v", p)
		}
	}()
	return do()
}
