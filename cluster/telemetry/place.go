package telemetry

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/serf/coordinate"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Bounds and roundings of coordinates, in seconds.
const (
	dimensions = 8    // of the space, without the height
	secondsMax = 10.0 // of any part of a coordinate, and of a round trip
	placeStep  = 1e-4 // what is published is a multiple of it
	placeStay  = 5e-4 // a node that moved by less, or by less than placeShare, has not moved
	placeShare = 0.05
	// placedAfter is how many round trips a node must have measured before it
	// counts as placed.
	placedAfter = 8
)

// locator places the own node by the round trips that memberlist measures.
type locator struct {
	client   *coordinate.Client
	errorMax float64
	mode     cbor.DecMode
	measured atomic.Int64
}

// newLocator returns a locator of a node that has measured nothing.
func newLocator(mode cbor.DecMode) (*locator, error) {
	config := coordinate.DefaultConfig()
	config.Dimensionality = dimensions
	client, err := coordinate.NewClient(config)
	return &locator{client: client, errorMax: config.VivaldiErrorMax, mode: mode}, err
}

// pong is the coordinate that goes with the answer to a probe.
type pong struct {
	Vec        []float32 `cbor:"1,keyasint"`
	Height     float32   `cbor:"2,keyasint"`
	Adjustment float32   `cbor:"3,keyasint"`
	Error      float32   `cbor:"4,keyasint"`
}

// answer returns the payload of an answer to a probe.
func (l *locator) answer() []byte {
	c := l.client.GetCoordinate()
	p := pong{Height: float32(c.Height), Adjustment: float32(c.Adjustment), Error: float32(c.Error)}
	for _, v := range c.Vec {
		p.Vec = append(p.Vec, float32(v))
	}
	b, err := cbor.Marshal(p)
	if err != nil {
		return nil // no number fails to encode
	}
	return b
}

// observe takes the round trip to a node and the payload of its answer, which
// it does not trust.
func (l *locator) observe(node string, rtt time.Duration, payload []byte) {
	var p pong
	if len(payload) > pongMax || l.mode.Unmarshal(payload, &p) != nil {
		return
	}
	c := &coordinate.Coordinate{Height: float64(p.Height), Adjustment: float64(p.Adjustment), Error: float64(p.Error)}
	for _, v := range p.Vec {
		c.Vec = append(c.Vec, float64(v))
	}
	if !plausible(c.Vec, c.Height, c.Adjustment) || !(c.Error >= 0 && c.Error <= l.errorMax) {
		return
	}
	if _, err := l.client.Update(node, c, rtt); err == nil {
		l.measured.Add(1)
	}
}

// pongMax is larger than any pong of this version.
const pongMax = 256

// plausible tells whether a coordinate is one: NaN and infinity are not.
func plausible(vec []float64, height, adjustment float64) bool {
	far := func(v float64) bool { return !(math.Abs(v) <= secondsMax) }
	return len(vec) == dimensions && !slices.ContainsFunc(vec, far) && !far(height) && height >= 0 && !far(adjustment)
}

// settle returns the place to publish when the last was old: rounded, and the
// old one while the node has not moved.
func (l *locator) settle(old *placement.Coordinate) *placement.Coordinate {
	if l.measured.Load() < placedAfter {
		return nil
	}
	now := l.client.GetCoordinate()
	if !plausible(now.Vec, now.Height, now.Adjustment) || old != nil && near(old, now) {
		return old
	}
	c := &placement.Coordinate{Height: roundPlace(now.Height), Adjustment: roundPlace(now.Adjustment)}
	for _, v := range now.Vec {
		c.Vec = append(c.Vec, roundPlace(v))
	}
	return c
}

func roundPlace(seconds float64) float64 {
	return float64(math.Round(seconds/placeStep)) / (1 / placeStep)
}

// near tells whether a coordinate is so near to what was published that the
// difference is no news.
func near(old *placement.Coordinate, now *coordinate.Coordinate) bool {
	moved, size := 0.0, 0.0
	for i, v := range now.Vec {
		moved += (v - old.Vec[i]) * (v - old.Vec[i])
		size += v * v
	}
	change := math.Sqrt(moved) + math.Abs(now.Height-old.Height) + math.Abs(now.Adjustment-old.Adjustment)
	return change <= max(placeStay, placeShare*(math.Sqrt(size)+now.Height))
}

func samePlace(a, b *placement.Coordinate) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Vec, b.Vec) && a.Height == b.Height && a.Adjustment == b.Adjustment
}
