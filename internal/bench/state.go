package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
)

// Limits of the design, section 8.
const (
	restoreLimit = 5.0
	stallLimit   = 0.005
)

// stallBatch is the operations of one entry while stalls are measured.
const stallBatch = 100

// State measures the replicated state: memory, snapshot, restore, and how long
// Apply is held up while a snapshot is written.
func State(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, remove, err := cfg.directory()
	if err != nil {
		return nil, err
	}
	defer remove()
	before := liveHeap()
	started := time.Now()
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return nil, err
	}
	built := time.Since(started)
	heap := float64(liveHeap() - before)
	r := new(Report)
	r.add(
		Figure{Key: "chains", What: "chains", Value: float64(cfg.Chains)}, Figure{Key: "nodes", What: "nodes", Value: float64(cfg.Nodes)},
		Figure{Key: "build_seconds", What: "building the state", Value: built.Seconds(), Unit: Seconds},
		Figure{Key: "heap_bytes", What: "live objects of the state", Value: heap, Unit: Bytes, Goal: AtMost, Limit: residentLimit},
		Figure{Key: "heap_bytes_per_chain", What: "the same per chain", Value: heap / float64(cfg.Chains), Unit: Bytes},
		Figure{Key: "rss_bytes", What: "resident: the whole process", Value: float64(resident()), Unit: Bytes, Goal: AtMost, Limit: residentLimit},
	)
	path := filepath.Join(dir, "snapshot")
	if err := w.stalls(ctx, cfg, path, r); err != nil {
		return nil, err
	}
	w.machine = nil
	if err := restore(cfg, path, r); err != nil {
		return nil, err
	}
	r.note("The state: %d copies a chain, all ready, %d zones, %d specs. An entry whose stall is measured puts %d specs; the snapshot goes to a file.",
		copies, zones, min(tenants, cfg.Chains), stallBatch)
	return r, ctx.Err()
}

// stalls applies entries while the state is written to a file, and as many
// again while nothing else happens.
func (w *world) stalls(ctx context.Context, cfg Config, path string, r *Report) error {
	cfg.progress("a snapshot while entries are applied")
	type written struct {
		bytes int64
		spent time.Duration
		err   error
	}
	done := make(chan written, 1)
	view := w.machine.View()
	go func() {
		started := time.Now()
		n, err := writeSnapshot(view, path)
		done <- written{n, time.Since(started), err}
	}()
	var snapshot *written
	during, err := w.entries(ctx, func(int) bool {
		select {
		case s := <-done:
			snapshot = &s
		default:
		}
		return snapshot == nil
	})
	if snapshot == nil {
		s := <-done
		snapshot = &s
	}
	if err != nil || snapshot.err != nil {
		return fmt.Errorf("a snapshot while entries are applied: %w", firstOf(err, snapshot.err))
	}
	cfg.progress("the same entries alone")
	alone, err := w.entries(ctx, func(done int) bool { return done < len(during) })
	if err != nil {
		return err
	}
	r.add(
		Figure{Key: "snapshot_seconds", What: "writing a snapshot, entries being applied", Value: snapshot.spent.Seconds(), Unit: Seconds},
		Figure{Key: "snapshot_bytes", What: "its size", Value: float64(snapshot.bytes), Unit: Bytes},
		Figure{Key: "stall_seconds", What: "longest Apply meanwhile", Value: slices.Max(during), Unit: Seconds, Goal: AtMost, Limit: stallLimit},
		Figure{Key: "stall_p999_seconds", What: "Apply meanwhile, 99.9 of 100 below", Value: quantile(during, 0.999), Unit: Seconds},
		Figure{Key: "alone_seconds", What: "longest Apply without a snapshot", Value: slices.Max(alone), Unit: Seconds, Limit: slices.Max(during), Against: "with one"},
		Figure{Key: "alone_p999_seconds", What: "Apply without one, 99.9 of 100 below", Value: quantile(alone, 0.999), Unit: Seconds},
		Figure{Key: "stall_entries", What: "entries applied meanwhile", Value: float64(len(during))},
	)
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// entries applies entries while more says so, at least one, and returns how
// long each took.
func (w *world) entries(ctx context.Context, more func(done int) bool) ([]float64, error) {
	var all []float64
	for next := 0; len(all) == 0 || more(len(all)); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var ops []fsm.Op
		for range stallBatch {
			next++
			i := next * 7919 % w.chains
			ops = append(ops, op(fsm.NewPutChain(chainName(i), relabelled(i, next))))
		}
		data, err := fsm.EncodeBatch(fsm.Batch{Now: w.now, Ops: ops})
		if err != nil {
			return nil, err
		}
		took, err := timed(func() error { return w.enter(data) })
		if err != nil {
			return nil, err
		}
		all = append(all, took.Seconds())
	}
	return all, nil
}

func writeSnapshot(view *fsm.View, path string) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := view.WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	return n, err
}

// restore reads the snapshot into a new machine.
func restore(cfg Config, path string, r *Report) error {
	cfg.progress("restoring it")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	before := liveHeap()
	m := fsm.New()
	took, err := timed(func() error { return m.Restore(bufio.NewReaderSize(f, 1<<20)) })
	if err != nil {
		return err
	}
	heap := float64(liveHeap() - min(before, liveHeap()))
	if got := m.View().Chains.Len(); got != cfg.Chains {
		return fmt.Errorf("%d chains came back of %d", got, cfg.Chains)
	}
	r.add(
		Figure{Key: "restore_seconds", What: "restoring the state from it", Value: took.Seconds(), Unit: Seconds, Goal: AtMost, Limit: restoreLimit},
		Figure{Key: "restored_bytes_per_chain", What: "live objects per chain of a restored state", Value: heap / float64(cfg.Chains), Unit: Bytes},
	)
	return nil
}

// quantile returns the value that the given share of all is not above.
func quantile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
