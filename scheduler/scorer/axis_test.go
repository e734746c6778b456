package scorer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
)

// curves are the axes as functions of numbers as people write them: of one, or
// of several joined by "/".
var curves = map[string]func(x []float64) float64{
	"free":   func(x []float64) float64 { return free(x[0] / 100) },
	"load":   func(x []float64) float64 { return load(x[0], x[1], x[2]) },
	"busy":   func(x []float64) float64 { return busy(x[0]) },
	"memory": func(x []float64) float64 { return pressed(x[0] / 100) },
	"spread": func(x []float64) float64 { return spread(int(x[0]), int(x[1])) },
	"apart":  func(x []float64) float64 { return apart(int(x[0])) },
	"wished": func(x []float64) float64 { return wished(int(x[0]), int(x[1])) },
	"near":   func(x []float64) float64 { return near(time.Duration(x[0] * float64(time.Millisecond))) },
}

// Each case of testdata/curves says what an axis is to be and draws it over
// some points.
func TestCurves(t *testing.T) {
	datadriven.RunTest(t, "testdata/curves", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, word := range strings.Fields(d.Input) {
			var x []float64
			for part := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSuffix(word, "%"), "ms"), "/") {
				f, err := strconv.ParseFloat(part, 64)
				if err != nil {
					t.Fatal(err)
				}
				x = append(x, f)
			}
			y := curves[d.Cmd](x)
			fmt.Fprintf(&b, "%12s %.3f %s\n", word, y, strings.Repeat("#", int(math.Round(40*y))))
		}
		return b.String()
	})
}

// Every axis lies in 0..1 and never rises where things get worse: more bytes
// used, more load, less load elsewhere, a longer run queue, more memory in use,
// one more copy in the zone, one more copy to keep away from, one more wish
// missed, a longer round trip. Provoked by drawing two values of each.
func TestAxesFallWithTrouble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Float64Range(0, 2), rapid.Float64Range(0, 1e12))
		count := rapid.IntRange(0, 12)
		worse := func(what string, f func(x float64) float64, x, y float64) {
			fx, fy := f(min(x, y)), f(max(x, y))
			if !(0 <= fy && fy <= fx && fx <= 1) {
				t.Errorf("%s is %v at %v and %v at %v", what, fx, min(x, y), fy, max(x, y))
			}
		}
		x, y := number.Draw(t, "x"), number.Draw(t, "y")
		low, mean := number.Draw(t, "low"), rapid.Float64Range(1e-6, 1e12).Draw(t, "mean")
		worse("free", free, x, y)
		worse("load", func(x float64) float64 { return load(x, low, mean) }, x, y)
		worse("load by the least", func(x float64) float64 { return load(low, -x, mean) }, x, y)
		worse("busy", busy, x, y)
		worse("memory", pressed, x, y)
		worse("near", func(x float64) float64 { return near(time.Duration(min(x, 1e18))) }, x*1e6, y*1e6)
		i, j, n := count.Draw(t, "i"), count.Draw(t, "j"), 1+count.Draw(t, "n")
		worse("spread", func(x float64) float64 { return spread(int(x), n) }, float64(i), float64(j))
		worse("apart", func(x float64) float64 { return apart(int(x)) }, float64(i), float64(j))
		worse("wished", func(x float64) float64 { return wished(min(int(x), n), n) }, float64(i), float64(j))
		if more, fewer := allowed(n, 1+min(i, j), 0), allowed(n, 1+max(i, j), 0); fewer > more || fewer < 1 || fewer*(1+max(i, j)) < n {
			t.Errorf("of %d copies %d may be in one of %d zones, and %d in one of %d", n, more, 1+min(i, j), fewer, 1+max(i, j))
		}
	})
}

// Health is the worse of what is known, and nothing that is known makes it
// better than what else is: provoked by drawing samples, odd numbers included.
func TestHealthIsTheWorst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := &placement.Node{Capabilities: placement.Capabilities{{Key: placement.CapabilityMemoryBytes, Number: 1000, IsNumber: true}}}
		odd := rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, math.Copysign(0, -1), 1e308})
		s := placement.Sample{
			Load:            rapid.OneOf(odd, rapid.Float64Range(0, 6)).Draw(t, "queue"),
			MemoryFreeBytes: rapid.SampledFrom([]int64{-1, 0, 30, 100, 400, 5000}).Draw(t, "free"),
		}
		both, known := vitalsOf(n, s).health()
		if both < 0 || both > 1 || math.IsNaN(both) {
			t.Fatalf("health is %v", both)
		}
		cpu, cpuKnown := vitalsOf(&placement.Node{}, s).health()
		s.Load = math.NaN()
		memory, memoryKnown := vitalsOf(n, s).health()
		if want := min(cpu, memory); both != want || known != (cpuKnown || memoryKnown) {
			t.Errorf("health is %v (%v), want %v (%v, %v)", both, known, want, cpuKnown, memoryKnown)
		}
	})
}
