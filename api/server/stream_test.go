package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// dial returns a client of servers on sockets.
func dial(t *testing.T, urls ...string) *client.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(urls, client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pull turns a sequence with errors into a function that must succeed.
func pull[T any](t *testing.T, seq iter.Seq2[T, error]) func() T {
	t.Helper()
	next, stop := iter.Pull2(seq)
	t.Cleanup(stop)
	return func() T {
		t.Helper()
		v, err, ok := next()
		if err != nil || !ok {
			t.Fatalf("the stream ended: %v", err)
		}
		return v
	}
}

// The event stream must show every change in order, each under
// "<lineage>-<revision>" with the object as the API shows it, and go on after
// Last-Event-ID without losing or repeating one.
func TestEvents(t *testing.T) {
	b := newBackend(t)
	_, ts := b.listen("n1")
	start := fmt.Sprintf("%s-%d", lineage, b.m.View().Revision)
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 2}))
	b.settle()
	b.must(&fsm.SetWeight{Node: "n2", Weight: 5})
	b.must(&fsm.SetFreeze{})
	b.must(&fsm.DeleteChain{Chain: "c"})
	want := int(b.m.View().Revision)

	// Read all events in one go, then again from each of them on.
	read := func(after string) (ids []string, kinds map[string]int) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		kinds = map[string]int{}
		for e, err := range dial(t, ts.URL).Events(ctx, after) {
			if err != nil {
				t.Fatal(err)
			}
			kinds[e.Kind]++
			if !json.Valid(e.Data) {
				t.Errorf("%s: data %s", e.Kind, e.Data)
			}
			if e.ID == "" {
				continue
			}
			if ids = append(ids, e.ID); e.ID == fmt.Sprintf("%s-%d", lineage, want) {
				return ids, kinds
			}
		}
		return nil, nil
	}
	ids, kinds := read(start)
	inOrder := slices.IsSortedFunc(ids, func(a, b string) int {
		_, x, errX := readEventID(a)
		_, y, errY := readEventID(b)
		if err := errors.Join(errX, errY); err != nil {
			t.Error(err)
		}
		return cmp.Compare(x, y)
	})
	if len(ids) < 8 || !inOrder {
		t.Errorf("events %v", ids)
	}
	for _, kind := range []string{api.EventChain, api.EventNode, api.EventConfig, api.EventDecision, api.EventMove} {
		if kinds[kind] == 0 {
			t.Errorf("no event of kind %s among %v", kind, kinds)
		}
	}
	if kinds[api.EventReset] != 0 {
		t.Errorf("a reset among %v", kinds)
	}
	for i, id := range ids[:len(ids)-1] {
		rest, _ := read(id)
		if !slices.Equal(rest, ids[i+1:]) {
			t.Errorf("after %s: %v, want %v", id, rest, ids[i+1:])
		}
	}
}

// A stream must begin with a reset when its place is of another lineage, or
// beyond what the leader knows, and send one when the cluster is restored
// under its eyes.
func TestEventsReset(t *testing.T) {
	b := newBackend(t)
	_, ts := b.listen("n1")
	for _, after := range []string{"lineage-0-3", lineage + "-100000"} {
		e := pull(t, dial(t, ts.URL).Events(t.Context(), after))()
		want := fmt.Sprintf("%s-%d", lineage, b.m.View().Revision)
		if e.Kind != api.EventReset || e.ID != want {
			t.Errorf("after %s: %s %s, want a reset at %s", after, e.Kind, e.ID, want)
		}
	}
	next := pull(t, dial(t, ts.URL).Events(t.Context(), fmt.Sprintf("%s-%d", lineage, b.m.View().Revision)))
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
	if e := next(); e.Kind != api.EventChain {
		t.Errorf("first %s, want chain", e.Kind)
	}
	b.restore("lineage-2")
	e := next()
	var reset api.Reset
	if err := json.Unmarshal(e.Data, &reset); err != nil || e.Kind != api.EventReset || reset.Lineage != "lineage-2" || !strings.HasPrefix(e.ID, "lineage-2-") {
		t.Errorf("%s %s %s, %v; want a reset to lineage-2", e.Kind, e.ID, e.Data, err)
	}
	b.must(fsm.NewPutChain("d", placement.Spec{Desired: 1}))
	if e := next(); !strings.Contains(string(e.Data), `"id":"d"`) {
		t.Errorf("after the reset: %s %s", e.Kind, e.Data)
	}
}

// known is what a watcher believes, by the rules of client.Update.
type known map[string]uint64

func (k known) apply(u client.Update) {
	if u.Reset {
		clear(k)
	}
	for _, c := range u.Chains {
		k[c.ID] = c.Generation
	}
	for _, id := range u.Deleted {
		delete(k, id)
	}
}

// truth is what the state says.
func truth(b *backend, prefix string) known {
	k := known{}
	b.m.View().Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		if strings.HasPrefix(string(id), prefix) {
			k[string(id)] = uint64(c.Generation)
		}
		return true
	})
	return k
}

// A watch must end up with what the state says after changes and deletions,
// after its node went away, with another leader and with none, and after a
// restore under a new lineage.
func TestWatch(t *testing.T) {
	b := newBackend(t)
	_, ts1 := b.listen("n1")
	_, ts2 := b.listen("n2")
	put := func(id placement.ChainID, desired int) { b.must(fsm.NewPutChain(id, placement.Spec{Desired: desired})) }
	for i := range 5 {
		put(placement.ChainID(fmt.Sprintf("w-%d", i)), 1)
	}
	put("other", 1)
	k := known{}
	next := pull(t, dial(t, ts1.URL, ts2.URL).Watch(t.Context(), "w-", client.Position{}))
	var last client.Update
	until := func(what string) {
		t.Helper()
		for want := truth(b, "w-"); !maps.Equal(k, want); {
			last = next()
			k.apply(last)
		}
		t.Logf("%s: known at %+v", what, last.Position)
	}
	until("listed")
	if !last.Reset || !last.Complete {
		t.Errorf("the first update must be a complete reset: %+v", last)
	}
	put("w-5", 1)
	b.must(&fsm.DeleteChain{Chain: "w-2"})
	put("other", 2)
	until("changed")
	if last.Reset {
		t.Error("changes came as a reset")
	}
	b.setLeader("n2")
	put("w-3", 2)
	until("another leader")
	b.setLeader("")
	put("w-4", 2)
	until("no leader")
	ts1.CloseClientConnections()
	ts1.Close()
	put("w-6", 1)
	until("first node gone")
	if last.Reset {
		t.Error("another node came as a reset")
	}
	b.restore("lineage-2")
	put("w-7", 1)
	b.must(&fsm.DeleteChain{Chain: "w-0"})
	until("restored")
	if last.Position.Lineage != "lineage-2" {
		t.Errorf("position %+v, want lineage-2", last.Position)
	}
}

// A watch that goes on from a position must send only what came after it.
func TestWatchFrom(t *testing.T) {
	b := newBackend(t)
	_, ts := b.listen("n1")
	b.must(fsm.NewPutChain("a", placement.Spec{Desired: 1}))
	at := client.Position{Lineage: lineage, Revision: uint64(b.m.View().Revision)}
	b.must(fsm.NewPutChain("b", placement.Spec{Desired: 1}))
	u := pull(t, dial(t, ts.URL).Watch(t.Context(), "", at))()
	if u.Reset || len(u.Chains) != 1 || u.Chains[0].ID != "b" {
		t.Errorf("got %+v, want b alone", u)
	}
}

// Every call of the client must fit its route: each is made once against the
// real handlers, and a refusal must come back as a problem with its code.
func TestClientCalls(t *testing.T) {
	b := newBackend(t)
	n1, ts := b.listen("n1")
	c, ctx := dial(t, ts.URL), t.Context()
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	refusal := func(what string, err error, code api.Code) {
		t.Helper()
		var p *api.Problem
		if !errors.As(err, &p) || p.Code != code {
			t.Errorf("%s: %v, want a problem %s", what, err, code)
		}
	}
	var meta client.Meta
	chain, err := c.PutChain(ctx, "c", api.Spec{Desired: new(2)}, client.WithMeta(&meta), client.CreateOnly(), client.Because("new"))
	ok("PutChain", err)
	if !meta.Created || meta.Lineage != lineage || meta.ETag != strconv.FormatUint(chain.Generation, 10) {
		t.Errorf("meta %+v of %+v", meta, chain)
	}
	_, err = c.PutChain(ctx, "c", api.Spec{}, client.IfGeneration(1))
	refusal("PutChain", err, api.StaleGeneration)
	_, err = c.PutChains(ctx, []api.BatchItem{{ID: "d"}, {ID: "e"}})
	ok("PutChains", err)
	b.settle()
	put, err := c.PutContent(ctx, "c", strings.NewReader("hello"), 5)
	ok("PutContent", err)
	b.settle()
	content, err := c.Content(ctx, "c", client.Range(1, 3))
	ok("Content", err)
	if content != nil {
		if content.SHA256 != put.SHA256 || content.Size != 3 {
			t.Errorf("content %+v of %+v", content, put)
		}
		ok("Close", content.Close())
	}
	_, err = c.PutContent(ctx, "c", strings.NewReader("x"), 1, client.IfSHA256(strings.Repeat("0", 64)))
	refusal("PutContent", err, api.StaleContent)
	_, err = c.CommitContent(ctx, "c", api.ContentCommit{SHA256: strings.Repeat("0", 64)})
	refusal("CommitContent", err, api.StaleContent)
	_, err = c.Chain(ctx, "c", client.At(api.Linearizable), client.Within(1e9))
	ok("Chain", err)
	count := 0
	for _, err := range c.AllChains(ctx, "") {
		ok("AllChains", err)
		count++
	}
	if count != 3 {
		t.Errorf("AllChains gave %d, want 3", count)
	}
	_, err = c.Explain(ctx, "c")
	ok("Explain", err)
	_, err = c.Move(ctx, "c", "n9", "", "because")
	refusal("Move", err, api.NotHolder)
	_, err = c.Moves(ctx, client.Page{Limit: 5})
	ok("Moves", err)
	decisions, err := c.Decisions(ctx, client.DecisionFilter{Chain: "c", Cause: "repair", Limit: 5})
	ok("Decisions", err)
	if decisions == nil || len(decisions.Decisions) == 0 {
		t.Errorf("no decisions: %+v", decisions)
	}
	_, err = c.Status(ctx)
	ok("Status", err)
	ok("Ready", c.Ready(ctx, true))
	nodes, err := c.Nodes(ctx)
	ok("Nodes", err)
	if len(nodes) != 3 || !nodes[0].Leader || !nodes[0].Voter {
		t.Errorf("nodes %+v", nodes)
	}
	clientNodeCalls(t, b, c, ok, refusal)
	_, err = c.DeleteChain(ctx, "d", "over")
	ok("DeleteChain", err)
	_, err = c.Plan(ctx, api.PlanRequest{})
	refusal("Plan", err, api.Unsupported)
	_, err = c.TransferLeadership(ctx, "", "")
	ok("TransferLeadership", err)
	n1.ready = false
	short, err := client.New([]string{ts.URL}, client.WithRetry(0))
	ok("New", err)
	defer short.Close()
	refusal("Ready", short.Ready(ctx, false), api.NotReady)
}

func clientNodeCalls(t *testing.T, b *backend, c *client.Client, ok func(string, error), refusal func(string, error, api.Code)) {
	t.Helper()
	ctx := t.Context()
	for what, call := range map[string]func() (*api.Node, error){
		"Node":        func() (*api.Node, error) { return c.Node(ctx, "n2") },
		"Cordon":      func() (*api.Node, error) { return c.Cordon(ctx, "n2", "x") },
		"Uncordon":    func() (*api.Node, error) { return c.Uncordon(ctx, "n2", "x") },
		"SetWeight":   func() (*api.Node, error) { return c.SetWeight(ctx, "n2", 0.5, "x") },
		"Drain":       func() (*api.Node, error) { return c.Drain(ctx, "n2", 1e9, "x") },
		"CancelDrain": func() (*api.Node, error) { return c.CancelDrain(ctx, "n2", "x") },
		"Maintenance": func() (*api.Node, error) { return c.Maintenance(ctx, "n2", true, "x") },
	} {
		n, err := call()
		ok(what, err)
		if n != nil && n.ID != "n2" {
			t.Errorf("%s: %+v", what, n)
		}
	}
	for what, call := range map[string]func() (*api.Done, error){
		"Freeze":          func() (*api.Done, error) { return c.Freeze(ctx, 1e9, "x") },
		"Thaw":            func() (*api.Done, error) { return c.Thaw(ctx, "x") },
		"ResumeRepair":    func() (*api.Done, error) { return c.ResumeRepair(ctx, "x") },
		"ReleaseSnapshot": func() (*api.Done, error) { return c.ReleaseSnapshot(ctx, "x") },
	} {
		_, err := call()
		ok(what, err)
	}
	_, err := c.RemoveNode(ctx, "n2", api.NodeRemoval{Reason: "x"})
	refusal("RemoveNode", err, api.NodeNotEmpty)
	a, err := c.Assignments(ctx, "n1")
	ok("Assignments", err)
	report := api.Reports{Lineage: a.Lineage, Incarnation: a.Incarnation, Reports: []api.Report{}}
	_, err = c.Report(ctx, "n1", report)
	ok("Report", err)
	_, err = c.Orphans(ctx, "n1", client.Page{})
	ok("Orphans", err)
	_, err = c.PurgeOrphan(ctx, "n1", "none", "x")
	refusal("PurgeOrphan", err, api.UnknownChain)
	cfg, err := c.Config(ctx)
	ok("Config", err)
	_, err = c.PutConfig(ctx, *cfg)
	ok("PutConfig", err)
	_, err = c.PatchConfig(ctx, map[string]any{"moves_max": 70})
	ok("PatchConfig", err)
	_, err = c.PatchConfig(ctx, map[string]any{"moves_most": 7})
	refusal("PatchConfig", err, api.Invalid)
	if got := b.m.View().Config.MovesMax; got != 70 {
		t.Errorf("moves_max %d, want 70", got)
	}
}

// HEAD of the event stream must be answered and end: what follows on its
// connection waits for that.
func TestHeadOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newBackend(t).serve("n1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodHead, "/v1/events", http.NoBody))
		if ctx.Err() != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("%d, %v, %v", w.Code, w.Header(), ctx.Err())
		}
	})
}
