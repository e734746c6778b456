package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// A key in another letter case must be refused as unknown and a key given
// twice as such, at any depth, and be named; nothing must change.
func TestKeysAreExact(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	before := b.m.View().Revision
	for _, c := range []struct{ method, path, body, field, want string }{
		{"PUT", "/v1/chains/c", `{"SPEC":{"desired":2}}`, "SPEC", "no such field"},
		{"PUT", "/v1/chains/c", `{"spec":{"Desired":2}}`, "spec.Desired", "no such field"},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":2,"desired":3}}`, "spec.desired", "twice"},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":2},"spec":{}}`, "spec", "twice"},
		{"PUT", "/v1/chains/c", `{"spec":{},"holders":[{"node":"a","node":"b"}]}`, "holders[0].node", "twice"},
		{"PUT", "/v1/chains/c", `{"spec":{"labels":{"a":"1","a":"2"}}}`, "spec.labels.a", "twice"},
		{"PATCH", "/v1/config", `{"Cooldown":"1m"}`, "Cooldown", "no such field"},
		{"PATCH", "/v1/config", `{"cooldown":"1m","cooldown":null}`, "cooldown", "twice"},
		{"POST", "/v1/chains:batch", `{"chains":[{"id":"a","spec":{}},{"id":"b","spec":{"Weight":1}}]}`, "chains[1].spec.Weight", "no such field"},
		{"POST", "/v1/freeze", `{"reason":"x","Reason":"y"}`, "Reason", "no such field"},
	} {
		w := ask(t, s, c.method, c.path, c.body)
		refusedWith(t, w, api.Invalid, c.field)
		if !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %s, want %q", c.body, w.Body, c.want)
		}
	}
	if got := b.m.View().Revision; got != before {
		t.Errorf("the revision went from %d to %d", before, got)
	}
	// Letter case is the user's own in labels.
	into[api.Chain](t, ask(t, s, http.MethodPut, "/v1/chains/c", `{"spec":{"labels":{"Desired":"x"}}}`), http.StatusCreated)
}

// null must bring every key of the configuration back to its default, and
// every key of a spec to the cluster's value.
func TestNullIsTheDefault(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	def := into[map[string]any](t, ask(t, s, http.MethodGet, "/v1/config", ""), http.StatusOK)
	durations := 0
	for _, key := range slices.Sorted(maps.Keys(def)) {
		if text, ok := def[key].(string); ok {
			if d, err := time.ParseDuration(text); err == nil {
				durations++
				other := fmt.Sprintf(`{%q:%q}`, key, d+time.Second)
				if w := ask(t, s, http.MethodPatch, "/v1/config", other); w.Code != http.StatusOK {
					t.Errorf("PATCH %s: %d %s", other, w.Code, w.Body)
				}
			}
		}
		got := into[map[string]any](t, ask(t, s, http.MethodPatch, "/v1/config", fmt.Sprintf(`{%q:null}`, key)), http.StatusOK)
		if got[key] != def[key] {
			t.Errorf("%s: %v, want the default %v", key, got[key], def[key])
		}
		into[map[string]any](t, ask(t, s, http.MethodPut, "/v1/config", fmt.Sprintf(`{%q:null}`, key)), http.StatusOK)
	}
	if durations < 13 {
		t.Errorf("%d durations were tried, want at least 13", durations)
	}
	var keys []string
	for _, key := range []string{"desired", "min_ready", "size_bytes", "weight", "labels", "policy", "floor", "gap", "cooldown", "repair_delay", "require", "prefer"} {
		keys = append(keys, fmt.Sprintf("%q:null", key))
	}
	into[api.Chain](t, ask(t, s, http.MethodPut, "/v1/chains/c", `{"spec":{`+strings.Join(keys, ",")+`},"reason":null}`), http.StatusCreated)
	into[api.Done](t, ask(t, s, http.MethodPost, "/v1/freeze", `{"for":null,"reason":null}`), http.StatusOK)
	into[api.Node](t, ask(t, s, http.MethodPost, "/v1/nodes/n2/drain", `{"deadline":null}`), http.StatusOK)
}

// A body that stalls must end its request in 15 seconds; one that came whole
// must not, however long the answer takes, and its connection must live on.
func TestStalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		_, s := b.serve("n1")
		near := pipes(t, s)()
		answers := bufio.NewReader(near)
		put := func(id string, size int, body string) (int, time.Duration) {
			start := time.Now()
			go fmt.Fprintf(near, "PUT /v1/chains/%s?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", id, size, body)
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			return resp.StatusCode, time.Since(start)
		}
		if code, d := put("a", 11, `{"spec":{}}`); code != http.StatusCreated || d != 0 {
			t.Errorf("a whole body: %d after %v", code, d)
		}
		b.setLeader("")
		time.AfterFunc(20*time.Second, func() { b.setLeader("n1") })
		if code, d := put("b", 11, `{"spec":{}}`); code != http.StatusCreated || d < 20*time.Second {
			t.Errorf("on the same connection, with a leader after 20s: %d after %v", code, d)
		}
		if code, d := put("c", 20, `{"sp`); code != http.StatusBadRequest || d != 15*time.Second {
			t.Errorf("a stalled body: %d after %v, want 400 after 15s", code, d)
		}
		if _, err := near.Read(make([]byte, 1)); err == nil {
			t.Error("the connection of the stalled body must be closed")
		}
	})
}

// A path with empty or dotted steps names nothing and must be answered with a
// problem, not with the page of a redirect; one with a final slash likewise.
func TestOddPaths(t *testing.T) {
	_, s := newBackend(t).serve("n1")
	for _, path := range []string{"/v1//chains", "//", "//v1/chains", "/v1/../v1/chains", "/v1/./chains", "/v1/chains/..", "/v1/chains//"} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			refusedWith(t, ask(t, s, method, "http://n1"+path, "{}"), api.NotFound, "")
		}
	}
	refusedWith(t, ask(t, s, http.MethodGet, "/v1/chains/", ""), api.NotFound, "")
}

// A chain whose spec the client has already must be answered without a body.
func TestChainNotModified(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
	etag := ask(t, s, http.MethodGet, "/v1/chains/c", "").Header().Get("ETag")
	w := ask(t, s, http.MethodGet, "/v1/chains/c", "", "If-None-Match", etag)
	if w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != etag || w.Header().Get(api.HeaderRevision) == "" {
		t.Errorf("%d %q %v, want 304 with its headers", w.Code, w.Body, w.Header())
	}
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 2}))
	into[api.Chain](t, ask(t, s, http.MethodGet, "/v1/chains/c", "", "If-None-Match", etag), http.StatusOK)
}

// runner is an external runner that writes its reports as the contract does:
// without a revision.
type runner struct {
	t    *testing.T
	s    *Server
	node string
}

func (r runner) assignments() api.Assignments {
	return into[api.Assignments](r.t, ask(r.t, r.s, http.MethodGet, "/v1/nodes/"+r.node+"/assignments", ""), http.StatusOK)
}

func (r runner) report(inventory bool, items ...map[string]any) []api.CopyAnswer {
	r.t.Helper()
	a := r.assignments()
	body, err := json.Marshal(map[string]any{
		"lineage": a.Lineage, "incarnation": a.Incarnation, "inventory": inventory, "reports": append([]map[string]any{}, items...),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return into[api.ReportAnswer](r.t, ask(r.t, r.s, http.MethodPost, "/v1/nodes/"+r.node+"/reports", string(body)), http.StatusOK).Copies
}

func item(chain string, epoch uint64, phase string) map[string]any {
	return map[string]any{"chain": chain, "epoch": epoch, "phase": phase, "sha256": nil, "size_bytes": 0, "bytes_done": 0, "bytes_total": 0, "error": nil}
}

// Reports without a revision must take effect: a copy reported lost and one
// absent from an inventory are the node's no longer.
func TestReportsWithoutRevision(t *testing.T) {
	for _, inventory := range []bool{false, true} {
		t.Run(fmt.Sprintf("inventory %t", inventory), func(t *testing.T) {
			b := newBackend(t)
			_, s := b.serve("n1")
			for _, id := range []placement.ChainID{"gone", "kept"} {
				b.must(fsm.NewPutChain(id, placement.Spec{Desired: 2}))
			}
			b.settle()
			r := runner{t, s, string(b.m.View().Chain("gone").Holders[0].Node)}
			node := placement.NodeID(r.node)
			epoch := uint64(b.m.View().Chain("gone").Holder(node).Epoch)
			kept := b.m.View().Chain("kept").Holder(node)
			var copies []api.CopyAnswer
			switch {
			case !inventory:
				copies = r.report(false, item("gone", epoch, "lost"))
			case kept != nil:
				copies = r.report(true, item("kept", uint64(kept.Epoch), "ready"))
			default:
				copies = r.report(true)
			}
			if h := b.m.View().Chain("gone").Holder(node); h != nil && !h.Lost || len(copies) != 0 {
				t.Errorf("the holder is %+v, the answer %+v; want it gone", h, copies)
			}
			if now := b.m.View().Chain("kept").Holder(node); (now == nil) != (kept == nil) {
				t.Errorf("kept was %+v and is %+v", kept, now)
			}
		})
	}
}

// An item of a copy that is not assigned to the node under that epoch must be
// answered with stale-epoch and change nothing; good items beside it count, and
// so does the drop of a copy that the node was told to discard.
func TestStaleItems(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
	b.settle()
	r := runner{t, s, string(b.m.View().Chain("c").Holders[0].Node)}
	epoch := uint64(b.m.View().Chain("c").Holders[0].Epoch)
	before := b.m.View().Revision
	got := r.report(false, item("c", epoch+1, "lost"), item("c", epoch, "ready"), item("none", 3, "ready"), item("c", epoch-1, "dropped"))
	want := []api.CopyAnswer{{Chain: "c", Epoch: epoch + 1, Verdict: "stale-epoch"}, {Chain: "none", Epoch: 3, Verdict: "stale-epoch"}, {Chain: "c", Epoch: epoch - 1, Verdict: "stale-epoch"}}
	if !slices.Equal(got, want) {
		t.Errorf("answered %+v, want %+v", got, want)
	}
	if now := b.m.View().Revision; now != before || b.m.View().Chain("c").Holders[0].Lost {
		t.Errorf("the revision went from %d to %d", before, now)
	}
	other := runner{t, s, "n1"}
	if r.node == "n1" {
		other.node = "n2"
	}
	if got := other.report(true, item("c", 1, "ready")); len(got) != 1 || got[0].Verdict != "discard" {
		t.Fatalf("a superfluous copy was answered %+v", got)
	}
	if got := other.report(false, item("c", 1, "dropped")); len(got) != 0 {
		t.Errorf("the drop of a discarded copy was answered %+v", got)
	}
}
