package placement

import (
	"slices"
	"time"
)

// ReturnCooldowns is for how many cooldowns balance does not bring a copy back
// to a node that it has taken it off. What drove the copy away, a load or an
// illness that comes and goes, would drive it away again. If it does, the copy
// stays away twice as long, ReturnDoublings times at most: two chains of which
// one wants to be where the other is, and the other not, come to rest.
// A cooldown below ReturnUnit counts as one, so that they do with none, too.
const (
	ReturnCooldowns = 10
	ReturnDoublings = 8
	ReturnUnit      = time.Second
)

// Departure says that balance has taken the copy which is, or is to be, on Copy
// off Node. It counts anew when the victim begins to drop, as the cooldown does
// (rule S9). A copy that is back has one of the node that it is on, which says
// how often it has been taken off there.
type Departure struct {
	Node  NodeID
	Copy  NodeID
	At    Time
	Again uint8 // how often it had been taken off there, and was back, before
}

// ReturnsUntil returns the cluster time until which balance does not bring the
// copy of c on from back to node, or [Never]: when it has not taken it off there,
// or an operator has changed the node's weight or eligibility since. Exactly at
// that time it may.
func (v *View) ReturnsUntil(c *Chain, from, node NodeID) Time {
	for _, d := range c.Departed {
		if d.Node != node || d.Copy != from {
			continue
		}
		if n := v.Node(node); n == nil || n.Wished <= d.At {
			return v.returnable(c, d)
		}
	}
	return Never
}

// MayReturn tells whether balance may move the copy of c on from to node now, as
// far as it has been there before.
func (v *View) MayReturn(c *Chain, from, node NodeID) Verdict {
	if until := v.ReturnsUntil(c, from, node); v.Now < until {
		return Refuse(Cooling, "balance took this copy of chain %s off node %s and does not bring it back for another %v", c.ID, node, until.Sub(v.Now))
	}
	return Verdict{}
}

// Depart notes that balance takes the copy of c on from to another node now. The
// places where that copy has been go with it; what is long over is forgotten.
func (v *View) Depart(c *Chain, from, to NodeID) {
	list := make([]Departure, 0, len(c.Departed)+1)
	add := func(d Departure) {
		i := slices.IndexFunc(list, func(x Departure) bool { return x.Node == d.Node && x.Copy == d.Copy })
		if i < 0 {
			list = append(list, d)
		} else {
			list[i].At, list[i].Again = max(list[i].At, d.At), max(list[i].Again, d.Again)
		}
	}
	left := Departure{from, to, v.Now, 0}
	for _, d := range c.Departed {
		if gone := d.Copy != to && c.Holder(d.Copy) == nil; gone || v.Now >= d.At.Add(4*v.away(c, d)) {
			continue
		}
		add(d)
		switch {
		case d.Copy != from:
		case d.Node == from:
			left.Again = min(d.Again+1, ReturnDoublings)
		case d.Node == to:
			add(Departure{to, to, v.Now, d.Again})
		default:
			add(Departure{d.Node, to, d.At, d.Again})
		}
	}
	add(left)
	c.Departed = list
}

func (v *View) returnable(c *Chain, d Departure) Time { return d.At.Add(v.away(c, d)) }

// away is how long a copy stays away. What is known of it is kept four times as
// long, so that one that is back can be seen to leave again.
func (v *View) away(c *Chain, d Departure) time.Duration {
	const longest = ReturnCooldowns * DurationMax // more would overflow
	first := ReturnCooldowns * max(v.Config.CooldownFor(c.Spec), ReturnUnit)
	return min(first, longest>>d.Again) << d.Again
}
