package scheduler

import "github.com/holdfast-cluster/holdfast/placement"

// Reservations is what a pass has decided so far, on top of the state and its
// open moves: a thousand chains must not all run to the one best node, and a
// move must not turn the imbalance around (rule S10).
//
// Load follows the plan at once: a move's weight counts at its target and no
// more at its victim. Bytes are reserved on the target at once and stay
// counted on the victim until its node reports them gone. What a pass frees
// (a move called off or completed) frees no budget and no bytes before the
// state says so.
type Reservations struct {
	view    *placement.View // the state as planned; its usages are usage
	usage   *index[placement.Usage]
	load    map[placement.NodeID]int64 // planned weight, millionths
	leaving map[placement.NodeID]int64 // bytes of copies that are on their way out
	beside  map[string]map[placement.NodeID]int
	version int
}

// newReservations returns the reservations of an empty pass over view, and
// makes view show them.
func newReservations(view *placement.View) *Reservations {
	n := view.Nodes.Len()
	r := &Reservations{
		view: view, usage: newIndex[placement.Usage](n),
		load: make(map[placement.NodeID]int64, n), leaving: map[placement.NodeID]int64{},
	}
	view.Nodes.Ascend("", func(id placement.NodeID, _ *placement.Node) bool {
		u := view.Usage(id)
		r.usage.add(id, u)
		r.load[id] = u.Weight
		return true
	})
	view.Usages = r.usage
	return r
}

// Version advances whenever what is reserved changes.
func (r *Reservations) Version() int { return r.version }

// Load returns the weight placed on node when all that is open and planned
// has ended, in millionths.
func (r *Reservations) Load(node placement.NodeID) int64 { return r.load[node] }

// LeavingBytes returns the bytes of copies on node that are dropping or the
// victims of open and planned moves.
func (r *Reservations) LeavingBytes(node placement.NodeID) int64 { return r.leaving[node] }

// Beside returns how many copies of chains that match the expression (see
// [placement.Spec].AntiAffinity) node holds or is planned to hold.
func (r *Reservations) Beside(expr string, node placement.NodeID) int {
	return r.beside[expr][node]
}

// shift plans weight more (or less) on node.
func (r *Reservations) shift(node placement.NodeID, weight int64) {
	if _, known := r.usage.at[node]; known {
		r.load[node] += weight
	}
}

// spend adds to the usage of node.
func (r *Reservations) spend(node placement.NodeID, u placement.Usage) {
	if old, known := r.usage.at[node]; known {
		r.usage.at[node] = old.Add(u)
	}
}

// base takes in the open moves of a chain as the state has them.
func (r *Reservations) base(c *placement.Chain) {
	for i := range c.Holders {
		if h := &c.Holders[i]; h.Phase == placement.Dropping {
			r.leaving[h.Node] += h.SizeBytes
		}
	}
	for i := range c.Moves {
		m := &c.Moves[i]
		if h := c.Holder(m.From); h != nil && h.Phase != placement.Dropping {
			r.shift(m.From, -c.Spec.Weight)
			r.leaving[m.From] += h.SizeBytes
		}
	}
	if m := unfilled(c); m != nil {
		r.unfill(c, m, 1)
	}
}

// unfill keeps (times 1) or gives back (times -1) the room that an evict-first
// move wants on its recorded target before that is assigned.
func (r *Reservations) unfill(c *placement.Chain, m *placement.Move, times int64) {
	if c.Holder(m.To) == nil {
		r.version++
		r.shift(m.To, times*c.Spec.Weight)
		r.spend(m.To, placement.Usage{ReservedBytes: times * c.SizeBytes()})
	}
}

// take reserves what decision d about chain c will use.
func (r *Reservations) take(c *placement.Chain, d *placement.Decision) {
	r.version++
	weight, size := c.Spec.Weight, c.SizeBytes()
	pulling := placement.Usage{Pulling: 1, Weight: weight, ReservedBytes: size}
	switch d.Kind {
	case placement.KindAssign:
		m := c.MoveByID(d.Move)
		if m != nil { // a refill: base has reserved for it
			r.unfill(c, m, -1)
		}
		if m == nil || m.To != d.To { // else the move is in the budgets already
			pulling.RepairsIn = 1
			r.view.OpenMoves.Total++
		}
		r.shift(d.To, weight)
		r.spend(d.To, pulling)
	case placement.KindOpenMove:
		pulling.MovesIn = 1
		r.shift(d.To, weight)
		r.spend(d.To, pulling)
		r.shift(d.From, -weight)
		r.spend(d.From, placement.Usage{MovesOut: 1})
		r.leaving[d.From] += c.Holder(d.From).SizeBytes
		r.openMove(d.Cause)
	case placement.KindCallOff:
		if h := c.Holder(d.To); h == nil || h.Phase == placement.Pulling {
			r.shift(d.To, -weight)
		}
		if h := c.Holder(d.From); h != nil && h.Phase != placement.Dropping {
			r.shift(d.From, weight)
		}
	case placement.KindDrop:
		r.shift(d.From, -weight)
		r.leaving[d.From] += c.Holder(d.From).SizeBytes
	case placement.KindComplete: // base has moved the weight already
	}
}

func (r *Reservations) openMove(cause placement.Cause) {
	r.view.OpenMoves.Total++
	switch cause {
	case placement.CauseBalance:
		r.view.OpenMoves.Balance++
	case placement.CauseDrain:
		r.view.OpenMoves.Drain++
	default:
	}
}
