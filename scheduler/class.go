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

// ClassOf returns the class of the copy of c on the holder's node. It depends
// on the chain and on the zones of the nodes that hold it.
func ClassOf(v *placement.View, c *placement.Chain, h *placement.Holder) Class {
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
		class.Zones = otherZones(v, c, h)
	}
	return class
}

// otherZones lists the zones of the holders that stay when the copy on h goes.
func otherZones(v *placement.View, c *placement.Chain, h *placement.Holder) string {
	var zones [placement.DesiredMax]string // enough for nearly all, without an allocation
	list := zones[:0]
	for i := range c.Holders {
		o := &c.Holders[i]
		if o.Node == h.Node || o.Lost || o.Phase == placement.Dropping {
			continue
		}
		if n := v.Node(o.Node); n != nil && n.Zone != "" {
			list = append(list, n.Zone)
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}
