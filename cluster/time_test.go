package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// The leader's clock goes by the monotonic clock in steps of at most 2 s, and
// says when it threw time away.
func TestLeaderClock(t *testing.T) {
	at := time.Duration(0)
	c := newLeaderClock(func() time.Duration { return at }, placement.Time(100*time.Second))
	for _, step := range []struct {
		elapse, want, steady time.Duration
		throws               int
	}{
		{0, 100 * time.Second, 0, 0},
		{500 * time.Millisecond, 100500 * time.Millisecond, 500 * time.Millisecond, 0},
		{2 * time.Second, 102500 * time.Millisecond, 2500 * time.Millisecond, 0},
		{10 * time.Minute, 104500 * time.Millisecond, 0, 1},
		{-time.Second, 104500 * time.Millisecond, 0, 1}, // never back
		{time.Second, 105500 * time.Millisecond, time.Second, 1},
	} {
		at += step.elapse
		now, throws := c.readThrows()
		if time.Duration(now) != step.want || throws != step.throws || c.steadyFor() != step.steady {
			t.Errorf("after %v more: got %v, %d throws, steady for %v; want %v, %d, %v",
				step.elapse, time.Duration(now), throws, c.steadyFor(), step.want, step.throws, step.steady)
		}
	}
}

// A node's state follows from both kinds of evidence: one failed probe makes
// it suspect, gossip and three probes over 2 s dead, gossip without answers
// for long sick, and a sick one needs three good probes.
func TestVerdict(t *testing.T) {
	failing := func(times int, span time.Duration) record {
		return record{seen: true, failures: times, firstFailed: 1, lastFailed: 1 + placement.Time(span), err: "x"}
	}
	good := func(times int) record { return record{seen: true, successes: times} }
	const alive, suspect, sick, dead, left = placement.NodeAlive, placement.NodeSuspect, placement.NodeSick, placement.NodeDead, placement.NodeLeft
	for _, c := range []struct {
		name    string
		is      placement.NodeState
		seen    record
		gossips bool
		want    placement.NodeState
	}{
		{"never probed", dead, record{}, true, dead},
		{"one failure", alive, failing(1, 0), true, suspect},
		{"one failure, gossip gone", alive, failing(1, 0), false, suspect},
		{"three failures too close", suspect, failing(3, time.Second), false, suspect},
		{"two failures far apart", suspect, failing(2, time.Minute), false, suspect},
		{"both kinds", suspect, failing(3, 2*time.Second), false, dead},
		{"both kinds at once", alive, failing(3, 2*time.Second), false, dead},
		{"gossip holds", suspect, failing(5, 9*time.Second), true, suspect},
		{"gossip holds for long", suspect, failing(10, 10*time.Second), true, sick},
		{"sick and then gone", sick, failing(10, 10*time.Second), false, dead},
		{"dead stays dead", dead, failing(10, time.Minute), true, dead},
		{"back", dead, good(1), true, alive},
		{"suspect answers", suspect, good(1), true, alive},
		{"answers without gossip", dead, good(1), false, alive},
		{"sick answers twice", sick, good(2), true, sick},
		{"sick answers three times", sick, good(3), true, alive},
		{"left", left, failing(10, time.Minute), false, left},
		{"left and answering", left, good(9), true, left},
	} {
		if got := verdict(&placement.Node{State: c.is}, c.seen, c.gossips, 10*time.Second); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Evidence ends with the incarnation and with each throw of the clock: what a
// leader saw before it stood still says nothing about who was unreachable.
func TestEvidenceIsForgotten(t *testing.T) {
	h := newHealth()
	second := placement.Time(time.Second)
	for i := range 3 {
		h.failed("n", 7, placement.Time(i+1)*second, 0, errors.New("x"))
	}
	if r := h.of("n", 7, 0); !r.convincing() {
		t.Errorf("three failures over 2 s do not convince: %+v", r)
	}
	if r := h.of("n", 7, 1); r.convincing() {
		t.Error("failures from before a throw convince")
	}
	h.failed("n", 7, 9*second, 1, errors.New("x"))
	if r := h.of("n", 7, 1); r.failures != 1 || r.convincing() {
		t.Errorf("after a throw the count goes on: %+v", r)
	}
	if r := h.of("n", 8, 1); r.seen || r.failures != 0 {
		t.Errorf("evidence of incarnation 7 counts for 8: %+v", r)
	}
	h.succeeded("n", 7, 1, probeAnswer{Index: 5}, false, time.Unix(1, 0))
	if r := h.of("n", 7, 1); r.failures != 0 || r.index != 5 {
		t.Errorf("a good probe leaves %+v", r)
	}
}

// All nodes are paused together for 10 min while one is down: the leader
// resumes as leader, cluster time moves on by 2 s at most, and no copy counts
// lost before it has been out of reach for the repair delay (rule S13).
func TestPauseMakesTimersLonger(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		paused := new(pausedClock)
		w.startAll(3, 3, paused.on)
		leader := w.settle(3)
		results, err := leader.node.Propose(t.Context(), fsm.Op{Actor: "test", Reason: "test", Body: fsm.NewPutChain("a", placement.Spec{Desired: 3, Weight: 1e6, Policy: placement.PolicyEager})})
		if err != nil || !results[0].OK() {
			t.Fatal(results, err)
		}
		w.until("three live copies", time.Minute, func() bool { v := leader.node.View(); return v.LiveCount(v.Chain("a")) == 3 })
		gone := w.follower(leader)
		gone.kill()
		w.until("it is dead", time.Minute, func() bool { return leader.nodeRecord(gone.name).State == placement.NodeDead })
		before := leader.node.View().Now
		paused.add(10 * time.Minute)
		advance(5 * time.Second)
		if moved := leader.node.View().Now.Sub(before); moved < 2*time.Second || moved > 8*time.Second {
			t.Errorf("cluster time moved on by %v in a pause of 10 min and 5 s more", moved)
		}
		lost := func() bool { return leader.node.View().Chain("a").Holder(placement.NodeID(gone.name)).Lost }
		if lost() {
			t.Error("a copy is lost because the leader was paused")
		}
		w.until("the copy is lost after the repair delay", 2*time.Minute, lost)
		n := leader.nodeRecord(gone.name)
		if waited := leader.node.View().Now.Sub(n.Unreachable); waited < time.Minute {
			t.Errorf("the copy was lost after %v", waited)
		}
	})
}

// Cluster time goes on although every leader lives for 4 s only (rule S13).
func TestTimeGoesOnThroughElections(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		w.settle(3)
		w.write("a")
		before, began := w.leader().node.View().Now, time.Now()
		for range 10 {
			advance(4 * time.Second)
			leader := w.leaderOrWait()
			leader.kill()
			w.start(int(leader.name[1]-'0'), 3)
			w.leaderOrWait()
		}
		passed, moved := time.Since(began), w.leader().node.View().Now.Sub(before)
		if moved < passed/2 {
			t.Errorf("cluster time moved on by %v in %v", moved, passed)
		}
	})
}
