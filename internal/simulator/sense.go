package simulator

import "github.com/holdfast-cluster/holdfast/placement"

// sense takes a sample of every node's load.
func (w *world) sense() {
	samples := make(map[placement.NodeID]placement.Sample, len(w.nodes))
	for _, n := range w.nodes {
		load := n.group.Load
		if share := w.noiseOf(n); share > 0 {
			load *= 1 + share*(2*w.rng.Float64()-1)
		}
		samples[n.id] = placement.Sample{Load: load, FreeBytes: -1, MemoryFreeBytes: -1}
	}
	w.facts = placement.Facts{Samples: placement.TableOf(samples)}
}

func (w *world) noiseOf(n *node) float64 {
	if w.noise != nil {
		return *w.noise
	}
	return n.group.Noise
}

// noisy tells whether any node's samples vary.
func (w *world) noisy() bool {
	for _, n := range w.nodes {
		if w.noiseOf(n) > 0 {
			return true
		}
	}
	return false
}

// keepSensing takes samples again and again while they vary.
func (w *world) keepSensing() {
	if w.sensing || !w.noisy() {
		return
	}
	w.sensing = true
	w.queue.add(w.now.Add(w.scenario.Telemetry.Duration), func() error {
		w.sensing = false
		w.sense()
		w.wakeBy(w.now)
		w.keepSensing()
		return nil
	})
}
