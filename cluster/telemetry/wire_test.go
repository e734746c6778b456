package telemetry

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/serf/coordinate"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
)

func mode(t testing.TB) cbor.DecMode {
	t.Helper()
	m, err := lenient()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// anyCoordinate is one that can be published.
func anyCoordinate(t *rapid.T) *placement.Coordinate {
	part := rapid.Custom(func(t *rapid.T) float64 { return roundPlace(rapid.Float64Range(-secondsMax, secondsMax).Draw(t, "s")) })
	return &placement.Coordinate{
		Vec:    rapid.SliceOfN(part, dimensions, dimensions).Draw(t, "vec"),
		Height: math.Abs(part.Draw(t, "height")), Adjustment: part.Draw(t, "adjustment"),
	}
}

// A sample that is published is the same on every node: random rounded samples,
// there and back, within the size that is allowed.
func TestSamplesTravel(t *testing.T) {
	m := mode(t)
	rapid.Check(t, func(t *rapid.T) {
		want := settle(Unknown(), placement.Sample{
			Load:            rapid.OneOf(rapid.Float64Range(0, loadMax), rapid.Just(math.NaN())).Draw(t, "load"),
			FreeBytes:       rapid.Int64Range(-1, bytesMax).Draw(t, "free"),
			MemoryFreeBytes: rapid.Int64Range(-1, bytesMax).Draw(t, "memory"),
		})
		if rapid.Bool().Draw(t, "placed") {
			want.Coordinate = anyCoordinate(t)
		}
		name := placement.NodeID(strings.Repeat("n", rapid.IntRange(1, placement.NodeIDMax).Draw(t, "name")))
		at := stamp{placement.Incarnation(rapid.Uint64().Draw(t, "incarnation")), rapid.Uint64().Draw(t, "sequence")}
		b, err := encode(name, at, want)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(message(b, 0)); got > messageMax {
			t.Fatalf("a message of %d bytes", got)
		}
		node, gotAt, got, err := decode(m, b)
		if err != nil || node != name || gotAt != at || !sameSample(got, want) {
			t.Fatalf("%s %v %+v, %v; sent %s %v %+v", node, gotAt, got, err, name, at, want)
		}
	})
}

// An ordinary sample is small: one of a node in a data centre.
func TestSampleIsSmall(t *testing.T) {
	b, err := encode("node-0815", stamp{123_456, 43_200}, placement.Sample{
		Load: 0.75, FreeBytes: 417 << 30, MemoryFreeBytes: 25 << 30,
		Coordinate: &placement.Coordinate{Vec: []float64{1e-3, -2e-3, 3e-4, 0, 5e-4, -1e-4, 2e-4, 1e-3}, Height: 2e-4, Adjustment: -1e-4},
	})
	if err != nil || len(message(b, 0)) > 80 {
		t.Errorf("%d bytes, %v", len(message(b, 0)), err)
	}
}

// Values that cannot be are unknown, statements that cannot be are refused, and
// fields of a later version do no harm: one of each, written by hand.
func TestForeignStatements(t *testing.T) {
	m := mode(t)
	vec := []int32{1, 2, 3, 4, 5, 6, 7, 8}
	for name, row := range map[string]struct {
		fields map[int]any
		known  string // what is, of load, free, memory, place; "-" = refused
	}{
		"all":                  {map[int]any{1: "n", 2: 1, 3: 1, 4: 64, 5: 1, 6: 1, 7: vec, 8: 1, 9: -1}, "load free memory place"},
		"later fields":         {map[int]any{1: "n", 4: 64, 10: "new", 11: []int{1, 2}, 30: map[string]int{"a": 1}}, "load"},
		"no name":              {map[int]any{4: 64}, "-"},
		"a bad name":           {map[int]any{1: "../n", 4: 64}, "-"},
		"a long name":          {map[int]any{1: strings.Repeat("n", 65), 4: 64}, "-"},
		"a load beyond all":    {map[int]any{1: "n", 4: uint32(math.MaxUint32), 5: 1}, "free"},
		"a load that is text":  {map[int]any{1: "n", 4: "busy"}, "-"},
		"a negative load":      {map[int]any{1: "n", 4: -1}, "-"},
		"a load of NaN":        {map[int]any{1: "n", 4: math.NaN()}, "-"},
		"bytes beyond all":     {map[int]any{1: "n", 5: uint64(math.MaxUint64), 6: 1}, "memory"},
		"too few dimensions":   {map[int]any{1: "n", 4: 1, 7: vec[:7]}, "load"},
		"too many dimensions":  {map[int]any{1: "n", 4: 1, 7: append(vec, 9)}, "load"},
		"a place beyond all":   {map[int]any{1: "n", 4: 1, 7: append(vec[:7:7], math.MaxInt32)}, "load"},
		"a height below zero":  {map[int]any{1: "n", 4: 1, 7: vec, 8: -1}, "load"},
		"an array without end": {map[int]any{1: "n", 7: make([]int, 17)}, "-"},
	} {
		b, err := cbor.Marshal(row.fields)
		if err != nil {
			t.Fatal(err)
		}
		_, _, s, err := decode(m, b)
		var known []string
		for what, is := range map[string]bool{"load": !math.IsNaN(s.Load), "free": s.FreeBytes >= 0, "memory": s.MemoryFreeBytes >= 0, "place": s.Coordinate != nil} {
			if is && strings.Contains(row.known, what) {
				continue
			}
			if is != strings.Contains(row.known, what) && err == nil {
				known = append(known, what)
			}
		}
		if (err != nil) != (row.known == "-") || known != nil {
			t.Errorf("%s: %+v, %v, want known: %s", name, s, err, row.known)
		}
	}
}

// Whatever comes in, nothing panics, and what is taken is in range: the fuzzer
// writes messages, exchanges and answers.
func FuzzHeard(f *testing.F) {
	b, err := encode("n1", stamp{7, 9}, placement.Sample{Load: 1, FreeBytes: 1 << 30, MemoryFreeBytes: -1, Coordinate: &placement.Coordinate{Vec: make([]float64, dimensions)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message(b, time.Second))
	f.Add(pack(pack(nil, message(b, 0)), message(b, time.Hour)))
	l, err := newLocator(mode(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(l.answer())
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newRig(t)
		before := bytes.Clone(in)
		r.board.Heard(in)
		r.board.HeardEverything(in)
		r.board.Measured("n1", 5*time.Millisecond, in)
		if !bytes.Equal(before, in) {
			t.Error("the bytes were changed")
		}
		facts := r.board.Facts()
		if facts.Samples == nil {
			return
		}
		facts.Samples.Ascend("", func(id placement.NodeID, s placement.Sample) bool {
			c := s.Coordinate
			if s.Load < 0 || math.IsInf(s.Load, 0) || s.FreeBytes < -1 || s.MemoryFreeBytes < -1 || c != nil && !plausible(c.Vec, c.Height, c.Adjustment) {
				t.Errorf("%s: %+v", id, s)
			}
			return true
		})
	})
}

// The distance between two coordinates is the one that their library measures:
// random coordinates.
func TestDistanceIsSerfs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyCoordinate(t), anyCoordinate(t)
		facts := placement.Facts{Samples: placement.TableOf(map[placement.NodeID]placement.Sample{"a": {Coordinate: a}, "b": {Coordinate: b}})}
		got, ok := facts.RTT("a", "b")
		theirs := func(c *placement.Coordinate) *coordinate.Coordinate {
			return &coordinate.Coordinate{Vec: c.Vec, Height: c.Height, Adjustment: c.Adjustment}
		}
		if want := theirs(a).DistanceTo(theirs(b)); !ok || got != want {
			t.Fatalf("%v, %v; want %v", got, ok, want)
		}
	})
}
