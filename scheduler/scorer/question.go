package scorer

import (
	"math"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// question is the chain asked about last, with what its nodes share.
type question struct {
	chain   *placement.Chain
	wishes  *wishes // nil = it has none
	floor   placement.Score
	allowed int         // copies that one zone may hold, 0 = the spread axis is left out
	held    []int       // nodes with a holder in any phase
	stay    []int       // those whose copy stays: not lost, not dropping
	zones   []int       // of stay
	lows    []yardstick // found so far, at the present version
}

// yardstick is u_low of the chain once a copy in that zone is gone; for a chain
// whose copies may not go back everywhere, that of one victim.
type yardstick struct {
	zone, victim int
	low          float64
	ok           bool
}

// ask makes chain the one in question. ok is false when it is unknown.
func (b *bound) ask(id placement.ChainID) (ok bool) {
	b.refresh()
	q := &b.question
	if q.chain != nil && q.chain.ID == id {
		return true
	}
	c := b.view.Chain(id)
	if c == nil {
		return false
	}
	spec := c.Spec
	if q.chain == nil || q.chain.Spec != spec {
		q.wishes, q.floor, q.allowed = b.wishesOf(spec), b.view.Config.FloorFor(spec), b.allowed(spec.Spread, spec.Desired, spec.MaxPerZone)
	}
	q.chain, q.held, q.stay, q.zones = c, q.held[:0], q.stay[:0], q.zones[:0]
	q.forget()
	for i := range c.Holders {
		h := &c.Holders[i]
		at, known := b.at[h.Node]
		if !known {
			continue
		}
		q.held = append(q.held, at)
		if !h.Lost && h.Phase != placement.Dropping {
			q.stay, q.zones = append(q.stay, at), append(q.zones, b.nodes[at].zone)
		}
	}
	return true
}

// bars tells whether balance does not bring the copy on victim back to node i.
// While copies are missing it is repair that asks, and it may.
func (b *bound) bars(victim, i int) bool {
	q := &b.question
	return victim != nobody && len(q.chain.Departed) > 0 &&
		b.view.Now < b.view.ReturnsUntil(q.chain, b.nodes[victim].node.ID, b.nodes[i].node.ID) && b.view.Missing(q.chain) <= 0
}

// forget drops what was computed from the reservations.
func (q *question) forget() { q.lows = q.lows[:0] }

// holds tells whether the chain has a holder on node i.
func (q *question) holds(i int) bool { return slices.Contains(q.held, i) }

// copiesIn returns how many copies the zone has once that on victim is gone
// and there is one on node i.
func (q *question) copiesIn(zone, i, victim int) int {
	n := 1
	for k, at := range q.stay {
		if q.zones[k] == zone && at != victim && at != i {
			n++
		}
	}
	return n
}

// own returns how many copies of the chain itself are counted on node, or on
// all nodes together, under an expression.
func (q *question) own(expr string, node placement.NodeID) int {
	if !placement.PeerMatches(expr, q.chain) {
		return 0
	}
	victim := placement.NodeID("")
	if m := q.chain.Rebalance(); m != nil {
		victim = m.From
	}
	n := 0
	for i := range q.chain.Holders {
		h := &q.chain.Holders[i]
		if (node == "" || h.Node == node) && h.Phase != placement.Dropping && h.Node != victim {
			n++
		}
	}
	return n
}

// allowed returns how many copies one zone may hold, 0 when the spread axis is
// left out: in a cluster of less than two zones, nothing is known of spread.
func (b *bound) allowed(s placement.Spread, desired, perZone int) int {
	if b.openZones < 2 || s == placement.SpreadNone && perZone == 0 {
		return 0
	}
	return allowed(desired, b.openZones, perZone)
}

// lowest returns u_low (rule S22) once the copy on victim is gone: the least
// load per capacity after taking the chain among the nodes that may be given
// it, now and by balance, and would score at or above its floor but for their
// load. A node where the copy would crowd a zone is none of them, so zones of
// unequal size are each even in themselves and do not drive each other. Without
// any, ok is false.
func (b *bound) lowest(victim int) (low float64, ok bool) {
	q := &b.question
	zone := unzoned
	if q.allowed > 0 && slices.Contains(q.stay, victim) {
		zone = b.nodes[victim].zone
	}
	of := nobody
	if len(q.chain.Departed) > 0 {
		of = victim
	}
	for _, y := range q.lows {
		if y.zone == zone && y.victim == of {
			return y.low, y.ok
		}
	}
	y := yardstick{zone: zone, victim: of, low: math.Inf(1)}
	for _, i := range b.sorted() {
		n := &b.nodes[i]
		if b.atLeast(n) >= y.low {
			break
		}
		if millionths(b.ceiling(i, victim)) < q.floor || q.holds(i) || !q.wishes.suits(i) || b.bars(victim, i) {
			continue
		}
		if u := n.with(q.chain.Spec.Weight); u < y.low && b.view.TargetCode(q.chain, n.node.ID) == placement.Accepted && b.sound(i, victim) {
			y.low, y.ok = u, true
		}
	}
	q.lows = append(q.lows, y)
	return y.low, y.ok
}

// ceiling returns a score that node i does not exceed, and that is quick to
// tell: most nodes are in zones where the copy would crowd.
func (b *bound) ceiling(i, victim int) float64 {
	n, q := &b.nodes[i], &b.question
	if q.allowed == 0 || n.zone == unzoned {
		return n.ceiling
	}
	return min(n.ceiling, n.weight*spread(q.copiesIn(n.zone, i, victim), q.allowed))
}

// atLeast returns what n, and all nodes behind it in the order, stand at once
// they have taken the chain: none has more capacity than the largest.
func (b *bound) atLeast(n *node) float64 {
	return n.u + float64(b.question.chain.Spec.Weight)/b.largest
}

// sound tells whether node i would score at or above the chain's floor but for
// its load.
func (b *bound) sound(i, victim int) bool {
	j := b.judgeUnloaded(i, victim)
	return millionths(j.score()) >= b.question.floor
}
