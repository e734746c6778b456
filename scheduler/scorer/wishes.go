package scorer

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// wishes is what chains that ask for the same find on the nodes. It depends on
// nothing that a pass changes.
type wishes struct {
	suit     []bool    // by node: satisfies what is required; nil = nothing is
	prefer   []float64 // by node: the axis; nil = nothing is preferred
	anchors  []int     // alive nodes that satisfy one of the near expressions
	anchored bool      // some open node is known to be so near to one of them
	rtts     []float64 // by node: seconds to the nearest anchor, NaN = unknown, negative = not computed
}

// wishesMax bounds how many wishes are kept in one pass.
const wishesMax = 256

// wishesOf returns the wishes of a spec, nil if it has none.
func (b *bound) wishesOf(s *placement.Spec) *wishes {
	if len(s.Require)+len(s.Prefer)+len(s.Near) == 0 {
		return nil
	}
	b.key = b.key[:0]
	for _, list := range [][]string{s.Require, s.Prefer, s.Near} {
		for i, expr := range list {
			if i > 0 {
				b.key = append(b.key, '\n')
			}
			b.key = append(b.key, expr...)
		}
		b.key = append(b.key, 0)
	}
	return b.grant()
}

// wishesOfClass is wishesOf for a class of copies, whose expressions are
// joined by newlines.
func (b *bound) wishesOfClass(require, prefer string) *wishes {
	if require == "" && prefer == "" {
		return nil
	}
	b.key = append(append(append(append(b.key[:0], require...), 0), prefer...), 0, 0)
	return b.grant()
}

// grant returns the wishes under b.key.
func (b *bound) grant() *wishes {
	if w := b.granted[string(b.key)]; w != nil {
		return w
	}
	if b.granted == nil || len(b.granted) >= wishesMax {
		b.granted = map[string]*wishes{}
	}
	var lists [3][]string
	for k, text := range strings.SplitN(string(b.key), "\x00", 3) {
		if text = strings.TrimSuffix(text, "\x00"); text != "" {
			lists[k] = strings.Split(text, "\n")
		}
	}
	w := b.newWishes(lists[0], lists[1], lists[2])
	b.granted[string(b.key)] = w
	return w
}

func (b *bound) newWishes(require, prefer, near []string) *wishes {
	w := &wishes{}
	if len(require) > 0 {
		w.suit = make([]bool, len(b.nodes))
	}
	if len(prefer) > 0 {
		w.prefer = make([]float64, len(b.nodes))
	}
	for i := range b.nodes {
		n := b.nodes[i].node
		if w.suit != nil {
			w.suit[i] = missed(n, require) == 0
		}
		if w.prefer != nil {
			w.prefer[i] = wished(missed(n, prefer), len(prefer))
		}
		if n.State == placement.NodeAlive && missed(n, near) < len(near) {
			w.anchors = append(w.anchors, i)
		}
	}
	if len(w.anchors) > 0 {
		w.rtts = slices.Repeat([]float64{-1}, len(b.nodes))
		w.anchored = slices.ContainsFunc(b.open, func(i int) bool {
			_, known := b.distance(w, i)
			return known
		})
	}
	return w
}

// missed returns how many of the expressions n does not satisfy.
func missed(n *placement.Node, exprs []string) int {
	count := 0
	for _, expr := range exprs {
		if !n.Matches(expr) {
			count++
		}
	}
	return count
}

// suits tells whether node i satisfies what is required.
func (w *wishes) suits(i int) bool { return w == nil || w.suit == nil || w.suit[i] }

// distance returns the round-trip time from node i to the nearest anchor.
func (b *bound) distance(w *wishes, i int) (rtt time.Duration, known bool) {
	if w.rtts[i] < 0 {
		w.rtts[i] = b.nearest(w.anchors, i)
	}
	if math.IsNaN(w.rtts[i]) {
		return 0, false
	}
	return time.Duration(w.rtts[i]), true
}

// nearest returns the nanoseconds from node i to the nearest anchor, NaN when
// none is known.
func (b *bound) nearest(anchors []int, i int) float64 {
	least := math.NaN()
	facts := placement.Facts{Samples: samples{b}}
	for _, a := range anchors {
		rtt, known := facts.RTT(b.nodes[i].node.ID, b.nodes[a].node.ID)
		if a == i {
			rtt, known = 0, true // it is there
		}
		if known && !(float64(rtt) >= least) {
			least = max(float64(rtt), 0)
		}
	}
	return least
}

// samples shows the coordinates as a table that is quick to look up.
type samples struct{ *bound }

// Get implements placement.Table.
func (s samples) Get(id placement.NodeID) (placement.Sample, bool) {
	i, known := s.at[id]
	if !known {
		return placement.Sample{}, false
	}
	return placement.Sample{Coordinate: s.nodes[i].where}, true
}

// Len implements placement.Table.
func (s samples) Len() int { return len(s.nodes) }

// Ascend implements placement.Table.
func (s samples) Ascend(pivot placement.NodeID, visit func(placement.NodeID, placement.Sample) bool) {
	for i := range s.nodes {
		if n := &s.nodes[i]; n.node.ID >= pivot && !visit(n.node.ID, placement.Sample{Coordinate: n.where}) {
			return
		}
	}
}
