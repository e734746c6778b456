package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// Limits of the design, section 8.
const (
	coldLimit     = 2.0
	idleLimit     = 0.001
	lossLimit     = 0.050
	residentLimit = 1 << 30
)

// Runs of what is too quick to time once. Each stops early when its time is up.
const (
	idleRuns   = 100
	changeRuns = 50
	scanChains = 200 // of the naive scan
)

// planning is a planner with the state that it plans for.
type planning struct {
	*world
	planner *scheduler.Planner
	facts   placement.Facts
	scorer  scheduler.PlacementScorer
	cursor  scheduler.Cursor
}

// input is what the leader would plan on now.
func (p *planning) input(view *fsm.View) scheduler.Input {
	return scheduler.Input{
		View: &view.View, Facts: p.facts, Now: view.Now, Config: view.Config, Scorer: p.scorer, Cursor: p.cursor,
	}
}

// plan lets the planner look at the present state.
func (p *planning) plan() scheduler.Plan {
	view := p.machine.View()
	plan := p.planner.Plan(p.input(view), view.Touched)
	p.cursor = plan.Next
	return plan
}

// seconds returns how long one plan takes.
func (p *planning) seconds() (float64, scheduler.Plan) {
	started := time.Now()
	plan := p.plan()
	return time.Since(started).Seconds(), plan
}

// Plan measures the planner at a large state: the first plan, one with nothing
// changed, one after a chain has changed, one after a node was lost, and the
// memory that state and planner take.
func Plan(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p := &planning{world: w, planner: scheduler.NewPlanner(), facts: w.facts(), scorer: scorer.New()}
	r := new(Report)
	r.add(Figure{Key: "chains", What: "chains", Value: float64(cfg.Chains)}, Figure{Key: "nodes", What: "nodes", Value: float64(cfg.Nodes)})
	for _, measure := range []func(context.Context, Config, *Report) error{p.cold, p.idle, p.memory, p.oneChange, p.nodeLoss, p.naive} {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if err := measure(ctx, cfg, r); err != nil {
			return nil, err
		}
	}
	r.note("All plans are made on one core. The state: %d copies a chain, all ready, %d zones, %d specs; every node has room and says that it is healthy.",
		copies, zones, min(tenants, cfg.Chains))
	return r, nil
}

// onOneCore runs do on one core, with the garbage of what was before removed.
func onOneCore(do func()) {
	runtime.GC()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	do()
}

func (p *planning) cold(_ context.Context, cfg Config, r *Report) error {
	cfg.progress("the first plan")
	view := p.machine.View()
	var full, cold float64
	var plan scheduler.Plan
	onOneCore(func() {
		started := time.Now()
		scheduler.Decide(p.input(view))
		full = time.Since(started).Seconds()
	})
	onOneCore(func() { cold, plan = p.seconds() })
	r.add(
		Figure{Key: "cold_seconds", What: "first plan, from nothing", Value: cold, Unit: Seconds, Goal: AtMost, Limit: coldLimit},
		Figure{Key: "decide_seconds", What: "scheduler.Decide, the same full pass", Value: full, Unit: Seconds, Limit: cold, Against: "first plan"},
		Figure{Key: "cold_decisions", What: "decisions of the first plan", Value: float64(len(plan.Decisions))},
	)
	return nil
}

// idle plans on the same view again and again, and then on views that an entry
// without operations has advanced, as the leader's ticks do.
func (p *planning) idle(ctx context.Context, cfg Config, r *Report) error {
	cfg.progress("plans with nothing changed")
	var idle, quiet []float64
	var perRun float64
	var failed error
	onOneCore(func() {
		idle = repeat(ctx, cfg.Length, idleRuns, func() float64 { s, _ := p.seconds(); return s })
		perRun = allocations(len(idle), func() { p.plan() })
		quiet = repeat(ctx, cfg.Length, idleRuns, func() float64 {
			p.now = p.now.Add(time.Second)
			if err := p.apply(); err != nil {
				failed = err
			}
			s, _ := p.seconds()
			return s
		})
	})
	r.add(
		Figure{Key: "idle_seconds", What: "plan with nothing changed, median", Value: median(idle), Unit: Seconds, Goal: AtMost, Limit: idleLimit},
		Figure{Key: "idle_allocs", What: "allocations of such a plan", Value: perRun, Limit: float64(cfg.Chains), Against: "(one a chain)"},
		Figure{Key: "quiet_seconds", What: "plan after a tick of the log, no chain changed, median", Value: median(quiet), Unit: Seconds, Goal: AtMost, Limit: idleLimit},
	)
	return failed
}

func (p *planning) memory(_ context.Context, cfg Config, r *Report) error {
	cfg.progress("memory")
	heap := liveHeap()
	r.add(
		Figure{Key: "rss_bytes", What: "resident: the process with state and planner", Value: float64(resident()), Unit: Bytes, Goal: AtMost, Limit: residentLimit},
		Figure{Key: "heap_bytes", What: "of that, live objects", Value: float64(heap), Unit: Bytes},
		Figure{Key: "heap_bytes_per_chain", What: "live objects per chain", Value: float64(heap) / float64(cfg.Chains), Unit: Bytes},
	)
	return nil
}

// oneChange changes the spec of one chain after another, and plans each time.
func (p *planning) oneChange(ctx context.Context, cfg Config, r *Report) error {
	cfg.progress("plans after one chain has changed")
	var failed error
	var all []float64
	next := 0
	onOneCore(func() {
		all = repeat(ctx, cfg.Length, changeRuns, func() float64 {
			i := next * 7919 % cfg.Chains // here and there
			next++
			if err := p.apply(fsm.NewPutChain(chainName(i), relabelled(i, next))); err != nil {
				failed = err
			}
			s, _ := p.seconds()
			return s
		})
	})
	r.add(Figure{Key: "one_change_seconds", What: "plan after one chain has changed, median", Value: median(all), Unit: Seconds, Limit: idleLimit, Against: "(an idle pass)"})
	return failed
}

// relabelled is the spec of the i-th chain with another label.
func relabelled(i, to int) placement.Spec {
	s := specOf(i)
	s.Labels = placement.Labels{{Key: "tenant", Value: fmt.Sprintf("moved-%02d", to%tenants)}}
	return s
}

// nodeLoss lets one node die, and plans when that is seen and when its copies
// count as lost. Apply is timed too, apart from the plans.
func (p *planning) nodeLoss(_ context.Context, cfg Config, r *Report) error {
	cfg.progress("the loss of a node")
	var dead, lost float64
	var plan scheduler.Plan
	victim := p.nodes[len(p.nodes)/2]
	applyDead, applyLost, err := p.lose(victim, func() error {
		onOneCore(func() { dead, _ = p.seconds() })
		return nil
	})
	if err != nil {
		return err
	}
	onOneCore(func() { lost, plan = p.seconds() })
	r.add(
		Figure{Key: "node_dead_seconds", What: "plan after a node was seen dead", Value: dead, Unit: Seconds, Goal: AtMost, Limit: lossLimit},
		Figure{Key: "node_loss_seconds", What: "plan after its copies count as lost", Value: lost, Unit: Seconds, Goal: AtMost, Limit: lossLimit},
		Figure{Key: "node_loss_decisions", What: "decisions of that plan", Value: float64(len(plan.Decisions))},
		Figure{Key: "node_dead_apply_seconds", What: "Apply of the sighting, not in the plan", Value: applyDead.Seconds(), Unit: Seconds},
		Figure{Key: "node_loss_apply_seconds", What: "Apply of the loss, not in the plan", Value: applyLost.Seconds(), Unit: Seconds},
	)
	if len(plan.Decisions) == 0 {
		return fmt.Errorf("node %s was lost and the plan repairs nothing", victim)
	}
	return nil
}

// naive is what a planner without memory or structure does: it scores every
// node for every chain.
func (p *planning) naive(ctx context.Context, cfg Config, r *Report) error {
	chains := min(scanChains, cfg.Chains)
	cfg.progress("a naive scan of %d chains", chains)
	done, spent := 0, time.Duration(0)
	scan := func(bound scheduler.PlacementScorer) {
		for started := time.Now(); done < chains && ctx.Err() == nil && spent < cfg.Length; done++ {
			best := 0.0
			for _, n := range p.nodes {
				if s, ok := bound.Score(chainName(done*(cfg.Chains/chains)), n); ok {
					best = max(best, s)
				}
			}
			spent = time.Since(started)
		}
	}
	input := p.input(p.machine.View())
	input.Scorer, input.Work = scanner{p.scorer, scan}, 1
	onOneCore(func() { scheduler.Decide(input) })
	if done == 0 {
		return context.Cause(ctx)
	}
	whole := spent.Seconds() / float64(done) * float64(cfg.Chains)
	r.add(Figure{
		Key: "naive_seconds", What: fmt.Sprintf("naive full scan, reckoned from %d chains", done), Value: whole, Unit: Seconds,
		Limit: r.Value("cold_seconds"), Against: "first plan",
	})
	return nil
}

// scanner scans as soon as a pass has bound the scorer.
type scanner struct {
	scheduler.PlacementScorer
	scan func(bound scheduler.PlacementScorer)
}

// Bind implements scheduler.Binder.
func (s scanner) Bind(view *placement.View, facts placement.Facts, r *scheduler.Reservations) scheduler.PlacementScorer {
	bound := s.PlacementScorer
	if b, ok := bound.(scheduler.Binder); ok {
		bound = b.Bind(view, facts, r)
	}
	s.scan(bound)
	return bound
}

// repeat calls measure so often, but no longer than length.
func repeat(ctx context.Context, length time.Duration, runs int, measure func() float64) []float64 {
	var all []float64
	for started := time.Now(); len(all) < runs; {
		all = append(all, measure())
		if time.Since(started) > length || ctx.Err() != nil {
			break
		}
	}
	return all
}

// median returns the middle value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
