package telemetry

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/holdfast-cluster/holdfast/placement"
)

// crowd is many nodes that gossip as memberlist does on a LAN, without
// goroutines: every 200 ms each sends one packet to three others.
type crowd struct {
	now    time.Duration
	rng    *rand.Rand
	boards []*Board
	own    []*publisher
	queues []*memberlist.TransmitLimitedQueue
	loads  []float64
	sent   int // bytes
}

// spreading is a message in a queue of memberlist.
type spreading struct {
	about   string
	message func() []byte
}

func (s spreading) Name() string                          { return s.about }
func (s spreading) Message() []byte                       { return s.message() }
func (s spreading) Invalidates(memberlist.Broadcast) bool { return false }
func (s spreading) Finished()                             {}

func newCrowd(t *testing.T, nodes int) *crowd {
	t.Helper()
	c := &crowd{rng: rand.New(rand.NewPCG(1, 2)), loads: make([]float64, nodes)}
	for i := range nodes {
		q := &memberlist.TransmitLimitedQueue{NumNodes: func() int { return nodes }, RetransmitMult: 4}
		b, err := New(Config{
			Node: placement.NodeID(fmt.Sprint("node-", i)), Elapsed: func() time.Duration { return c.now },
			Read: func() placement.Sample {
				return placement.Sample{Load: c.loads[i], FreeBytes: 400 << 30, MemoryFreeBytes: 20 << 30}
			},
			Incarnation: func() placement.Incarnation { return placement.Incarnation(100 + i) }, Show: func(placement.Sample) {},
			Spread: func(about string, message func() []byte) { q.QueueBroadcast(spreading{about, message}) },
		})
		if err != nil {
			t.Fatal(err)
		}
		c.boards, c.queues, c.own = append(c.boards, b), append(c.queues, q), append(c.own, &publisher{board: b, last: Unknown()})
	}
	return c
}

// run lets time pass; every load changes all the time.
func (c *crowd) run(d time.Duration) {
	const packet, overhead = 1400, 3
	for end := c.now + d; c.now < end; c.now += 200 * time.Millisecond {
		for i, b := range c.boards {
			if (int(c.now/(200*time.Millisecond))+i)%5 == 0 { // once a second, not all at once
				c.loads[i] = c.now.Seconds() + float64(i)
				c.own[i].read()
			}
			for range 3 {
				to := c.rng.IntN(len(c.boards))
				for _, m := range c.queues[i].GetBroadcasts(overhead, packet) {
					c.sent += len(m) + overhead
					c.boards[to].Heard(m)
				}
			}
			b.Facts()
		}
	}
}

// News of everybody reaches everybody, in what memberlist's packets hold, and
// never is a sample of a living node missing: forty nodes that change all
// the time. HOLDFAST_CROWD sets another number of nodes.
func TestNewsReachesEverybody(t *testing.T) {
	nodes := 40
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_CROWD")); err == nil {
		nodes = n
	}
	c := newCrowd(t, nodes)
	warm, measured := 3*every(nodes), 2*every(nodes)
	c.run(warm)
	c.sent = 0
	c.run(measured)
	var ages []time.Duration
	for i, b := range c.boards {
		if got := len(b.entries); got != nodes {
			t.Errorf("node %d knows %d of %d", i, got, nodes)
		}
		for _, e := range b.entries {
			ages = append(ages, c.now-e.said)
		}
	}
	slices.Sort(ages)
	perSecond := float64(c.sent) / float64(nodes) / measured.Seconds()
	worst := ages[len(ages)-1]
	t.Logf("%d nodes: every %v, %.0f bytes a second sent by each, ages: half %v, 99 %% %v, worst %v, forgotten at %v",
		nodes, every(nodes), perSecond, ages[len(ages)/2], ages[len(ages)*99/100], worst, knownIn(nodes))
	if perSecond > 21_000 {
		t.Errorf("each node sends %.0f bytes a second", perSecond)
	}
	if worst > knownIn(nodes) {
		t.Errorf("a sample is %v old", worst)
	}
}
