package scheduler

import (
	"slices"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
)

// roster is the nodes of a view with constant-time lookup: planning looks up
// several nodes for each of up to a million chains.
type roster struct {
	ids   []placement.NodeID // sorted
	nodes []*placement.Node  // in the same order
	at    map[placement.NodeID]int
	open  []placement.NodeID // may be given copies, but for room, budgets and what a chain requires

	suits map[string][]placement.NodeID // the open nodes that satisfy a list of required expressions
}

func rosterOf(v *placement.View) *roster {
	r := &roster{at: make(map[placement.NodeID]int, v.Nodes.Len()), suits: map[string][]placement.NodeID{}}
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		r.at[id] = len(r.ids)
		r.ids, r.nodes = append(r.ids, id), append(r.nodes, n)
		if n.Open() {
			r.open = append(r.open, id)
		}
		return true
	})
	return r
}

// Get implements placement.Table.
func (r *roster) Get(id placement.NodeID) (*placement.Node, bool) {
	if i, ok := r.at[id]; ok {
		return r.nodes[i], true
	}
	return nil, false
}

// Len implements placement.Table.
func (r *roster) Len() int { return len(r.ids) }

// Ascend implements placement.Table.
func (r *roster) Ascend(pivot placement.NodeID, visit func(placement.NodeID, *placement.Node) bool) {
	i, _ := slices.BinarySearch(r.ids, pivot)
	for ; i < len(r.ids); i++ {
		if !visit(r.ids[i], r.nodes[i]) {
			return
		}
	}
}

// suitable returns the open nodes that satisfy what c requires.
func (r *roster) suitable(c *placement.Chain) []placement.NodeID {
	if len(c.Spec.Require) == 0 {
		return r.open
	}
	key := strings.Join(c.Spec.Require, "\n")
	list, known := r.suits[key]
	if !known {
		list = slices.DeleteFunc(slices.Clone(r.open), func(id placement.NodeID) bool {
			n, _ := r.Get(id)
			return slices.ContainsFunc(c.Spec.Require, func(expr string) bool { return !n.Matches(expr) })
		})
		r.suits[key] = list
	}
	return list
}

// offers tells whether any node may be given one more copy of c, room,
// budgets and backoffs aside. A chain for which none may is hopeless until
// the nodes change.
func (r *roster) offers(c *placement.Chain) bool {
	list := r.suitable(c)
	if len(list) > len(c.Holders) {
		return true
	}
	return slices.ContainsFunc(list, func(id placement.NodeID) bool { return c.Holder(id) == nil })
}

// usages shows the usages of a roster's nodes as a table.
type usages struct {
	*roster
	list []placement.Usage
}

// Get implements placement.Table.
func (u usages) Get(id placement.NodeID) (placement.Usage, bool) {
	if i, ok := u.at[id]; ok {
		return u.list[i], true
	}
	return placement.Usage{}, false
}

// Ascend implements placement.Table.
func (u usages) Ascend(pivot placement.NodeID, visit func(placement.NodeID, placement.Usage) bool) {
	u.roster.Ascend(pivot, func(id placement.NodeID, _ *placement.Node) bool { return visit(id, u.list[u.at[id]]) })
}
