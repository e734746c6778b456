package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
)

// Limits of the design, section 8.
const (
	restoreLimit = 5.0
	stallLimit   = 0.005
)

// While stalls are measured, so many operations come in one entry, one entry in
// so long: five thousand a second, far from what keeps the machine busy.
const (
	stallBatch = 100
	stallPace  = 20 * time.Millisecond
)

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

// stalls applies entries while the state is written to a file, as often as the
// time allows, and as many again while nothing else happens.
func (w *world) stalls(ctx context.Context, cfg Config, path string, r *Report) error {
	cfg.progress("snapshots while entries are applied")
	writing, enough := context.WithTimeout(ctx, cfg.Length)
	defer enough()
	view := w.machine.View()
	var bytes int64
	var spent []float64
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for failed == nil && (len(spent) == 0 || writing.Err() == nil) {
			started := time.Now()
			bytes, failed = writeSnapshot(view, path)
			spent = append(spent, time.Since(started).Seconds())
		}
	}()
	paused := pauses()
	during, err := w.entries(ctx, func(int) bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	})
	longest := longestSince(paused)
	<-done
	if err != nil || failed != nil {
		return fmt.Errorf("snapshots while entries are applied: %w", firstOf(err, failed))
	}
	cfg.progress("the same entries alone")
	alone, err := w.entries(ctx, func(done int) bool { return done < len(during.applies) })
	if err != nil {
		return err
	}
	r.add(
		Figure{Key: "snapshot_seconds", What: "writing a snapshot, entries being applied, median", Value: median(spent), Unit: Seconds},
		Figure{Key: "snapshot_bytes", What: "its size", Value: float64(bytes), Unit: Bytes},
		Figure{Key: "stall_seconds", What: "longest Apply meanwhile", Value: slices.Max(during.applies), Unit: Seconds, Goal: AtMost, Limit: stallLimit},
		Figure{Key: "stall_p999_seconds", What: "Apply meanwhile, 99.9 of 100 below", Value: quantile(during.applies, 0.999), Unit: Seconds},
		Figure{Key: "stall_median_seconds", What: "Apply meanwhile, median", Value: median(during.applies), Unit: Seconds},
		Figure{Key: "spin_seconds", What: "longest of as many short calculations meanwhile", Value: slices.Max(during.spins), Unit: Seconds, Limit: slices.Max(during.applies), Against: "longest Apply"},
		Figure{Key: "gc_pause_seconds", What: "longest pause of the garbage collector meanwhile", Value: longest, Unit: Seconds, Limit: slices.Max(during.applies), Against: "longest Apply"},
		Figure{Key: "alone_seconds", What: "longest Apply without a snapshot", Value: slices.Max(alone.applies), Unit: Seconds, Limit: slices.Max(during.applies), Against: "with one"},
		Figure{Key: "alone_p999_seconds", What: "Apply without one, 99.9 of 100 below", Value: quantile(alone.applies, 0.999), Unit: Seconds},
		Figure{Key: "stall_entries", What: "entries applied meanwhile", Value: float64(len(during.applies))},
	)
	r.note("%d snapshots. A short calculation is one of %v that needs no memory: what it takes longer is the machine's doing, also in an Apply.", len(spent), spinLength)
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

// paces is how long each entry took to apply, and each calculation after it.
type paces struct{ applies, spins []float64 }

// entries applies entries at a steady pace while more says so, at least one.
func (w *world) entries(ctx context.Context, more func(done int) bool) (paces, error) {
	var all paces
	rounds := spinRounds()
	pace := time.NewTicker(stallPace)
	defer pace.Stop()
	for next := 0; len(all.applies) == 0 || more(len(all.applies)); {
		var ops []fsm.Op
		for range stallBatch {
			next++
			i := next * 7919 % w.chains
			ops = append(ops, op(fsm.NewPutChain(chainName(i), relabelled(i, next))))
		}
		data, err := fsm.EncodeBatch(fsm.Batch{Now: w.now, Ops: ops})
		if err != nil {
			return all, err
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return all, context.Cause(ctx)
		}
		took, err := timed(func() error { return w.enter(data) })
		if err != nil {
			return all, err
		}
		all.applies = append(all.applies, took.Seconds())
		all.spins = append(all.spins, spin(rounds).Seconds())
	}
	return all, nil
}

// spinLength is how long a calculation takes that nothing holds up.
const spinLength = time.Millisecond

// spinRounds returns how many rounds take about spinLength.
func spinRounds() int {
	const probe = 10_000
	quickest := time.Hour
	for range 10 {
		quickest = min(quickest, spin(probe))
	}
	return int(probe * spinLength / max(quickest, 1))
}

// spin returns how long a calculation of so many rounds takes.
func spin(rounds int) time.Duration {
	started := time.Now()
	x := 1
	for range rounds {
		x = x*6364136223846793005 + 1
	}
	runtime.KeepAlive(x) // or it would be left out
	return time.Since(started)
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
