package placement

import (
	"cmp"
	"slices"
)

// Health is how a chain is doing.
type Health string

// Healths of a chain, the worst that applies first.
const (
	HealthUnavailable Health = "unavailable" // no live copy
	HealthQuarantined Health = "quarantined" // its targets failed again and again
	HealthUnplaceable Health = "unplaceable" // copies are missing, and no node may take one although there would be enough
	HealthUnder       Health = "under"       // fewer live copies than desired
	HealthOver        Health = "over"        // more live copies than desired
	HealthHealthy     Health = "healthy"
)

// HealthOf returns how c is doing.
func (v *View) HealthOf(c *Chain) Health {
	health := v.CopyHealth(c)
	if health == HealthUnder && v.Missing(c) > 0 && v.Hopeless(c) {
		return HealthUnplaceable
	}
	return health
}

// CopyHealth is [View.HealthOf] by the chain's own copies alone: it asks no
// other nodes, so a chain that is unplaceable is under.
func (v *View) CopyHealth(c *Chain) Health {
	live := v.LiveCount(c)
	switch {
	case live == 0:
		return HealthUnavailable
	case c.Quarantined(v.Now):
		return HealthQuarantined
	case live == c.Spec.Desired:
		return HealthHealthy
	case live > c.Spec.Desired:
		return HealthOver
	}
	return HealthUnder
}

// Hopeless tells whether no node may be given a copy of c, now or after a
// backoff, although as many nodes as it wants copies are eligible: a chain that
// wants more copies than that is under, whatever else keeps it from them
// (design section 2). Its cost is that of a look at every node.
func (v *View) Hopeless(c *Chain) bool {
	able, found := 0, false
	v.Nodes.Ascend("", func(id NodeID, n *Node) bool {
		if n.State == NodeAlive && n.Eligibility == Eligible {
			able++
		}
		code := v.hindrance(c, id, n).code
		found = code == Accepted || code == Cooling
		return !found
	})
	return !found && able >= c.Spec.Desired
}

// Obstacle is one reason for which nodes may not be given a copy of a chain.
type Obstacle struct {
	Nodes    int // how many nodes it stops
	Code     Code
	Why      string   // begins with "the node"
	Examples []NodeID // the first of them by id, at most ObstacleExamplesMax
}

// Limits of what [View.WhyUnplaceable] returns.
const (
	ObstaclesMax        = 8
	ObstacleExamplesMax = 3
)

// WhyUnplaceable returns what keeps the nodes that do not hold c from being
// given a copy, the reason that stops most nodes first and at most
// ObstaclesMax of them. Nodes that may be given one are left out. Its cost is
// that of one look at every node.
func (v *View) WhyUnplaceable(c *Chain) []Obstacle {
	var kinds []hindrance // few, whatever the number of nodes
	var list []Obstacle
	v.Nodes.Ascend("", func(id NodeID, n *Node) bool {
		h := v.hindrance(c, id, n)
		if h.code == Accepted || h.code == AlreadyHolder {
			return true
		}
		i := slices.Index(kinds, h)
		if i < 0 {
			i, kinds, list = len(kinds), append(kinds, h), append(list, Obstacle{Code: h.code, Why: "the node " + h.String()})
		}
		if list[i].Nodes++; list[i].Nodes <= ObstacleExamplesMax {
			list[i].Examples = append(list[i].Examples, id)
		}
		return true
	})
	slices.SortStableFunc(list, func(a, b Obstacle) int { return cmp.Compare(b.Nodes, a.Nodes) })
	return list[:min(len(list), ObstaclesMax)]
}
