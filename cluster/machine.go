package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
)

// machine is the raft.FSM over the state machine. The first entry or snapshot
// that cannot be applied is the last: nothing is applied after it, no snapshot
// is taken, and the node ends.
type machine struct {
	fsm     *fsm.Machine
	metrics *Metrics
	observe func(index, term uint64, data []byte) // nil = nobody
	failed  chan struct{}

	mu  sync.Mutex
	err error
}

func newMachine(metrics *Metrics) *machine {
	return &machine{fsm: fsm.New(), metrics: metrics, failed: make(chan struct{})}
}

// Apply applies one entry and returns its []fsm.Result, or the error that ends
// the node. Entries that the state has already are skipped: raft that was
// started anew over a machine that lives on hands them over once more.
func (m *machine) Apply(entry *raft.Log) any {
	if err := m.failure(); err != nil {
		return err
	}
	if entry.Index <= m.fsm.View().Index {
		return nil
	}
	if m.observe != nil {
		m.observe(entry.Index, entry.Term, entry.Data)
	}
	started := time.Now()
	results, err := m.fsm.Apply(entry.Index, entry.Term, entry.Data)
	if err != nil {
		return m.fail(err)
	}
	m.metrics.ApplySeconds.Observe(time.Since(started).Seconds())
	return results
}

// Snapshot takes the present view; it costs nothing.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.failure(); err != nil {
		return nil, err
	}
	return snapshot{m.fsm.View()}, nil
}

// Restore replaces the state by a snapshot's.
func (m *machine) Restore(from io.ReadCloser) error {
	if err := m.failure(); err != nil {
		return err
	}
	err := m.fsm.Restore(from)
	if errors.Is(err, fsm.ErrFatal) {
		return m.fail(err)
	}
	return err
}

func (m *machine) fail(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = fmt.Errorf("the node stops before it applies anything further: %w", err)
		close(m.failed)
	}
	return m.err
}

func (m *machine) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// snapshot writes a view while newer entries are applied.
type snapshot struct{ view *fsm.View }

// Persist streams the view into the sink.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.view.WriteTo(sink); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to give back.
func (s snapshot) Release() {}
