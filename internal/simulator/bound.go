package simulator

import (
	"cmp"
	"slices"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// work is how many copies must move, and their load in millionths.
type work struct {
	copies int
	load   float64
}

func (a work) plus(b work) work { return work{a.copies + b.copies, a.load + b.load} }

// missing returns the copies that must be made anew: those that chains lack,
// and those on nodes that are gone.
func missing(v *fsm.View) work {
	var lost work
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		n := max(v.Missing(c), 0)
		lost = lost.plus(work{n, float64(n) * float64(c.Spec.Weight)})
		return true
	})
	eachGone(v, func(c *placement.Chain) { lost = lost.plus(work{1, float64(c.Spec.Weight)}) })
	return lost
}

// eachGone calls visit for each copy on a node that is out of reach and not
// yet counted as missing.
func eachGone(v *fsm.View, visit func(*placement.Chain)) {
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		if n.State == placement.NodeAlive {
			return true
		}
		v.ChainsOn(id, func(c *placement.Chain, h *placement.Holder) bool {
			if h.Phase != placement.Dropping && !h.Lost {
				visit(c)
			}
			return true
		})
		return true
	})
}

// boundOf returns what balance must move, at least, until no node stands more
// than a band above another. Whatever level the least loaded node ends at, a
// node above that level, a band and one copy must shed the difference, its
// heaviest copies first; a node below the level must be filled to it, with the
// heaviest copies there are, less what repairs and drains bring. Every level
// asks for the larger of the two; the bound is that of the level which asks for
// the least. It is exact in this sense where all copies weigh the same. Where
// they do not, the number of copies is a yardstick that nobody reaches who must
// also leave heavy chains in peace, and the load is the fairer measure.
func boundOf(v *fsm.View) work {
	l := loadsOf(v)
	if len(l.nodes) < 2 {
		return work{}
	}
	b := newBounds(v, l)
	return work{
		copies: int(b.least(func(w work) float64 { return float64(w.copies) })),
		load:   b.least(func(w work) float64 { return w.load }),
	}
}

// least searches for the level at which shedding, which falls with the level,
// meets filling, which rises.
func (b *bounds) least(of func(work) float64) float64 {
	low, high := b.nodes[0].u, b.nodes[len(b.nodes)-1].u
	for range 40 {
		level := (low + high) / 2
		if of(b.shed(level)) > of(b.fill(level)) {
			low = level
		} else {
			high = level
		}
	}
	return min(max(of(b.shed(low)), of(b.fill(low))), max(of(b.shed(high)), of(b.fill(high))))
}

// bounds is what the bound is reckoned from.
type bounds struct {
	loads
	copies   map[placement.NodeID][]float64 // sums of the node's heaviest copies, from 1 copy on
	heaviest []float64                      // the same over all nodes
	typical  float64                        // mean weight of a copy
	floating float64                        // weight that repairs and drains will place anyway
}

func newBounds(v *fsm.View, l loads) *bounds {
	b := &bounds{loads: l, copies: map[placement.NodeID][]float64{}}
	var all []float64
	for _, n := range l.nodes {
		var weights []float64
		v.ChainsOn(n.node.ID, func(c *placement.Chain, h *placement.Holder) bool {
			if h.Phase == placement.Ready {
				weights = append(weights, float64(c.Spec.Weight))
			}
			return true
		})
		all = append(all, weights...)
		b.copies[n.node.ID] = sums(weights)
	}
	b.heaviest = sums(all)
	if len(all) > 0 {
		b.typical = b.heaviest[len(all)-1] / float64(len(all))
	}
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		b.floating += float64(max(v.Missing(c), 0)) * float64(c.Spec.Weight)
		return true
	})
	eachGone(v, func(c *placement.Chain) { b.floating += float64(c.Spec.Weight) })
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		if n.Eligibility == placement.Draining && n.State == placement.NodeAlive {
			b.floating += float64(v.Usage(id).Weight)
		}
		return true
	})
	return b
}

// sums returns the sums of the heaviest 1, 2, 3, … of a list.
func sums(list []float64) []float64 {
	slices.SortFunc(list, func(a, b float64) int { return cmp.Compare(b, a) })
	for i := 1; i < len(list); i++ {
		list[i] += list[i-1]
	}
	return list
}

// enough returns how many of the heaviest reach a weight.
func enough(sums []float64, weight float64) int {
	if weight <= 0 {
		return 0
	}
	i, _ := slices.BinarySearch(sums, weight-1) // millionths: less is rounding
	return min(i+1, len(sums))
}

func (b *bounds) shed(level float64) work {
	slack := band*b.mean + b.typical/b.nodes[0].capacity
	var w work
	for _, x := range b.nodes {
		if over := (x.u - level - slack) * x.capacity; over > 0 {
			w = w.plus(work{enough(b.copies[x.node.ID], over), over})
		}
	}
	return w
}

func (b *bounds) fill(level float64) work {
	var w work
	for _, x := range b.nodes {
		if lack := (level - x.u) * x.capacity; lack > 0 {
			w = w.plus(work{enough(b.heaviest, lack), lack})
		}
	}
	if b.floating > 0 {
		w.load = max(w.load-b.floating, 0)
		w.copies = enough(b.heaviest, w.load)
	}
	return w
}
