package holder

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// job is the one piece of work under way on a chain. When it has succeeded it
// stays until a listing that began afterwards shows what it did.
type job struct {
	pull    *Assignment // nil = drops
	cancel  context.CancelFunc
	stopped bool   // its duty went away
	settled uint64 // number of the listing that shows its effect, 0 = still running

	doneBytes, totalBytes atomic.Int64
	saidBytes             int64 // progress last reported
}

func (j *job) pulling() bool { return j.pull != nil && j.settled == 0 }

// retry is what is known of a chain whose work failed.
type retry struct {
	failures int
	next     time.Time
	failed   *ReportItem // to be reported; nil = nothing new
}

// stopObsolete cancels the pulls whose duty is gone or wants something else.
func (r *run) stopObsolete() {
	for id, j := range r.jobs {
		duty := r.byID[id]
		if !j.pulling() || j.stopped {
			continue
		}
		if duty == nil || duty.Phase != placement.Pulling || duty.Epoch != j.pull.Epoch || duty.SHA256() != j.pull.SHA256() {
			r.cfg.Logger.Info("pull called off", "chain", id, "epoch", j.pull.Epoch)
			j.stopped = true
			j.cancel()
		}
	}
}

// startable tells whether work on the chain may start now.
func (r *run) startable(id placement.ChainID, wake *alarm) bool {
	if r.jobs[id] != nil {
		return false
	}
	t := r.retries[id]
	return t == nil || wake.due(t.next)
}

func (r *run) startPulls(pulls []Assignment, wake *alarm) {
	room := r.cfg.MaxPulls
	for _, j := range r.jobs {
		if j.pulling() {
			room--
		}
	}
	for _, a := range pulls {
		if room <= 0 {
			return
		}
		if r.startable(a.Chain, wake) {
			r.startPull(a)
			room--
		}
	}
}

func (r *run) startPull(a Assignment) {
	ctx, cancel := context.WithCancel(r.ctx)
	j := &job{pull: &a, cancel: cancel}
	a.Progress = func(done, total int64) {
		j.totalBytes.Store(total)
		j.doneBytes.Store(done)
	}
	r.jobs[a.Chain] = j
	r.cfg.Logger.Info("pulling", "chain", a.Chain, "epoch", a.Epoch, "sha256", a.SHA256(), "sources", len(a.Sources))
	r.goWork(func() {
		defer cancel()
		short, err := r.checkSpace(a)
		if err == nil {
			err = r.cfg.Runner.Pull(ctx, a)
		}
		r.post(func() {
			r.short = r.short || short
			r.finished(a.Chain, j, err, time.Now())
		})
	})
}

// checkSpace refuses a pull of bytes while the disk reserve is reached. It
// asks the disk, so only workers call it.
func (r *run) checkSpace(a Assignment) (short bool, err error) {
	if a.Content == nil || a.Content.Size == 0 || r.cfg.Space == nil {
		return false, nil
	}
	free, reserve, err := r.cfg.Space()
	if err != nil {
		return false, fmt.Errorf("measure the content volume: %w", err)
	}
	if free < reserve {
		return true, fmt.Errorf("%w: %d bytes are free and %d are reserved; free some or lower --disk-reserve", ErrNoSpace, free, reserve)
	}
	return false, nil
}

// startDrops starts one job per chain for all its copies that go.
func (r *run) startDrops(drops []Copy, wake *alarm) {
	room := r.cfg.MaxPulls
	for _, j := range r.jobs {
		if j.pull == nil && j.settled == 0 {
			room--
		}
	}
	for len(drops) > 0 && room > 0 {
		id := drops[0].Chain
		mine := copiesOf(drops, id)
		drops = drops[len(mine):]
		if r.startable(id, wake) {
			r.startDrop(id, mine)
			room--
		}
	}
}

func (r *run) startDrop(id placement.ChainID, copies []Copy) {
	j := &job{}
	r.jobs[id] = j
	for _, c := range copies {
		r.cfg.Logger.Info("dropping", "chain", id, "epoch", c.Epoch, "sha256", c.SHA256)
	}
	r.goWork(func() {
		var errs []error
		for _, c := range copies {
			errs = append(errs, r.cfg.Runner.Drop(r.ctx, c))
		}
		err := errors.Join(errs...)
		r.post(func() { r.finished(id, j, err, time.Now()) })
	})
}

// finished takes the result of a job. What it did is believed when a listing
// shows it.
func (r *run) finished(id placement.ChainID, j *job, err error, now time.Time) {
	if err == nil {
		delete(r.retries, id)
		j.settled = r.listing.number + 1
		r.listing.wanted = true
		return
	}
	delete(r.jobs, id)
	if j.stopped {
		return
	}
	t := r.retries[id]
	if t == nil {
		t = &retry{}
		r.retries[id] = t
	}
	t.failures++
	t.next = now.Add(r.backoff(t.failures))
	noSpace := errors.Is(err, ErrNoSpace)
	if noSpace {
		t.next = now.Add(r.cfg.RetryMax)
	}
	if j.pull == nil {
		r.cfg.Logger.Warn("drop failed", "chain", id, "failures", t.failures, "error", err)
		return
	}
	r.cfg.Logger.Warn("pull failed", "chain", id, "epoch", j.pull.Epoch, "failures", t.failures, "error", err)
	if noSpace || t.failures%r.cfg.Tries == 0 {
		t.failed = &ReportItem{
			Chain: id, Epoch: j.pull.Epoch, Phase: ReportFailed, SHA256: j.pull.SHA256(),
			BytesDone: j.doneBytes.Load(), BytesTotal: j.totalBytes.Load(), Error: err.Error(),
		}
	}
}
