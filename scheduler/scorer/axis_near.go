package scorer

import (
	"math"
	"time"
)

// Bounds of the axis of nearness.
const (
	nearUntil = 5 * time.Millisecond   // a network of one site, or of one town
	farFrom   = 300 * time.Millisecond // half the globe
	far       = 0.3
)

// near is 1 up to a round trip of 5 ms and falls with its logarithm to 0.3 at
// 300 ms: a round trip is felt by its ratio, 10 ms after 5 as 200 ms after 100.
// It crosses the default floor at 93 ms, another continent. Beyond 300 ms it
// stays at 0.3, for a far copy is slow and not useless.
func near(rtt time.Duration) float64 {
	if rtt <= nearUntil {
		return 1
	}
	steps := math.Log(float64(rtt)/float64(nearUntil)) / math.Log(float64(farFrom)/float64(nearUntil))
	return 1 - (1-far)*min(steps, 1)
}
