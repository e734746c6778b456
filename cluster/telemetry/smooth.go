package telemetry

import (
	"math"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// HalfLife is how long a reading keeps half of its weight.
const HalfLife = 10 * time.Second

// average is an exponentially weighted moving average over readings at
// irregular times: after dt the new reading has the weight 1 − 2^(−dt/HalfLife)
// and all older ones together the rest (Roberts 1959, with the weight of
// Brown's discounting in continuous time). The first reading is taken as it is.
// A reading that is not known changes nothing, until none was known for keep.
type average struct {
	value float64
	at    time.Duration // of the last known reading
	known bool
}

// keep is how long an average stands without a known reading.
const keep = 15 * time.Second

// add takes a reading, NaN for none, at a time of the monotonic clock.
func (a *average) add(reading float64, now time.Duration) {
	dt := max(now-a.at, 0)
	switch {
	case math.IsNaN(reading) || math.IsInf(reading, 0):
		a.known = a.known && dt <= keep
		return
	case !a.known || dt > keep:
		a.value = reading
	default:
		a.value += (reading - a.value) * -math.Expm1(-math.Ln2*dt.Seconds()/HalfLife.Seconds())
	}
	a.at, a.known = now, true
}

// get returns the average, NaN while it is not known.
func (a *average) get() float64 {
	if !a.known {
		return math.NaN()
	}
	return a.value
}

// smoother smooths the readings of one node.
type smoother struct{ load, free, memory average }

// add takes the readings of one moment and returns the averages.
func (s *smoother) add(reading placement.Sample, now time.Duration) placement.Sample {
	load := reading.Load
	if load < 0 {
		load = math.NaN()
	}
	s.load.add(min(load, loadMax), now)
	s.free.add(number(reading.FreeBytes), now)
	s.memory.add(number(reading.MemoryFreeBytes), now)
	return placement.Sample{Load: s.load.get(), FreeBytes: whole(s.free.get()), MemoryFreeBytes: whole(s.memory.get())}
}

// number returns bytes as a number, NaN for unknown.
func number(bytes int64) float64 {
	if bytes < 0 {
		return math.NaN()
	}
	return float64(min(bytes, bytesMax))
}

// whole is the inverse of number.
func whole(number float64) int64 {
	if math.IsNaN(number) {
		return -1
	}
	return int64(number)
}

// Roundings and bounds of what is published.
const (
	loadStep = 1.0 / 64
	loadMax  = 1 << 16
	bytesMax = 1 << 60
	// bytesParts says how fine bytes are rounded: to 1/64 to 1/128 of
	// themselves, about 1 %, downwards.
	bytesParts = 64
)

// settle returns what to publish when the last was old and the averages are
// now: rounded, and the old value while the new one is within one step of it,
// so that noise at the edge of a step is no news.
func settle(old, now placement.Sample) placement.Sample {
	return placement.Sample{
		Load:            settleLoad(old.Load, now.Load),
		FreeBytes:       settleBytes(old.FreeBytes, now.FreeBytes),
		MemoryFreeBytes: settleBytes(old.MemoryFreeBytes, now.MemoryFreeBytes),
	}
}

func settleLoad(old, now float64) float64 {
	if math.Abs(now-old) <= loadStep { // never with a NaN
		return old
	}
	return math.Round(now/loadStep) * loadStep
}

func settleBytes(old, now int64) int64 {
	if now < 0 {
		return -1
	}
	step := int64(1)
	for step*2*bytesParts <= now {
		step *= 2
	}
	if old >= 0 && max(now-old, old-now) <= step {
		return old
	}
	return now / step * step
}

// sameSample tells whether two samples say the same.
func sameSample(a, b placement.Sample) bool {
	return (a.Load == b.Load || math.IsNaN(a.Load) && math.IsNaN(b.Load)) &&
		a.FreeBytes == b.FreeBytes && a.MemoryFreeBytes == b.MemoryFreeBytes && samePlace(a.Coordinate, b.Coordinate)
}
