package simulator

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// setUp founds the cluster and places the chains, in no time and without
// budgets, before the scenario begins.
func (w *world) setUp(ctx context.Context) error {
	s := w.scenario
	w.instant = true
	cfg, err := override(placement.DefaultConfig(), s.Config)
	if err != nil {
		return fmt.Errorf("config.%w", err)
	}
	wide := cfg
	wide.MovesMax, wide.RepairMovesInMax = 1<<20, 1<<20
	if _, err := w.apply(
		op(&fsm.Genesis{ClusterID: "sim", Name: "sim", Lineage: "sim"}, "birth"),
		op(fsm.NewPutConfig(wide), "setup"),
	); err != nil {
		return err
	}
	for i := range s.Nodes {
		if err := w.addNodes(&s.Nodes[i], s.Nodes[i].Count); err != nil {
			return err
		}
	}
	w.sense()
	for i := range s.Chains {
		if err := w.putChains(&s.Chains[i]); err != nil {
			return err
		}
	}
	if s.Placement == "scheduled" {
		err = w.placeScheduled(ctx)
	} else {
		err = w.placeEven()
	}
	if err != nil {
		return err
	}
	w.instant = false
	_, err = w.apply(op(fsm.NewPutConfig(cfg), "setup"))
	return err
}

func op(body fsm.Body, reason string) fsm.Op {
	return fsm.Op{Actor: "scenario", Reason: reason, Body: body}
}

// addNodes starts new nodes of a group, with empty disks.
func (w *world) addNodes(g *NodeGroup, count int) error {
	for range count {
		w.made["node "+g.Name]++
		number := w.made["node "+g.Name]
		n := &node{
			id: placement.NodeID(fmt.Sprintf("%s%d", g.Name, number)), group: g, zone: g.Zone,
			bandwidth: cmp.Or(g.Bandwidth.Value, w.scenario.Bandwidth.Value) / float64(w.scenario.Pulls),
			disk:      map[placement.ChainID]placement.Epoch{},
		}
		if zones := w.scenario.Zones; n.zone == "" && len(zones) > 0 {
			n.zone = zones[(number-1)%len(zones)]
		}
		if w.byID[n.id] != nil {
			return fmt.Errorf("nodes: two groups make a node %s; give them other names", n.id)
		}
		w.nodes = append(w.nodes, n)
		w.byID[n.id] = n
		if err := w.boot(n); err != nil {
			return err
		}
		if weight, _ := placement.ScoreOf(*g.Weight); weight != placement.ScoreOne {
			if _, err := w.apply(op(&fsm.SetWeight{Node: n.id, Weight: weight}, "setup")); err != nil {
				return err
			}
		}
	}
	return nil
}

// putPart bounds the chains of one operation.
const putPart = 1000

// putChains creates the chains of a group.
func (w *world) putChains(g *ChainGroup) error {
	sizes, weights := w.draw(&g.Size, g.Count), w.draw(&g.Weight, g.Count)
	for begin := 0; begin < g.Count; begin += putPart {
		body := &fsm.PutChains{}
		for i := begin; i < min(begin+putPart, g.Count); i++ {
			w.made["chain "+g.Name]++
			id := placement.ChainID(fmt.Sprintf("%s%d", g.Name, w.made["chain "+g.Name]))
			body.Items = append(body.Items, *fsm.NewPutChain(id, g.spec(sizes[i], weights[i])))
		}
		results, err := w.apply(op(body, "put"))
		if err != nil {
			return err
		}
		for i, code := range results[0].Items {
			if code != placement.Accepted {
				return fmt.Errorf("chains: %s was refused: %s", body.Items[i].Chain, code)
			}
		}
	}
	return nil
}

// draw returns count numbers of a distribution.
func (w *world) draw(d *Distribution, count int) []float64 {
	list := make([]float64, count)
	for i := range list {
		switch {
		case d.Zipf != nil:
			list[i] = d.Zipf.Max.Value / math.Pow(float64(i+1), d.Zipf.S)
		case d.Uniform != nil:
			low, high := d.Uniform[0].Value, d.Uniform[1].Value
			list[i] = low + (high-low)*w.rng.Float64()
		default:
			list[i] = d.Fixed.Value
		}
	}
	if d.Zipf != nil {
		w.rng.Shuffle(count, func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return list
}

// placeScheduled lets the scheduler place every chain.
func (w *world) placeScheduled(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("the simulation was ended while the chains were placed: %w", err)
		}
		w.now = w.now.Add(w.scenario.Tick.Duration)
		for next := w.queue.next(); next != placement.Never && next <= w.now; next = w.queue.next() {
			if err := w.queue.pop().do(); err != nil {
				return err
			}
		}
		if err := w.deliver(); err != nil {
			return err
		}
		accepted, err := w.plan()
		if err != nil {
			return err
		}
		if !accepted && len(w.mail) == 0 {
			return nil
		}
	}
}

// placeEven puts each copy, the heaviest chains first, on the node with the
// least weight for its capacity, in the zone that has the fewest of the
// chain's copies; then every node reports what it holds and is believed.
func (w *world) placeEven() error {
	v := w.machine.View()
	var chains []*placement.Chain
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		chains = append(chains, c)
		return true
	})
	slices.SortStableFunc(chains, func(a, b *placement.Chain) int { return cmp.Compare(b.Spec.Weight, a.Spec.Weight) })
	zones := w.shelves()
	for _, c := range chains {
		var taken []*shelf
		for range c.Spec.Desired {
			z, s := takeLeast(v, zones, c)
			if s == nil {
				break // fewer nodes than copies: the scheduler goes on
			}
			z.used++
			taken = append(taken, s)
			s.node.disk[c.ID] = 1
			s.weight += float64(c.Spec.Weight)
			s.zone = z
		}
		for _, s := range taken {
			heap.Push(&s.zone.list, s)
		}
		for _, z := range zones {
			z.used = 0
		}
	}
	for _, n := range w.nodes {
		if err := w.inventory(n); err != nil {
			return err
		}
	}
	return w.deliver()
}

// shelf is a node that is being filled; rack is those of one zone, the least
// full first.
type shelf struct {
	node     *node
	zone     *rack
	capacity float64
	weight   float64
}

type rack struct {
	name string
	used int // copies of the present chain
	list shelves
}

// shelves returns the nodes that chains are placed on, by zone.
func (w *world) shelves() []*rack {
	nodes := w.nodes
	if k := w.scenario.onFirst; k > 0 {
		nodes = nodes[:min(k, len(nodes))]
	}
	sized := !slices.ContainsFunc(nodes, func(n *node) bool { return n.group.CapacityBytes.Value == 0 })
	var racks []*rack
	for _, n := range nodes {
		i := slices.IndexFunc(racks, func(r *rack) bool { return r.name == n.zone })
		if i < 0 {
			i, racks = len(racks), append(racks, &rack{name: n.zone})
		}
		s := &shelf{node: n, capacity: 1}
		if sized {
			s.capacity = n.group.CapacityBytes.Value
		}
		heap.Push(&racks[i].list, s)
	}
	return racks
}

// takeLeast takes the next node for a copy of c off its rack.
func takeLeast(v *fsm.View, zones []*rack, c *placement.Chain) (*rack, *shelf) {
	var best *rack
	var found *shelf
	for _, z := range zones {
		if best != nil && z.used > best.used {
			continue
		}
		var passed []*shelf
		for len(z.list) > 0 {
			s := heap.Pop(&z.list).(*shelf) //nolint:errcheck // container/heap hands back what it was given
			passed = append(passed, s)
			if !v.EligibleTarget(c, s.node.id).OK() {
				continue
			}
			if best == nil || z.used < best.used || s.less(found) {
				best, found = z, s
			}
			break
		}
		for _, s := range passed {
			heap.Push(&z.list, s)
		}
	}
	if best == nil {
		return nil, nil
	}
	i := slices.Index(best.list, found)
	heap.Remove(&best.list, i)
	return best, found
}

func (s *shelf) less(t *shelf) bool {
	x, y := s.weight/s.capacity, t.weight/t.capacity
	return x < y || x == y && s.node.id < t.node.id
}

// shelves implements heap.Interface.
type shelves []*shelf

func (h shelves) Len() int           { return len(h) }
func (h shelves) Less(i, j int) bool { return h[i].less(h[j]) }
func (h shelves) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *shelves) Push(x any) { *h = append(*h, x.(*shelf)) } //nolint:errcheck // container/heap hands back what it was given

// Pop implements heap.Interface.
func (h *shelves) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
