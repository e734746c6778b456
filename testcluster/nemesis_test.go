package testcluster_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

var (
	nemesisSeed  = flag.Int64("nemesis.seed", 1, "the first seed of TestNemesis")
	nemesisSeeds = flag.Int64("nemesis.seeds", 6, "how many seeds TestNemesis runs")
)

// nemesis breaks a cluster by chance, several things at a time, majorities
// included. It spares only what no system of this kind survives: one disk at a
// time is lost, with the cluster sound before it.
type nemesis struct {
	*testcluster.Cluster
	t     *testing.T
	rng   *rand.Rand
	began time.Time
	kinds []string       // those that this seed has
	count map[string]int // how often each was done
	under []trouble      // what is broken now
}

// trouble is a fault that lasts.
type trouble struct {
	kind string
	node int // whose it is; 0 = of the network
	till time.Time
	mend func()
}

// faults is every kind of fault. A kind that cannot be done now returns no mend.
var faults = map[string]func(n *nemesis) trouble{
	"kill":      (*nemesis).kill,
	"stop":      (*nemesis).stop,
	"wipe":      (*nemesis).wipe,
	"pause":     (*nemesis).pause,
	"disk":      (*nemesis).stallDisk,
	"partition": (*nemesis).partition,
	"isolate":   (*nemesis).isolate,
	"one-way":   (*nemesis).oneWay,
	"hiccup":    (*nemesis).hiccup,
	"slow":      (*nemesis).slow,
	"loss":      (*nemesis).loss,
	"skew":      (*nemesis).skew,
	"transfer":  (*nemesis).transfer,
}

// say writes a line of the schedule.
func (n *nemesis) say(format string, args ...any) {
	n.t.Logf("%8.3f s  %s", time.Since(n.began).Seconds(), fmt.Sprintf(format, args...))
}

// swarm draws which kinds of faults this seed has: most of them, or few.
func (n *nemesis) swarm() {
	keep := 0.3 + 0.6*n.rng.Float64()
	for _, kind := range slices.Sorted(maps.Keys(faults)) {
		if n.rng.Float64() < keep {
			n.kinds = append(n.kinds, kind)
		}
	}
	if len(n.kinds) == 0 {
		n.kinds = []string{"kill"}
	}
}

// between draws a time.
func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.rng.Int64N(int64(most-least)))
}

// step lets some time pass, ends what is over, and begins something new.
func (n *nemesis) step() {
	n.Advance(n.between(0, 4*time.Second))
	n.under = slices.DeleteFunc(n.under, func(x trouble) bool {
		if time.Now().Before(x.till) {
			return false
		}
		n.say("end of %s %d", x.kind, x.node)
		x.mend()
		return true
	})
	kind := n.kinds[n.rng.IntN(len(n.kinds))]
	if x := faults[kind](n); x.mend != nil {
		x.kind = kind
		n.count[kind]++
		n.under = append(n.under, x)
	}
}

// endAll ends all troubles.
func (n *nemesis) endAll() {
	for _, x := range n.under {
		x.mend()
	}
	n.under = nil
}

// victim draws a node that has no trouble of its own, or 0.
func (n *nemesis) victim() int {
	i := 1 + n.rng.IntN(n.Len())
	if leader := n.Leader(); leader != 0 && n.rng.IntN(3) == 0 {
		i = leader // the most is at stake there
	}
	if slices.ContainsFunc(n.under, func(x trouble) bool { return x.node == i }) {
		return 0
	}
	return i
}

// cuts tells whether the network is cut anywhere.
func (n *nemesis) cuts() bool {
	return slices.ContainsFunc(n.under, func(x trouble) bool {
		return x.kind == "partition" || x.kind == "isolate" || x.kind == "one-way" || x.kind == "hiccup"
	})
}

// lasting returns a trouble of a node that ends after a while.
func (n *nemesis) lasting(node int, d time.Duration, mend func()) trouble {
	return trouble{node: node, till: time.Now().Add(d), mend: mend}
}

func (n *nemesis) kill() trouble {
	i := n.victim()
	if i == 0 {
		return trouble{}
	}
	d := n.between(100*time.Millisecond, 30*time.Second)
	n.say("kill %d for %v", i, d)
	n.Kill(i)
	return n.lasting(i, d, func() { n.Restart(i) })
}

func (n *nemesis) stop() trouble {
	i := n.victim()
	if i == 0 {
		return trouble{}
	}
	d := n.between(100*time.Millisecond, 20*time.Second)
	n.say("stop %d for %v", i, d)
	n.Stop(i)
	return n.lasting(i, d, func() { n.Restart(i) })
}

// wipe empties a disk, which the cluster must be able to lose.
func (n *nemesis) wipe() trouble {
	n.say("healing, for a wipe")
	n.endAll()
	i := 1 + n.rng.IntN(n.Len())
	n.WaitFor(fmt.Sprintf("node %d may lose its disk", i), 20*time.Minute, func() bool { return n.expendable(i) })
	d := n.between(100*time.Millisecond, 90*time.Second)
	n.say("wipe %d for %v", i, d)
	n.Wipe(i)
	return n.lasting(i, d, func() { n.Restart(i) })
}

// expendable tells whether nothing is lost with the disk of node i: every other
// one is in use by its node, a majority of the voters is among them, and every
// content is live on one of them.
func (n *nemesis) expendable(i int) bool {
	leader := n.Leader()
	if leader == 0 {
		return false
	}
	v, voters := n.View(leader), n.Node(leader).Node().Status().Voters
	for _, j := range n.Nodes() {
		node, process := v.Node(n.ID(j)), n.Node(j).Node()
		if process == nil || node == nil || node.State != placement.NodeAlive || node.Incarnation != process.Status().Incarnation || !node.Inventoried {
			return false
		}
		if !slices.Equal(process.Status().Voters, voters) { // the leader may be alone with a change that is not committed
			return false
		}
	}
	if len(voters) < 3 {
		return false
	}
	safe := true
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		elsewhere := slices.ContainsFunc(c.Holders, func(h placement.Holder) bool { return h.Node != n.ID(i) && v.Live(c, &h) })
		safe = safe && (elsewhere || !c.EverReady)
		return safe
	})
	return safe
}

func (n *nemesis) pause() trouble {
	i := n.victim()
	if i == 0 || !n.Running(i) {
		return trouble{}
	}
	d := n.between(100*time.Millisecond, 20*time.Second)
	n.say("pause %d for %v", i, d)
	n.Pause(i)
	return n.lasting(i, d, func() {
		n.Resume(i)
		n.revive(i)
	})
}

func (n *nemesis) stallDisk() trouble {
	i := n.victim()
	if i == 0 || !n.Running(i) {
		return trouble{}
	}
	d := n.between(100*time.Millisecond, 25*time.Second)
	n.say("disk of %d hangs for %v", i, d)
	n.StallDisk(i)
	return n.lasting(i, d, func() {
		n.MendDisk(i)
		n.revive(i)
	})
}

// revive starts a node again that has ended because its disk hung.
func (n *nemesis) revive(i int) {
	if n.Running(i) {
		return
	}
	err := n.Ended(i)
	n.say("node %d had ended: %v", i, err)
	if err == nil || !strings.Contains(err.Error(), "no answer from the disk") {
		n.t.Errorf("node %d, whose disk had hung, ended with: %v", i, err)
	}
	n.Restart(i)
}

func (n *nemesis) partition() trouble {
	if n.cuts() {
		return trouble{}
	}
	nodes := n.Nodes()
	n.rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	a := 1 + n.rng.IntN(len(nodes)-1)
	b := a + n.rng.IntN(len(nodes)-a)
	d := n.between(time.Second, 60*time.Second)
	n.say("partition %v %v %v for %v", nodes[:a], nodes[a:b], nodes[b:], d)
	n.Partition(nodes[:a], nodes[a:b])
	return n.lasting(0, d, n.Heal)
}

func (n *nemesis) isolate() trouble {
	leader := n.Leader()
	if n.cuts() || leader == 0 {
		return trouble{}
	}
	d := n.between(time.Second, 30*time.Second)
	n.say("isolate leader %d for %v", leader, d)
	n.Partition([]int{leader})
	return n.lasting(0, d, n.Heal)
}

func (n *nemesis) oneWay() trouble {
	if n.cuts() {
		return trouble{}
	}
	from, d := 1+n.rng.IntN(n.Len()), n.between(time.Second, 30*time.Second)
	var to []int
	for _, j := range n.Nodes() {
		if j != from && n.rng.IntN(3) > 0 {
			to = append(to, j)
			if n.rng.IntN(2) == 0 {
				n.CutOneWay(from, j)
			} else {
				n.CutOneWay(j, from)
			}
		}
	}
	n.say("one-way cuts between %d and %v for %v", from, to, d)
	return n.lasting(0, d, n.Heal)
}

// hiccup makes all streams stall for a moment, as lost packets do.
func (n *nemesis) hiccup() trouble {
	if n.cuts() {
		return trouble{}
	}
	d := n.between(50*time.Millisecond, 1500*time.Millisecond)
	n.say("everything stalls for %v", d)
	groups := make([][]int, n.Len())
	for k := range groups {
		groups[k] = []int{k + 1}
	}
	n.Partition(groups...)
	n.Advance(d)
	n.Heal()
	return n.lasting(0, 0, func() {})
}

// links calls do with each two nodes.
func (n *nemesis) links(do func(i, j int)) {
	for _, i := range n.Nodes() {
		for j := 1; j < i; j++ {
			do(i, j)
		}
	}
}

func (n *nemesis) slow() trouble {
	most, d := n.between(2*time.Millisecond, 400*time.Millisecond), n.between(time.Second, 60*time.Second)
	n.say("links take up to %v for %v", most, d)
	n.links(func(i, j int) { n.Delay(i, j, n.between(time.Millisecond, most)) })
	return n.lasting(0, d, func() { n.links(func(i, j int) { n.Delay(i, j, 2*time.Millisecond) }) })
}

func (n *nemesis) loss() trouble {
	chance, d := n.rng.Float64()*0.6, n.between(time.Second, 60*time.Second)
	n.say("%.0f %% of the packets are lost for %v", 100*chance, d)
	n.links(func(i, j int) { n.Loss(i, j, chance) })
	return n.lasting(0, d, func() { n.links(func(i, j int) { n.Loss(i, j, 0) }) })
}

// skew makes a clock wrong for good.
func (n *nemesis) skew() trouble {
	i, by := 1+n.rng.IntN(n.Len()), n.between(-5*time.Hour, 5*time.Hour)
	n.say("clock of %d goes %v off", i, by)
	n.Skew(i, by)
	return n.lasting(0, 0, func() {})
}

func (n *nemesis) transfer() trouble {
	leader := n.Leader()
	if leader == 0 {
		return trouble{}
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	err := n.Node(leader).Node().Transfer(ctx, "", "nemesis")
	n.say("leader %d was told to hand over: %v", leader, err)
	return n.lasting(0, 0, func() {})
}

// Whatever happens, in any order and at once, breaks no invariant: majorities
// killed, stopped, paused, cut off one way or both, disks that hang or are lost,
// links slow and lossy, clocks hours off. When it ends, everything heals by
// itself: the cluster settles with all that was acknowledged, equal byte for
// byte on every node, and falls quiet. -nemesis.seeds=N runs more seeds, from
// -nemesis.seed on; a seed repeats a schedule, not a run.
func TestNemesis(t *testing.T) {
	for seed := *nemesisSeed; seed < *nemesisSeed+*nemesisSeeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { torment(t, seed) })
		})
	}
}

func torment(t *testing.T, seed int64) {
	rng := rand.New(rand.NewPCG(uint64(seed), 7))
	opts := testcluster.Options{Nodes: []int{3, 3, 4, 5, 5}[rng.IntN(5)], Seed: seed, Replicated: func(cfg *placement.Config) {
		cfg.Cooldown, cfg.RepairDelay = time.Minute, 10*time.Second
	}}
	if rng.IntN(2) == 0 {
		opts.Zones = []string{"a", "b", "c"}
	}
	n := &nemesis{Cluster: testcluster.Start(t, opts), t: t, rng: rng, began: time.Now(), count: map[string]int{}}
	n.swarm()
	n.say("seed %d: %d nodes, zones %v, faults %v", seed, opts.Nodes, opts.Zones, n.kinds)
	l := startLoad(t, n.Cluster, seed, 3, 0)
	for range 30 {
		n.step()
	}
	n.endAll()
	n.say("all is mended: %v", n.count)
	n.Advance(10 * time.Second)
	l.stop()
	n.say("%v", l)
	n.Settle()
	l.check(n.Cluster)
	n.Advance(2 * time.Minute) // what cooled may move once more
	n.Settle()
	decided := n.View(n.WaitLeader()).Decided()
	n.Advance(3 * time.Minute)
	if now := n.View(n.WaitLeader()).Decided(); now != decided {
		t.Errorf("quiet: all is mended and settled, and the cluster goes on to decide, last %+v", n.Decisions()[len(n.Decisions())-1])
	}
	n.say("quiet")
}
