package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// spec is what somebody wants of the nth chain: mostly little, sometimes all
// there is to wish for.
func (w *World) spec(nth int) placement.Spec {
	spec := placement.Spec{Desired: 1 + w.rng.IntN(4), SizeBytes: int64(w.rng.IntN(1000))}
	if w.rng.IntN(4) == 0 {
		spec.MinReady = 1 + w.rng.IntN(spec.Desired)
	}
	if w.rng.IntN(4) == 0 {
		cooldown, delay := time.Duration(w.rng.IntN(300))*time.Second, time.Duration(w.rng.IntN(30))*time.Second
		spec.Cooldown, spec.RepairDelay = &cooldown, &delay
	}
	if w.rng.IntN(8) == 0 {
		spec.Policy = []placement.Policy{placement.PolicyLazy, placement.PolicyPinned}[w.rng.IntN(2)]
	}
	if w.rng.IntN(8) == 0 {
		spec.Weight = int64(1 + w.rng.IntN(5_000_000))
	}
	if w.rng.IntN(8) == 0 {
		floor, gap := w.rng.Float64(), w.rng.Float64()/2
		spec.Floor, spec.Gap = &floor, &gap
	}
	if w.rng.IntN(2) == 0 {
		spec.Labels = placement.Labels{{Key: "app", Value: w.word()}}
	}
	if w.rng.IntN(8) == 0 {
		spec.Spread = placement.SpreadNone
	}
	if w.rng.IntN(8) == 0 {
		spec.MaxPerZone = 1 + w.rng.IntN(3)
	}
	spec.Require = w.pick(8, "disk", "!disk", "cores>=8", "zone!=z1", "rack="+w.word())
	spec.Prefer = w.pick(6, "zone=z1", "disk=ssd", "cores<8", "rack!="+w.word())
	spec.Near = w.pick(8, "zone=z2", "node=n1", "disk", "zone=nowhere")
	w.company(nth, &spec)
	return spec
}

// company is what a chain wishes of others: to be apart from its own group, or
// apart from or together with chains made before it. In an odd world it wishes
// anything; wishes that chase each other in a circle come to no rest there.
func (w *World) company(nth int, spec *placement.Spec) {
	before := func() string { return fmt.Sprintf("chain=c%03d", 1+w.rng.IntN(nth)) }
	switch {
	case w.odd:
		spec.AntiAffinity, spec.Colocate = w.pick(5, "app="+w.word(), before()), w.pick(5, "app="+w.word(), before())
	case len(spec.Labels) > 0:
		spec.AntiAffinity = w.pick(5, "app="+spec.Labels[0].Value, before())
	default:
		spec.AntiAffinity, spec.Colocate = w.pick(5, before()), w.pick(8, before())
	}
}

// word is one of a few names of groups.
func (w *World) word() string { return string(rune('a' + w.rng.IntN(3))) }

// pick returns, once in n, one or two of the expressions.
func (w *World) pick(n int, exprs ...string) []string {
	if w.rng.IntN(n) > 0 {
		return nil
	}
	i := w.rng.IntN(len(exprs))
	return exprs[i:min(i+1+w.rng.IntN(2), len(exprs))]
}

// outfit is what a machine says that it has.
type outfit struct {
	labels       placement.Labels
	capabilities placement.Capabilities
	capacity     int64
}

func (w *World) outfit() outfit {
	o := outfit{capacity: 1 << 20}
	if w.Quiet {
		return o
	}
	switch w.rng.IntN(8) {
	case 0:
		o.capacity = 0 // unknown
	case 1, 2:
		o.capacity = 1 << 16 // little, but room for all chains
	}
	if w.rng.IntN(2) == 0 {
		o.capabilities = placement.Capabilities{
			{Key: "cores", Number: float64(int64(4) << w.rng.IntN(3)), IsNumber: true},
			{Key: placement.CapabilityMemoryBytes, Number: 1 << 30, IsNumber: true},
		}
	}
	if w.rng.IntN(3) == 0 {
		o.labels = append(o.labels, placement.Label{Key: "disk", Value: "ssd"})
	}
	return o
}

// refit gives a machine that starts again other labels, capabilities and
// capacity, or another zone.
func (n *node) refit() {
	n.wears = n.w.outfit()
	n.wears.labels = append(n.wears.labels, placement.Label{Key: "rack", Value: n.w.word()})
	if n.w.zones > 0 {
		n.zone = fmt.Sprintf("z%d", 1+n.w.rng.IntN(n.w.zones+1))
	}
}

func (n *node) announcement() *fsm.Announce {
	a := &fsm.Announce{
		Node: n.id, Instance: n.instanceName(), Process: n.name(),
		Role: placement.RoleServer, FeatureLevel: 1, CapacityBytes: n.wears.capacity, Zone: n.zone,
	}
	a.SetLabels(n.wears.labels)
	a.SetCapabilities(n.wears.capabilities)
	return a
}

// gossip renews the telemetry: most nodes are calm, some are not, and some say
// nothing or what makes no sense.
func (w *World) gossip() {
	samples := map[placement.NodeID]placement.Sample{}
	for _, n := range w.nodes {
		if w.rng.IntN(5) == 0 {
			continue
		}
		s := placement.Sample{Load: w.rng.Float64(), FreeBytes: -1, MemoryFreeBytes: int64(w.rng.IntN(1 << 30))}
		switch w.rng.IntN(8) {
		case 0:
			s.Load = 8 * w.rng.Float64()
		case 1:
			s.Load = []float64{math.NaN(), math.Inf(1), -1, 1e308}[w.rng.IntN(4)]
			s.MemoryFreeBytes = -1
		}
		if w.rng.IntN(4) > 0 {
			s.Coordinate = &placement.Coordinate{Vec: []float64{w.rng.Float64() / 4, w.rng.Float64() / 4}, Height: 1e-4}
		}
		samples[n.id] = s
	}
	w.facts = placement.Facts{Samples: placement.TableOf(samples)}
}
