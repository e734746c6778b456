package scorer

import (
	"math"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Up to here a node is well: a queue of 1 is a machine that is just fully used.
const (
	queueWell  = 1.5
	memoryWell = 0.85
)

// busy is 1 up to a run queue of 1.5 per core, and falls linearly to 0 at 4.5.
// The wide band, on smoothed samples, leaves room for spikes.
func busy(queue float64) float64 { return fall(queue, queueWell, 4.5) }

// pressed is 1 while at most 85 % of the memory is in use, what programs could
// still be given counting as free, and falls linearly to 0 at all of it.
func pressed(used float64) float64 { return fall(used, memoryWell, 1) }

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

// less takes away what even the healthiest node suffers from: where all are
// busy no node is better for it, and their health must not hide their load.
func (v vitals) less(least vitals) vitals {
	return vitals{v.queue - beyond(least.queue, queueWell), v.memory - beyond(least.memory, memoryWell)}
}

// beyond is how far x is above a bound, 0 for NaN.
func beyond(x, bound float64) float64 {
	if x > bound {
		return x - bound
	}
	return 0
}

// least returns the lesser of what two nodes suffer from, as far as known.
func (v vitals) least(w vitals) vitals {
	lesser := func(a, b float64) float64 {
		if math.IsNaN(a) || b < a {
			return b
		}
		return a
	}
	return vitals{lesser(v.queue, w.queue), lesser(v.memory, w.memory)}
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
