package scheduler

import (
	"reflect"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Changes tells which chains and nodes changed after a revision: it calls
// chain and node for each, as often as it likes, or answers false when it
// cannot tell any more. fsm.View.Touched is one.
type Changes func(since placement.Revision, chain func(placement.ChainID), node func(placement.NodeID)) (known bool)

// Planner makes the same plans as [Decide], byte for byte (rule S25), at a
// cost that grows with what has changed since its last plan: it keeps every
// chain filed by the arms that have something to do about it. It belongs to
// one goroutine.
//
// A scorer that implements [Eligibility] may change its mind about any chain at
// any time: with it, every plan files every chain anew.
type Planner struct {
	agenda *agenda // nil = nothing known
	last   Input
	plan   Plan // of last
}

// NewPlanner returns a planner that knows nothing yet: its first plan costs
// what Decide costs.
func NewPlanner() *Planner { return &Planner{} }

// Plan returns what Decide(in) returns. changes must tell of every chain and
// node in in.View that has changed since the view of the plan before; nil
// stands for "unknown". The planner keeps in.View until its next plan.
func (p *Planner) Plan(in Input, changes Changes) Plan {
	if p.nothingNew(&in) {
		return p.plan
	}
	if in.View.RestoreGuard != nil {
		return Plan{Passes: 1} // rule S5: nothing is dropped, moved or repaired
	}
	p.follow(in.View, changes)
	pass := newPass(in, p.agenda)
	if pass.eligible != nil {
		pass.agenda = fileAll(in.View, pass.eligible)
	}
	p.last, p.plan = in, pass.decideAll()
	return p.plan
}

// nothingNew tells whether the last plan, which decided nothing, is that of
// in: nothing differs but the time, and no chain waited for that.
func (p *Planner) nothingNew(in *Input) bool {
	old, plan := &p.last, &p.plan
	return p.agenda != nil && len(plan.Decisions) == 0 && !plan.More && plan.Next == (Cursor{}) &&
		in.Now >= old.Now && (plan.Wake == placement.Never || in.Now < plan.Wake) &&
		in.View.Lineage == old.View.Lineage && in.View.Index == old.View.Index && in.View.Revision == old.View.Revision &&
		in.Config == old.Config && in.Work == old.Work && unbends(in.Scorer) && same(in.Scorer, old.Scorer) && same(in.Facts.Samples, old.Facts.Samples)
}

// unbends tells whether a scorer says the same whenever it is asked: it has no
// opinion, or forms one from the input alone.
func unbends(s PlacementScorer) bool {
	if s == nil {
		return true
	}
	_, binds := s.(Binder)
	return binds
}

// same tells whether two values are surely the same.
func same(a, b any) bool {
	return a == nil && b == nil || a != nil && b != nil && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// follow brings the agenda to the view.
func (p *Planner) follow(v *placement.View, changes Changes) {
	if p.agenda == nil || changes == nil || v.Lineage != p.agenda.view.Lineage || !p.agenda.follow(v, changes) {
		p.agenda = fileAll(v, nil)
	}
}

// fileAll files every chain of a view.
func fileAll(v *placement.View, eligible Eligibility) *agenda {
	a := newAgenda(v, rosterOf(v))
	a.eligible = eligible
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		a.file(c)
		return true
	})
	a.recount(v.Chains)
	return a
}

// bookAll returns an agenda that knows what the open moves of a view will
// change, but files no chain.
func bookAll(v *placement.View) *agenda {
	a := newAgenda(v, rosterOf(v))
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		a.book(c, 1)
		return true
	})
	a.recount(v.Chains)
	return a
}

// touched is a chain that is filed anew: as it was filed, and as it is now; nil
// where there was or is none.
type touched struct{ was, is *placement.Chain }

// follow files anew what has changed since the agenda's view. It answers
// false when that is unknown, or so much that all may as well be filed anew.
func (a *agenda) follow(v *placement.View, changes Changes) bool {
	seen, nodes := map[placement.ChainID]bool{}, map[placement.NodeID]bool{}
	var chains []touched
	var changed []placement.NodeID
	if !changes(a.view.Revision, func(id placement.ChainID) {
		if !seen[id] {
			seen[id] = true
			chains = append(chains, touched{a.view.Chain(id), v.Chain(id)})
		}
	}, func(id placement.NodeID) {
		if !nodes[id] {
			nodes[id] = true
			changed = append(changed, id)
		}
	}) {
		return false
	}
	r := a.roster
	if len(changed) > 0 {
		r = rosterOf(v)
		a.affected(r, changed, func(c *placement.Chain) {
			if !seen[c.ID] { // it is as it was: one look-up will do
				seen[c.ID] = true
				chains = append(chains, touched{c, c})
			}
		})
	}
	if len(chains) > 1000 && len(chains) > v.Chains.Len()/2 {
		return false
	}
	for _, c := range chains {
		if c.was != nil {
			a.unfile(c.was)
		}
	}
	a.show(v, r)
	for _, c := range chains {
		if c.is != nil {
			a.file(c.is)
		}
	}
	a.recount(v.Chains)
	return true
}

// affected touches the chains whose filing changes with the nodes: those held
// on one that differs in what filing reads, and, if other nodes are open now,
// those that look for a target.
func (a *agenda) affected(r *roster, changed []placement.NodeID, touch func(*placement.Chain)) {
	reopened := !slices.Equal(a.roster.open, r.open)
	for _, id := range changed {
		old, _ := a.roster.Get(id)
		now, _ := r.Get(id)
		if filedAlike(old, now) {
			continue
		}
		reopened = true // what it offers to those who are choosy
		a.view.ChainsOn(id, func(c *placement.Chain, _ *placement.Holder) bool {
			touch(c)
			return true
		})
	}
	if reopened && (a.choosy > 0 || min(len(a.roster.open), len(r.open)) <= holdersMax) {
		for _, id := range a.hopeful() {
			touch(a.view.Chain(id))
		}
	}
}

// holdersMax is far more holders than a chain can have on open nodes: with
// more nodes open, a chain that requires nothing has a node to go to.
const holdersMax = 64

// filedAlike tells whether two records of a node file its chains alike.
func filedAlike(a, b *placement.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return (a.State == placement.NodeAlive) == (b.State == placement.NodeAlive) && draining(a) == draining(b) &&
		a.Zone == b.Zone && slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Capabilities, b.Capabilities)
}
