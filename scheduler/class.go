package scheduler

import (
	"slices"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Class is what of a copy, apart from its node, decides whether balance might
// move it. Copies on one node with equal classes are alike to a [Screener].
type Class struct {
	Floor, Gap float64 // the chain's own, -1 = the configuration's
	Lazy       bool
	Desired    int
	Spread     placement.Spread
	MaxPerZone int
	Require    string // expressions, joined by newlines
	Prefer     string
	Zones      string // zones of the chain's other holders that stay, sorted, joined by newlines; "" when copies need not spread
	Single     bool   // the chain names other chains, or nodes to be near to: its copies are alike to none
}

// ClassOf returns the class of the copy of c on one of its holders. It depends
// on the chain and on the zones of the nodes that hold it.
func ClassOf(v *placement.View, c *placement.Chain, h *placement.Holder) Class {
	return classOf(c, c.HolderIndex(h.Node), nodesOf(v.Nodes, c, nil))
}

// nodesUsual is how many holders nearly every chain has at most.
const nodesUsual = placement.DesiredMax + 1

// nodesOf appends the nodes of the holders of c, nil for one that is no member.
func nodesOf(nodes placement.Table[placement.NodeID, *placement.Node], c *placement.Chain, list []*placement.Node) []*placement.Node {
	for i := range c.Holders {
		n, _ := nodes.Get(c.Holders[i].Node)
		list = append(list, n)
	}
	return list
}

// classOf returns the class of the i-th copy of c, held on the nodes given.
func classOf(c *placement.Chain, i int, nodes []*placement.Node) Class {
	s := c.Spec
	class := Class{
		Floor: -1, Gap: -1, Lazy: s.Policy == placement.PolicyLazy, Desired: s.Desired, Spread: s.Spread, MaxPerZone: s.MaxPerZone,
		Require: strings.Join(s.Require, "\n"), Prefer: strings.Join(s.Prefer, "\n"),
		Single: len(s.AntiAffinity)+len(s.Colocate)+len(s.Near) > 0,
	}
	if s.Floor != nil {
		class.Floor = *s.Floor
	}
	if s.Gap != nil {
		class.Gap = *s.Gap
	}
	if s.Spread != placement.SpreadNone || s.MaxPerZone > 0 {
		class.Zones = otherZones(c, i, nodes)
	}
	return class
}

// otherZones lists the zones of the holders that stay when the i-th copy goes.
func otherZones(c *placement.Chain, i int, nodes []*placement.Node) string {
	var zones [nodesUsual]string
	list := zones[:0]
	for k, n := range nodes {
		if o := &c.Holders[k]; k != i && n != nil && n.Zone != "" && !o.Lost && o.Phase != placement.Dropping {
			list = append(list, n.Zone)
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}
