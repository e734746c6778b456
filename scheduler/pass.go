package scheduler

import (
	"iter"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
)

// pass is one run of Decide: its input, and what it has decided so far.
type pass struct {
	Input
	view     *placement.View // the state as planned: time, config and usages are the pass's
	agenda   *agenda
	r        *Reservations
	scorer   PlacementScorer // bound to the pass; nil = none
	eligible Eligibility     // nil = the scorer does not say
	chooser  Chooser         // nil = ask BestAlternative
	ties     TieBreaker      // nil = the lowest id
	screener Screener        // nil = balance examines every chain
	plan     Plan
	words    int // bytes of the decisions of plan, roughly
	touched  map[placement.ChainID]bool
	trace    *trace // nil unless explaining
	full     fullness
}

// newPass prepares a pass over what the agenda has filed.
func newPass(in Input, a *agenda) *pass {
	view := a.view
	view.Now, view.Config = in.Now, in.Config
	p := &pass{Input: in, view: &view, agenda: a, scorer: in.Scorer, touched: map[placement.ChainID]bool{}, plan: Plan{Passes: 1}}
	p.r = newReservations(&view, a.roster, &a.booked)
	if b, ok := in.Scorer.(Binder); ok {
		p.scorer = b.Bind(&view, in.Facts, p.r)
	}
	p.eligible, _ = p.scorer.(Eligibility)
	p.chooser, _ = p.scorer.(Chooser)
	p.ties, _ = p.scorer.(TieBreaker)
	p.screener, _ = p.scorer.(Screener)
	return p
}

// decideAll lets the arms act in their order.
func (p *pass) decideAll() Plan {
	a := p.agenda
	p.forced()
	p.run(armEnding, &a.ending, p.examineEnding)
	p.run(armRefill, &a.refill, p.examineRefill)
	if p.frozen() {
		return p.plan // open moves finish, nothing else begins (rule S12)
	}
	p.repairArm()
	p.run(armDrain, &a.drain, p.examineDrain)
	p.run(armConstraint, &a.constraint, p.examineConstraint)
	p.run(armExcess, &a.excess, p.examineExcess)
	if p.scorer != nil {
		p.balanceArm()
	}
	return p.plan
}

// arm is one kind of work of a pass.
type arm int

const (
	armEnding arm = iota
	armRefill
	armDrain
	armConstraint
	armExcess
	armBalance
)

// cause returns the budget the arm draws on, "" for none.
func (a arm) cause() placement.Cause {
	switch a {
	case armDrain:
		return placement.CauseDrain
	case armConstraint:
		return placement.CauseConstraint
	case armBalance:
		return placement.CauseBalance
	default:
		return ""
	}
}

// cursor returns the arm's place in a cursor.
func (a arm) cursor(c *Cursor) *placement.ChainID {
	switch a {
	case armEnding:
		return &c.Ending
	case armRefill:
		return &c.Refill
	case armDrain:
		return &c.Drain
	case armConstraint:
		return &c.Constraint
	case armExcess:
		return &c.Excess
	default:
		return &c.Balance
	}
}

// run lets the arm examine the chains of a set in cyclic order, beginning
// behind its cursor, until there are no more, its work or the plan is full, or
// its budget is spent. Only the first leaves the cursor at the start.
func (p *pass) run(a arm, chains *chainSet, examine func(*placement.Chain)) {
	examined := 0
	last := *a.cursor(&p.Cursor)
	for id := range after(chains, last) {
		if p.stop(a.cause(), examined, chains.Len()) {
			*a.cursor(&p.plan.Next) = last
			return
		}
		p.examine(id, examine)
		last = id
		examined++
	}
}

// examine lets an arm look at a chain that no earlier one has touched.
func (p *pass) examine(id placement.ChainID, examine func(*placement.Chain)) {
	if !p.touched[id] {
		examine(p.view.Chain(id))
	}
}

// stop tells whether an arm must end before its next chain, of all that it
// would examine.
func (p *pass) stop(cause placement.Cause, examined, all int) bool {
	if p.Work > 0 && examined >= p.Work {
		p.plan.More, p.plan.Passes = true, max(p.plan.Passes, (all+p.Work-1)/p.Work)
		return true
	}
	if p.filled() {
		return true
	}
	return cause != "" && p.spent(cause)
}

// filled tells whether the plan has no place for one more decision.
func (p *pass) filled() bool {
	filled := len(p.plan.Decisions) >= DecisionsMax || p.words > wordsMax
	p.plan.More = p.plan.More || filled
	return filled
}

// spent tells whether no move of that cause can be opened any more, whatever
// the chain: the cluster's budget is spent, or that of every node.
func (p *pass) spent(cause placement.Cause) bool {
	if p.full.known && p.full.version == p.r.Version() && p.full.cause == cause {
		return p.full.spent
	}
	from := anyVictim
	if cause == placement.CauseRepair {
		from = ""
	}
	spent := true
	p.view.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		spent = n.State != placement.NodeAlive || n.Eligibility != placement.Eligible || !p.view.Budget(cause, from, id).OK()
		return spent
	})
	p.full = fullness{known: true, version: p.r.Version(), cause: cause, spent: spent}
	return spent
}

// anyVictim stands for a victim with no open moves. It is no legal id.
const anyVictim placement.NodeID = "*"

// fullness remembers the last answer of spent.
type fullness struct {
	known   bool
	version int
	cause   placement.Cause
	spent   bool
}

// decide adds a decision about c to the plan.
func (p *pass) decide(c *placement.Chain, d placement.Decision) {
	d.Chain, d.ChainRevision = c.ID, c.Revision
	if n := len(d.Reason.Detail); n > detailMax {
		d.Reason.Detail = strings.ToValidUTF8(d.Reason.Detail[:detailMax], "") + " …"
	}
	p.words += 256 + len(d.Chain) + len(d.From) + len(d.To) + len(d.Source) + 2*len(d.Reason.Detail)
	p.r.take(c, &d)
	p.touched[c.ID] = true
	p.plan.Decisions = append(p.plan.Decisions, d)
}

// wake asks for a pass at t.
func (p *pass) wake(t placement.Time) {
	if t != placement.Never && (p.plan.Wake == placement.Never || t < p.plan.Wake) {
		p.plan.Wake = t
	}
}

// after returns the chains of a set in cyclic order, beginning behind id.
func after(set *chainSet, id placement.ChainID) iter.Seq[placement.ChainID] {
	return func(yield func(placement.ChainID) bool) {
		going := true
		set.Ascend(id, func(key placement.ChainID) bool {
			going = key == id || yield(key)
			return going
		})
		if !going || id == "" {
			return
		}
		set.Scan(func(key placement.ChainID) bool { return key <= id && yield(key) })
	}
}

// allAfter returns every chain in cyclic order, beginning behind id.
func allAfter(chains placement.Table[placement.ChainID, *placement.Chain], id placement.ChainID) iter.Seq[*placement.Chain] {
	return func(yield func(*placement.Chain) bool) {
		going := true
		chains.Ascend(id, func(key placement.ChainID, c *placement.Chain) bool {
			going = key == id || yield(c)
			return going
		})
		if !going || id == "" {
			return
		}
		chains.Ascend("", func(key placement.ChainID, c *placement.Chain) bool {
			return key <= id && yield(c)
		})
	}
}
