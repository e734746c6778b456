package telemetry

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Averages follow the stated half-life exactly, whatever the intervals, take
// the first reading as it is, and outlive a gap of readings for keep: each row
// feeds readings at their seconds and looks at the end.
func TestAverage(t *testing.T) {
	type reading struct{ at, value float64 }
	nan := math.NaN()
	for name, row := range map[string]struct {
		readings []reading
		want     float64
	}{
		"nothing":                             {nil, nan},
		"the first as it is":                  {[]reading{{3, 9}}, 9},
		"one half-life":                       {[]reading{{0, 0}, {10, 8}}, 4},
		"two halves of one":                   {[]reading{{0, 0}, {5, 8}, {10, 8}}, 4},
		"ten steps of one":                    {[]reading{{0, 8}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0}}, 4},
		"three half-lives, irregular":         {[]reading{{0, 8}, {0.25, 0}, {11, 0}, {17, 0}, {30, 0}}, 1},
		"two at one time":                     {[]reading{{0, 8}, {0, 99}}, 8},
		"a clock that goes back":              {[]reading{{5, 8}, {0, 99}}, 8},
		"unknown changes nothing":             {[]reading{{0, 0}, {4, nan}, {6, math.Inf(1)}, {10, 8}}, 4},
		"unknown for 15 s still stands":       {[]reading{{0, 7}, {15, nan}}, 7},
		"unknown for longer is unknown":       {[]reading{{0, 7}, {15.1, nan}}, nan},
		"after a gap the first counts anew":   {[]reading{{0, 7}, {16, nan}, {17, 3}}, 3},
		"a gap without readings counts anew":  {[]reading{{0, 7}, {16, 3}}, 3},
		"unknown at first, then the first":    {[]reading{{0, nan}, {1, nan}, {2, 5}}, 5},
		"infinity is unknown, either of them": {[]reading{{0, math.Inf(-1)}, {1, math.Inf(1)}}, nan},
	} {
		var a average
		for _, r := range row.readings {
			a.add(r.value, time.Duration(r.at*float64(time.Second)))
		}
		if got := a.get(); math.Abs(got-row.want) > 1e-12 || math.IsNaN(got) != math.IsNaN(row.want) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

// An average lies between the least and the greatest reading, moves towards
// each new one without passing it, and answers a greater last reading with a
// greater average: random readings at random times.
func TestAverageIsBoundedAndMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reading := rapid.Float64Range(0, 1e15)
		var a average
		var now time.Duration
		low, high := math.Inf(1), math.Inf(-1)
		for range rapid.IntRange(1, 30).Draw(t, "readings") {
			now += time.Duration(rapid.Int64Range(0, int64(keep)).Draw(t, "pause"))
			x, more := reading.Draw(t, "x"), reading.Draw(t, "more")
			before, other := a, a
			a.add(x, now)
			other.add(x+more, now)
			low, high = min(low, x), max(high, x)
			slack := 1e-12 * high
			if got := a.get(); got < low-slack || got > high+slack {
				t.Fatalf("%v is not within %v..%v", got, low, high)
			}
			if other.get() < a.get()-slack {
				t.Fatalf("%v more makes %v of %v", more, other.get(), a.get())
			}
			if before.known && (a.get()-before.get())*(x-before.get()) < -slack || before.known && math.Abs(a.get()-before.get()) > math.Abs(x-before.get())+slack {
				t.Fatalf("from %v by reading %v to %v", before.get(), x, a.get())
			}
		}
	})
}

// What a node reads and cannot be becomes unknown or its bound: readings of
// every bad kind.
func TestReadingsAreChecked(t *testing.T) {
	for _, row := range []struct{ read, want placement.Sample }{
		{placement.Sample{Load: -1, FreeBytes: -7, MemoryFreeBytes: math.MinInt64}, Unknown()},
		{placement.Sample{Load: math.Inf(1), FreeBytes: -1, MemoryFreeBytes: -1}, placement.Sample{Load: loadMax, FreeBytes: -1, MemoryFreeBytes: -1}},
		{placement.Sample{Load: 0, FreeBytes: 0, MemoryFreeBytes: math.MaxInt64}, placement.Sample{MemoryFreeBytes: bytesMax}},
	} {
		var s smoother
		if got := s.add(row.read, 0); !sameSample(got, row.want) {
			t.Errorf("%+v is read as %+v, want %+v", row.read, got, row.want)
		}
	}
}

// What is published is near the average, does not follow noise within one step,
// and follows all else: random walks.
func TestSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := Unknown()
		for range 20 {
			now := placement.Sample{
				Load:            rapid.Float64Range(0, 64).Draw(t, "load"),
				FreeBytes:       rapid.Int64Range(-1, bytesMax).Draw(t, "free"),
				MemoryFreeBytes: rapid.Int64Range(-1, 1<<20).Draw(t, "memory"),
			}
			got := settle(old, now)
			if math.Abs(got.Load-now.Load) > loadStep || math.Mod(got.Load, loadStep) != 0 {
				t.Fatalf("load %v is published as %v", now.Load, got.Load)
			}
			for _, b := range [][2]int64{{now.FreeBytes, got.FreeBytes}, {now.MemoryFreeBytes, got.MemoryFreeBytes}} {
				if b[0] < 0 != (b[1] < 0) || math.Abs(float64(b[0]-b[1])) > max(float64(b[0])/bytesParts, 1) {
					t.Fatalf("%d bytes are published as %d", b[0], b[1])
				}
			}
			noise := now
			noise.Load = max(0, got.Load+rapid.Float64Range(-loadStep, loadStep).Draw(t, "noise"))
			if again := settle(got, noise); again.Load != got.Load {
				t.Fatalf("noise takes load %v to %v", got.Load, again.Load)
			}
			if again := settle(got, now); !sameSample(again, got) {
				t.Fatalf("the same reading takes %+v to %+v", got, again)
			}
			old = got
		}
	})
}
