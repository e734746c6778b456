package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// link is a transport between nodes that remembers what passed and breaks
// when told.
type link struct {
	http.RoundTripper

	mu       sync.Mutex
	requests []*http.Request
	dial     int // requests to refuse before they are sent
	breaks   int // requests whose answer to lose
}

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.requests = append(l.requests, r)
	dial, breaks := l.dial > 0, l.breaks > 0
	if dial {
		l.dial--
	} else if breaks {
		l.breaks--
	}
	l.mu.Unlock()
	if dial {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	resp, err := l.RoundTripper.RoundTrip(r)
	if breaks && err == nil {
		_ = resp.Body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return resp, err
}

// two serves n1, the leader, and n2 on sockets, and returns n2's handler with
// the link from it.
func two(t *testing.T) (*backend, *Server, *link) {
	t.Helper()
	b := newBackend(t)
	b.listen("n1")
	n2, s2 := b.serve("n2")
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	l := &link{RoundTripper: transport}
	n2.transport = l
	return b, s2, l
}

// A write, a leader read and an explain sent to a follower must be answered
// by the leader, passed on once with the key that the first node made up;
// stale reads and the status must be answered where they were asked.
func TestForward(t *testing.T) {
	b, s2, l := two(t)
	c := into[api.Chain](t, ask(t, s2, http.MethodPut, "/v1/chains/c?timeout=4s", `{"spec":{"desired":2}}`), http.StatusCreated)
	if c.ID != "c" || b.m.View().Chain("c") == nil {
		t.Errorf("chain %+v", c)
	}
	r := l.requests[0]
	if r.Header.Get(api.HeaderForwarded) != "n2" || r.Header.Get(api.HeaderIdempotencyKey) == "" || r.URL.RequestURI() != "/v1/chains/c?timeout=4s" {
		t.Errorf("forwarded as %s with %v", r.URL, r.Header)
	}
	w := ask(t, s2, http.MethodGet, "/v1/chains/c", "")
	into[api.Chain](t, w, http.StatusOK)
	if got := w.Header().Get(api.HeaderLastContact); got != "0s" {
		t.Errorf("the leader's headers must pass: Last-Contact %q", got)
	}
	into[api.Explanation](t, ask(t, s2, http.MethodGet, "/v1/chains/c/explain", ""), http.StatusOK)
	refusedWith(t, ask(t, s2, http.MethodGet, "/v1/chains/none", ""), api.UnknownChain, "")
	if n := len(l.requests); n != 4 {
		t.Errorf("%d requests were passed on, want 4", n)
	}
	into[api.Chain](t, ask(t, s2, http.MethodGet, "/v1/chains/c?consistency=stale", ""), http.StatusOK)
	into[api.ChainList](t, ask(t, s2, http.MethodGet, "/v1/chains?since=0", ""), http.StatusOK)
	if st := into[api.ClusterStatus](t, ask(t, s2, http.MethodGet, "/v1/status", ""), http.StatusOK); st.Node != "n2" || st.Leader.Node != "n1" {
		t.Errorf("status of %s, leader %v", st.Node, st.Leader)
	}
	if n := len(l.requests); n != 4 {
		t.Errorf("%d requests were passed on, want still 4", n)
	}
}

// A node that has not replayed its log yet must deny nothing: its stale reads,
// watches and event streams are refused with not-ready, while its status answers.
// Provoked with an empty state behind a follower.
func TestNoStateYet(t *testing.T) {
	b, s2, _ := two(t)
	b.must(fsm.NewPutChain("c", placement.Spec{}))
	b.mu.Lock()
	b.f = fsm.New()
	b.mu.Unlock()
	for _, path := range []string{
		"/v1/chains/c?consistency=stale", "/v1/chains?consistency=stale", "/v1/chains?since=0", "/v1/nodes?consistency=stale",
		"/v1/chains/c/content?consistency=stale", "/v1/nodes/n2/assignments?consistency=stale", "/v1/events",
	} {
		refusedWith(t, ask(t, s2, http.MethodGet, path, ""), api.NotReady, "")
	}
	into[api.ClusterStatus](t, ask(t, s2, http.MethodGet, "/v1/status", ""), http.StatusOK)
}

// A leader that was paused, and does not know yet that another one leads, must
// not send a watch that has seen more back to the beginning. A leader that is
// one must, as there is no such place.
func TestChangesOfDeposedLeader(t *testing.T) {
	b := newBackend(t)
	n1, s1 := b.serve("n1")
	b.setLag(true)
	b.must(fsm.NewPutChain("c", placement.Spec{}))
	path := fmt.Sprintf("/v1/chains?since=%d", b.m.View().Revision)
	n1.deposed = true
	refusedWith(t, ask(t, s1, http.MethodGet, path, ""), api.NoLeader, "")
	n1.deposed = false
	if got := into[api.ChainList](t, ask(t, s1, http.MethodGet, path, ""), http.StatusOK); got.Reset {
		t.Errorf("at the newest revision: %+v", got)
	}
	if got := into[api.ChainList](t, ask(t, s1, http.MethodGet, path+"9", ""), http.StatusOK); !got.Reset {
		t.Errorf("at a revision that there is not: %+v, want a reset", got)
	}
}

// A request that was passed on already must not be passed on again: it comes
// back at once with no-leader.
func TestForwardOnce(t *testing.T) {
	_, s2, l := two(t)
	w := ask(t, s2.Peers(), http.MethodPut, "/v1/chains/c", `{"spec":{}}`, api.HeaderForwarded, "n3")
	refusedWith(t, w, api.NoLeader, "")
	if w.Header().Get("Retry-After") == "" || len(l.requests) != 0 {
		t.Errorf("Retry-After %q, %d requests passed on", w.Header().Get("Retry-After"), len(l.requests))
	}
}

// A write whose connection could not be made must be tried again; one whose
// answer was lost must be tried again under the same key and applied once.
func TestForwardRetries(t *testing.T) {
	for _, c := range []struct {
		name         string
		dial, breaks int
	}{{"refused twice", 2, 0}, {"answer lost twice", 0, 2}} {
		t.Run(c.name, func(t *testing.T) {
			b, s2, l := two(t)
			l.dial, l.breaks = c.dial, c.breaks
			before := b.m.View().Revision
			into[api.Chain](t, ask(t, s2, http.MethodPut, "/v1/chains/c", `{"spec":{}}`), http.StatusCreated)
			if got := changes(b, before); got != 1 || len(l.requests) != 3 {
				t.Errorf("%d changes by %d requests, want 1 by 3", got, len(l.requests))
			}
			for _, r := range l.requests {
				if got, want := r.Header.Get(api.HeaderIdempotencyKey), l.requests[0].Header.Get(api.HeaderIdempotencyKey); got != want {
					t.Errorf("key %q, then %q", want, got)
				}
			}
		})
	}
}

// changes counts the changes of the state after a revision.
func changes(b *backend, since placement.Revision) int {
	n := 0
	b.m.View().ChangedSince(since, func(fsm.Change) bool { n++; return true })
	return n
}

// A leader that does not learn the fate of its own proposal must ask again
// under the same key: the answer is the first one, applied once.
func TestLeaderRetries(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	b.lost = 1
	before := b.m.View().Revision
	into[api.Chain](t, ask(t, s, http.MethodPut, "/v1/chains/c", `{"spec":{}}`), http.StatusCreated)
	if got := changes(b, before); got != 1 {
		t.Errorf("%d changes, want 1", got)
	}
}

// mesh carries requests between servers in a bubble, without sockets.
type mesh map[string]http.Handler

func (m mesh) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := m[r.URL.Host]
	if !ok {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// bubble returns the servers of n1 and n2, joined by a mesh.
func bubble(t *testing.T) (*backend, *Server, *Server) {
	b := newBackend(t)
	n1, s1 := b.serve("n1")
	n2, s2 := b.serve("n2")
	m := mesh{"a1": s1, "a2": s2}
	n1.transport, n2.transport = m, m
	b.addrs["n1"], b.addrs["n2"] = "a1", "a2"
	return b, s1, s2
}

// Without a leader a write must wait for ?timeout= and then say so; when one
// is elected meanwhile, here or elsewhere, it must be answered.
func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, s2 := bubble(t)
		b.setLeader("")
		start := time.Now()
		refusedWith(t, ask(t, s2, http.MethodPut, "/v1/chains/c", `{"spec":{}}`), api.NoLeader, "")
		if d := time.Since(start); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("gave up after %v, want the default of 5s", d)
		}
		start = time.Now()
		refusedWith(t, ask(t, s2, http.MethodGet, "/v1/chains/c?timeout=1s", ""), api.NoLeader, "")
		if d := time.Since(start); d < time.Second || d > 2*time.Second {
			t.Errorf("gave up after %v, want 1s", d)
		}
		for i, elected := range []string{"n1", "n2"} {
			b.setLeader("")
			time.AfterFunc(2*time.Second, func() { b.setLeader(placement.NodeID(elected)) })
			start = time.Now()
			into[api.Chain](t, ask(t, s2, http.MethodPut, fmt.Sprintf("/v1/chains/c%d", i), `{"spec":{}}`), http.StatusCreated)
			if d := time.Since(start); d < 2*time.Second || d > 2500*time.Millisecond {
				t.Errorf("%s elected after 2s, answered after %v", elected, d)
			}
		}
	})
}

// A write that was sent and never answered must end as outcome-unknown, and a
// later retry with its key must find what became of it.
func TestOutcomeUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s1, _ := bubble(t)
		b.lost = 1 << 30
		// Every try costs the test's cluster a second: few enough for the ttl.
		refusedWith(t, ask(t, s1, http.MethodPut, "/v1/chains/c?timeout=1s", `{"spec":{}}`, api.HeaderIdempotencyKey, "k"), api.OutcomeUnknown, "")
		b.lost = 0
		before := b.m.View().Revision
		into[api.Chain](t, ask(t, s1, http.MethodPut, "/v1/chains/c", `{"spec":{}}`, api.HeaderIdempotencyKey, "k"), http.StatusCreated)
		if got := b.m.View().Revision; got != before {
			t.Errorf("the retry changed the state: revision %d, then %d", before, got)
		}
	})
}

// A write that never left this node must end as no-leader, one whose answer
// was lost each time as outcome-unknown: the client may give up the first, not
// the second.
func TestForwardGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		_, s1 := b.serve("n1")
		n2, s2 := b.serve("n2")
		b.addrs["n1"] = "a1"
		for _, c := range []struct {
			l    *link
			want api.Code
		}{
			{&link{RoundTripper: mesh{"a1": s1}, dial: 1 << 30}, api.NoLeader},
			{&link{RoundTripper: mesh{"a1": s1}, breaks: 1 << 30}, api.OutcomeUnknown},
		} {
			n2.transport = c.l
			refusedWith(t, ask(t, s2, http.MethodPut, "/v1/chains/c?timeout=1s", `{"spec":{}}`), c.want, "")
		}
	})
}

// A blocking read must wait for news and no longer than it says; one of
// another lineage, or of a revision that the leader has not reached, must be
// answered at once (rule S21).
func TestBlockingReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s1, s2 := bubble(t)
		b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
		b.settle()
		now := uint64(b.m.View().Revision)
		for _, c := range []struct {
			path    string
			lineage string
			want    time.Duration
		}{
			{fmt.Sprintf("/v1/nodes?revision=%d&wait=30s", now-1), "", 0},
			{fmt.Sprintf("/v1/nodes?revision=%d&wait=30s", now), "", 30 * time.Second},
			{fmt.Sprintf("/v1/nodes?revision=%d&wait=30s", now), lineage, 30 * time.Second},
			{fmt.Sprintf("/v1/nodes?revision=%d&wait=30s", now), "lineage-0", 0},
			{fmt.Sprintf("/v1/nodes?revision=%d&wait=30s", now+5), "", 0},
			{fmt.Sprintf("/v1/nodes?revision=%d", now), "", 0},
			{fmt.Sprintf("/v1/chains?since=%d&wait=10s", now), "", 10 * time.Second},
			{fmt.Sprintf("/v1/chains?since=%d&wait=10s&prefix=other", now-1), "", 10 * time.Second},
			{fmt.Sprintf("/v1/nodes/n3/assignments?revision=%d&wait=10s", now), "", 10 * time.Second},
		} {
			for _, s := range []*Server{s1, s2} {
				start := time.Now()
				w := ask(t, s, http.MethodGet, c.path, "", api.HeaderLineage, c.lineage)
				if d := time.Since(start); w.Code != http.StatusOK || d != c.want {
					t.Errorf("%s (lineage %q): %d after %v, want 200 after %v", c.path, c.lineage, w.Code, d, c.want)
				}
			}
		}
		// Each waits until what it is about changes, two seconds from now.
		for path, change := range map[string]func(){
			"/v1/nodes?wait=30s&revision=":                func() { b.must(&fsm.SetWeight{Node: "n3", Weight: 7}) },
			"/v1/chains?wait=30s&prefix=d&since=":         func() { b.must(fsm.NewPutChain("d", placement.Spec{Desired: 1})) },
			"/v1/nodes/n3/assignments?wait=30s&revision=": func() { b.must(&fsm.SetWeight{Node: "n3", Weight: 8}) },
		} {
			time.AfterFunc(time.Second, func() { b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1, SizeBytes: time.Now().Unix()})) })
			time.AfterFunc(2*time.Second, change)
			start := time.Now()
			w := ask(t, s2, http.MethodGet, path+fmt.Sprint(b.m.View().Revision), "")
			want := 2 * time.Second
			if strings.HasPrefix(path, "/v1/nodes?") {
				want = time.Second
			}
			if d := time.Since(start); w.Code != http.StatusOK || d != want {
				t.Errorf("%s: %d after %v, want 200 after %v", path, w.Code, d, want)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

// changes must name what changed and what went, never go back on a follower
// that lags, and say when they are no longer known.
func TestChanges(t *testing.T) {
	b, s1, s2 := bubble(t)
	since := b.m.View().Revision
	for _, id := range []placement.ChainID{"a", "b", "c"} {
		b.must(fsm.NewPutChain(id, placement.Spec{Desired: 1}))
	}
	b.must(&fsm.DeleteChain{Chain: "b"})
	list := func(s *Server, query string, headers ...string) api.ChainList {
		return into[api.ChainList](t, ask(t, s, http.MethodGet, "/v1/chains?"+query, "", headers...), http.StatusOK)
	}
	got := list(s2, fmt.Sprintf("since=%d", since))
	if len(got.Chains) != 2 || len(got.Deleted) != 1 || got.Deleted[0] != "b" || got.Reset || got.Revision != uint64(b.m.View().Revision) {
		t.Errorf("changes: %+v", got)
	}
	first := list(s2, fmt.Sprintf("since=%d&limit=1", since))
	rest := list(s2, fmt.Sprintf("since=%d", first.Revision))
	if len(first.Chains) != 1 || first.Chains[0].ID != "a" || len(rest.Chains) != 1 || rest.Chains[0].ID != "c" || len(rest.Deleted) != 1 {
		t.Errorf("first %+v, rest %+v", first, rest)
	}
	if r := list(s2, fmt.Sprintf("since=%d", since), api.HeaderLineage, "lineage-0"); !r.Reset {
		t.Errorf("another lineage: %+v", r)
	}
	if r := list(s1, "since=1000000"); !r.Reset {
		t.Errorf("a revision above the leader's: %+v", r)
	}
	b.setLag(true)
	b.must(fsm.NewPutChain("d", placement.Spec{Desired: 1}))
	ahead := uint64(b.m.View().Revision)
	if r := list(s2, fmt.Sprintf("since=%d", ahead)); r.Reset || r.Revision != ahead || len(r.Chains) != 0 {
		t.Errorf("from a follower that lags: %+v", r)
	}
}

// Content read on a follower must be of the version that the leader knows: the
// follower waits until it has caught up.
func TestContentOnFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s1, s2 := bubble(t)
		b.must(fsm.NewPutChain("c", placement.Spec{Desired: 2}))
		b.settle()
		into[api.ContentPut](t, ask(t, s1, http.MethodPut, "/v1/chains/c/content", "old"), http.StatusOK)
		b.setLag(true)
		into[api.ContentPut](t, ask(t, s1, http.MethodPut, "/v1/chains/c/content", "new"), http.StatusOK)
		if w := ask(t, s2, http.MethodGet, "/v1/chains/c/content?consistency=stale", ""); w.Body.String() != "old" {
			t.Errorf("stale: %d %s", w.Code, w.Body)
		}
		time.AfterFunc(time.Second, func() { b.setLag(false) })
		refusedWith(t, ask(t, s2, http.MethodGet, "/v1/chains/c/content?timeout=100ms", ""), api.NoLeader, "")
		time.Sleep(2 * time.Second)
		if w := ask(t, s2, http.MethodGet, "/v1/chains/c/content", ""); w.Body.String() != "new" {
			t.Errorf("leader: %d %s", w.Code, w.Body)
		}
	})
}
