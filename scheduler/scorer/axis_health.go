package scorer

import (
	"math"

	"github.com/holdfast-cluster/holdfast/placement"
)

// busy is 1 up to a run queue of 1.5 per core, and falls linearly to 0 at 4.5.
// A queue of 1 is a machine that is just fully used; the wide band above it,
// on smoothed samples, leaves room for spikes.
func busy(queue float64) float64 { return fall(queue, 1.5, 4.5) }

// pressed is 1 while at most 85 % of the memory is in use, what programs could
// still be given counting as free, and falls linearly to 0 at all of it.
func pressed(used float64) float64 { return fall(used, 0.85, 1) }

// vitals is what a node's sample and its memory say about its health; NaN is
// unknown.
type vitals struct{ queue, memory float64 }

// silent is a node that says nothing.
func silent() vitals { return vitals{math.NaN(), math.NaN()} }

// vitalsOf reads a sample. What makes no sense is unknown.
func vitalsOf(n *placement.Node, s placement.Sample) vitals {
	v := silent()
	if s.Load >= 0 && !math.IsInf(s.Load, 0) {
		v.queue = s.Load
	}
	if m, _ := n.Capabilities.Get(placement.CapabilityMemoryBytes); m.IsNumber && m.Number > 0 && s.MemoryFreeBytes >= 0 {
		v.memory = 1 - min(float64(s.MemoryFreeBytes)/m.Number, 1)
	}
	return v
}

// health is the worse of [busy] and [pressed], as far as they are known.
func (v vitals) health() (value float64, known bool) {
	value = 1
	if !math.IsNaN(v.queue) {
		value, known = busy(v.queue), true
	}
	if !math.IsNaN(v.memory) {
		value, known = min(value, pressed(v.memory)), true
	}
	return value, known
}
