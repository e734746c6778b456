package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// documented are the codes of errors above 499 that a request may be answered
// with. There is no defect among them.
var documented = []api.Code{
	api.Unsupported, api.NotReady, api.NoLeader, api.NoLiveCopy, api.TooFewHolders, api.OutcomeUnknown, api.NoSpace,
}

// fuzzed returns the routes that are fuzzed, sorted: all but profiles, which
// take the time that they are told.
func fuzzed(s *Server) []*route {
	var out []*route
	for _, name := range sortedNames(s.routes) {
		if rt := s.routes[name]; !strings.HasPrefix(rt.path, "/debug/") {
			out = append(out, rt)
		}
	}
	return out
}

// FuzzRoutes sends any body, id, query and condition to any route, over a real
// state machine: no panic, no error above 499 but the documented ones, every
// error one line with its code, and nothing changed by what is refused or
// only reads.
func FuzzRoutes(f *testing.F) {
	b := newBackend(f)
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 2}))
	b.settle()
	b.must(fsm.NewPutChain("d", placement.Spec{Desired: 1}))
	var saved bytes.Buffer
	if _, err := b.m.View().WriteTo(&saved); err != nil {
		f.Fatal(err)
	}
	index := b.index
	var defect error
	n, s := b.serve("n1", func(cfg *Config) { cfg.OnError = func(err error) { defect = err } })
	if w := ask(f, s, http.MethodPut, "/v1/chains/c/content", "abc"); w.Code != http.StatusOK {
		f.Fatal(w.Body)
	}
	routes := fuzzed(s)
	seedRoutes(f, routes)
	f.Fuzz(func(t *testing.T, at uint8, id, query, header, body string) {
		fresh := &backend{
			t: t, m: fsm.New(), f: fsm.New(), index: index, now: b.now, leader: "n1", voted: make(chan struct{}),
			addrs: map[placement.NodeID]string{}, blobs: b.blobs,
		}
		for _, m := range []*fsm.Machine{fresh.m, fresh.f} {
			if err := m.Restore(bytes.NewReader(saved.Bytes())); err != nil {
				t.Fatal(err)
			}
		}
		n.backend, defect = fresh, nil
		rt := routes[int(at)%len(routes)]
		path := strings.NewReplacer("{id}", url.PathEscape(id), "{chain}", url.PathEscape(id)).Replace(rt.path)
		// What waits must end: the client goes away.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, rt.method, "http://n1"+path, strings.NewReader(body))
		if err != nil {
			return // it is no URL
		}
		r.URL.RawQuery = query
		setHeader(r.Header, header)
		before := fresh.m.View().Revision
		w := httptest.NewRecorder()
		s.Peers().ServeHTTP(w, r) // where all routes are open
		check(t, rt, w)
		if defect != nil {
			t.Errorf("%s: %v", rt.pattern(), defect)
		}
		after := fresh.m.View().Revision
		if after != before && (w.Code >= 400 && w.Code < 500 || rt.method == http.MethodGet) {
			t.Errorf("%s: %d, and the revision went from %d to %d: %s", rt.pattern(), w.Code, before, after, w.Body)
		}
	})
}

// setHeader sets one header from "Name: value".
func setHeader(h http.Header, text string) {
	if name, value, ok := strings.Cut(text, ": "); ok {
		h.Set(name, value)
	}
}

// check checks an answer by its code.
func check(t *testing.T, rt *route, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code < http.StatusBadRequest {
		return
	}
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%s: no problem: %v: %d %s", rt.pattern(), err, w.Code, w.Body)
	}
	code := api.Code(w.Header().Get(api.HeaderCode))
	refusedWith(t, w, code, string(p.Field))
	if w.Code >= http.StatusInternalServerError && !slices.Contains(documented, code) {
		t.Errorf("%s: %d %s", rt.pattern(), w.Code, w.Body)
	}
}

// seedRoutes adds good requests of all routes, and some that are not.
func seedRoutes(f *testing.F, routes []*route) {
	bodies := map[string]string{
		"PUT /v1/chains/{id}":                 `{"spec":{"desired":2,"min_ready":1,"size_bytes":5,"weight":1.5,"labels":{"a":"b"},"policy":"lazy","floor":0.1,"gap":0.2,"cooldown":"5m","repair_delay":"1m","require":["zone=a"],"prefer":["disk=ssd"]},"reason":"r"}`,
		"POST /v1/chains/{id}/move":           `{"from":"n1","to":"n3","reason":"r"}`,
		"POST /v1/chains:batch":               `{"chains":[{"id":"a","spec":{}},{"id":"c","spec":{"desired":1}}]}`,
		"POST /v1/chains/{id}/content/commit": `{"base":0,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3,"holders":[{"node":"n1","incarnation":1,"epoch":2}]}`,
		"PATCH /v1/config":                    `{"cooldown":"1m","score_floor":0.4,"moves_max":3,"swap_mode":"evict-first"}`,
		"PUT /v1/config":                      `{"cooldown":null}`,
		"POST /v1/freeze":                     `{"reason":"r","for":"1h"}`,
		"POST /v1/nodes/{id}/weight":          `{"weight":0.5,"reason":"r"}`,
		"POST /v1/nodes/{id}/drain":           `{"deadline":"1h","reason":"r"}`,
		"POST /v1/nodes/{id}/reports":         `{"lineage":"lineage-1","incarnation":1,"inventory":true,"reports":[{"chain":"c","epoch":3,"phase":"ready","sha256":null,"size_bytes":0,"bytes_done":0,"bytes_total":0,"error":null}]}`,
		"DELETE /v1/nodes/{id}":               `{"reason":"r","allow_data_loss":true}`,
		"POST /v1/raft/transfer":              `{"to":"n2","reason":"r"}`,
	}
	for i, rt := range routes {
		body := bodies[rt.pattern()]
		if body == "" && rt.method != http.MethodGet {
			body = `{"reason":"r"}`
		}
		id := "c"
		if strings.HasPrefix(rt.path, "/v1/nodes/") {
			id = "n2"
		}
		f.Add(uint8(i), id, "", "", body)
		f.Add(uint8(i), id, "consistency=stale&timeout=1ms&reason=x", `If-Match: "3"`, body)
		f.Add(uint8(i), "a\x00/../b", "since=3&wait=1ms&limit=1000&after=c&prefix=c", "If-None-Match: *", "[1")
		f.Add(uint8(i), "nobody", "", "", body)
		f.Add(uint8(i), id, "a%0ab=1", "", body)
		f.Add(uint8(i), id, "revision=18446744073709551615&wait=1ns", "Holdfast-Confirm: "+clusterID, `{"spec":{"desired":1e9},"weight":-1e308}`)
	}
}
