package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/cluster/pledge"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/internal/appetite"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/transport"
)

// What decoding one message may ask for: for each byte a part of an item,
// while its list grows by doubling.
const (
	decodeBase  = 256 << 10
	decodeTimes = 256
)

// decoded decodes one message, which must cost memory in proportion and come
// back as it is when it is sent on.
func decoded[M any](t *testing.T, body []byte) (message M, ok bool) {
	t.Helper()
	var err error
	asked := appetite.Of(func() {
		_, err = answerCall(t.Context(), body, func(_ context.Context, m M) (struct{}, error) {
			message = m
			return struct{}{}, nil
		})
	})
	if asked > decodeBase+decodeTimes*uint64(len(body)) {
		t.Errorf("%d bytes of %T asked for %d of memory", len(body), message, asked)
	}
	if err != nil {
		if refused, is := errors.AsType[*transport.RPCError](err); !is || refused.Code != transport.RPCCodeInvalid {
			t.Errorf("%T: %v, want the caller to be told that it is invalid", message, err)
		}
		return message, false
	}
	sent, err := json.Marshal(message)
	if err != nil {
		t.Fatalf("read, but cannot be written: %v", err)
	}
	var again M
	if err := json.Unmarshal(sent, &again); err != nil {
		t.Fatalf("written, but cannot be read: %v", err)
	}
	if resent, err := json.Marshal(again); err != nil || !bytes.Equal(sent, resent) {
		t.Errorf("%s comes back as %s, %v", sent, resent, err)
	}
	return message, true
}

// foundedMachine is the state of a cluster with one node and one chain, whose
// newest operation is that of entry.
func foundedMachine(t testing.TB) *fsm.Machine {
	t.Helper()
	m := fsm.New()
	announce := &fsm.Announce{Node: "n1", Instance: "i1", Process: "p1", Role: placement.RoleServer, FeatureLevel: fsm.Level}
	announce.SetAddresses(placement.Addresses{Node: "a1"})
	for i, body := range []fsm.Body{&fsm.Genesis{ClusterID: "c-1", Name: "blue", Lineage: "l-1"}, announce} {
		data, err := fsm.EncodeBatch(fsm.Batch{Now: placement.Time(time.Second), Ops: []fsm.Op{{Actor: "test", Body: body}}})
		if err != nil {
			t.Fatal(err)
		}
		results, err := m.Apply(uint64(i+1), 1, data)
		if err != nil || !results[0].OK() {
			t.Fatal(results, err)
		}
	}
	return m
}

// applied does with an operation what the leader does: what it takes into the
// log must be an entry that every node can apply and keep.
func applied(t *testing.T, actor string, body fsm.Body) {
	t.Helper()
	op := fsm.Op{Actor: actor, Reason: "fuzz", Body: body}
	encoded, err := op.Encode()
	if err != nil || encoded.Size() > fsm.BatchBytesMax-entryOverhead {
		return // the caller is told
	}
	m := foundedMachine(t)
	data, err := fsm.EncodeEntry(fsm.Batch{Now: placement.Time(2 * time.Second), Term: 1}, []fsm.Encoded{encoded})
	if err != nil {
		t.Fatalf("taken, but no entry: %v", err)
	}
	before := m.View()
	results, err := m.Apply(3, 1, data)
	if err != nil {
		t.Fatalf("%+v ends every node: %v", body, err)
	}
	if after := m.View(); !results[0].OK() && after.Revision != before.Revision {
		t.Errorf("%+v was refused (%s) and has moved the revision from %d to %d", body, results[0].Detail, before.Revision, after.Revision)
	}
	m.View().Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		if _, err := placement.ParseNodeID(string(id)); err != nil || placement.CheckText("zone", n.Zone) != nil {
			t.Errorf("%+v made a node of a name or zone that cannot be: %v", body, err)
		}
		return true
	})
	var snapshot bytes.Buffer
	if _, err := m.View().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	if _, err := fsm.ReadSnapshot(&snapshot); err != nil {
		t.Fatalf("after %+v the state cannot be restored: %v", body, err)
	}
	if answer, err := json.Marshal(results[0]); err != nil {
		t.Errorf("the answer %+v cannot be sent: %v", results[0], err)
	} else if strings.ContainsAny(results[0].Detail, "\n\r\x00\x1b") {
		t.Errorf("%s has control characters", answer)
	}
}

// Requests of the node port with any body: the decoders do not panic and ask
// for memory in proportion, what they take means the same when it is sent on,
// and what the leader puts into its log from them every node can apply.
func FuzzRequests(f *testing.F) {
	announce := fsm.Announce{Node: "n2", Instance: "i2", Process: "p2", Role: placement.RoleServer, Zone: "z", Version: "v1", FeatureLevel: fsm.Level, CapacityBytes: 1 << 30}
	announce.SetAddresses(placement.Addresses{Node: "a2", HTTP: "h2", Service: "s2"})
	announce.SetLabels(placement.Labels{{Key: "disk", Value: "ssd"}})
	announce.SetCapabilities(placement.Capabilities{{Key: "cores", Number: 8, IsNumber: true}, {Key: "gpu", Text: "a"}})
	report := fsm.Report{Node: "n1", Lineage: "l-1", Incarnation: 2, Items: []fsm.ReportItem{{Chain: "c", Epoch: 1, Phase: fsm.ReportFailed, Error: "no"}}}
	inventory := fsm.Report{Node: "n1", Lineage: "l-1", Incarnation: 2, Inventory: true, Items: []fsm.ReportItem{{Chain: "c", Epoch: 1, Phase: fsm.ReportReady, SHA256: strings.Repeat("a", 64), SizeBytes: 1}}}
	nameless, longZone := announce, announce
	nameless.Node, longZone.Zone = "n 2", strings.Repeat("z", 1<<16)
	self := pledge.Server{NodeID: "n1", Instance: "i1", Address: "a1"}
	crowd := []pledge.Server{self}
	for i := range 2 * entryCalls {
		crowd = append(crowd, pledge.Server{NodeID: "n", Instance: strconv.Itoa(i), Address: "a"})
	}
	add := func(method uint8, request any) {
		body, err := json.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, body)
	}
	for i, request := range []any{
		pledgeCall{Request: pledge.Request{Kind: pledge.KindStatus, From: pledge.Server{NodeID: "n2", Instance: "i2", Address: "a2"}, Cluster: "blue", Expect: 3}, Known: []pledge.Server{{NodeID: "n3", Instance: "i3", Address: "a3"}}},
		joinRequest{announce},
		report,
		leaveRequest{"n1", "i1", 2},
		probeRequest{"i1", 2},
		termRequest{"i1"},
		paceRequest{Heartbeat: time.Second, Why: "slow"},
		pledgeCall{Request: pledge.Request{Kind: pledge.KindStatus, From: self, Cluster: "blue"}, Known: crowd},
		joinRequest{},
		inventory,
	} {
		add(uint8(i), request)
	}
	add(1, joinRequest{nameless})
	add(1, joinRequest{longZone})
	f.Fuzz(func(t *testing.T, method uint8, body []byte) {
		switch method % 7 {
		case 0:
			if call, ok := decoded[pledgeCall](t, body); ok {
				checkSighted(t, call)
			}
		case 1:
			if request, ok := decoded[joinRequest](t, body); ok {
				applied(t, nodeActor(request.Announce.Node), &request.Announce)
			}
		case 2:
			if report, ok := decoded[fsm.Report](t, body); ok {
				applied(t, nodeActor(report.Node), &report)
			}
		case 3:
			if request, ok := decoded[leaveRequest](t, body); ok {
				applied(t, nodeActor(request.Node), &fsm.Leave{Node: request.Node, Instance: request.Instance, Incarnation: request.Incarnation})
			}
		case 4:
			decoded[probeRequest](t, body)
		case 5:
			decoded[termRequest](t, body)
		case 6:
			decoded[paceRequest](t, body)
		}
	})
}

// A body that is too long for its method is refused before it is decoded, or
// a stranger's 4 MiB would take a hundred times as much, and a pledge would be
// written that cannot be read again: one byte too many for each method.
func TestRequestsAreBounded(t *testing.T) {
	for method, most := range map[string]int{methodPledge: pledgeBytesMax, methodJoin: callBytesMax, methodLeave: callBytesMax, methodProbe: callBytesMax, methodTerm: callBytesMax, methodPace: callBytesMax} {
		n := new(Node) // nothing of it is asked
		_, err := n.serveCall(t.Context(), transport.Identity{}, method, make([]byte, most+1))
		if refused, ok := errors.AsType[*transport.RPCError](err); !ok || refused.Code != transport.RPCCodeTooLarge {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// However many servers one stranger claims to be, a node remembers some, and
// names as many as others take note of: two thousand calls.
func TestSightedIsBounded(t *testing.T) {
	e := &entry{node: &Node{cfg: Config{Cluster: "blue"}}, self: pledge.Server{Instance: "self"}, direct: map[string]sighted{}, told: map[string]sighted{}}
	for i := range 2000 {
		s := pledge.Server{NodeID: "n", Instance: strconv.Itoa(i), Address: "a"}
		e.sighted(s, "blue", []pledge.Server{{Instance: "told" + s.Instance}})
	}
	if now := time.Now(); len(e.direct) > entrySeen || len(e.told) > entrySeen || len(e.heardMyself(now)) > entryCalls {
		t.Errorf("%d and %d servers are remembered, %d named", len(e.direct), len(e.told), len(e.heardMyself(now)))
	}
	clear(e.direct)
	for i := range entryCalls {
		name := strings.Repeat("\x01", sightedBytesMax/3-2) + strconv.Itoa(10+i) // each byte takes six
		e.sighted(pledge.Server{NodeID: name, Instance: name, Address: name}, "blue", nil)
		e.sighted(pledge.Server{NodeID: strings.Repeat("n", sightedBytesMax), Instance: "long" + name}, "blue", nil)
	}
	named := e.heardMyself(time.Now())
	call, err := json.Marshal(pledgeCall{Known: named})
	if err != nil || len(named) != entryCalls || len(call) > pledgeBytesMax-4096 {
		t.Errorf("%d servers are named to others in %d bytes: %v", len(named), len(call), err)
	}
}

// checkSighted notes a call's servers as a node does that is on its way into a
// cluster.
func checkSighted(t *testing.T, call pledgeCall) {
	t.Helper()
	e := &entry{node: &Node{cfg: Config{Cluster: "blue"}}, self: pledge.Server{NodeID: "n1", Instance: "i1", Address: "a1"}, direct: map[string]sighted{}, told: map[string]sighted{}}
	e.sighted(call.Request.From, call.Request.Cluster, call.Known)
	now := time.Now()
	if got := len(e.servers(now)); got > entryCalls+1 {
		t.Errorf("one call names %d servers", got)
	}
	for _, s := range e.servers(now) {
		if s.Instance == e.self.Instance {
			t.Errorf("the node takes %+v for another", s)
		}
	}
}

// Answers of other nodes, and their refusals: the decoders as for requests, and
// a refusal is passed on as it came.
func FuzzAnswers(f *testing.F) {
	for i, answer := range []any{
		pledgeReply{Answer: pledge.Answer{From: pledge.Server{NodeID: "n2", Instance: "i2", Address: "a2"}, Cluster: "blue", Expect: 3, Outcome: pledge.Refused, Code: pledge.CodeMember, Text: "no"}},
		joinAnswer{ClusterID: "c-1", Incarnation: 2, Index: 3, Heartbeat: time.Second},
		fsm.Result{Code: placement.Invalid, Detail: "no"},
		probeAnswer{7},
		termAnswer{8},
		paceAnswer{Report: pace.Report{Heartbeat: time.Second, Why: "slow"}, Running: 300 * time.Millisecond},
		"refused",
	} {
		body, err := json.Marshal(answer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, method uint8, body []byte) {
		switch method % 7 {
		case 0:
			decoded[pledgeReply](t, body)
		case 1:
			decoded[joinAnswer](t, body)
		case 2:
			if result, ok := decoded[fsm.Result](t, body); ok && result.OK() != (result.Code == "") {
				t.Errorf("%+v", result)
			}
		case 3:
			decoded[probeAnswer](t, body)
		case 4:
			decoded[termAnswer](t, body)
		case 5:
			decoded[paceAnswer](t, body)
		case 6:
			refusal := &transport.RPCError{Code: string(body), Detail: "why"}
			err := fromWire(refusal)
			if back, ok := errors.AsType[*RefusedError](err); ok && !cmp.Equal(asRPCError(back), error(refusal)) {
				t.Errorf("%+v is passed on as %+v", refusal, back)
			}
		}
	})
}
