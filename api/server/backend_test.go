package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// backend is a cluster without raft: one real state machine to which every
// operation is applied as a batch of its own. One of its nodes leads; the
// others share a second machine, which may be made to lag.
type backend struct {
	t testing.TB

	mu     sync.Mutex
	m      *fsm.Machine
	index  uint64
	now    placement.Time
	leader placement.NodeID
	voted  chan struct{} // closed when the leader changes
	lost   int           // proposals to apply without an answer
	addrs  map[placement.NodeID]string
	blobs  map[string][]byte // contents by hash
	f      *fsm.Machine      // the followers' state
	behind [][]byte          // entries that the followers have not applied
	lag    bool              // they apply nothing
}

const (
	clusterID = "0d9c4e5e-5f7f-4a43-8d0b-1a2b3c4d5e6f"
	lineage   = "lineage-1"
	term      = 3
)

// newBackend founds a cluster of three nodes that have reported an empty
// inventory; n1 leads.
func newBackend(t testing.TB) *backend {
	t.Helper()
	b := &backend{
		t: t, m: fsm.New(), f: fsm.New(), now: placement.Time(time.Second), leader: "n1", voted: make(chan struct{}),
		addrs: map[placement.NodeID]string{}, blobs: map[string][]byte{},
	}
	b.must(&fsm.Genesis{ClusterID: clusterID, Name: "test", Lineage: lineage})
	for i, id := range []placement.NodeID{"n1", "n2", "n3"} {
		b.announce(id, string("abc"[i]))
	}
	return b
}

func (b *backend) announce(id placement.NodeID, zone string) {
	b.t.Helper()
	a := &fsm.Announce{
		Node: id, Instance: "instance-" + string(id), Process: "process-" + string(id), Role: placement.RoleServer,
		Zone: zone, CapacityBytes: 1 << 30, Version: "1.0.0", FeatureLevel: 1,
	}
	a.SetAddresses(placement.Addresses{Node: string(id) + ":7400", HTTP: string(id) + ":7401"})
	labels, err := placement.LabelsOf(map[string]string{"disk": "ssd"})
	if err != nil {
		b.t.Fatal(err)
	}
	a.SetLabels(labels)
	a.SetCapabilities(placement.Capabilities{{Key: placement.CapabilityCores, Number: 8, IsNumber: true}, {Key: "gpu", Text: "a100"}, {Key: placement.CapabilityMemoryBytes, Number: 1 << 34, IsNumber: true}})
	inc := b.must(a).Incarnation
	b.must(&fsm.Report{Node: id, Lineage: b.m.View().Lineage, Incarnation: inc, Inventory: true})
}

// apply applies operations as one entry of the log, a second after the last.
func (b *backend) apply(batch fsm.Batch) []fsm.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index++
	b.now = b.now.Add(time.Second)
	batch.Now, batch.Wall = b.now, time.Unix(1_700_000_000, 0).Add(time.Duration(b.now))
	data, err := fsm.EncodeBatch(batch)
	if err != nil {
		b.t.Fatalf("EncodeBatch: %v", err)
	}
	results, err := b.m.Apply(b.index, term, data)
	if err != nil {
		b.t.Fatalf("Apply: %v", err)
	}
	if b.behind = append(b.behind, data); !b.lag {
		b.follow()
	}
	return results
}

// follow lets the followers catch up. The caller holds the lock.
func (b *backend) follow() {
	for i, data := range b.behind {
		if _, err := b.f.Apply(b.index-uint64(len(b.behind)-1-i), term, data); err != nil {
			b.t.Fatalf("Apply on the followers: %v", err)
		}
	}
	b.behind = nil
}

// setLag lets the followers stand still, or catch up.
func (b *backend) setLag(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lag = on; !on {
		b.follow()
	}
}

func (b *backend) must(body fsm.Body) fsm.Result {
	b.t.Helper()
	r := b.apply(fsm.Batch{Ops: []fsm.Op{{Actor: "test", Reason: "test", Body: body}}})[0]
	if !r.OK() {
		b.t.Fatalf("%T: %s (%s)", body, r.Detail, r.Code)
	}
	return r
}

// decide applies one pass of the scheduler and tells whether it decided
// anything.
func (b *backend) decide() bool {
	b.t.Helper()
	v := b.m.View()
	in := b.input(v)
	in.Scorer = nil // no balance: what happens here is what the tests ask for
	plan := scheduler.Decide(in)
	if len(plan.Decisions) == 0 {
		return false
	}
	batch := fsm.Batch{Term: term, ConfigAt: v.ConfigGeneration}
	for _, d := range plan.Decisions {
		batch.Ops = append(batch.Ops, fsm.Op{Actor: "scheduler", Body: fsm.NewDecide(d)})
	}
	for i, r := range b.apply(batch) {
		if !r.OK() {
			b.t.Fatalf("decision %+v: %s (%s)", plan.Decisions[i], r.Detail, r.Code)
		}
	}
	return true
}

// work lets every node do its duties and report them.
func (b *backend) work() bool {
	v := b.m.View()
	var reports []*fsm.Report
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		r := &fsm.Report{Node: id, Lineage: v.Lineage, Incarnation: n.Incarnation}
		for _, d := range v.Duties(id).Assignments {
			item := fsm.ReportItem{Chain: d.Chain, Epoch: d.Epoch}
			switch d.Phase {
			case placement.Pulling:
				item.Phase = fsm.ReportReady
				if d.Content != nil {
					item.SHA256, item.SizeBytes = d.Content.SHA256, d.Content.Size
				}
			case placement.Dropping:
				item.Phase = fsm.ReportDropped
			case placement.Ready:
				continue
			}
			r.Items = append(r.Items, item)
		}
		if r.Items != nil {
			reports = append(reports, r)
		}
		return true
	})
	for _, r := range reports {
		b.must(r)
	}
	return reports != nil
}

// settle decides and works until nothing is left to do.
func (b *backend) settle() {
	b.t.Helper()
	for range 100 {
		if !b.decide() && !b.work() {
			return
		}
	}
	b.t.Fatal("the cluster did not come to rest in 100 passes")
}

func (b *backend) input(v *fsm.View) scheduler.Input {
	return scheduler.Input{View: &v.View, Now: v.Now, Config: v.Config, Scorer: scorer.New()}
}

func (b *backend) setLeader(id placement.NodeID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leader = id
	close(b.voted)
	b.voted = make(chan struct{})
}

func (b *backend) leads() (placement.NodeID, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leader, b.voted
}

// node is one node of a backend; it implements what the server needs.
type node struct {
	*backend
	id           placement.NodeID
	transport    http.RoundTripper
	ready        bool
	panics       bool
	deposed      bool // it takes itself for the leader and is none
	restoredBy   string
	restoreFails error
}

func (n *node) View() *fsm.View {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.panics {
		panic("a defect")
	}
	if n.leader != n.id || n.deposed {
		return n.f.View()
	}
	return n.m.View()
}

func (n *node) Read(_ context.Context, linearizable bool) (*fsm.View, error) {
	if leader, _ := n.leads(); leader != n.id || n.deposed && linearizable {
		return nil, ErrNotLeader
	}
	return n.View(), nil
}

func (n *node) Propose(_ context.Context, ops ...fsm.Op) ([]fsm.Result, error) {
	if leader, _ := n.leads(); leader != n.id {
		return nil, ErrNotLeader
	}
	results := n.apply(fsm.Batch{Ops: ops})
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost > 0 {
		n.lost--
		return nil, ErrOutcomeUnknown
	}
	return results, nil
}

func (n *node) Status() Status {
	leader, _ := n.leads()
	out := Status{
		Node: n.id, IsLeader: leader == n.id, Term: term, Ready: n.ready,
		Voters: []placement.NodeID{"n1", "n2", "n3"},
	}
	if leader != "" {
		out.Leader = n.leaderOf(leader)
	}
	if leader != n.id {
		out.LastContact = 12 * time.Millisecond
	}
	return out
}

func (n *node) leaderOf(id placement.NodeID) *Leader {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Leader{Node: id, Address: n.addrs[id], HTTP: string(id) + ":7401"}
}

func (n *node) WaitLeader(ctx context.Context) (Leader, error) {
	for {
		leader, changed := n.leads()
		if leader != "" {
			return *n.leaderOf(leader), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Leader{}, ctx.Err()
		}
	}
}

func (n *node) LeaderChanged() <-chan struct{} {
	_, changed := n.leads()
	return changed
}

func (n *node) NodeTransport() http.RoundTripper { return n.transport }

// Facts says that n1 and n3 have been heard of, and that n3 knows only its load.
func (n *node) Facts() placement.Facts {
	return placement.Facts{Samples: placement.TableOf(map[placement.NodeID]placement.Sample{
		"n1": {Load: 0.25, FreeBytes: 1 << 29, MemoryFreeBytes: 1 << 33},
		"n3": {Load: 1.5, FreeBytes: -1, MemoryFreeBytes: -1},
	})}
}

func (n *node) DecideInput(v *fsm.View) scheduler.Input { return n.input(v) }

// Put stores the bytes with the holders that the state names and commits them.
func (n *node) Put(_ context.Context, w ContentWrite, body io.Reader) (api.ContentPut, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return api.ContentPut{}, err
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	v := n.m.View()
	c := v.Chain(w.Chain)
	if c == nil {
		return api.ContentPut{}, &Refusal{placement.UnknownChain, "chain " + string(w.Chain) + " does not exist"}
	}
	if w.IfMatch != "" && w.IfMatch != c.SHA256() {
		return api.ContentPut{}, &Refusal{placement.StaleContent, "the content is another"}
	}
	op := &fsm.CommitContent{Chain: w.Chain, SHA256: hash, Size: int64(len(data))}
	if c.Content != nil {
		op.Base = c.Content.Version
	}
	out := api.ContentPut{SHA256: hash, Size: op.Size}
	for _, h := range c.Holders {
		op.Holders = append(op.Holders, fsm.StoredCopy{Node: h.Node, Incarnation: v.Node(h.Node).Incarnation, Epoch: h.Epoch})
		out.Holders = append(out.Holders, string(h.Node))
	}
	n.mu.Lock()
	n.blobs[hash] = data
	n.mu.Unlock()
	r := n.apply(fsm.Batch{Ops: []fsm.Op{{Actor: w.Actor, Request: fsm.Request{Key: w.Key, Hash: sum[:]}, Body: op}}})[0]
	if !r.OK() {
		return out, &Refusal{r.Code, r.Detail}
	}
	out.Version = uint64(r.Chain.Content.Version)
	return out, nil
}

func (n *node) Open(_ context.Context, r ContentRead) (io.ReadCloser, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	data := n.blobs[r.Content.SHA256]
	return io.NopCloser(bytes.NewReader(data[r.Offset : r.Offset+r.Length])), nil
}

// serve returns a node of the backend and its server.
func (b *backend) serve(id placement.NodeID, change ...func(*Config)) (*node, *Server) {
	b.t.Helper()
	n := &node{backend: b, id: id, ready: true, transport: http.DefaultTransport}
	cfg := Config{
		Version: "1.0.0", State: n, Writer: n, Leadership: n, Decider: n, Operator: n, Telemetry: n, Content: n,
		Metrics: prometheus.NewRegistry(), OnError: func(err error) { b.t.Logf("OnError: %.200v", err) },
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return n, s
}

// listen serves a node on a socket and makes its address known to the others.
func (b *backend) listen(id placement.NodeID) (*node, *httptest.Server) {
	b.t.Helper()
	n, s := b.serve(id)
	ts := httptest.NewServer(s.Peers()) // as a node port: what it gets was passed on
	b.t.Cleanup(ts.Close)
	transport := &http.Transport{}
	b.t.Cleanup(transport.CloseIdleConnections)
	n.transport = transport
	b.mu.Lock()
	b.addrs[id] = strings.TrimPrefix(ts.URL, "http://")
	b.mu.Unlock()
	return n, ts
}

// ask sends a request straight into a handler. headers are pairs.
func ask(t testing.TB, h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// into decodes an answer that must have the status.
func into[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var out T
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return out
}

// refusedWith checks an error answer: its code with that code's status, the
// field, and the media type.
func refusedWith(t testing.TB, w *httptest.ResponseRecorder, code api.Code, field string) {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("no problem: %v: %d %s", err, w.Code, w.Body)
	}
	if p.Code != code || w.Code != api.Status(code) || p.Status != w.Code || string(p.Field) != field {
		t.Errorf("got %d %s field %q (%s), want %s field %q", w.Code, p.Code, p.Field, p.Detail, code, field)
	}
	if got := w.Header().Get("Content-Type"); got != api.ProblemType {
		t.Errorf("Content-Type %q, want %q", got, api.ProblemType)
	}
	if p.Detail == "" || strings.Contains(p.Detail, "goroutine") || strings.Contains(p.Detail, "\n") {
		t.Errorf("detail %q is not one line for people", p.Detail)
	}
}

// Raft implements Operator.
func (n *node) Raft() Raft {
	out := Raft{Index: n.View().Index, CommitIndex: n.View().Index}
	for _, id := range []placement.NodeID{"n1", "n2", "n3"} {
		leads := id == n.Status().Leader.Node
		out.Servers = append(out.Servers, RaftServer{
			Node: id, Instance: "instance-" + string(id), Address: string(id) + ":7400", Voter: true, Leader: leads,
			Known: n.Status().IsLeader, Match: out.Index, LastContact: 250 * time.Millisecond,
		})
	}
	return out
}

// Transfer implements Operator: the next node leads.
func (n *node) Transfer(_ context.Context, to placement.NodeID, _ string) error {
	if !n.Status().IsLeader {
		return ErrNotLeader
	}
	if to == "n9" {
		return &Refusal{placement.Invalid, "to: node n9 is no voter"}
	}
	return nil
}

// Restore implements Operator as the node does.
func (n *node) Restore(_ context.Context, saved io.Reader, wish Restoration) error {
	data, err := io.ReadAll(saved)
	if err != nil {
		return &Refusal{placement.Invalid, err.Error()}
	}
	if n.restoreFails != nil {
		return n.restoreFails
	}
	view, err := fsm.ReadSnapshot(bytes.NewReader(data))
	if err != nil {
		return &Refusal{placement.Invalid, err.Error()}
	}
	if view.ClusterID != clusterID && !wish.Foreign {
		return &Refusal{placement.Invalid, "the snapshot is of another cluster"}
	}
	n.restoredBy = wish.By
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range []*fsm.Machine{n.m, n.f} {
		var out bytes.Buffer
		if err := fsm.Rewrite(bytes.NewReader(data), m.View(), "restored", &out); err != nil {
			return err
		}
		if err := m.Restore(&out); err != nil {
			return err
		}
	}
	return nil
}

// restore puts the present state back under a new lineage, as restoring a
// snapshot does.
func (b *backend) restore(lineage string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range []*fsm.Machine{b.m, b.f} {
		var saved, out bytes.Buffer
		if _, err := b.m.View().WriteTo(&saved); err != nil {
			b.t.Fatal(err)
		}
		if m == b.f {
			out = saved // the leader's state is rewritten already
		} else if err := fsm.Rewrite(&saved, b.m.View(), lineage, &out); err != nil {
			b.t.Fatal(err)
		}
		if err := m.Restore(&out); err != nil {
			b.t.Fatal(err)
		}
	}
}
