package holder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Config says what a [Loop] works with. Runner, State and Reports must be
// given; every other field has a default.
type Config struct {
	Runner  Runner
	State   State
	Reports Reports
	// Space returns what is free for everybody on the content volume and what
	// content must leave free, in bytes. nil = space is never short.
	Space func() (freeBytes, reserveBytes int64, err error)
	// CheckDisk writes and reads the data directory. A probe runs it, one at a
	// time. nil = a probe only passes through the loop.
	CheckDisk func(ctx context.Context) error
	// MaxPulls bounds the pulls, and the drops, at work at once. More fills a
	// new node faster and takes more from the disk and the sources. Default 2.
	MaxPulls int
	// Tries is how often a pull is tried before it is reported failed. Default 3.
	Tries int
	// RetryMin and RetryMax bound the doubling wait after a pull, drop, listing
	// or report that failed. Defaults 1 s and 1 min.
	RetryMin, RetryMax time.Duration
	// InventoryEvery is how often the copies are listed without a cause. A
	// listing that takes longer fails the probe. Default 1 min.
	InventoryEvery time.Duration
	// Logger hears each pull, drop and failure. Default: silence.
	Logger hclog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Runner == nil || c.State == nil || c.Reports == nil {
		return c, errors.New("holder: Runner, State and Reports must all be given")
	}
	if c.MaxPulls < 0 || c.Tries < 0 || c.RetryMin < 0 || c.RetryMax < 0 || c.InventoryEvery < 0 {
		return c, errors.New("holder: MaxPulls, Tries, RetryMin, RetryMax and InventoryEvery must not be negative")
	}
	if c.MaxPulls == 0 {
		c.MaxPulls = 2
	}
	if c.Tries == 0 {
		c.Tries = 3
	}
	if c.RetryMin == 0 {
		c.RetryMin = time.Second
	}
	if c.RetryMax == 0 {
		c.RetryMax = time.Minute
	}
	if c.InventoryEvery == 0 {
		c.InventoryEvery = time.Minute
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c, nil
}

// Loop does a node's duties. Make one with New.
type Loop struct {
	cfg    Config
	probes chan chan<- error
	lists  chan chan<- []Copy
}

// New returns a loop that does nothing until Run.
func New(cfg Config) (*Loop, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Loop{cfg: cfg, probes: make(chan chan<- error), lists: make(chan chan<- []Copy)}, nil
}

// Run does the duties until ctx ends, and returns ctx's error when every
// pull, drop, listing and report that it started has returned. It is called
// once.
func (l *Loop) Run(ctx context.Context) error {
	r := newRun(ctx, l.cfg)
	defer r.workers.Wait()
	r.goWork(r.watch)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-r.events:
			event()
		case answer := <-l.probes:
			r.probe(answer)
		case answer := <-l.lists:
			answer <- slices.SortedFunc(slices.Values(r.held), compareCopies)
		case <-timer.C:
		}
		timer.Reset(r.step(time.Now()))
	}
}

// Probe tells whether the node can work: it passes through the loop, fails
// while a listing of the copies does not end, and checks the disk. Without a
// running loop it waits for ctx.
func (l *Loop) Probe(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case l.probes <- answer:
	case <-ctx.Done():
		return fmt.Errorf("the holder loop does not answer: %w", ctx.Err())
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the check of the data directory does not end: %w", ctx.Err())
	}
}

// Copies returns what the last listing found here, sorted by chain and epoch.
// Without a running loop it waits for ctx.
func (l *Loop) Copies(ctx context.Context) ([]Copy, error) {
	answer := make(chan []Copy, 1)
	select {
	case l.lists <- answer:
		return <-answer, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the holder loop does not answer: %w", ctx.Err())
	}
}

// clusterRetryMax bounds the wait after a failure to reach the cluster: a new
// leader is there within seconds and waits for what the nodes have to say.
const clusterRetryMax = 5 * time.Second

// run is the state of one Run. Its fields belong to the goroutine of Run;
// workers hand their results back as events, which that goroutine calls.
type run struct {
	ctx     context.Context
	cfg     Config
	events  chan func()
	workers sync.WaitGroup

	duties Duties
	byID   map[placement.ChainID]*Duty  // into duties.List
	seen   map[placement.ChainID]uint64 // index of the view in which the duty last changed

	held    []Copy
	listing listing
	short   bool // the disk reserve was reached when last measured
	jobs    map[placement.ChainID]*job
	retries map[placement.ChainID]*retry
	out     outbox
	waiting []chan<- error // probes that the disk check will answer
}

func newRun(ctx context.Context, cfg Config) *run {
	return &run{
		ctx: ctx, cfg: cfg,
		events:  make(chan func()),
		byID:    map[placement.ChainID]*Duty{},
		seen:    map[placement.ChainID]uint64{},
		jobs:    map[placement.ChainID]*job{},
		retries: map[placement.ChainID]*retry{},
		out:     outbox{sent: map[ReportItem]bool{}},
	}
}

// goWork runs f in a goroutine that Run waits for.
func (r *run) goWork(f func()) { r.workers.Go(f) }

// post hands a result to the loop; after ctx ends nobody wants it.
func (r *run) post(event func()) {
	select {
	case r.events <- event:
	case <-r.ctx.Done():
	}
}

// sleep waits for d, or until ctx ends: then it returns false.
func (r *run) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// backoff returns how long to wait after the nth failure in a row.
func (r *run) backoff(failures int) time.Duration {
	d := r.cfg.RetryMin
	for range failures - 1 {
		if d *= 2; d >= r.cfg.RetryMax {
			return r.cfg.RetryMax
		}
	}
	return min(d, r.cfg.RetryMax)
}

// watch hands each new view of the duties to the loop.
func (r *run) watch() {
	var after uint64
	failures := 0
	for r.ctx.Err() == nil {
		d, err := r.cfg.State.Duties(r.ctx, after)
		if err != nil {
			if failures++; r.ctx.Err() == nil {
				r.cfg.Logger.Warn("cannot read this node's duties", "error", err)
			}
			r.sleep(min(r.backoff(failures), clusterRetryMax))
			continue
		}
		if d.Index <= after && !r.sleep(r.cfg.RetryMin) {
			return // a State that does not block must not keep the machine busy
		}
		failures, after = 0, max(after, d.Index)
		r.post(func() { r.assigned(d, time.Now()) })
	}
}

// assigned takes a view of the duties, unless it is older than the last.
func (r *run) assigned(d Duties, now time.Time) {
	if d.Index < r.duties.Index {
		r.cfg.Logger.Warn("ignored a view of the duties that goes back", "index", d.Index, "have", r.duties.Index)
		return
	}
	asked := d.WantInventory && !r.duties.WantInventory
	if asked || d.Incarnation != r.duties.Incarnation || d.Lineage != r.duties.Lineage {
		r.out.inventoryDue = true
		r.listing.wanted = true
		clear(r.out.sent)
	}
	d.List = slices.Clone(d.List) // the loop writes DropAfter into its own
	byID := make(map[placement.ChainID]*Duty, len(d.List))
	seen := make(map[placement.ChainID]uint64, len(d.List))
	for i := range d.List {
		duty := &d.List[i]
		old := r.byID[duty.Chain]
		byID[duty.Chain], seen[duty.Chain] = duty, d.Index
		same := old != nil && old.Epoch == duty.Epoch && old.Phase == duty.Phase && old.SHA256() == duty.SHA256()
		if same {
			seen[duty.Chain] = r.seen[duty.Chain]
		}
		if duty.Phase == placement.Dropping {
			duty.DropAfter = now.Add(d.DropGrace)
			if same {
				duty.DropAfter = old.DropAfter
			}
		}
		if !same || !slices.Equal(old.Sources, duty.Sources) {
			delete(r.retries, duty.Chain)
		}
	}
	known := r.byID
	r.duties, r.byID, r.seen = d, byID, seen
	if slices.ContainsFunc(r.held, func(c Copy) bool { return known[c.Chain] != nil && r.stray(c) }) {
		// A chain that was deleted: ask soon what to do with its copy, with the
		// copies of all chains that go at the same time.
		r.listing.regular = earlier(r.listing.regular, now.Add(r.cfg.InventoryEvery/12))
	}
	for id := range r.retries {
		if byID[id] == nil {
			delete(r.retries, id)
		}
	}
}

func earlier(t, u time.Time) time.Time {
	if t.Before(u) {
		return t
	}
	return u
}

// step looks at everything once, starts what is due and returns how long
// nothing will be, if nothing happens.
func (r *run) step(now time.Time) time.Duration {
	if r.duties.Incarnation == 0 {
		return r.cfg.InventoryEvery // assigned wakes the loop
	}
	wake := alarm{now: now, in: r.cfg.InventoryEvery}
	r.list(&wake)
	if !r.listing.known {
		return wake.in
	}
	plan := Diff(r.duties, r.held, now)
	wake.at(plan.Next)
	r.stopObsolete()
	r.startPulls(plan.Pulls, &wake)
	r.startDrops(plan.Drops, &wake)
	r.send(plan.Reports, &wake)
	return wake.in
}

// alarm is the earliest of the times at which something is due.
type alarm struct {
	now time.Time
	in  time.Duration
}

// at adds a time; zero is never.
func (a *alarm) at(t time.Time) {
	if !t.IsZero() {
		a.in = min(a.in, max(t.Sub(a.now), 0))
	}
}

// due tells whether t has come, and adds it if not.
func (a *alarm) due(t time.Time) bool {
	if t.After(a.now) {
		a.at(t)
		return false
	}
	return true
}
