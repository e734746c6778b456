package scorer

import (
	"cmp"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// bound is the scorer of one pass.
type bound struct {
	view  *placement.View
	r     *scheduler.Reservations
	nodes []node // by id
	at    map[placement.NodeID]int

	maxWeight placement.Score // largest among the eligible nodes
	sized     bool            // every eligible node's capacity is known: load counts per capacity
	anySize   bool            // some eligible node's capacity is known
	anyHealth bool            // some eligible node has told of its health

	version int             // of the reservations that the following were computed from
	mean    float64         // mean load per capacity of the eligible nodes
	orders  map[int64][]int // eligible nodes by load once they have taken a weight

	last    *placement.Chain // the chain asked about last
	low     float64          // its u_low (rule S22)
	hasLow  bool
	lowDone bool
}

// node is what a pass needs to know of one node.
type node struct {
	node     *placement.Node
	eligible bool    // it may be given copies
	capacity float64 // relative to the mean; 0 = unknown
	health   float64 // 0..1
	healthy  bool    // health is known
	sample   placement.Sample
	load     float64 // planned weight
}

func newBound(view *placement.View, facts placement.Facts, r *scheduler.Reservations) *bound {
	b := &bound{view: view, r: r, at: make(map[placement.NodeID]int, view.Nodes.Len()), sized: true, version: -1}
	var total, count float64
	none := &placement.Chain{Spec: &placement.Spec{}}
	view.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		x := node{node: n, eligible: view.EligibleTarget(none, id).OK()}
		x.sample, x.healthy = facts.Sample(id)
		x.health, x.healthy = health(x.sample, x.healthy)
		if x.eligible {
			b.maxWeight = max(b.maxWeight, n.Weight)
			b.sized = b.sized && n.CapacityBytes > 0
			b.anySize = b.anySize || n.CapacityBytes > 0
			b.anyHealth = b.anyHealth || x.healthy
			total += float64(n.CapacityBytes)
			count++
		}
		b.at[id] = len(b.nodes)
		b.nodes = append(b.nodes, x)
		return true
	})
	for i := range b.nodes {
		b.nodes[i].capacity = 1
		if b.sized && count > 0 {
			b.nodes[i].capacity = float64(b.nodes[i].node.CapacityBytes) * count / total
		}
	}
	return b
}

// chain returns the chain, or nil.
func (b *bound) chain(id placement.ChainID) *placement.Chain {
	if b.last == nil || b.last.ID != id {
		b.last, b.lowDone = b.view.Chain(id), false
	}
	return b.last
}

// refresh takes in what the pass has reserved since the last question.
func (b *bound) refresh() {
	if b.version == b.r.Version() {
		return
	}
	b.version, b.orders, b.lowDone = b.r.Version(), nil, false
	sum, count := 0.0, 0
	for i := range b.nodes {
		n := &b.nodes[i]
		n.load = float64(b.r.Load(n.node.ID))
		if n.eligible {
			sum += n.load / n.capacity
			count++
		}
	}
	b.mean = 0
	if count > 0 {
		b.mean = sum / float64(count)
	}
}

// ordersMax bounds how many orders are kept, one per weight of a chain.
const ordersMax = 64

// order returns the eligible nodes by load per capacity after they have taken
// weight, the least first, ties by id.
func (b *bound) order(weight int64) []int {
	if list, ok := b.orders[weight]; ok {
		return list
	}
	if b.orders == nil || len(b.orders) >= ordersMax {
		b.orders = map[int64][]int{}
	}
	var list []int
	for i := range b.nodes {
		if b.nodes[i].eligible {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(x, y int) int { return cmp.Compare(b.u(x, weight), b.u(y, weight)) })
	b.orders[weight] = list
	return list
}

// u returns the load per capacity of a node with extra weight on it.
func (b *bound) u(i int, extra int64) float64 {
	return (b.nodes[i].load + float64(extra)) / b.nodes[i].capacity
}

// lowest returns u_low of c (rule S22): the least load per capacity after
// taking the chain among the eligible nodes that would score at or above the
// chain's floor but for their load. Without any, ok is false.
func (b *bound) lowest(c *placement.Chain) (low float64, ok bool) {
	if b.lowDone {
		return b.low, b.hasLow
	}
	b.lowDone, b.hasLow = true, false
	for _, i := range b.order(c.Spec.Weight) {
		id := b.nodes[i].node.ID
		if c.Holder(id) != nil || !b.view.EligibleTarget(c, id).OK() {
			continue
		}
		if b.sound(c, i) {
			b.low, b.hasLow = b.u(i, c.Spec.Weight), true
			break
		}
	}
	return b.low, b.hasLow
}

// sound tells whether node i would score at or above the floor of c but for
// its load.
func (b *bound) sound(c *placement.Chain, i int) bool {
	j := b.judgeUnloaded(c, i)
	return millionths(j.score()) >= b.view.Config.FloorFor(c.Spec)
}
