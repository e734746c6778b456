package simulator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// world is one run: the real state and planner, the simulated nodes, and time.
type world struct {
	scenario  *Scenario
	rng       *rand.Rand
	machine   *fsm.Machine
	planner   *scheduler.Planner
	scorer    scheduler.PlacementScorer
	cursor    scheduler.Cursor
	planned   placement.Revision // what the last passes were made on
	plannedOn placement.Facts
	passes    int // how many
	facts     placement.Facts
	noise     *float64 // of all nodes, nil = each group's own
	sensing   bool     // the next sample of the load is due

	start  placement.Time // when the scenario begins; the setup lies before
	now    placement.Time
	looked placement.Time // when the leader last looked
	lookAt placement.Time // when it will next; Never = nothing to look at
	queue  queue
	index  uint64

	nodes   []*node // in the order of their making
	byID    map[placement.NodeID]*node
	mail    []*node // nodes with reports that the leader has not seen
	made    map[string]int
	drains  []*draining
	instant bool // pulls and drops take no time: the setup
	watch   watch
	gauge   gauge
}

const term = 1

// Run lives through the scenario and returns what was measured. progress,
// unless nil, is told of every sample. An error other than ctx's names a
// scenario that cannot be set up, or a defect of this package.
func Run(ctx context.Context, s *Scenario, progress func(at time.Duration)) (*Result, error) {
	w := &world{
		scenario: s, rng: rand.New(rand.NewPCG(s.Seed, 0x5851f42d4c957f2d)),
		machine: fsm.New(), planner: scheduler.NewPlanner(), scorer: scorer.New(),
		byID: map[placement.NodeID]*node{}, made: map[string]int{}, watch: newWatch(),
		now: placement.Time(time.Second),
	}
	w.gauge.w = w
	if err := w.setUp(ctx); err != nil {
		return nil, err
	}
	w.start = w.now
	for i := range s.Events {
		e := &s.Events[i]
		w.gauge.pending++
		w.queue.add(w.start.Add(e.At.Duration), func() error { return w.happen(e) })
	}
	w.gauge.begin()
	w.queue.add(w.now.Add(s.Sample.Duration), func() error { return w.sample(progress) })
	w.keepSensing()
	w.wakeBy(w.now)
	end := w.start.Add(s.Duration.Duration)
	for w.now < end && !w.gauge.quiet() {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("the simulation was ended at %v: %w", w.now.Sub(w.start), err)
		}
		if err := w.step(); err != nil {
			return nil, err
		}
	}
	return w.gauge.result(), nil
}

// step goes to the next thing that happens, a look of the leader last.
func (w *world) step() error {
	next := w.queue.next()
	if w.lookAt != placement.Never && (next == placement.Never || w.lookAt < next) {
		w.now = w.lookAt
		return w.look()
	}
	h := w.queue.pop()
	w.now = h.at
	return h.do()
}

// sample measures, and comes back.
func (w *world) sample(progress func(time.Duration)) error {
	w.gauge.sample()
	if progress != nil {
		progress(w.now.Sub(w.start))
	}
	w.queue.add(w.now.Add(w.scenario.Sample.Duration), func() error { return w.sample(progress) })
	return nil
}

// wakeBy lets the leader look at the first tick at or after t.
func (w *world) wakeBy(t placement.Time) {
	tick := placement.Time(w.scenario.Tick.Duration)
	t = (max(t, w.now) + tick - 1) / tick * tick
	if t <= w.looked {
		t = w.looked + tick
	}
	if w.lookAt == placement.Never || t < w.lookAt {
		w.lookAt = t
	}
}

// look is what a leader does: it commits what it was told, makes a pass and
// commits its decisions.
func (w *world) look() error {
	w.looked, w.lookAt = w.now, placement.Never
	if err := w.deliver(); err != nil {
		return err
	}
	if err := w.goOnDraining(); err != nil {
		return err
	}
	_, err := w.plan()
	return err
}

// plan makes a pass. It tells whether anything was accepted.
func (w *world) plan() (accepted bool, err error) {
	v := w.machine.View()
	plan := w.planner.Plan(scheduler.Input{
		View: &v.View, Facts: w.facts, Now: max(w.now, v.Now), Config: v.Config, Scorer: w.scorer, Cursor: w.cursor,
		Work: scheduler.WorkUsual,
	}, v.Touched)
	w.cursor = plan.Next
	if v.Revision != w.planned || w.facts != w.plannedOn {
		w.planned, w.plannedOn, w.passes = v.Revision, w.facts, 0
	}
	w.passes++
	if plan.Wake != placement.Never {
		w.wakeBy(plan.Wake)
	}
	if v.RepairPause != nil {
		w.wakeBy(v.RepairPause.Until)
	}
	if len(plan.Decisions) == 0 {
		if plan.More && w.passes < plan.Passes {
			w.wakeBy(w.now)
		}
		return false, nil
	}
	batch := fsm.Batch{Now: w.now, Term: term, ConfigAt: v.ConfigGeneration}
	for _, d := range plan.Decisions {
		reason := d.Reason.String()
		batch.Ops = append(batch.Ops, fsm.Op{Actor: "scheduler", Reason: reason[:min(len(reason), fsm.ReasonMax)], Body: fsm.NewDecide(d)})
	}
	results, err := w.commit(batch)
	if err != nil {
		return false, err
	}
	for _, r := range results {
		accepted = accepted || r.OK()
		if !r.OK() {
			w.gauge.refused(r.Code)
		}
	}
	if accepted {
		w.wakeBy(w.now)
	} else {
		w.wakeBy(w.now.Add(max(v.Config.TickInterval, w.scenario.Tick.Duration))) // as a leader does that is refused
	}
	return accepted, nil
}

// apply commits operations that must succeed, in as many entries as they need.
func (w *world) apply(ops ...fsm.Op) ([]fsm.Result, error) {
	var all []fsm.Result
	for begin := 0; begin < len(ops); {
		end, bytes := begin, 0
		for end < len(ops) && end-begin < fsm.BatchOpsMax {
			size, err := fsm.EncodedSize(ops[end])
			if err != nil {
				return nil, fmt.Errorf("%T: %w", ops[end].Body, err)
			}
			if bytes += size; end > begin && bytes > fsm.BatchBytesMax*3/4 {
				break
			}
			end++
		}
		results, err := w.commit(fsm.Batch{Now: w.now, Ops: ops[begin:end]})
		if err != nil {
			return nil, err
		}
		for i, r := range results {
			if !r.OK() {
				return nil, fmt.Errorf("at %v: %T was refused: %s: %s", w.now.Sub(w.start), ops[begin+i].Body, r.Code, r.Detail)
			}
		}
		all = append(all, results...)
		begin = end
	}
	return all, nil
}

// commit puts one entry into the log, applies it and follows what it changed.
func (w *world) commit(b fsm.Batch) ([]fsm.Result, error) {
	data, err := fsm.EncodeBatch(b)
	if err != nil {
		return nil, fmt.Errorf("an entry cannot be written: %w", err)
	}
	w.index++
	results, err := w.machine.Apply(w.index, term, data)
	if err != nil {
		return nil, err
	}
	w.gauge.decided()
	w.follow()
	return results, nil
}
