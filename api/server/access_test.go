package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-cluster/holdfast/api"
)

// guarded returns a server of a node that asks for tokens: each role's name is
// its token.
func (b *backend) guarded(n *node) *Server {
	b.t.Helper()
	s, err := New(Config{
		Version: "1.0.0", State: n, Writer: n, Leadership: n, Decider: n, Operator: n, Telemetry: n, Content: n, Metrics: prometheus.NewRegistry(),
		Authenticate: func(token string) (Caller, bool) {
			role := api.Role(token)
			return Caller{"the-" + token, role}, role.Covers(api.RoleRead)
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// An event stream must end soon after its token is revoked, and only then: the
// server is told to know the token no more while the stream runs.
func TestRevokedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		n, _ := b.serve("n1")
		s := b.guarded(n)
		var revoked atomic.Bool
		known := s.cfg.Authenticate
		s.cfg.Authenticate = func(token string) (Caller, bool) {
			caller, ok := known(token)
			return caller, ok && !revoked.Load()
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/events", http.NoBody)
		r.Header.Set("Authorization", "Bearer read")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.ServeHTTP(httptest.NewRecorder(), r)
		}()
		time.Sleep(time.Hour)
		select {
		case <-ended:
			t.Fatal("it ended before")
		default:
		}
		revoked.Store(true)
		time.Sleep(heartbeat + time.Second)
		select {
		case <-ended:
		default:
			t.Error("it goes on")
		}
		cancel()
		<-ended
	})
}

// Only a node can say that bytes are on disks: a commit that a client sends, of
// whatever role, must be refused, or the chain's content would be replaced by one
// that nobody has. What a node sends or passes on is taken.
func TestCommitIsForNodes(t *testing.T) {
	b := newBackend(t)
	n, _ := b.serve("n1")
	s := b.guarded(n)
	into[api.Chain](t, ask(t, s, http.MethodPut, "/v1/chains/c", `{"spec":{"desired":1}}`, bearer("admin")...), http.StatusCreated)
	b.settle()
	v := b.m.View()
	h := v.Chain("c").Holders[0]
	body := fmt.Sprintf(`{"base_version":0,"sha256":"%064d","size":5,"holders":[{"node":%q,"incarnation":%d,"epoch":%d}]}`,
		7, h.Node, v.Node(h.Node).Incarnation, h.Epoch)
	const path = "/v1/chains/c/content/commit"
	refusedWith(t, ask(t, s, http.MethodPost, path, body, bearer("admin")...), api.Forbidden, "")
	if c := b.m.View().Chain("c"); c.Content != nil {
		t.Fatalf("committed: %+v", c.Content)
	}
	into[api.ContentPut](t, ask(t, s.Peers(), http.MethodPost, path, body, bearer("admin")...), http.StatusOK)
}

// bearer is the header of a token.
func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// Every route must be open to exactly the roles that it is meant for: each is
// asked without a token and with a token of each role, and what it says
// otherwise does not matter. A route that is new must be put here.
func TestRoles(t *testing.T) {
	b := newBackend(t)
	n, _ := b.serve("n1")
	s := b.guarded(n)
	want := map[string]api.Role{ // "" = open
		"GET /livez": "", "GET /readyz": "", "GET /metrics": "",
		"GET /openapi.json": "", "GET /openapi.yaml": "", "GET /openapi-3.0.json": "", "GET /openapi-3.0.yaml": "",
		"POST /v1/plan":                         api.RoleRead,
		"GET /v1/snapshot":                      api.RoleAdmin,
		"PUT /v1/snapshot":                      api.RoleAdmin,
		"POST /v1/snapshot/release":             api.RoleAdmin,
		"POST /v1/raft/transfer":                api.RoleAdmin,
		"DELETE /v1/nodes/{id}/orphans/{chain}": api.RoleAdmin,
		"GET /debug/pprof/":                     api.RoleAdmin,
		"GET /debug/pprof/cmdline":              api.RoleAdmin,
		"GET /debug/pprof/profile":              api.RoleAdmin,
		"GET /debug/pprof/symbol":               api.RoleAdmin,
		"GET /debug/pprof/trace":                api.RoleAdmin,
		"PUT /v1/chains/{id}":                   api.RoleOperate,
		"DELETE /v1/chains/{id}":                api.RoleOperate,
		"POST /v1/chains:batch":                 api.RoleOperate,
		"PUT /v1/chains/{id}/content":           api.RoleOperate,
		"POST /v1/chains/{id}/content/commit":   "nobody", // but nodes
		"POST /v1/chains/{id}/move":             api.RoleOperate,
		"POST /v1/nodes/{id}/cordon":            api.RoleOperate,
		"POST /v1/nodes/{id}/uncordon":          api.RoleOperate,
		"POST /v1/nodes/{id}/weight":            api.RoleOperate,
		"POST /v1/nodes/{id}/drain":             api.RoleOperate,
		"DELETE /v1/nodes/{id}/drain":           api.RoleOperate,
		"POST /v1/nodes/{id}/maintenance":       api.RoleOperate,
		"DELETE /v1/nodes/{id}":                 api.RoleOperate,
		"POST /v1/nodes/{id}/reports":           api.RoleOperate,
		"PUT /v1/config":                        api.RoleOperate,
		"PATCH /v1/config":                      api.RoleOperate,
		"POST /v1/freeze":                       api.RoleOperate,
		"POST /v1/thaw":                         api.RoleOperate,
		"POST /v1/repair/resume":                api.RoleOperate,
		"POST /v1/plan/apply":                   api.RoleOperate,
	}
	for pattern, rt := range s.routes {
		role, listed := want[pattern]
		if !listed {
			role = api.RoleRead
			if rt.method != http.MethodGet || strings.HasPrefix(rt.path, "/debug") {
				t.Errorf("%s is not in the table of this test", pattern)
			}
		}
		path := strings.NewReplacer("{id}", "n9", "{chain}", "c").Replace(rt.path)
		for _, token := range []api.Role{"", "nobody", api.RoleRead, api.RoleOperate, api.RoleAdmin} {
			if token.Covers(role) && rt.long {
				continue // a stream would not end
			}
			var header []string
			if token != "" {
				header = bearer(string(token))
			}
			w := ask(t, s, rt.method, path, "", header...)
			got := api.Code(w.Header().Get(api.HeaderCode))
			switch {
			case role == "" || token.Covers(role):
				if got == api.Unauthorized || got == api.Forbidden {
					t.Errorf("%s refused token %q: %s", pattern, token, got)
				}
			case !token.Covers(api.RoleRead):
				refusedWith(t, w, api.Unauthorized, "")
				if w.Header().Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%s: no WWW-Authenticate", pattern)
				}
			default:
				refusedWith(t, w, api.Forbidden, "")
			}
		}
	}
	for pattern := range want {
		if s.routes[pattern] == nil {
			t.Errorf("%s does not exist", pattern)
		}
	}
}

// allow_data_loss must need admin though removing a node does not; the actor of
// what is done must be the token's name; other schemes are no tokens.
func TestActor(t *testing.T) {
	b := newBackend(t)
	n, _ := b.serve("n1")
	s := b.guarded(n)
	refusedWith(t, ask(t, s, http.MethodDelete, "/v1/nodes/n2", `{"allow_data_loss":true,"reason":"x"}`, bearer("operate")...), api.Forbidden, "")
	refusedWith(t, ask(t, s, http.MethodDelete, "/v1/nodes/n2", `{"allow_data_loss":true,"reason":"x"}`, bearer("admin")...), api.NodeNotEmpty, "")
	refusedWith(t, ask(t, s, http.MethodDelete, "/v1/nodes/n2", "", bearer("operate")...), api.NodeNotEmpty, "")
	for _, header := range []string{"Basic operate", "operate", "Bearer", "Bearer operate x"} {
		refusedWith(t, ask(t, s, http.MethodGet, "/v1/status", "", "Authorization", header), api.Unauthorized, "")
	}
	into[api.Done](t, ask(t, s, http.MethodPost, "/v1/freeze", `{"reason":"x"}`, "Authorization", "bearer operate"), http.StatusOK)
	if got := b.m.View().Freeze.Actor; got != "the-operate" {
		t.Errorf("the freeze was made by %q", got)
	}
}

// A request that was passed on must be judged, and booked, by the name and role
// of who made it, though the leader knows no such token; the token must not
// leave the first node; and who writes those headers himself gains nothing.
func TestVouching(t *testing.T) {
	b, _, l := two(t)
	n2, _ := b.serve("n2")
	n2.transport = l
	s2 := b.guarded(n2)
	forged := []string{api.HeaderActor, "root", api.HeaderRole, "admin", api.HeaderForwarded, "n3"}
	refusedWith(t, ask(t, s2, http.MethodPost, "/v1/freeze", `{"reason":"x"}`, forged...), api.Unauthorized, "")
	refusedWith(t, ask(t, s2, http.MethodPost, "/v1/freeze", `{"reason":"x"}`, append(forged, bearer("read")...)...), api.Forbidden, "")
	if len(l.requests) != 0 {
		t.Fatalf("%d requests were passed on", len(l.requests))
	}
	into[api.Done](t, ask(t, s2, http.MethodPost, "/v1/freeze", `{"reason":"x"}`, append(forged, bearer("operate")...)...), http.StatusOK)
	h := l.requests[0].Header
	if h.Get(api.HeaderActor) != "the-operate" || h.Get(api.HeaderRole) != "operate" || h.Get(api.HeaderForwarded) != "n2" || h.Get("Authorization") != "" {
		t.Errorf("passed on with %v", h)
	}
	if got := b.m.View().Freeze.Actor; got != "the-operate" {
		t.Errorf("the freeze was made by %q", got)
	}
	// The leader itself: its own port asks for a token, its node port believes.
	n1, _ := b.serve("n1")
	s1 := b.guarded(n1)
	refusedWith(t, ask(t, s1, http.MethodPost, "/v1/thaw", "", forged...), api.Unauthorized, "")
	refusedWith(t, ask(t, s1.Peers(), http.MethodPost, "/v1/thaw", ""), api.Unauthorized, "")
	refusedWith(t, ask(t, s1.Peers(), http.MethodPost, "/v1/thaw", "", api.HeaderActor, "x", api.HeaderRole, "read"), api.Forbidden, "")
	refusedWith(t, ask(t, s1.Peers(), http.MethodPost, "/v1/thaw", "", api.HeaderActor, "x", api.HeaderRole, "root"), api.Unauthorized, "")
	into[api.Done](t, ask(t, s1.Peers(), http.MethodPost, "/v1/thaw", "", forged...), http.StatusOK)
}

// A node that asks for no tokens must vouch for nobody: its leader, which does,
// must judge the client's own token.
func TestOpenNodeVouchesForNobody(t *testing.T) {
	b := newBackend(t)
	n1, _ := b.listen("n1")
	guarded := b.guarded(n1)
	n2, s2 := b.serve("n2")
	n2.transport = handlerTransport{guarded.Peers()}
	refusedWith(t, ask(t, s2, http.MethodPost, "/v1/thaw", "", api.HeaderActor, "root", api.HeaderRole, "admin"), api.Unauthorized, "")
	refusedWith(t, ask(t, s2, http.MethodPost, "/v1/thaw", "", bearer("read")...), api.Forbidden, "")
	into[api.Done](t, ask(t, s2, http.MethodPost, "/v1/thaw", "", bearer("operate")...), http.StatusOK)
}

// handlerTransport answers requests by a handler.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}
