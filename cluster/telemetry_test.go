package cluster

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// dial is a load that a test turns.
type dial struct{ bits atomic.Uint64 }

func (d *dial) turn(load float64) { d.bits.Store(math.Float64bits(load)) }

// on is a change for start.
func (d *dial) on(c *Config) {
	c.Telemetry = func() placement.Sample {
		return placement.Sample{Load: math.Float64frombits(d.bits.Load()), FreeBytes: 1 << 40, MemoryFreeBytes: -1}
	}
}

// loadsSeen is what a member knows of the load of n1 to n6, "-" for nothing.
func loadsSeen(m *member) string {
	text, facts := "", m.node.Facts()
	for i := 1; i <= 6; i++ {
		if s, ok := facts.Sample(placement.NodeID(fmt.Sprintf("n%d", i))); ok {
			text += fmt.Sprintf("%.4g ", s.Load)
		} else {
			text += "- "
		}
	}
	return text
}

// Every node knows the telemetry of all within seconds, so the leader after a
// crash knows it at once; what a dead node said is forgotten, and one that joins
// is told everything: five nodes of which one gets busy, the leader is killed, a
// sixth joins.
func TestTelemetryIsWarmForANewLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		dials := make([]dial, 7)
		for i := 1; i <= 5; i++ {
			dials[i].turn(float64(i))
			w.start(i, 5, dials[i].on)
		}
		leader := w.settle(5)
		all := func(want string) func() bool {
			return func() bool {
				for _, m := range w.members {
					if m.running() && loadsSeen(m) != want {
						return false
					}
				}
				return true
			}
		}
		w.until("everybody knows of everybody", 10*time.Second, all("1 2 3 4 5 - "))
		busy := w.follower(leader)
		i := int(busy.name[1] - '0')
		dials[i].turn(9)
		advance(2 * time.Minute) // twelve half-lives
		load := func(m *member, of string) float64 {
			s, _ := m.node.Facts().Sample(placement.NodeID(of))
			return s.Load
		}
		for _, m := range w.members {
			if got := load(m, busy.name); math.Abs(got-9) > 0.05 {
				t.Errorf("%s sees load %v on %s", m.name, got, busy.name)
			}
		}

		w.until("the coordinates are at rest, too, and facts that say the same are one table", 10*time.Minute, func() bool {
			was := leader.node.Facts().Samples
			advance(20 * time.Second)
			return leader.node.Facts().Samples == was
		})

		before := loadsSeen(leader)
		leader.kill()
		w.until("another leads", time.Minute, func() bool { return w.leader() != nil })
		if got := loadsSeen(w.leader()); got != before {
			t.Errorf("the new leader begins with %s, the old one knew %s", got, before)
		}
		input := w.leader().node.DecideInput(w.leader().node.View())
		if input.Facts.Samples == nil || input.Facts.Samples.Len() != 5 {
			t.Errorf("a pass is given %v", input.Facts.Samples)
		}
		i = int(leader.name[1] - '1')
		seen := strings.Fields(before)
		seen[i] = "-"
		w.until("nobody knows the dead node any more", 25*time.Second, all(strings.Join(seen, " ")+" "))

		dials[6].turn(6)
		joiner := w.start(6, 0, dials[6].on)
		w.until("it is in", time.Minute, func() bool { return joiner.node.ownIncarnation() != 0 })
		advance(3 * time.Second)
		seen[5] = "6"
		want := strings.Join(seen, " ") + " "
		if got := loadsSeen(joiner); got != want {
			t.Errorf("three seconds after it joined, n6 knows %s, not %s", got, want)
		}
		w.until("everybody knows of it", 10*time.Second, all(want))
	})
}

// A node that starts with a high load is seen so by everybody within seconds,
// and is known under its new process soon after a restart.
func TestTelemetryOfARestartedNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var calm, busy dial
		busy.turn(9)
		w.startAll(3, 3, calm.on)
		gone := w.follower(w.settle(3))
		gone.stop()
		w.start(int(gone.name[1]-'0'), 3, busy.on)
		w.until("everybody sees the load of the new process", 15*time.Second, func() bool {
			for _, m := range w.members {
				if s, ok := m.node.Facts().Sample(placement.NodeID(gone.name)); !ok || s.Load != 9 {
					return false
				}
			}
			return true
		})
	})
}

// Every server estimates the round trip between any two nodes from the probes
// alone: two nodes 1 ms apart and a third 15 ms away, after two minutes.
func TestRoundTripsAreEstimated(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for i := 1; i <= 3; i++ {
			w.net.Host(fmt.Sprintf("n%d", i), fmt.Sprintf("10.0.0.%d", i))
		}
		delays := map[[2]placement.NodeID]time.Duration{{"n1", "n2"}: time.Millisecond, {"n1", "n3"}: 15 * time.Millisecond, {"n2", "n3"}: 15 * time.Millisecond}
		for pair, delay := range delays {
			w.net.Delay(string(pair[0]), string(pair[1]), delay)
		}
		w.startAll(3, 3)
		w.settle(3)
		advance(2 * time.Minute)
		for _, m := range w.members {
			for pair, delay := range delays {
				got, ok := m.node.Facts().RTT(pair[0], pair[1])
				want := 2 * delay
				if off := (got - want).Abs(); !ok || off > want/4+2*time.Millisecond {
					t.Errorf("%s estimates %v between %s, %v; it is %v", m.name, got, pair, ok, want)
				}
			}
		}
	})
}
