package scheduler

import (
	"slices"

	"github.com/tidwall/btree"

	"github.com/holdfast-cluster/holdfast/placement"
)

// chainSet is a set of chains in id order.
type chainSet = btree.Set[placement.ChainID]

// agenda files every chain of a view by the arms that have something to do
// about it. What it says of a chain depends on that chain, on the records of
// the nodes that hold it and, for one that needs a target, on which nodes are
// open at all; never on time, load, budgets or configuration. So it stays
// right for the chains that no change touches.
type agenda struct {
	view     placement.View // what was filed; its Nodes are the roster
	roster   *roster
	eligible Eligibility // what the scorer adds to the committed records, nil = nothing

	ending     chainSet
	refill     chainSet
	repair     [liveMax + 1]chainSet // by live copies
	drain      chainSet
	constraint chainSet
	excess     chainSet
	stuck      chainSet // would be in repair, drain or constraint, but no node is open to it
	choosy     int      // how many of those require something of a node
	shelves    map[placement.NodeID]*shelf

	booked
}

// liveMax is the most live copies that a chain short of copies can have: one
// less than desired, and the victim of its open move.
const liveMax = placement.DesiredMax

func newAgenda(v *placement.View, r *roster) *agenda {
	a := &agenda{roster: r, shelves: map[placement.NodeID]*shelf{}, booked: newBooked()}
	a.show(v, r)
	return a
}

// show makes a view and its roster the ones to file from.
func (a *agenda) show(v *placement.View, r *roster) {
	a.view, a.roster = *v, r
	a.view.Nodes = r
}

// filing is where one chain belongs.
type filing struct {
	ending, refill, repair, drain, constraint, excess, stuck bool
	balanced                                                 bool // nothing but balance may move it
	live                                                     int
}

// look finds out where c, held on the nodes given, belongs.
func (a *agenda) look(c *placement.Chain, nodes []*placement.Node) filing {
	f := filing{ending: len(c.Moves) > 0}
	for i, n := range nodes {
		if placement.LiveOn(c, &c.Holders[i], n) {
			f.live++
		}
	}
	lacks, pulling := a.view.Missing(c) > 0, a.view.PullingCount(c)
	drain, constraint := a.leaving(c, nodes)
	room := !crowded(c, f.live, pulling)
	f.refill = lacks && unfilled(c) != nil
	f.repair = lacks && !f.refill && room && hasSource(c, f.live, pulling)
	if room && f.live > 0 && c.Rebalance() == nil {
		f.drain, f.constraint = drain, constraint
	}
	if (f.repair || f.drain || f.constraint) && a.eligible == nil && !a.roster.offers(c) {
		f.stuck, f.repair, f.drain, f.constraint = true, false, false, false
	}
	f.excess = !f.ending && surplus(c, f.live)
	f.balanced = c.Spec.Policy != placement.PolicyPinned && !f.ending && !lacks && f.live >= c.Spec.Desired && room && !drain && !constraint
	return f
}

// file adds c to where it belongs.
func (a *agenda) file(c *placement.Chain) {
	var buffer [nodesUsual]*placement.Node
	nodes := nodesOf(a.roster, c, buffer[:0])
	f := a.look(c, nodes)
	for _, s := range a.sets(f) {
		s.Load(c.ID) // quicker than Insert while the ids ascend
	}
	if f.choosy(c) {
		a.choosy++
	}
	if f.balanced {
		a.shelve(c, nodes, true)
	}
	a.book(c, 1)
}

// unfile takes c away from where file put it.
func (a *agenda) unfile(c *placement.Chain) {
	var buffer [nodesUsual]*placement.Node
	nodes := nodesOf(a.roster, c, buffer[:0])
	f := a.look(c, nodes)
	for _, s := range a.sets(f) {
		s.Delete(c.ID)
	}
	if f.choosy(c) {
		a.choosy--
	}
	if f.balanced {
		a.shelve(c, nodes, false)
	}
	a.book(c, -1)
}

// choosy tells whether a chain that needs a target takes some nodes only.
func (f *filing) choosy(c *placement.Chain) bool {
	return len(c.Spec.Require) > 0 && (f.stuck || f.repair || f.drain || f.constraint)
}

// sets returns the sets that a filing names.
func (a *agenda) sets(f filing) []*chainSet {
	if f == (filing{balanced: f.balanced, live: f.live}) {
		return nil // as nearly every chain
	}
	var list []*chainSet
	for _, x := range []struct {
		in  bool
		set *chainSet
	}{
		{f.ending, &a.ending},
		{f.refill, &a.refill},
		{f.repair, &a.repair[min(f.live, liveMax)]},
		{f.drain, &a.drain},
		{f.constraint, &a.constraint},
		{f.excess, &a.excess},
		{f.stuck, &a.stuck},
	} {
		if x.in {
			list = append(list, x.set)
		}
	}
	return list
}

// needyCount returns how many chains the repair arm has.
func (a *agenda) needyCount() int {
	n := 0
	for i := range a.repair {
		n += a.repair[i].Len()
	}
	return n
}

// hopeful returns the chains whose filing depends on which nodes are open.
func (a *agenda) hopeful() []placement.ChainID {
	sets := []*chainSet{&a.stuck, &a.drain, &a.constraint}
	for i := range a.repair {
		sets = append(sets, &a.repair[i])
	}
	var list []placement.ChainID
	for _, s := range sets {
		s.Scan(func(id placement.ChainID) bool {
			list = append(list, id)
			return true
		})
	}
	return list
}

// leavers tells whether a copy of c should leave its node because the node is
// draining, or because it may not hold the chain.
func (a *agenda) leavers(c *placement.Chain) (drain, constraint bool) {
	return a.leaving(c, nodesOf(a.roster, c, nil))
}

// leaving is leavers with the nodes of the holders.
func (a *agenda) leaving(c *placement.Chain, nodes []*placement.Node) (drain, constraint bool) {
	for i, n := range nodes {
		h := &c.Holders[i]
		switch {
		case h.Phase != placement.Ready || h.Lost:
		case draining(n):
			drain = true
		case n != nil && len(c.Spec.Require) == 0 && a.eligible == nil: // it may
		default:
			_, ok := mayHold(&a.view, a.eligible, c, h.Node)
			constraint = constraint || !ok
		}
	}
	return drain, constraint
}

// mayHold tells whether node may hold c, by the state and by the scorer.
func mayHold(v *placement.View, eligible Eligibility, c *placement.Chain, node placement.NodeID) (reason string, ok bool) {
	if reason, ok := v.EligibleHolder(c, node); !ok || eligible == nil {
		return reason, ok
	}
	return eligible.Eligible(c.ID, node)
}

// draining tells whether copies are to be moved off n.
func draining(n *placement.Node) bool {
	return n != nil && (n.Eligibility == placement.Draining || n.Eligibility == placement.Maintenance)
}

// crowded tells whether one more pulling copy would be too many (rule S7).
func crowded(c *placement.Chain, live, pulling int) bool { return pulling+live+1 > c.Spec.Desired+1 }

// hasSource tells whether a copy can be made: from a live one, or from
// nothing for a chain that never had a ready holder and for which no other
// holder is pulling (rules S1 and S7).
func hasSource(c *placement.Chain, live, pulling int) bool {
	return live > 0 || !c.EverReady && pulling == 0
}

// surplus tells whether c has a copy too many: more live ones than desired,
// or a lost one that has been replaced.
func surplus(c *placement.Chain, live int) bool {
	return live > c.Spec.Desired || live == c.Spec.Desired && slices.ContainsFunc(c.Holders, replaced)
}

// replaced tells whether a holder goes once desired live copies exist.
func replaced(h placement.Holder) bool { return h.Lost && h.Phase != placement.Dropping }

// shelf is the copies on one node that balance might move, by class.
type shelf struct {
	copies  []*copies
	byClass map[Class]*copies
	last    *copies // asked for last
}

// copies is the chains that have a copy of one class on one node.
type copies struct {
	class  Class
	chains chainSet
}

// shelve puts the copies of a balanced chain on the shelves of its nodes, or
// takes them away.
func (a *agenda) shelve(c *placement.Chain, nodes []*placement.Node, put bool) {
	for i := range nodes {
		h := &c.Holders[i]
		if !settled(h) || h.Lost {
			continue
		}
		class := classOf(c, i, nodes)
		s := a.shelves[h.Node]
		if s == nil {
			s = &shelf{byClass: map[Class]*copies{}}
			a.shelves[h.Node] = s
		}
		if put {
			s.of(class).chains.Load(c.ID)
		} else {
			s.remove(class, c.ID)
		}
	}
}

// of returns the copies of a class, at first none.
func (s *shelf) of(class Class) *copies {
	if s.last != nil && s.last.class == class {
		return s.last
	}
	g := s.byClass[class]
	if g == nil {
		g = &copies{class: class}
		s.byClass[class] = g
		s.copies = append(s.copies, g)
	}
	s.last = g
	return g
}

func (s *shelf) remove(class Class, id placement.ChainID) {
	g := s.of(class)
	g.chains.Delete(id)
	if g.chains.Len() == 0 {
		s.last = nil
		delete(s.byClass, class)
		s.copies = slices.DeleteFunc(s.copies, func(x *copies) bool { return x == g })
	}
}
