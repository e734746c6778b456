package sim

import (
	"fmt"
	"reflect"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// lead does what a leader does in its loop: it commits the time and what it has
// seen of the nodes, and then a plan.
func (w *World) lead() error {
	if err := w.apply(w.sightings()...); err != nil {
		return err
	}
	if w.chance("leader busy", 8) {
		return nil // the next plan has more changes to follow
	}
	v := w.machine.View()
	in := scheduler.Input{View: &v.View, Facts: w.facts, Now: v.Now, Config: v.Config, Scorer: w.scorer, Cursor: w.cursor, Work: w.work()}
	plan, blind := w.blindPlan(in)
	if !blind {
		plan = w.planner.Plan(in, w.changes(v))
		if err := w.compare(in, plan); err != nil {
			return err
		}
		w.cursor = plan.Next
	}
	batch := fsm.Batch{Now: w.clock, Term: w.term, ConfigAt: v.ConfigGeneration}
	for _, d := range plan.Decisions {
		batch.Ops = append(batch.Ops, fsm.Op{Actor: "scheduler", Reason: d.Reason.String(), Body: fsm.NewDecide(d)})
	}
	switch {
	case len(batch.Ops) == 0:
		return nil
	case w.holds || w.chance("plan late", 20):
		w.note("the leader's plan of %d decisions is late", len(batch.Ops))
		w.late = append(w.late, batch)
		return nil
	case w.chance("plan repeated", 50): // raft lets a leader append twice what it is not sure of
		w.late = append(w.late, batch)
	}
	return w.commit(batch, w.term)
}

// blindPlan is, now and then, the plan of a leader that does not know what holds
// moves back: a restore guard, a freeze, a repair pause. A plan of before they
// began is refused for its age already, and ours knows of them; so only such a
// one shows that Apply asks for itself.
func (w *World) blindPlan(in scheduler.Input) (scheduler.Plan, bool) {
	v := *in.View
	if v.RestoreGuard == nil && v.Freeze == nil && v.RepairPause == nil || !w.chance("hold overlooked", 4) {
		return scheduler.Plan{}, false
	}
	v.RestoreGuard, v.Freeze, v.RepairPause = nil, nil, nil
	in.View = &v
	return scheduler.Decide(in), true
}

// compare holds some plans against the full Decide (rule S25).
func (w *World) compare(in scheduler.Input, plan scheduler.Plan) error {
	if _, moody := w.scorer.(noise); moody || w.sampled == 0 || w.rng.IntN(w.sampled) != 0 {
		return nil // a moody scorer never says the same twice
	}
	if full := scheduler.Decide(in); !reflect.DeepEqual(plan, full) {
		return fmt.Errorf("incremental is not full (rule S25): the planner plans %+v, Decide %+v", plan, full)
	}
	return nil
}

// elect makes another node the leader: its planner knows nothing yet, its
// cluster clock goes on from the last committed time, and its wall clock may be
// wrong by hours. What the old leader appended may be committed by the new one,
// under its own term (rule S11).
func (w *World) elect() error {
	for _, b := range w.late {
		if b.Term != w.term || !w.chance("entry of an older term", 2) {
			continue
		}
		if err := w.commit(b, w.term); err != nil {
			return err
		}
	}
	w.term++
	w.note("leader of term %d", w.term)
	w.planner, w.clock, w.skew = scheduler.NewPlanner(), w.machine.View().Now, 0
	if w.chance("wall clock wrong", 2) {
		w.skew = time.Duration(w.rng.IntN(48)-24) * time.Hour
	}
	return nil
}

// sightings is what the leader commits about the nodes it cannot reach.
func (w *World) sightings() []fsm.Op {
	v := w.machine.View()
	var ops []fsm.Op
	for _, n := range w.nodes {
		m := v.Node(n.id)
		if m == nil {
			continue
		}
		state := n.seenAs(m, w.now)
		if state != m.State {
			w.note("the leader sees %s as %s", n.id, state)
			ops = append(ops, fsm.Op{Actor: "leader", Reason: "probe", Body: &fsm.Observe{Node: n.id, Incarnation: m.Incarnation, State: state}})
		}
		if u := v.Usage(n.id); m.State == placement.NodeAlive && u.Unconfirmed == 0 {
			continue
		}
		due := false
		v.ChainsOn(n.id, func(c *placement.Chain, h *placement.Holder) bool {
			due = fsm.Due(&v.View, m, c, h)
			return !due
		})
		if due {
			w.note("the leader gives up copies on %s", n.id)
			ops = append(ops, fsm.Op{Actor: "leader", Reason: "out of reach", Body: &fsm.Lose{Node: n.id, Incarnation: m.Incarnation}})
		}
	}
	return ops
}

// work is how much a pass may examine: in the end as a leader's passes do, before
// that sometimes hardly anything.
func (w *World) work() int {
	if w.chance("leader in a hurry", 8) {
		return []int{0, 1, 3}[w.rng.IntN(3)]
	}
	return scheduler.WorkUsual
}

// changes is what the planner is told of: what the state remembers, or that too
// much has happened since.
func (w *World) changes(v *fsm.View) scheduler.Changes {
	if !w.chance("changes forgotten", 50) {
		return v.Touched
	}
	return func(placement.Revision, func(placement.ChainID), func(placement.NodeID)) bool { return false }
}

// tell notes the decisions that were accepted since the last call, for people.
func (w *World) tell() {
	if !w.Trace {
		return
	}
	v := w.machine.View()
	for at := min(w.told, v.Revision) + 1; at <= v.Revision; at++ {
		r := v.Decision(at)
		if r == nil || r.Verdict != placement.Accepted {
			continue
		}
		d := r.Decision
		way := ""
		for _, s := range []struct {
			word string
			node placement.NodeID
		}{{"from", d.From}, {"to", d.To}, {"by", d.Source}} {
			if s.node != "" {
				way += " " + s.word + " " + string(s.node)
			}
		}
		w.note("%s %s of %s%s: %s", d.Cause, d.Kind, d.Chain, way, d.Reason)
	}
	w.told = v.Revision
}
