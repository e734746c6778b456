package fsm

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// fall makes a node suspect and alive again.
func (r *rig) fall(n placement.NodeID) {
	r.Helper()
	r.observe(n, placement.NodeSuspect)
	r.observe(n, placement.NodeAlive)
}

// eligibility fails the test unless the node has that one.
func (r *rig) eligibility(n placement.NodeID, want placement.Eligibility, when string) {
	r.Helper()
	if got := r.m.View().Node(n).Eligibility; got != want {
		r.Fatalf("node %s is %s %s, want %s", n, got, when, want)
	}
}

// A node that ceases to be alive five times within ten minutes is quarantined
// (rule S18): it keeps its copies and is given no more, until it has been alive
// for ten minutes on end; a snapshot forgets none of it.
func TestFlappingNodeIsQuarantined(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", placement.Spec{Desired: 2}, "b")
	r.chain("y", placement.Spec{Desired: 1}, "a")
	for range 4 {
		r.fall("a")
		r.pass(2 * time.Minute)
	}
	r.pass(2 * time.Minute) // the first is ten minutes ago
	r.fall("a")
	r.eligibility("a", placement.Eligible, "after five falls in more than ten minutes")

	var saved bytes.Buffer
	if _, err := r.m.View().WriteTo(&saved); err != nil {
		t.Fatal(err)
	}
	if err := r.m.Restore(&saved); err != nil {
		t.Fatal(err)
	}
	r.fall("a")
	r.eligibility("a", placement.NodeQuarantined, "after five falls in ten minutes")
	r.eligibility("b", placement.Eligible, "though it never fell")
	r.refuses(placement.IneligibleTarget, r.assign("x", "a"))
	if h := r.holder("y", "a"); h.Phase != placement.Ready {
		t.Errorf("the copy that the quarantined node has is %s", h.Phase)
	}

	r.pass(9 * time.Minute)
	r.fall("a")
	r.pass(9 * time.Minute)
	r.eligibility("a", placement.NodeQuarantined, "nine minutes after its last fall")
	r.observe("a", placement.NodeDead)
	r.pass(time.Hour)
	r.eligibility("a", placement.NodeQuarantined, "while it is dead")
	r.start("a", "disk-a", "run-2")
	r.pass(9 * time.Minute)
	r.eligibility("a", placement.NodeQuarantined, "nine minutes after its return")
	r.pass(time.Minute)
	r.eligibility("a", placement.Eligible, "ten minutes after its return")
	if falls := r.m.View().Node("a").Falls; falls != nil {
		t.Errorf("%d falls are remembered after the quarantine", len(falls))
	}
}

// A process that crashes again and again, and is back before anybody's probe
// has failed, flaps too.
func TestCrashLoopIsQuarantined(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	for i := range 5 {
		r.eligibility("a", placement.Eligible, fmt.Sprintf("after %d restarts", i))
		r.start("a", "disk-a", fmt.Sprintf("again-%d", i))
		r.pass(time.Second)
	}
	r.eligibility("a", placement.NodeQuarantined, "after five restarts in five seconds")
}

// Quarantine takes at most a third of the nodes, one at least: when all flap it
// is the network, or the leader, that does. An operator's word stands before it
// and ends it, and what was before that word does not count any more.
func TestQuarantineKnowsItsBounds(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d", "e", "f", "g")
	r.do(&SetEligibility{Node: "a", Eligibility: placement.Maintenance})
	for range 2 * flapsMax {
		for _, n := range []placement.NodeID{"a", "b", "c", "d", "e", "f", "g"} {
			r.fall(n)
		}
	}
	r.eligibility("a", placement.Maintenance, "as an operator said")
	r.eligibility("b", placement.NodeQuarantined, "as the first that flapped")
	r.eligibility("c", placement.NodeQuarantined, "as the second of seven")
	r.eligibility("d", placement.Eligible, "as the third of seven")

	r.do(&SetEligibility{Node: "b", Eligibility: placement.Eligible})
	r.do(&SetEligibility{Node: "c", Eligibility: placement.Cordoned})
	r.do(&SetEligibility{Node: "c", Eligibility: placement.Eligible})
	for range flapsMax - 1 {
		r.fall("b")
		r.fall("c")
	}
	r.eligibility("b", placement.Eligible, "as an operator said")
	r.eligibility("c", placement.Eligible, "as an operator said")
	r.fall("c")
	r.eligibility("c", placement.NodeQuarantined, "after five new falls")

	r.do(&SetEligibility{Node: "e", Eligibility: placement.NodeQuarantined})
	r.pass(9 * time.Minute)
	r.eligibility("e", placement.NodeQuarantined, "nine minutes after an operator said so")
	r.pass(time.Minute)
	r.eligibility("e", placement.Eligible, "ten minutes after an operator said so")
}
