package simulator

import (
	"cmp"
	"math"
	"slices"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// band is how far a node may stand above another, relative to the mean, before
// balance moves copies (rule S22).
const band = 0.1

// loads is the placed weight per capacity of the nodes that may be given
// copies, the least first. It is reckoned here anew, without the scorer.
type loads struct {
	nodes []loaded
	mean  float64
}

type loaded struct {
	node     *placement.Node
	capacity float64 // relative to the mean
	u        float64
}

func loadsOf(v *fsm.View) loads {
	var l loads
	total, sized := 0.0, true
	none := &placement.Chain{Spec: &placement.Spec{}}
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		if v.EligibleTarget(none, id).OK() {
			l.nodes = append(l.nodes, loaded{node: n, capacity: 1})
			total += float64(n.CapacityBytes)
			sized = sized && n.CapacityBytes > 0
		}
		return true
	})
	for i := range l.nodes {
		n := &l.nodes[i]
		if sized {
			n.capacity = float64(n.node.CapacityBytes) * float64(len(l.nodes)) / total
		}
		n.u = float64(v.Usage(n.node.ID).Weight) / n.capacity
		l.mean += n.u / float64(len(l.nodes))
	}
	slices.SortStableFunc(l.nodes, func(a, b loaded) int { return cmp.Compare(a.u, b.u) })
	return l
}

// spread is how far the loads lie apart, relative to their mean.
type spread struct{ low, high, deviation float64 }

func (l *loads) spread() spread {
	if len(l.nodes) == 0 || l.mean == 0 {
		return spread{}
	}
	sum := 0.0
	for _, n := range l.nodes {
		sum += (n.u/l.mean - 1) * (n.u/l.mean - 1)
	}
	return spread{
		low: l.nodes[0].u / l.mean, high: l.nodes[len(l.nodes)-1].u / l.mean,
		deviation: math.Sqrt(sum / float64(len(l.nodes))),
	}
}

// even tells whether no copy is on a node that stands, after the move, still
// more than a band above another that could take the copy.
func (l *loads) even(v *fsm.View) bool {
	zones := l.zones()
	for _, n := range slices.Backward(l.nodes) {
		if len(l.nodes) == 0 || n.u-l.nodes[0].u <= band*l.mean {
			break // so do the rest
		}
		misplaced := false
		v.ChainsOn(n.node.ID, func(c *placement.Chain, h *placement.Holder) bool {
			misplaced = h.Phase == placement.Ready && !h.Lost && l.better(v, c, &n, zones)
			return !misplaced
		})
		if misplaced {
			return false
		}
	}
	return true
}

// better tells whether the copy of c on n has a node to go to that lies more
// than a band below.
func (l *loads) better(v *fsm.View, c *placement.Chain, n *loaded, zones int) bool {
	if c.Spec.Policy == placement.PolicyPinned {
		return false
	}
	for i := range l.nodes {
		to := &l.nodes[i]
		if n.u-to.u-float64(c.Spec.Weight)/to.capacity <= band*l.mean {
			if n.u-to.u <= band*l.mean {
				return false
			}
			continue // too small a node for so heavy a chain
		}
		if v.EligibleTarget(c, to.node.ID).OK() && spreadKept(v, c, n.node, to.node, zones) {
			return true
		}
	}
	return false
}

// spreadKept tells whether no zone gets more than its part of the copies of c
// when one goes from a node to another.
func spreadKept(v *fsm.View, c *placement.Chain, from, to *placement.Node, zones int) bool {
	most := c.Spec.MaxPerZone
	if most == 0 {
		if c.Spec.Spread == placement.SpreadNone || zones < 2 {
			return true
		}
		most = (c.Spec.Desired + zones - 1) / zones
	}
	if to.Zone == "" {
		return true
	}
	there := 1
	for i := range c.Holders {
		h := &c.Holders[i]
		if m := v.Node(h.Node); m != nil && m.ID != from.ID && m.Zone == to.Zone && !h.Lost && h.Phase != placement.Dropping {
			there++
		}
	}
	return there <= most
}

func (l *loads) zones() int {
	var names []string
	for _, n := range l.nodes {
		if n.node.Zone != "" && !slices.Contains(names, n.node.Zone) {
			names = append(names, n.node.Zone)
		}
	}
	return len(names)
}
