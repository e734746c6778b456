package placement

import (
	"math"
	"time"
)

// Facts is the telemetry of one instant. It is never part of the replicated
// state: it is gossiped, and goes into a bug report beside the snapshot.
type Facts struct {
	Samples Table[NodeID, Sample] // nil = nothing known
}

// Sample is what one node last said of itself.
type Sample struct {
	Load            float64 // run queue per core, smoothed; NaN = unknown
	FreeBytes       int64   // free on the content volume above the reserve; -1 = unknown
	MemoryFreeBytes int64   // memory available to programs; -1 = unknown
	Coordinate      *Coordinate
}

// Coordinate places a node in a space where distance is round-trip time, as
// the Vivaldi algorithm with height and adjustment does (Dabek et al.,
// SIGCOMM 2004; Ledlie et al., NSDI 2007). All values are seconds.
type Coordinate struct {
	Vec        []float64
	Height     float64
	Adjustment float64
}

// Sample returns the node's sample, and whether there is one.
func (f Facts) Sample(node NodeID) (Sample, bool) {
	if f.Samples == nil {
		return Sample{}, false
	}
	return f.Samples.Get(node)
}

// RTT returns the estimated round-trip time between two nodes; ok is false
// when one of them is not placed yet.
func (f Facts) RTT(a, b NodeID) (rtt time.Duration, ok bool) {
	x, _ := f.Sample(a)
	y, _ := f.Sample(b)
	if x.Coordinate == nil || y.Coordinate == nil || len(x.Coordinate.Vec) != len(y.Coordinate.Vec) {
		return 0, false
	}
	return x.Coordinate.distance(y.Coordinate), true
}

// distance is the length of the difference plus both heights, corrected by
// both adjustments while that leaves it positive.
func (c *Coordinate) distance(d *Coordinate) time.Duration {
	sum := 0.0
	for i := range c.Vec {
		sum += (c.Vec[i] - d.Vec[i]) * (c.Vec[i] - d.Vec[i])
	}
	seconds := math.Sqrt(sum) + c.Height + d.Height
	if adjusted := seconds + c.Adjustment + d.Adjustment; adjusted > 0 {
		seconds = adjusted
	}
	return time.Duration(seconds * float64(time.Second))
}
