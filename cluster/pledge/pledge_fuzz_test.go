package pledge

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
)

// The servers of the fuzzer's world: the node itself, one before and two
// behind it.
var (
	fuzzSelf  = Server{"n2", "i2", "a2"}
	fuzzLower = Server{"n1", "i1", "a1"}
	fuzzUpper = Server{"n3", "i3", "a3"}
	fuzzLast  = Server{"n4", "i4", "a4"}
)

func fuzzConfig() Config {
	return Config{Self: fuzzSelf, Cluster: "blue", Expect: 3, NewID: func() string { return "own" }, Jitter: noJitter}
}

func fuzzProposal(number string, by Server) Proposal {
	return Proposal{Number: number, Cluster: "blue", ClusterID: "c-" + number, Expect: 3, Proposer: by, Servers: []Server{fuzzLower, fuzzSelf, fuzzUpper}}
}

// line is a message as JSON.
func line(f *testing.F, message any) []byte {
	f.Helper()
	b, err := json.Marshal(message)
	if err != nil {
		f.Fatal(err)
	}
	return append(b, '\n')
}

// machineOn starts a machine on what the store has; stage 1 has pledged to
// another's proposal, 2 has one of its own under way, 3 is a member.
func machineOn(t *testing.T, store Store, stage uint8) *Machine {
	t.Helper()
	cfg := fuzzConfig()
	m, err := New(cfg, store)
	if err != nil {
		t.Fatal(err)
	}
	switch stage % 4 {
	case 1:
		_, err = m.Handle(Request{Kind: KindAsk, From: fuzzUpper, Cluster: "blue", Expect: 3, Proposal: new(fuzzProposal("3", fuzzUpper))})
	case 2:
		err = m.save(record{Proposal: fuzzProposal("2", fuzzSelf)})
	case 3:
		err = m.Joined("c-0")
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Requests and answers of strangers, one JSON document a line, to a node that
// is free, pledged, proposing or a member: nothing panics or breaks the node,
// a pledge is only ever to a proposal that names it, what is refused changes
// nothing on disk, and a node that starts again finds what it had.
func FuzzMessages(f *testing.F) {
	ask := Request{Kind: KindAsk, From: fuzzLower, Cluster: "blue", Expect: 3, Proposal: new(fuzzProposal("1", fuzzLower))}
	hasty := fuzzProposal("0", fuzzLower)
	hasty.Heartbeat = 1
	f.Add(uint8(0), line(f, Request{Kind: KindAsk, From: fuzzLower, Cluster: "blue", Expect: 3, Proposal: &hasty}), []byte(nil))
	release := Request{Kind: KindRelease, From: fuzzUpper, Cluster: "blue", Expect: 3, Number: "3"}
	query := Request{Kind: KindQuery, From: fuzzUpper, Cluster: "blue", Expect: 3, Number: "2"}
	pledged := Answer{From: fuzzUpper, Cluster: "blue", Expect: 3, Outcome: Pledged}
	withdrawn := Answer{From: fuzzUpper, Cluster: "blue", Expect: 3, Outcome: Withdrawn, PledgedTo: &fuzzLower}
	member := Answer{From: fuzzLower, Cluster: "blue", ClusterID: "c-9", Expect: 3, Heartbeat: time.Second}
	ready := Answer{From: fuzzUpper, Cluster: "blue", Expect: 3, Heartbeat: 1}
	last := Answer{From: fuzzLast, Cluster: "blue", Expect: 3, Heartbeat: time.Hour}
	f.Add(uint8(0), []byte(nil), bytes.Join([][]byte{line(f, ready), line(f, last)}, nil))
	for stage := range uint8(4) {
		f.Add(stage, bytes.Join([][]byte{line(f, ask), line(f, release), line(f, query)}, nil), line(f, pledged))
		f.Add(stage, line(f, Request{Kind: KindStatus, Cluster: "blue"}), bytes.Join([][]byte{line(f, withdrawn), line(f, member)}, nil))
	}
	f.Fuzz(func(t *testing.T, stage uint8, requests, answers []byte) {
		store := &memStore{fuse: -1000}
		m := machineOn(t, store, stage)
		for text := range bytes.Lines(requests) {
			handleOne(t, m, store, text)
		}
		now := time.Unix(1, 0)
		view := View{Servers: []Server{fuzzUpper, fuzzLast}, Seeds: []string{"seed"}}
		sends, err := m.Tick(now, view)
		if err != nil {
			t.Fatal(err)
		}
		for text := range bytes.Lines(answers) {
			var answer Answer
			if json.Unmarshal(text, &answer) != nil {
				continue
			}
			for _, send := range append(sends, Send{To: "seed", Request: m.request(KindStatus)}) {
				if err := m.Answered(now, send, answer); err != nil {
					t.Fatalf("%s to %+v breaks the node: %v", text, send, err)
				}
			}
		}
		if _, err := m.Tick(now.Add(roundEvery), view); err != nil {
			t.Fatal(err)
		}
		sameAfterRestart(t, m, store)
	})
}

// handleOne lets the machine answer one request.
func handleOne(t *testing.T, m *Machine, store Store, text []byte) {
	t.Helper()
	var request Request
	if json.Unmarshal(text, &request) != nil {
		return
	}
	before := onDisk(t, store)
	answer, err := m.Handle(request)
	if err != nil {
		t.Fatalf("%s breaks the node: %v", text, err)
	}
	after := onDisk(t, store)
	if answer.Outcome == Refused && before != after {
		t.Errorf("%s was refused (%s) and changed\n%s to\n%s", text, answer.Text, before, after)
	}
	if p, ok := m.Pledge(); ok && (!p.has(fuzzSelf) || !p.valid() || p.Cluster != "blue") {
		t.Errorf("after %s the node has pledged to %+v", text, p)
	}
	if p, ok := m.Pledge(); ok && p.Heartbeat != 0 && p.Heartbeat != pace.Step(p.Heartbeat) {
		t.Errorf("after %s raft shall run with a heartbeat of %v", text, p.Heartbeat)
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	var again Answer
	if err := json.Unmarshal(encoded, &again); err != nil || !cmp.Equal(answer, again) {
		t.Errorf("the answer %+v is read as %+v, %v", answer, again, err)
	}
}

// onDisk is what the store would tell a node that starts again.
func onDisk(t *testing.T, store Store) string {
	t.Helper()
	pledge, _, err := store.Pledge()
	if err != nil {
		t.Fatalf("what was written cannot be read, and the node will not start again: %v", err)
	}
	withdrawn, err := store.Withdrawn()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal([]any{pledge, withdrawn})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sameAfterRestart starts a second machine on the same disk.
func sameAfterRestart(t *testing.T, m *Machine, store Store) {
	t.Helper()
	cfg := fuzzConfig()
	cfg.ClusterID = m.clusterID
	again, err := New(cfg, store)
	if err != nil {
		t.Fatalf("the node does not start again: %v", err)
	}
	if diff := cmp.Diff(m.pledge, again.pledge); diff != "" {
		t.Errorf("after a restart the node has another pledge: %s", diff)
	}
	if diff := cmp.Diff(m.withdrawn, again.withdrawn); diff != "" {
		t.Error(diff)
	}
}
