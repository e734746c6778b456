package scorer

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// bound is the scorer of one pass. It follows what the pass reserves: what it
// has computed from the reservations is brought up to their version, node by
// node touched, before it is used.
type bound struct {
	view  *placement.View
	r     *scheduler.Reservations
	nodes []node // by id
	at    map[placement.NodeID]int
	open  []int    // the nodes that may be given copies, by id
	zones []string // of all nodes, in the order in which they were met

	openZones int     // distinct zones of the open nodes
	sized     bool    // every open node's capacity is known: load counts per capacity
	anySize   bool    // some open node's capacity is known
	anyHealth bool    // some open node has told of its health
	largest   float64 // the largest capacity of an open node
	maxWeight placement.Score

	version int     // of the reservations that follows was computed from
	average float64 // mean load per capacity of the open nodes, NaN = not computed
	order   []int   // the open nodes by load per capacity, then id; nil = not sorted yet

	question question
	granted  map[string]*wishes // by what they ask for
	key      []byte             // of granted, to look up without allocating
	screens  screens
}

// node is what a pass needs to know of one node.
type node struct {
	node     *placement.Node
	open     bool    // it may be given copies, room and budgets aside
	zone     int     // index in zones, unzoned = none
	capacity float64 // relative to the mean of the open nodes; 0 = unknown
	weight   float64 // relative to the largest of the open nodes
	vitals   vitals
	health   float64 // 0..1
	healthy  bool    // health is known
	where    *placement.Coordinate
	load     int64           // planned weight
	u        float64         // load per capacity
	ceiling  float64         // weight × health: no chain scores higher here
	top      placement.Score // the same
}

// unzoned is the zone of a node that has none.
const unzoned = -1

// with returns the load per capacity once weight has been added.
func (n *node) with(weight int64) float64 { return (float64(n.load) + float64(weight)) / n.capacity }

func newBound(view *placement.View, facts placement.Facts, r *scheduler.Reservations) *bound {
	n := view.Nodes.Len()
	b := &bound{
		view: view, r: r, nodes: make([]node, 0, n), at: make(map[placement.NodeID]int, n), open: make([]int, 0, n),
		sized: true, version: r.Version(), average: math.NaN(),
	}
	bytes := 0.0
	view.Nodes.Ascend("", func(id placement.NodeID, p *placement.Node) bool {
		x := node{node: p, open: p.Open(), zone: b.zoneIndex(p.Zone), vitals: silent(), load: r.Load(id)}
		if x.open {
			b.open = append(b.open, len(b.nodes))
			b.maxWeight = max(b.maxWeight, p.Weight)
			b.sized = b.sized && p.CapacityBytes > 0
			b.anySize = b.anySize || p.CapacityBytes > 0
			bytes += float64(p.CapacityBytes)
		}
		b.at[id] = len(b.nodes)
		b.nodes = append(b.nodes, x)
		return true
	})
	b.listen(facts)
	b.measure(bytes / float64(max(len(b.open), 1)))
	return b
}

// zoneIndex returns the index of a zone's name.
func (b *bound) zoneIndex(name string) int {
	if name == "" {
		return unzoned
	}
	if n := len(b.nodes); n > 0 && b.nodes[n-1].node.Zone == name {
		return b.nodes[n-1].zone // neighbours by name are often neighbours
	}
	i := slices.Index(b.zones, name)
	if i < 0 {
		i = len(b.zones)
		b.zones = append(b.zones, name)
	}
	return i
}

// listen takes in the telemetry: one walk along both lists.
func (b *bound) listen(facts placement.Facts) {
	if facts.Samples == nil {
		return
	}
	i := 0
	facts.Samples.Ascend("", func(id placement.NodeID, s placement.Sample) bool {
		for i < len(b.nodes) && b.nodes[i].node.ID < id {
			i++
		}
		if i < len(b.nodes) && b.nodes[i].node.ID == id {
			n := &b.nodes[i]
			n.vitals, n.where = vitalsOf(n.node, s), s.Coordinate
		}
		return i < len(b.nodes)
	})
}

// measure puts capacities and weights in relation, now that all are known.
func (b *bound) measure(meanBytes float64) {
	zoned := make([]bool, len(b.zones))
	healthiest := silent()
	for _, i := range b.open {
		healthiest = healthiest.least(b.nodes[i].vitals)
	}
	for i := range b.nodes {
		n := &b.nodes[i]
		n.capacity = 1
		if b.sized && meanBytes > 0 {
			n.capacity = float64(n.node.CapacityBytes) / meanBytes
		}
		n.weight = 1
		if b.maxWeight > 0 {
			n.weight = min(float64(n.node.Weight)/float64(b.maxWeight), 1)
		} else if n.node.Weight == 0 {
			n.weight = 0
		}
		n.health, n.healthy = n.vitals.less(healthiest).health()
		n.ceiling = n.weight
		if n.healthy {
			n.ceiling *= n.health
		}
		n.top = millionths(n.ceiling)
		if n.capacity > 0 {
			n.u = n.with(0)
		}
		if !n.open {
			continue
		}
		b.anyHealth = b.anyHealth || n.healthy
		b.largest = max(b.largest, n.capacity)
		if n.zone != unzoned && !zoned[n.zone] {
			zoned[n.zone] = true
			b.openZones++
		}
	}
}

// refresh takes in what the pass has reserved since the last question.
func (b *bound) refresh() {
	if b.version == b.r.Version() {
		return
	}
	for _, id := range b.r.Touched(b.version) {
		if i, known := b.at[id]; known {
			b.reload(i)
		}
	}
	b.version, b.average = b.r.Version(), math.NaN()
	b.question.forget()
}

// reload takes in the load of node i, and keeps the order.
func (b *bound) reload(i int) {
	n := &b.nodes[i]
	now := b.r.Load(n.node.ID)
	b.screens.touch(i)
	if now == n.load {
		return
	}
	listed := n.open && b.order != nil
	if listed {
		b.order = slices.Delete(b.order, b.place(i), b.place(i)+1)
	}
	n.load = now
	if n.capacity > 0 {
		n.u = n.with(0)
	}
	if listed {
		b.order = slices.Insert(b.order, b.place(i), i)
	}
}

// place returns where node i stands, or would stand, in the order.
func (b *bound) place(i int) int {
	at, _ := slices.BinarySearchFunc(b.order, i, b.compare)
	return at
}

// behind returns the first place in the order whose load is above that at a
// place.
func (b *bound) behind(at int) int {
	u := b.nodes[b.order[at]].u
	return at + sort.Search(len(b.order)-at, func(k int) bool { return b.nodes[b.order[at+k]].u > u })
}

// compare orders nodes by load per capacity, then id.
func (b *bound) compare(i, j int) int {
	if c := cmp.Compare(b.nodes[i].u, b.nodes[j].u); c != 0 {
		return c
	}
	return i - j
}

// sorted returns the open nodes by load per capacity, then id.
func (b *bound) sorted() []int {
	if b.order == nil {
		b.order = append(make([]int, 0, len(b.open)), b.open...)
		slices.SortFunc(b.order, b.compare)
	}
	return b.order
}

// mean returns the mean load per capacity of the open nodes. It is summed anew
// for each version, in one order: so it depends on the loads alone, and not on
// how they came about.
func (b *bound) mean() float64 {
	if math.IsNaN(b.average) {
		sum := 0.0
		for _, i := range b.open {
			sum += b.nodes[i].u
		}
		b.average = sum / float64(max(len(b.open), 1))
	}
	return b.average
}
