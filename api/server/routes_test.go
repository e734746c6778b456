package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Every route must refuse bad input with the right code and name the field:
// each line is one request to a furnished cluster.
func TestRefusals(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	furnish(t, b, s)
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		method, path, body string
		code               api.Code
		field              string
		headers            string // "Name: value"
	}{
		{"GET", "/v1/nothing", "", api.NotFound, "", ""},
		{"PATCH", "/v1/chains/orders", "{}", api.MethodNotAllowed, "", ""},
		{"GET", "/v1/status?consistency=fresh", "", api.Invalid, "consistency", ""},
		{"GET", "/v1/status?verbose=1", "", api.Invalid, "verbose", ""},
		{"GET", "/v1/nodes?limit=0", "", api.Invalid, "limit", ""},
		{"GET", "/v1/nodes?limit=1001", "", api.Invalid, "limit", ""},
		{"GET", "/v1/nodes?revision=x", "", api.Invalid, "revision", ""},
		{"GET", "/v1/nodes?wait=soon", "", api.Invalid, "wait", ""},
		{"GET", "/v1/nodes?wait=1h", "", api.Invalid, "wait", ""},
		{"GET", "/v1/nodes?timeout=-1s", "", api.Invalid, "timeout", ""},
		{"GET", "/v1/nodes/-n", "", api.Invalid, "id", ""},
		{"GET", "/v1/nodes/n9", "", api.UnknownNode, "", ""},
		{"GET", "/v1/nodes/n9/assignments", "", api.UnknownNode, "", ""},
		{"GET", "/v1/nodes/n9/orphans", "", api.UnknownNode, "", ""},
		{"POST", "/v1/nodes/n9/cordon", `{"reason":"x"}`, api.UnknownNode, "", ""},
		{"POST", "/v1/nodes/n1/cordon", `{"because":"x"}`, api.Invalid, "because", ""},
		{"POST", "/v1/nodes/n1/cordon", `{"reason":7}`, api.Invalid, "reason", ""},
		{"POST", "/v1/nodes/n1/cordon", `{"reason":"` + long + `"}`, api.Invalid, "reason", ""},
		{"POST", "/v1/nodes/n1/cordon", `{"reason":"a\nb"}`, api.Invalid, "reason", ""},
		{"POST", "/v1/nodes/n1/cordon", `[]`, api.Invalid, "body", ""},
		{"POST", "/v1/nodes/n1/cordon", `{"reason":`, api.Invalid, "body", ""},
		{"POST", "/v1/nodes/n1/cordon", `{} {}`, api.Invalid, "body", ""},
		{"POST", "/v1/nodes/n1/weight", `{"weight":1.1}`, api.Invalid, "weight", ""},
		{"POST", "/v1/nodes/n1/weight", `{}`, api.Invalid, "weight", ""},
		{"POST", "/v1/nodes/n1/weight", ``, api.Invalid, "body", ""},
		{"POST", "/v1/nodes/n1/drain", `{"deadline":"0s"}`, api.Invalid, "deadline", ""},
		{"POST", "/v1/nodes/n1/drain", `{"deadline":5}`, api.Invalid, "deadline", ""},
		{"DELETE", "/v1/nodes/n1", `{"reason":"x"}`, api.NodeNotEmpty, "", ""},
		{"DELETE", "/v1/nodes/n1", `{"allow_data_loss":true}`, api.Invalid, "reason", ""},
		{"DELETE", "/v1/nodes/n3/orphans/forgotten", ``, api.Invalid, "reason", ""},
		{"DELETE", "/v1/nodes/n3/orphans/none?reason=x", ``, api.UnknownChain, "", ""},
		{"POST", "/v1/nodes/n1/reports", `{"lineage":"x","incarnation":2,"reports":[]}`, api.StaleEpoch, "", ""},
		{"POST", "/v1/nodes/n1/reports", `{"lineage":"lineage-1","incarnation":1,"reports":[]}`, api.StaleEpoch, "", ""},
		{"POST", "/v1/nodes/n1/reports", `{"reports":[{"chain":"c","epoch":1,"phase":"done"}]}`, api.Invalid, "reports", ""},
		{"POST", "/v1/nodes/n1/reports", `{"reports":[{"chain":"c","epoch":-1,"phase":"ready"}]}`, api.Invalid, "reports[0].epoch", ""},
		{"PUT", "/v1/chains/-c", `{"spec":{}}`, api.Invalid, "id", ""},
		{"PUT", "/v1/chains/a%2Fb", `{"spec":{}}`, api.Invalid, "id", ""},
		{"PUT", "/v1/chains/c", ``, api.Invalid, "body", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":0}}`, api.Invalid, "spec.desired", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":10}}`, api.Invalid, "spec.desired", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":2.5}}`, api.Invalid, "spec.desired", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":"2"}}`, api.Invalid, "spec.desired", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":2,"min_ready":3}}`, api.Invalid, "spec.min_ready", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"size_bytes":-1}}`, api.Invalid, "spec.size_bytes", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"weight":0}}`, api.Invalid, "spec.weight", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"weight":1e300}}`, api.Invalid, "spec.weight", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"policy":"fast"}}`, api.Invalid, "spec.policy", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"floor":1.5}}`, api.Invalid, "spec.floor", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"cooldown":"-1s"}}`, api.Invalid, "spec.cooldown", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"cooldown":300}}`, api.Invalid, "spec.cooldown", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"labels":{"-":"x"}}}`, api.Invalid, "spec.labels", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"require":["=x"]}}`, api.Invalid, "spec.require", ""},
		{"PUT", "/v1/chains/c", `{"spec":{"desired":1,"copies":2}}`, api.Invalid, "spec.copies", ""},
		{"PUT", "/v1/chains/c", `{"spce":{}}`, api.Invalid, "spce", ""},
		{"PUT", "/v1/chains/orders", `{"spec":{}}`, api.StaleGeneration, "", `If-Match: "1"`},
		{"PUT", "/v1/chains/orders", `{"spec":{}}`, api.Invalid, "If-Match", `If-Match: 1`},
		{"PUT", "/v1/chains/none", `{"spec":{}}`, api.StaleGeneration, "", `If-Match: *`},
		{"PUT", "/v1/chains/orders", `{"spec":{}}`, api.Exists, "", `If-None-Match: *`},
		{"PUT", "/v1/chains/orders", `{"spec":{}}`, api.Invalid, "If-None-Match", `If-None-Match: "1"`},
		{"PUT", "/v1/chains/c", `{"spec":{}}`, api.Invalid, "Idempotency-Key", "Idempotency-Key: " + long},
		{"PUT", "/v1/chains/c", `{"spec":{"labels":{"a":"` + strings.Repeat("x", 1<<20) + `"}}}`, api.TooLarge, "", ""},
		{"GET", "/v1/chains/none", "", api.UnknownChain, "", ""},
		{"GET", "/v1/chains/none/explain", "", api.UnknownChain, "", ""},
		{"GET", "/v1/chains?since=x", "", api.Invalid, "since", ""},
		{"DELETE", "/v1/chains/orders", "", api.Invalid, "reason", ""},
		{"DELETE", "/v1/chains/none?reason=x", "", api.UnknownChain, "", ""},
		{"DELETE", "/v1/chains/orders?reason=x", "", api.StaleGeneration, "", `If-Match: "1"`},
		{"POST", "/v1/chains/orders/move", `{}`, api.Invalid, "from", ""},
		{"POST", "/v1/chains/orders/move", `{"from":"n9"}`, api.NotHolder, "", ""},
		{"POST", "/v1/chains/orders/move", `{"to":"-"}`, api.Invalid, "to", ""},
		{"POST", "/v1/chains/orders/move", `{"to":"n9"}`, api.UnknownNode, "", ""},
		{"POST", "/v1/chains:batch", `{"chains":[{"id":"a","spec":{"x":1}}]}`, api.Invalid, "chains[0].spec.x", ""},
		{"POST", "/v1/chains:batch", `{"chains":[` + strings.Repeat(`{"id":"a"},`, 10_000) + `{"id":"a"}]}`, api.Invalid, "chains", ""},
		{"PUT", "/v1/chains/none/content", "x", api.UnknownChain, "", ""},
		{"PUT", "/v1/chains/orders/content", "x", api.StaleContent, "", `If-Match: "` + strings.Repeat("0", 64) + `"`},
		{"PUT", "/v1/chains/orders/content", "x", api.Invalid, "If-Match", `If-Match: "7"`},
		{"GET", "/v1/chains/none/content", "", api.UnknownChain, "", ""},
		{"GET", "/v1/chains/plain/content", "", api.NoLiveCopy, "", ""},
		{"GET", "/v1/chains/orders/content", "", api.RangeUnsatisfiable, "", "Range: bytes=9-"},
		{"POST", "/v1/chains/orders/content/commit", `{}`, api.Forbidden, "", ""},
		{"GET", "/v1/moves?after=x", "", api.Invalid, "after", ""},
		{"GET", "/v1/decisions?after=x", "", api.Invalid, "after", ""},
		{"GET", "/v1/decisions?cause=whim", "", api.Invalid, "cause", ""},
		{"GET", "/v1/decisions?chain=-", "", api.Invalid, "chain", ""},
		{"GET", "/v1/decisions?node=-", "", api.Invalid, "node", ""},
		{"PATCH", "/v1/config", `{"score_floor":2}`, api.Invalid, "score_floor", ""},
		{"PATCH", "/v1/config", `{"score_flor":0.2}`, api.Invalid, "score_flor", ""},
		{"PATCH", "/v1/config", `{"cooldown":"x"}`, api.Invalid, "cooldown", ""},
		{"PATCH", "/v1/config", `{"max_voters":4}`, api.Invalid, "max_voters", ""},
		{"PATCH", "/v1/config", `{"cooldown":"1m"}`, api.StaleGeneration, "", `If-Match: "1000"`},
		{"PUT", "/v1/config", `{"moves_max":-1}`, api.Invalid, "moves_max", ""},
		{"POST", "/v1/freeze", `{"for":"-1s"}`, api.Invalid, "for", ""},
		{"POST", "/v1/freeze", `{"until":"1s"}`, api.Invalid, "until", ""},
		{"POST", "/v1/thaw", `{"x":1}`, api.Invalid, "x", ""},
		{"POST", "/v1/plan", `{}`, api.Unsupported, "", ""},
		{"POST", "/v1/plan/apply", `{}`, api.Unsupported, "", ""},
		{"GET", "/readyz?leader=yes", ``, api.Invalid, "leader", ""},
		{"GET", "/v1/events", ``, api.Invalid, "Last-Event-ID", "Last-Event-ID: 7"},
	} {
		before := b.m.View().Revision
		name, value, _ := strings.Cut(c.headers, ": ")
		w := ask(t, s, c.method, c.path, c.body, name, value)
		t.Run(fmt.Sprintf("%s %s %.60s", c.method, c.path, c.body), func(t *testing.T) { refusedWith(t, w, c.code, c.field) })
		if after := b.m.View().Revision; after != before {
			t.Errorf("%s %s %.60s: refused, yet the revision went from %d to %d", c.method, c.path, c.body, before, after)
		}
	}
}

// A chain that GET shows must be accepted by PUT as it is, change nothing, and
// keep its ETag: it is read and sent back.
func TestPutWhatGetShows(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	furnish(t, b, s)
	got := ask(t, s, http.MethodGet, "/v1/chains/orders", "")
	before := b.m.View().Revision
	put := ask(t, s, http.MethodPut, "/v1/chains/orders", got.Body.String(), "If-Match", got.Header().Get("ETag"))
	if put.Code != http.StatusOK || put.Header().Get("ETag") != got.Header().Get("ETag") || b.m.View().Revision != before {
		t.Errorf("%d, ETag %s then %s, revision %d then %d: %s", put.Code, got.Header().Get("ETag"), put.Header().Get("ETag"), before, b.m.View().Revision, put.Body)
	}
}

// Every read must carry the four headers of the contract.
func TestReadHeaders(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	furnish(t, b, s)
	for _, sh := range shapes {
		if sh.method != http.MethodGet || sh.name == "problem" {
			continue
		}
		w := ask(t, s, http.MethodGet, sh.path, "")
		want := map[string]string{
			api.HeaderRevision: fmt.Sprint(b.m.View().Revision), api.HeaderLineage: lineage,
			api.HeaderKnownLeader: "true", api.HeaderLastContact: "0s",
		}
		for name, value := range want {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s = %q, want %q", sh.path, name, got, value)
			}
		}
	}
}

// A write sent twice under one key must be applied once and answered alike,
// and another write under that key refused (rule S20).
func TestIdempotency(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	put := func(body string) (int, string) {
		w := ask(t, s, http.MethodPut, "/v1/chains/c", body, api.HeaderIdempotencyKey, "k")
		return w.Code, w.Body.String()
	}
	code, first := put(`{"spec":{"desired":2}}`)
	again, second := put(`{"spec":{"desired":2}}`)
	if code != http.StatusCreated || again != code || second != first {
		t.Errorf("first %d %s, then %d %s", code, first, again, second)
	}
	refusedWith(t, ask(t, s, http.MethodPut, "/v1/chains/c", `{"spec":{"desired":3}}`, api.HeaderIdempotencyKey, "k"), api.IdempotencyMismatch, "")
}

// A batch larger than one entry must be cut in order, answered item by item,
// and a retry of the same body answered from memory (rule S20).
func TestBatch(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	var body strings.Builder
	body.WriteString(`{"chains":[`)
	const n = 9000
	for i := range n {
		fmt.Fprintf(&body, `{"id":"chain-%05d","spec":{"desired":%d}},`, i, 1+10*(i%3/2))
	}
	body.WriteString(`{"id":"last","spec":{}}]}`)
	before := b.index
	out := into[api.BatchResults](t, ask(t, s, http.MethodPost, "/v1/chains:batch", body.String(), api.HeaderIdempotencyKey, "k"), http.StatusOK)
	if got := b.index - before; got < 2 {
		t.Errorf("the batch made %d entries, want at least 2", got)
	}
	if len(out.Results) != n+1 || b.m.View().Chains.Len() != n-n/3+1 {
		t.Fatalf("%d results, %d chains", len(out.Results), b.m.View().Chains.Len())
	}
	for i, r := range out.Results[:n] {
		wantCode := api.NullString("")
		if i%3 == 2 { // desired 11
			wantCode = api.NullString(api.Invalid)
		}
		if r.ID != fmt.Sprintf("chain-%05d", i) || r.Code != wantCode {
			t.Fatalf("result %d: %+v, want code %q", i, r, wantCode)
		}
	}
	revision := b.m.View().Revision
	again := into[api.BatchResults](t, ask(t, s, http.MethodPost, "/v1/chains:batch", body.String(), api.HeaderIdempotencyKey, "k"), http.StatusOK)
	if b.m.View().Revision != revision || len(again.Results) != n+1 || again.Results[2].Code != "invalid" {
		t.Errorf("the retry changed the state, or was answered otherwise")
	}
}

// PATCH must change the keys given and leave the others, null must bring back
// the default, PUT must replace all: each is read back.
func TestConfig(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	get := func() api.Config {
		return into[api.Config](t, ask(t, s, http.MethodGet, "/v1/config", ""), http.StatusOK)
	}
	def := get()
	into[api.Config](t, ask(t, s, http.MethodPatch, "/v1/config", `{"score_floor":0.3,"cooldown":"1m"}`), http.StatusOK)
	want := def
	want.ScoreFloor, want.Cooldown = 0.3, api.Duration(60e9)
	if got := get(); got != want {
		t.Errorf("after PATCH: %+v, want %+v", got, want)
	}
	into[api.Config](t, ask(t, s, http.MethodPatch, "/v1/config", `{"score_floor":null}`), http.StatusOK)
	want.ScoreFloor = def.ScoreFloor
	if got := get(); got != want {
		t.Errorf("after PATCH null: %+v, want %+v", got, want)
	}
	into[api.Config](t, ask(t, s, http.MethodPut, "/v1/config", `{"moves_max":65}`), http.StatusOK)
	want = def
	want.MovesMax = 65
	if got := get(); got != want {
		t.Errorf("after PUT: %+v, want %+v", got, want)
	}
}

// Every field of the configuration must pass through the API unchanged: one
// with odd values is rendered and read back.
func TestConfigRoundTrip(t *testing.T) {
	c := placement.DefaultConfig()
	c.SwapMode, c.WriteCopies = placement.EvictFirst, 3
	if got := readConfig(renderConfig(&c)); got != c {
		t.Errorf("got %+v, want %+v", got, c)
	}
}

// The acts on nodes must show the node as it is afterwards, and ending what
// has not begun must leave it alone.
func TestNodeActs(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 3}))
	b.settle()
	for _, c := range []struct{ method, path, body, want string }{
		{"DELETE", "drain", "", "eligible"},
		{"POST", "maintenance", `{"end":true}`, "eligible"},
		{"POST", "cordon", `{"reason":"x"}`, "cordoned"},
		{"POST", "uncordon", "", "eligible"},
		{"POST", "drain", `{"deadline":"1h"}`, "draining"},
		{"DELETE", "drain", `{"reason":"x"}`, "cordoned"},
		{"POST", "maintenance", "", "maintenance"},
		{"POST", "maintenance", `{"end":true}`, "eligible"},
	} {
		n := into[api.Node](t, ask(t, s, c.method, "/v1/nodes/n2/"+c.path, c.body), http.StatusOK)
		if n.Eligibility != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.method, c.path, c.body, n.Eligibility, c.want)
		}
	}
	n := into[api.Node](t, ask(t, s, http.MethodPost, "/v1/nodes/n2/weight", `{"weight":0.25}`), http.StatusOK)
	if n.Weight != 0.25 {
		t.Errorf("weight %v, want 0.25", n.Weight)
	}
	b.must(&fsm.Observe{Node: "n2", Incarnation: b.m.View().Node("n2").Incarnation, State: placement.NodeDead})
	into[api.Done](t, ask(t, s, http.MethodDelete, "/v1/nodes/n2", `{"reason":"gone"}`), http.StatusOK)
	refusedWith(t, ask(t, s, http.MethodGet, "/v1/nodes/n2", ""), api.UnknownNode, "")
}

// Lists must come in pages that hold everything once: chains are listed two
// at a time, decisions newest first.
func TestPages(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	for i := range 5 {
		b.must(fsm.NewPutChain(placement.ChainID(fmt.Sprintf("p-%d", i)), placement.Spec{Desired: 1}))
	}
	b.must(fsm.NewPutChain("other", placement.Spec{Desired: 1}))
	b.settle()
	var ids []string
	path := "/v1/chains?prefix=p-&limit=2"
	for next := ""; ; {
		page := into[api.ChainList](t, ask(t, s, http.MethodGet, path+"&after="+next, ""), http.StatusOK)
		for _, c := range page.Chains {
			ids = append(ids, c.ID)
		}
		if next = string(page.Next); next == "" {
			break
		}
	}
	if got := strings.Join(ids, " "); got != "p-0 p-1 p-2 p-3 p-4" {
		t.Errorf("chains: %s", got)
	}
	var seen []uint64
	for next := ""; ; {
		page := into[api.DecisionList](t, ask(t, s, http.MethodGet, "/v1/decisions?limit=4&after="+next, ""), http.StatusOK)
		for _, d := range page.Decisions {
			if n := len(seen); n > 0 && seen[n-1] <= d.Revision {
				t.Errorf("decision %d after %d", d.Revision, seen[n-1])
			}
			seen = append(seen, d.Revision)
		}
		if next = string(page.Next); next == "" {
			break
		}
	}
	total := 0
	b.m.View().Decisions(0, func(*placement.Record) bool { total++; return true })
	if len(seen) != total || total < 6 {
		t.Errorf("%d decisions listed, %d kept", len(seen), total)
	}
	one := into[api.DecisionList](t, ask(t, s, http.MethodGet, "/v1/decisions?chain=p-3", ""), http.StatusOK)
	if len(one.Decisions) == 0 || one.Decisions[0].Chain != "p-3" {
		t.Errorf("decisions of p-3: %+v", one)
	}
}

// A content must come back whole, in parts, not at all when the client has
// it, and under its hash.
func TestContent(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 2}))
	b.settle()
	put := into[api.ContentPut](t, ask(t, s, http.MethodPut, "/v1/chains/c/content", "0123456789"), http.StatusOK)
	etag := `"` + put.SHA256 + `"`
	for _, c := range []struct {
		headers string
		status  int
		body    string
		part    string
	}{
		{"", 200, "0123456789", ""},
		{"Range: bytes=2-4", 206, "234", "bytes 2-4/10"},
		{"Range: bytes=7-", 206, "789", "bytes 7-9/10"},
		{"Range: bytes=-3", 206, "789", "bytes 7-9/10"},
		{"Range: bytes=8-99", 206, "89", "bytes 8-9/10"},
		{"Range: bytes=0-1,3-4", 200, "0123456789", ""},
		{"Range: lines=1-2", 200, "0123456789", ""},
		{"If-None-Match: " + etag, 304, "", ""},
	} {
		name, value, _ := strings.Cut(c.headers, ": ")
		w := ask(t, s, http.MethodGet, "/v1/chains/c/content", "", name, value)
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("Content-Range") != c.part || w.Header().Get("ETag") != etag {
			t.Errorf("%s: %d %q %q ETag %s, want %d %q %q", c.headers, w.Code, w.Body, w.Header().Get("Content-Range"), w.Header().Get("ETag"), c.status, c.body, c.part)
		}
	}
	for _, id := range []placement.NodeID{"n1", "n2", "n3"} {
		b.must(&fsm.Observe{Node: id, Incarnation: b.m.View().Node(id).Incarnation, State: placement.NodeSuspect})
	}
	refusedWith(t, ask(t, s, http.MethodGet, "/v1/chains/c/content", ""), api.NoLiveCopy, "")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/chains/c/content", strings.NewReader("x"))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	refusedWith(t, w, api.LengthRequired, "")
}

// A defect must become a problem without a stack, and be reported.
func TestPanic(t *testing.T) {
	b := newBackend(t)
	n, s := b.serve("n1")
	n.panics = true
	var told string
	s.cfg.OnError = func(err error) { told = err.Error() }
	refusedWith(t, ask(t, s, http.MethodGet, "/v1/chains", ""), api.Internal, "")
	if !strings.Contains(told, "a defect") || !strings.Contains(told, "goroutine") {
		t.Errorf("OnError was told %.100q", told)
	}
}

// The probes must tell a living process, a replayed log and a known leader
// apart, and the pages beside the API must be there.
func TestProbes(t *testing.T) {
	b := newBackend(t)
	b.must(fsm.NewPutChain("waits", placement.Spec{}))
	n, s := b.serve("n1")
	check := func(path string, want int) {
		t.Helper()
		if w := ask(t, s, http.MethodGet, path, ""); w.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
	check("/livez", 200)
	check("/readyz", 200)
	check("/readyz?leader=1", 200)
	b.setLeader("")
	check("/readyz", 200)
	check("/readyz?leader=1", 503)
	n.ready = false
	check("/readyz", 503)
	check("/livez", 200)
	check("/debug/pprof/cmdline", 200)
	check("/v1/status", 200)
	w := ask(t, s, http.MethodGet, "/metrics", "")
	if want := `holdfast_http_requests_total{code="503",method="GET",route="/readyz"} 2`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, w.Body)
	}
	health, _ := countChains(n.View())
	if want := fmt.Sprintf("holdfast_chains_by_health{health=\"unavailable\"} %d\n", health.Unavailable); health.Total == 0 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, w.Body)
	}
}
