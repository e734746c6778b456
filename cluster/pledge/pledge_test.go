package pledge

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
)

// A data directory is a Store.
var _ Store = (*datadir.Dir)(nil)

func noJitter(time.Duration) time.Duration { return 0 }

func started(n, expect int) *world {
	w := newWorld(n, expect, noJitter)
	for i := range w.peers {
		w.start(i)
	}
	return w
}

func (w *world) sees(i int, others ...int) {
	w.peers[i].view = nil
	for _, k := range others {
		w.peers[i].view = append(w.peers[i].view, w.peers[k].self)
	}
}

// Expect 3 with nodes 1 to 4: node 1 sees {1,2,3}, node 2 sees {2,3,4}, and
// both ask 3 at the same moment. One of them must give way.
func TestTwoViewsOneCluster(t *testing.T) {
	w := started(4, 3)
	w.sees(0, 1, 2)
	w.sees(1, 2, 3)
	w.sees(2, 1, 3)
	w.sees(3, 1, 2)
	w.settle(time.Minute)
	w.check(t)
	for _, p := range w.peers {
		if p.clusterID == "" {
			t.Errorf("%s is in no cluster: %s", p.self.NodeID, p.m.Waiting())
		}
	}
}

// A stable view of five bootstraps the five lowest within seconds, with the
// longest heartbeat that one of them needs; the sixth only joins.
func TestFiveOfSix(t *testing.T) {
	w := started(6, 5)
	w.peers[3].m.cfg.Heartbeat = 300 * time.Millisecond
	w.settle(3 * time.Second)
	w.check(t)
	if len(w.bootstrapped) != 1 {
		t.Fatalf("no bootstrap: %s", w.peers[0].m.Waiting())
	}
	p := w.bootstrapped[0]
	if diff := cmp.Diff(w.all()[:5], p.Servers); diff != "" || p.Heartbeat != 300*time.Millisecond || p.Proposer != w.peers[0].self {
		t.Errorf("heartbeat %v, proposer %v, servers %s", p.Heartbeat, p.Proposer, diff)
	}
	if w.peers[5].clusterID != p.ClusterID {
		t.Errorf("the sixth is in cluster %q", w.peers[5].clusterID)
	}
}

// A lower id that asks makes a proposer withdraw at once, on disk, and pledge
// to it: let node 2 propose before node 1 is there.
func TestLowerIDWins(t *testing.T) {
	w := started(4, 3)
	w.sees(1, 2, 3)
	w.peers[0].m, w.peers[3].m = nil, nil
	w.peers[1].m.heard["n4"] = heard{answer: Answer{From: w.peers[3].self, Cluster: "blue", Expect: 3}, at: w.now}
	w.settle(2 * time.Second)
	first, ok := w.peers[1].m.Pledge()
	if !ok || first.Proposer.NodeID != "n2" {
		t.Fatalf("node 2 did not propose: %s", w.peers[1].m.Waiting())
	}
	w.start(0)
	w.sees(0, 1, 2)
	w.settle(4 * time.Second)
	if len(w.bootstrapped) != 1 || w.bootstrapped[0].Proposer.NodeID != "n1" {
		t.Fatalf("bootstrapped %+v; node 1: %s", w.bootstrapped, w.peers[0].m.Waiting())
	}
	if diff := cmp.Diff([]string{first.Number}, w.peers[1].store.withdrawn); diff != "" {
		t.Error(diff)
	}
}

// Without all pledges a proposal is withdrawn after 10 s, the number is kept,
// and the pledges to it are released; the next has another number.
func TestWithdrawAfterTenSeconds(t *testing.T) {
	w := started(3, 3)
	w.settle(400 * time.Millisecond) // statuses are known, nothing is proposed yet
	w.peers[2].m = nil
	w.settle(time.Second)
	first, _ := w.peers[0].m.Pledge()
	if held, ok := w.peers[1].m.Pledge(); !ok || held.Number != first.Number {
		t.Fatalf("node 2 has not pledged: %s", w.peers[0].m.Waiting())
	}
	w.settle(8 * time.Second)
	if held, _ := w.peers[0].m.Pledge(); held.Number != first.Number {
		t.Fatal("withdrawn too early")
	}
	w.settle(2 * time.Second)
	if diff := cmp.Diff([]string{first.Number}, w.peers[0].store.withdrawn); diff != "" {
		t.Error(diff)
	}
	if held, ok := w.peers[1].m.Pledge(); ok {
		t.Errorf("node 2 still holds %s", held.Number)
	}
	w.start(2)
	w.settle(20 * time.Second)
	if len(w.bootstrapped) != 1 || w.bootstrapped[0].Number == first.Number {
		t.Errorf("bootstrapped %+v", w.bootstrapped)
	}
}

// A withdrawn number must not bootstrap after a crash between "withdrawn" and
// the release of the own pledge: crash there, give all pledges, start again.
func TestWithdrawnSurvivesCrash(t *testing.T) {
	w := started(3, 3)
	w.settle(400 * time.Millisecond)
	w.peers[2].m = nil
	w.settle(time.Second)
	first, _ := w.peers[0].m.Pledge()
	w.peers[0].store.fuse = 2 // the second write from now, before it is durable
	w.settle(12 * time.Second)
	if w.peers[0].m != nil || len(w.peers[0].store.withdrawn) != 1 || w.peers[0].store.pledge == nil {
		t.Fatalf("it did not crash between the two writes: %+v", w.peers[0].store)
	}
	w.start(0)
	if held, ok := w.peers[0].m.Pledge(); ok {
		t.Errorf("it still proposes %s", held.Number)
	}
	w.start(2)
	w.settle(30 * time.Second)
	w.check(t)
	if len(w.bootstrapped) != 1 || w.bootstrapped[0].Number == first.Number {
		t.Errorf("bootstrapped %+v", w.bootstrapped)
	}
}

// A proposer that comes back with a new instance can release nothing: wipe
// it, and let it ask, release and answer queries.
func TestNewInstanceReleasesNothing(t *testing.T) {
	w := started(3, 3)
	w.settle(400 * time.Millisecond)
	w.peers[2].m = nil
	w.settle(time.Second)
	p := w.peers[0]
	old, _ := p.m.Pledge()
	p.self.Instance, p.store = "i-new", &memStore{fuse: -3}
	w.start(0)
	w.start(2)
	for _, p := range w.peers {
		p.view = w.all()
	}
	answer, err := w.peers[1].m.Handle(Request{Kind: KindRelease, From: p.self, Cluster: "blue", Number: old.Number})
	if err != nil || answer.Code != CodeNotProposer {
		t.Errorf("release by a new instance: %+v, %v", answer, err)
	}
	w.settle(2 * time.Minute)
	if held, _ := w.peers[1].m.Pledge(); held.Number != old.Number || len(w.bootstrapped) != 0 {
		t.Errorf("node 2 holds %+v, bootstrapped %d", held, len(w.bootstrapped))
	}
	for _, p := range w.peers[:2] {
		if !strings.Contains(p.m.Waiting(), "pledged to the proposal of n1") {
			t.Errorf("%s waits for %q", p.self.NodeID, p.m.Waiting())
		}
	}
	if got := w.peers[1].m.Waiting(); !strings.Contains(got, "delete its file pledge") {
		t.Errorf("node 2 does not say what to do: %q", got)
	}
	// The operator deletes the file of the stopped node.
	w.peers[1].store.pledge = nil
	w.start(1)
	w.settle(time.Minute)
	w.check(t)
	if len(w.bootstrapped) != 1 {
		t.Errorf("no cluster: %s", p.m.Waiting())
	}
}

// Servers that do not agree on what they are to become make no cluster, and
// say why: other expect, other cluster name, the same node id twice.
func TestContradictionsAreRefused(t *testing.T) {
	cases := []struct {
		name  string
		wrong func(*world)
		want  string
	}{
		{"expect", func(w *world) { w.expect[2] = 5 }, "n3 has --bootstrap-expect 5, this node 3"},
		{"cluster", func(w *world) { w.cluster[2] = "red" }, `n3 belongs to cluster "red", not "blue"`},
		{"node id", func(w *world) {
			w.peers[2].self.NodeID = "n2"
			for _, p := range w.peers {
				p.view = w.all()
			}
		}, "have the same node id n2"},
		{"join only", func(w *world) { w.expect[2] = 0 }, "waiting for 3 servers, 2 are here: n1, n2"},
	}
	for _, tc := range cases {
		w := newWorld(3, 3, noJitter)
		tc.wrong(w)
		for i := range w.peers {
			w.start(i)
		}
		w.settle(time.Minute)
		if got := w.peers[0].m.Waiting(); len(w.bootstrapped) != 0 || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %d bootstraps, waiting %q, want %q", tc.name, len(w.bootstrapped), got, tc.want)
		}
	}
	// Even a proposal that is made nevertheless is not pledged to.
	w := started(3, 3)
	w.expect[1], w.cluster[2] = 5, "red"
	w.start(1)
	w.start(2)
	p := Proposal{Number: "x", Cluster: "blue", ClusterID: "c", Expect: 3, Proposer: w.peers[0].self, Servers: w.all()}
	ask := Request{Kind: KindAsk, From: w.peers[0].self, Cluster: "blue", Expect: 3, Proposal: &p}
	for i, want := range []string{CodeInvalid, CodeMixedExpect, CodeWrongCluster} {
		answer, err := w.peers[i].m.Handle(ask)
		if err != nil || answer.Outcome != Refused || answer.Code != want || answer.Text == "" {
			t.Errorf("node %d: %+v, %v, want %s", i+1, answer, err, want)
		}
	}
}

// Alone, a node bootstraps only when every seed has answered; without seeds at
// once.
func TestExpectOneAsksTheSeeds(t *testing.T) {
	w := started(2, 1)
	w.peers[1].m = nil
	w.sees(0)
	w.settle(time.Minute)
	if len(w.bootstrapped) != 0 || !strings.Contains(w.peers[0].m.Waiting(), "seeds n2:7400") {
		t.Fatalf("%d bootstraps, waiting %q", len(w.bootstrapped), w.peers[0].m.Waiting())
	}
	w.start(1)
	w.settle(5 * time.Second)
	w.check(t)
	if w.peers[1].clusterID == "" || len(w.bootstrapped) != 1 {
		t.Errorf("%d bootstraps, second node in %q", len(w.bootstrapped), w.peers[1].clusterID)
	}
	alone := started(1, 1)
	alone.settle(time.Second)
	if len(alone.bootstrapped) != 1 {
		t.Errorf("alone: %s", alone.peers[0].m.Waiting())
	}
}

// An empty node that meets a member never bootstraps, and a member never
// pledges: two old members, and three new nodes that would suffice.
func TestMembersEndTheBootstrap(t *testing.T) {
	w := newWorld(4, 3, noJitter)
	w.peers[3].clusterID = "old"
	for i := range w.peers {
		w.start(i)
	}
	for end := w.now.Add(30 * time.Second); w.now.Before(end); w.now = w.now.Add(100 * time.Millisecond) {
		for i := range w.peers {
			w.tick(i)
		}
		for len(w.network) > 0 {
			w.deliver(0)
		}
	}
	if len(w.bootstrapped) != 0 {
		t.Fatal("a second cluster beside the old one")
	}
	if answer, ok := w.peers[0].m.Found(); !ok || answer.ClusterID != "old" {
		t.Errorf("found %+v", answer)
	}
	p := Proposal{Number: "x", Cluster: "blue", ClusterID: "c", Expect: 3, Proposer: w.peers[1].self, Servers: w.all()[1:]}
	answer, _ := w.peers[3].m.Handle(Request{Kind: KindAsk, From: p.Proposer, Cluster: "blue", Expect: 3, Proposal: &p})
	if answer.Code != CodeMember || answer.ClusterID != "old" {
		t.Errorf("a member answers %+v", answer)
	}
}

// A pledge survives a restart and admits exactly the raft peers it names.
func TestPledgeAdmits(t *testing.T) {
	w := started(3, 3)
	w.settle(400 * time.Millisecond)
	w.peers[2].m = nil
	w.settle(time.Second)
	w.start(1)
	p, ok := w.peers[1].m.Pledge()
	if !ok {
		t.Fatal("the pledge is gone")
	}
	for _, tc := range []struct {
		cluster, node, instance string
		want                    bool
	}{
		{p.ClusterID, "n1", "i-n1", true},
		{p.ClusterID, "n3", "i-n3", true},
		{"other", "n1", "i-n1", false},
		{p.ClusterID, "n1", "i-new", false},
		{p.ClusterID, "n4", "i-n1", false},
	} {
		if got := p.Allows(tc.cluster, tc.node, tc.instance); got != tc.want {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
	if err := w.peers[1].m.Joined("other"); err == nil {
		t.Error("a pledged node joined another cluster")
	}
}

// Messages of a newer version with more fields must be understood.
func TestUnknownFields(t *testing.T) {
	var request Request
	err := json.Unmarshal([]byte(`{"kind":"status","cluster":"blue","new":1,"from":{"node":"n1","new":2}}`), &request)
	if err != nil || request.From.NodeID != "n1" {
		t.Errorf("%+v, %v", request, err)
	}
}

// A disk that fails ends the machine: nothing is answered from then on.
func TestStoreFailureIsFinal(t *testing.T) {
	w := started(3, 3)
	p := Proposal{Number: "x", Cluster: "blue", ClusterID: "c", Expect: 3, Proposer: w.peers[0].self, Servers: w.all()}
	ask := Request{Kind: KindAsk, From: p.Proposer, Cluster: "blue", Expect: 3, Proposal: &p}
	w.peers[1].store.fuse = 0
	if _, err := w.peers[1].m.Handle(ask); err == nil {
		t.Error("a pledge that is not on disk was given")
	}
	if _, err := w.peers[1].m.Handle(ask); err == nil {
		t.Error("the machine went on")
	}
	if _, err := w.peers[1].m.Tick(w.now, View{}); err == nil {
		t.Error("the machine went on")
	}
}

// What is decided stays decided, also after a crash before the bootstrap: let
// a lower id ask, the deadline pass and the node restart.
func TestDecidedIsFinal(t *testing.T) {
	w := started(4, 3)
	decided := Proposal{Number: "x", Cluster: "blue", ClusterID: "c", Expect: 3, Proposer: w.peers[1].self, Servers: w.all()[1:]}
	raw, err := json.Marshal(record{Proposal: decided, Decided: true})
	if err != nil {
		t.Fatal(err)
	}
	w.peers[1].store.pledge = raw
	w.start(1)
	m := w.peers[1].m
	lower := Proposal{Number: "y", Cluster: "blue", ClusterID: "d", Expect: 3, Proposer: w.peers[0].self, Servers: w.all()[:3]}
	answer, err := m.Handle(Request{Kind: KindAsk, From: lower.Proposer, Cluster: "blue", Expect: 3, Proposal: &lower})
	if err != nil || answer.Code != CodePledged {
		t.Errorf("asked by a lower id: %+v, %v", answer, err)
	}
	for range 3 {
		w.now = w.now.Add(time.Minute)
		if _, err := m.Tick(w.now, View{Servers: w.all()}); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := m.Decided(); !ok || got.Number != "x" {
		t.Errorf("no longer decided: %+v", got)
	}
	answer, err = m.Handle(Request{Kind: KindQuery, From: w.peers[2].self, Cluster: "blue", Expect: 3, Number: "x"})
	if err != nil || answer.Outcome != Decided {
		t.Errorf("query: %+v, %v", answer, err)
	}
}
