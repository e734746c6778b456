package placement

// ReturnCooldowns is for how many cooldowns balance does not bring a chain back
// to a node that it has taken a copy of it off. What drove the copy away, a load
// or an illness that comes and goes, would drive it away again.
const ReturnCooldowns = 10

// Departure is a node that balance took a copy of a chain off. It counts anew
// when the copy begins to drop, as the cooldown does (rule S9).
type Departure struct {
	Node NodeID
	At   Time
}

// ReturnsUntil returns the cluster time until which balance does not bring c
// back to node, or [Never]: when it has taken no copy off it, or an operator has
// changed the node's weight or eligibility since. Exactly at that time it may.
func (v *View) ReturnsUntil(c *Chain, node NodeID) Time {
	for _, d := range c.Departed {
		if n := v.Node(node); d.Node == node && (n == nil || n.Wished <= d.At) {
			return v.returnable(c, d)
		}
	}
	return Never
}

// MayReturn tells whether balance may move c to node now, as far as it has moved
// it from there.
func (v *View) MayReturn(c *Chain, node NodeID) Verdict {
	if until := v.ReturnsUntil(c, node); v.Now < until {
		return Refuse(Cooling, "balance moved chain %s off node %s and does not bring it back for another %v", c.ID, node, until.Sub(v.Now))
	}
	return Verdict{}
}

// Depart notes that balance takes the copy of c off node now, and forgets the
// nodes that it may be brought back to.
func (v *View) Depart(c *Chain, node NodeID) {
	kept := make([]Departure, 0, len(c.Departed)+1)
	for _, d := range c.Departed {
		if d.Node != node && v.Now < v.returnable(c, d) {
			kept = append(kept, d)
		}
	}
	c.Departed = append(kept, Departure{node, v.Now})
}

func (v *View) returnable(c *Chain, d Departure) Time {
	return d.At.Add(ReturnCooldowns * v.Config.CooldownFor(c.Spec))
}
