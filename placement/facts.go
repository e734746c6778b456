package placement

// Facts is the telemetry of one instant. It is never part of the replicated
// state: it is gossiped, and goes into a bug report beside the snapshot.
type Facts struct {
	Samples Table[NodeID, Sample] // nil = nothing known
}

// Sample is what one node last said of itself.
type Sample struct {
	Load      float64 // run queue per core, smoothed; NaN = unknown
	FreeBytes int64   // free on the content volume above the reserve; -1 = unknown
}

// Sample returns the node's sample, and whether there is one.
func (f Facts) Sample(node NodeID) (Sample, bool) {
	if f.Samples == nil {
		return Sample{}, false
	}
	return f.Samples.Get(node)
}
