package logstore

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
)

// cacheEntries is how many recent entries stay in memory.
const cacheEntries = 512

// watchSteps is how often a waiting writer looks at its limit. A process that
// was stopped for an hour loses one step of it, not all.
const watchSteps = 20

// write runs do and waits for it, at most the limit. Its first failure is the
// store's.
func (s *Store) write(what string, do func() error) error {
	if err := s.begin(); err != nil {
		return err
	}
	started := time.Now()
	done := make(chan error, 1)
	go func() { // ends with the write; Close minds one that outlasts its limit
		err := s.perform(what, do)
		s.end() // before the caller hears of it, who may call Close at once
		done <- err
	}()
	ended, stopped, err := wait(done, started, time.Duration(s.limit.Load()))
	if now := time.Now(); !stopped { // else the time was not the disk's
		s.worst.Add(now, now.Sub(started))
	}
	if !ended {
		return s.fail(what, fmt.Errorf("no answer from the disk for %v", time.Duration(s.limit.Load())))
	}
	if err != nil {
		return s.fail(what, err)
	}
	return nil
}

func (s *Store) perform(what string, do func() error) error {
	if s.gate != nil {
		if err := s.gate(what); err != nil {
			return err
		}
	}
	return s.read(do)
}

// wait returns what comes from done; ended is false if nothing did in time, and
// stopped tells whether this process has stood still since the write began.
func wait(done <-chan error, began time.Time, limit time.Duration) (ended, stopped bool, err error) {
	step := max(limit/watchSteps, 1)
	timer := time.NewTimer(step)
	defer timer.Stop()
	for range watchSteps {
		select {
		case err = <-done:
			ended = true
		case <-timer.C:
			timer.Reset(step)
		}
		now := time.Now()
		stopped, began = stopped || now.Sub(began) > step+pace.Pause, now
		if ended {
			return true, stopped, err
		}
	}
	select {
	case err = <-done:
		return true, stopped, err
	default:
		return false, stopped, nil
	}
}

func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.closing {
		return errors.New("raft log is closed")
	}
	s.writers++
	return nil
}

func (s *Store) end() {
	s.mu.Lock()
	s.writers--
	last := s.closing && s.writers == 0
	s.mu.Unlock()
	if last {
		s.disk.Close()
	}
}

// fail latches the first failure and returns it.
func (s *Store) fail(what string, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf("raft log %s: %s: %w; the node stops, because a log that may be incomplete must not be used: check the disk, then start the node again; if it stops again, remove the node and start it with an empty data directory", s.path, what, cause)
		close(s.failed)
	}
	return s.err
}

// Guard runs f, which makes a raft node on the view of ForRaft, on a goroutine
// of its own, and returns its error; if the store fails meanwhile, the store's;
// if raft panics, because an entry is missing for one, that.
func (s *Store) Guard(f func() error) error {
	result := make(chan error, 1)
	go func() {
		var err error
		returned := false
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("raft cannot start from %s: %v", s.path, p)
			} else if !returned {
				err = s.Err()
			}
			result <- err
		}()
		err = f()
		returned = true
	}()
	return <-result
}

// raftView is the store as raft gets it: with a cache, and ending the
// goroutine that meets a failed store where raft would panic.
type raftView struct {
	*Store
	cache *raft.LogCache
}

// ForRaft returns what raft.NewRaft, and nothing else, is given. Call NewRaft
// within Guard.
func (s *Store) ForRaft() (raft.LogStore, raft.StableStore) {
	cache, err := raft.NewLogCache(cacheEntries, s)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	view := &raftView{Store: s, cache: cache}
	return view, view
}

func (v *raftView) GetLog(index uint64, entry *raft.Log) error {
	err := v.cache.GetLog(index, entry)
	v.stopIfFailed() // the cache answers also when the store does not
	return err
}

func (v *raftView) StoreLog(entry *raft.Log) error { return v.cache.StoreLog(entry) }

func (v *raftView) StoreLogs(entries []*raft.Log) error { return v.cache.StoreLogs(entries) }

func (v *raftView) DeleteRange(min, max uint64) error { return v.cache.DeleteRange(min, max) }

func (v *raftView) SetUint64(key []byte, value uint64) error {
	err := v.Store.SetUint64(key, value)
	v.stopIfFailed()
	return err
}

func (v *raftView) stopIfFailed() {
	if v.Err() != nil {
		runtime.Goexit()
	}
}
