package cluster

import (
	"context"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// planning is what the leader's loop knows of the scheduler's passes.
type planning struct {
	planner *scheduler.Planner
	cursor  scheduler.Cursor

	passes   int                // made on what follows; 0 = none yet in this reign
	revision placement.Revision // of the state
	facts    placement.Facts
	installs uint64         // of scorers
	at       placement.Time // when the last was made

	wake  placement.Time // when the first chain that they saw is due, Never = none waits
	more  bool           // they have not looked at everything
	pause placement.Time // no pass before: all of the last plan was refused
}

// planDue tells whether a pass may find something.
func (r *reign) planDue(view *fsm.View, now placement.Time) bool {
	p := &r.planning
	return p.passes == 0 || now >= p.pause && (p.more || r.outdated(view, now))
}

// outdated tells whether the last passes might find something else now: the
// state, the telemetry or the scorer has changed, a chain's time has come, or
// the scorer is one that may change its mind.
func (r *reign) outdated(view *fsm.View, now placement.Time) bool {
	p, registry := &r.planning, r.node.cfg.Registry
	_, steady := registry.Current().(scheduler.Binder)
	return view.Revision != p.revision || r.node.Facts() != p.facts || registry.Installs() != p.installs ||
		p.wake != placement.Never && now >= p.wake ||
		!steady && now.Sub(p.at) >= view.Config.TickInterval
}

// plan makes one scheduler pass and proposes what it decides, if anything.
func (r *reign) plan(ctx context.Context, view *fsm.View) (decides bool) {
	p := &r.planning
	first := p.passes == 0
	if first || r.outdated(view, r.clock.read()) {
		p.passes, p.wake = 0, placement.Never
		p.revision, p.facts, p.installs = view.Revision, r.node.Facts(), r.node.cfg.Registry.Installs()
	}
	input := r.input(view)
	started := time.Now()
	plan := p.planner.Plan(input, view.Touched)
	r.node.cfg.Metrics.PassSeconds.Observe(time.Since(started).Seconds())
	p.passes++
	p.cursor, p.at = plan.Next, input.Now
	if plan.Wake != placement.Never && (p.wake == placement.Never || plan.Wake < p.wake) {
		p.wake = plan.Wake
	}
	p.more = plan.More && (len(plan.Decisions) > 0 || p.passes < plan.Passes)
	if len(plan.Decisions) > 0 && !r.decide(ctx, view, plan.Decisions) {
		p.pause, p.more = input.Now.Add(view.Config.TickInterval), false
		p.wake = p.pause // a plan that did not reach the log changed nothing that would wake the leader
	}
	if first {
		r.node.cfg.Metrics.FirstDecisionSeconds.Set(time.Since(r.began).Seconds())
	}
	return len(plan.Decisions) > 0
}

// input gathers what a pass depends on.
func (r *reign) input(view *fsm.View) scheduler.Input {
	return scheduler.Input{
		View: &view.View, Facts: r.planning.facts, Now: max(r.clock.read(), view.Now), Config: view.Config,
		Scorer: r.node.cfg.Registry.Current(), Cursor: r.planning.cursor, Work: scheduler.WorkUsual,
	}
}

// decide proposes a plan as one batch, bound to the term and the configuration
// it was made in (rule S11), and logs each decision with its answer. It tells
// whether any was accepted.
func (r *reign) decide(ctx context.Context, view *fsm.View, decisions []placement.Decision) (accepted bool) {
	ops := make([]fsm.Op, len(decisions))
	for i, d := range decisions {
		ops[i] = fsm.Op{Actor: "scheduler", Reason: boundReason(d.Reason), Body: fsm.NewDecide(d)}
	}
	for i, res := range r.propose(ctx, r.fenceOf(view), ops) {
		d := decisions[i]
		verdict := string(res.Code)
		if res.OK() {
			verdict, accepted = "accepted", true
		}
		r.node.cfg.Metrics.Decision(string(d.Cause), verdict)
		r.node.log.Info("decision", "chain", d.Chain, "kind", d.Kind, "cause", d.Cause, "from", d.From, "to", d.To,
			"reason", d.Reason.String(), "verdict", verdict, "detail", res.Detail)
	}
	return accepted
}

func boundReason(reason placement.Reason) string {
	text := reason.String()
	return text[:min(len(text), fsm.ReasonMax)]
}

// DecideInput returns what a scheduler pass over the view depends on, here and
// now: explain and plan call scheduler.Decide with it, as the leader does.
func (n *Node) DecideInput(view *fsm.View) scheduler.Input {
	if r := n.reign.Load(); r != nil {
		return scheduler.Input{
			View: &view.View, Facts: n.Facts(), Now: max(r.clock.read(), view.Now),
			Config: view.Config, Scorer: n.cfg.Registry.Current(),
		}
	}
	return scheduler.Input{
		View: &view.View, Facts: n.Facts(), Now: view.Now, Config: view.Config, Scorer: n.cfg.Registry.Current(),
	}
}
