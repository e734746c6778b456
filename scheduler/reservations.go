package scheduler

import (
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

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
	usage   usages
	load    []int64 // planned weight, millionths
	leaving []int64 // bytes of copies that are on their way out
	peers   map[placement.Label]*peer
	bytes   int64                                        // no chain's copy takes more
	barred  int                                          // no chain bars more nodes, -1 = unknown
	shifted map[placement.Label]map[placement.NodeID]int // copies of peers that the pass has moved
	touched []placement.NodeID                           // in the order of the changes
}

// newReservations returns the reservations of an empty pass over view, whose
// nodes are the roster, and makes view show them.
func newReservations(view *placement.View, r *roster, b *booked) *Reservations {
	n := r.Len()
	res := &Reservations{
		view: view, usage: usages{r, make([]placement.Usage, n)}, load: make([]int64, n), leaving: make([]int64, n), peers: b.peers,
	}
	res.bytes, res.barred = b.largest()
	view.Usages.Ascend("", func(id placement.NodeID, u placement.Usage) bool {
		if i, known := r.at[id]; known {
			res.usage.list[i] = u
		}
		return true
	})
	for i, id := range r.ids {
		res.load[i] = res.usage.list[i].Weight + b.load[id]
		res.leaving[i] = b.leaving[id]
		res.usage.list[i].ReservedBytes += b.reserved[id]
	}
	view.Usages = res.usage
	return res
}

// Version advances whenever what is reserved changes.
func (r *Reservations) Version() int { return len(r.touched) }

// Touched returns the nodes whose reservations have changed after a version,
// as often as they did. The caller must not change the list.
func (r *Reservations) Touched(version int) []placement.NodeID {
	return slices.Clip(r.touched[version:])
}

// Load returns the weight placed on node when all that is open and planned
// has ended, in millionths.
func (r *Reservations) Load(node placement.NodeID) int64 {
	if i, known := r.usage.at[node]; known {
		return r.load[i]
	}
	return 0
}

// LeavingBytes returns the bytes of copies on node that are dropping or the
// victims of open and planned moves.
func (r *Reservations) LeavingBytes(node placement.NodeID) int64 {
	if i, known := r.usage.at[node]; known {
		return r.leaving[i]
	}
	return 0
}

// Largest returns what no chain of the state exceeds: the bytes that a copy
// takes, and how many nodes cannot be given one more because they hold the
// chain, failed for it or were left by it; -1 = any number.
func (r *Reservations) Largest() (bytes int64, barred int) { return r.bytes, r.barred }

// Beside returns how many copies of chains that match the expression (see
// [placement.Spec].AntiAffinity) node holds when all that is open and planned
// has ended; node "" stands for all nodes together. Only expressions that some
// chain's spec names are counted.
func (r *Reservations) Beside(expr string, node placement.NodeID) int {
	label := peerLabel(expr)
	n := r.shifted[label][node]
	if p := r.peers[label]; p != nil && node == "" {
		n += p.total
	} else if p != nil {
		n += p.at[node]
	}
	return n
}

// place plans one copy of c more (times 1) or less (-1) on node.
func (r *Reservations) place(c *placement.Chain, node placement.NodeID, times int) {
	i, known := r.usage.at[node]
	if !known {
		return
	}
	r.load[i] += int64(times) * c.Spec.Weight
	r.touched = append(r.touched, node)
	if len(r.peers) == 0 {
		return
	}
	for label := range labelsOf(c) {
		if r.peers[label] == nil {
			continue
		}
		if r.shifted[label] == nil {
			if r.shifted == nil {
				r.shifted = map[placement.Label]map[placement.NodeID]int{}
			}
			r.shifted[label] = map[placement.NodeID]int{}
		}
		r.shifted[label][node] += times
		r.shifted[label][""] += times
	}
}

// spend adds to the usage of node.
func (r *Reservations) spend(node placement.NodeID, u placement.Usage) {
	if i, known := r.usage.at[node]; known {
		r.usage.list[i] = r.usage.list[i].Add(u)
		r.touched = append(r.touched, node)
	}
}

// leave counts bytes of node as on their way out.
func (r *Reservations) leave(node placement.NodeID, bytes int64) {
	if i, known := r.usage.at[node]; known {
		r.leaving[i] += bytes
		r.touched = append(r.touched, node)
	}
}

// unfill keeps (times 1) or gives back (times -1) the room that an evict-first
// move wants on its recorded target before that is assigned.
func (r *Reservations) unfill(c *placement.Chain, m *placement.Move, times int) {
	if c.Holder(m.To) == nil {
		r.place(c, m.To, times)
		r.spend(m.To, placement.Usage{ReservedBytes: int64(times) * c.SizeBytes()})
	}
}

// take reserves what decision d about chain c will use.
func (r *Reservations) take(c *placement.Chain, d *placement.Decision) {
	pulling := placement.Usage{Pulling: 1, Weight: c.Spec.Weight, ReservedBytes: c.SizeBytes()}
	switch d.Kind {
	case placement.KindAssign:
		m := c.MoveByID(d.Move)
		if m != nil { // a refill: its room is booked
			r.unfill(c, m, -1)
		}
		if m == nil || m.To != d.To { // else the move is in the budgets already
			pulling.RepairsIn = 1
			r.view.OpenMoves.Total++
		}
		r.place(c, d.To, 1)
		r.spend(d.To, pulling)
	case placement.KindOpenMove:
		pulling.MovesIn = 1
		r.place(c, d.To, 1)
		r.spend(d.To, pulling)
		r.place(c, d.From, -1)
		r.spend(d.From, placement.Usage{MovesOut: 1})
		r.leave(d.From, c.Holder(d.From).SizeBytes)
		r.openMove(d.Cause)
	case placement.KindCallOff:
		if h := c.Holder(d.To); h == nil || h.Phase == placement.Pulling {
			r.place(c, d.To, -1)
		}
		if h := c.Holder(d.From); h != nil && h.Phase != placement.Dropping {
			r.place(c, d.From, 1)
		}
	case placement.KindDrop:
		r.place(c, d.From, -1)
		r.leave(d.From, c.Holder(d.From).SizeBytes)
	case placement.KindComplete: // its weight has been booked as moved already
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
