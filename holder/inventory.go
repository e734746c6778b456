package holder

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// listing is what is known of the Runner's Held.
type listing struct {
	known    bool // the last one succeeded: held is the truth as of its view
	view     view // the view when it began
	number   uint64
	running  bool
	begun    time.Time // of the running one
	begunIn  view
	wanted   bool
	regular  time.Time // when the next one is due without a cause
	next     time.Time // not before, after failures
	failures int
	err      error
}

// view names what the node knew of the state at a moment.
type view struct {
	index       uint64
	revision    placement.Revision
	lineage     string
	incarnation placement.Incarnation
}

func (r *run) view() view {
	return view{r.duties.Index, r.duties.Revision, r.duties.Lineage, r.duties.Incarnation}
}

// sameRun tells whether both views were taken in one incarnation of one lineage.
func (v view) sameRun(w view) bool { return v.lineage == w.lineage && v.incarnation == w.incarnation }

// list starts a listing if one is wanted or due.
func (r *run) list(wake *alarm) {
	s := &r.listing
	if s.running || !wake.due(s.next) {
		return
	}
	regular := wake.due(s.regular)
	if !regular && !s.wanted && s.known {
		return
	}
	s.running, s.wanted, s.begun, s.begunIn = true, false, wake.now, r.view()
	s.number++
	r.goWork(func() {
		held, err := r.cfg.Runner.Held(r.ctx)
		short, measured := false, false
		if r.cfg.Space != nil {
			free, reserve, spaceErr := r.cfg.Space()
			short, measured = free < reserve, spaceErr == nil
		}
		r.post(func() {
			if measured {
				r.short = short
			}
			r.listed(held, err, regular, time.Now())
		})
	})
}

// listed takes the result of a listing. A failure is not "nothing held": until
// the next success nothing new is started and nothing is reported (rule S1).
func (r *run) listed(held []Copy, err error, regular bool, now time.Time) {
	s := &r.listing
	s.running, s.known, s.err = false, err == nil, err
	if err != nil {
		s.failures++
		s.next = now.Add(r.backoff(s.failures))
		r.cfg.Logger.Warn("cannot list the copies held here; nothing is reported until it works", "failures", s.failures, "error", err)
		return
	}
	s.failures, s.next, s.view = 0, time.Time{}, s.begunIn
	r.held = held
	for id, j := range r.jobs {
		if j.settled != 0 && j.settled <= s.number {
			delete(r.jobs, id)
		}
	}
	if regular {
		s.regular = now.Add(r.cfg.InventoryEvery)
		clear(r.out.sent)
		r.out.inventoryDue = r.out.inventoryDue || r.duties.WantInventory || slices.ContainsFunc(held, r.stray)
	}
}

// stray tells whether a copy has no duty: it wants an answer (adopt, discard
// or wait) and is reported again each time.
func (r *run) stray(c Copy) bool { return r.byID[c.Chain] == nil }

// absent tells whether a copy's absence may be believed: the listing began
// after the duty took its present form, and no work is under way that would
// change it. Otherwise a PUT or pull that ended meanwhile would be reported
// lost (rule S3).
func (r *run) absent(id placement.ChainID, wake *alarm) bool {
	s := &r.listing
	if r.jobs[id] != nil {
		return false
	}
	if r.seen[id] <= s.view.index {
		return true
	}
	if !s.running || r.seen[id] > s.begunIn.index {
		s.wanted = true
		if !s.running {
			wake.at(wake.now)
		}
	}
	return false
}

// probesMax bounds the probes that wait for one check of the disk.
const probesMax = 16

// probe answers at once when the node plainly cannot work, else when a check
// of the disk has ended.
func (r *run) probe(answer chan<- error) {
	s := &r.listing
	age := time.Since(s.begun).Round(time.Second)
	switch {
	case s.running && age > r.cfg.InventoryEvery:
		answer <- fmt.Errorf("listing the copies held here has not ended for %v", age)
	case s.failures >= r.cfg.Tries:
		answer <- fmt.Errorf("cannot list the copies held here: %w", s.err)
	case r.cfg.CheckDisk == nil:
		answer <- nil
	case len(r.waiting) >= probesMax:
		answer <- fmt.Errorf("the check of the data directory does not end; %d probes wait for it", len(r.waiting))
	default:
		if r.waiting = append(r.waiting, answer); len(r.waiting) == 1 {
			r.checkDisk()
		}
	}
}

func (r *run) checkDisk() {
	r.goWork(func() {
		err := r.cfg.CheckDisk(r.ctx)
		r.post(func() {
			for _, answer := range r.waiting {
				answer <- err
			}
			r.waiting = nil
		})
	})
}
