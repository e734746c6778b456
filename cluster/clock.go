package cluster

import (
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// clockStepMax is the most that the leader's clock advances at once. What a
// pause of the process takes beyond it is thrown away: a pause makes timers
// longer, never shorter (rule S13).
const clockStepMax = 2 * time.Second

// leaderClock is cluster time in the hands of a leader. It starts at the
// state's time and is read often, at least twice a second by the leader loop.
// Any goroutine may read it.
type leaderClock struct {
	elapsed func() time.Duration // monotonic, since any moment

	mu     sync.Mutex
	now    placement.Time
	last   time.Duration  // elapsed at the last reading
	thrown placement.Time // the clock when it last threw time away, or began
	throws int            // how often it threw time away
}

// newLeaderClock returns a clock that goes on from now.
func newLeaderClock(elapsed func() time.Duration, now placement.Time) *leaderClock {
	return &leaderClock{elapsed: elapsed, now: now, last: elapsed(), thrown: now}
}

// read advances the clock and returns it.
func (c *leaderClock) read() placement.Time {
	now, _ := c.readThrows()
	return now
}

// readThrows also returns how often the clock has thrown time away: evidence
// gathered before the last throw says nothing about who was unreachable.
func (c *leaderClock) readThrows() (now placement.Time, throws int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.elapsed()
	step := max(at-c.last, 0)
	c.last = at
	if step > clockStepMax {
		step = clockStepMax
		c.throws++
		c.thrown = c.now + placement.Time(step)
	}
	c.now += placement.Time(step)
	return c.now, c.throws
}

// steadyFor returns how long the clock has run since it last threw time away.
func (c *leaderClock) steadyFor() time.Duration {
	now := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.thrown)
}
