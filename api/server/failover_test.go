package server

import (
	"context"
	"fmt"
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

// frozen is a transport to nodes that may take requests and never answer.
type frozen struct {
	http.RoundTripper

	mu    sync.Mutex
	hosts map[string]int // how many requests each host still swallows
	keys  []string       // of all requests
	waits []string
}

func (f *frozen) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.keys = append(f.keys, r.Header.Get(api.HeaderIdempotencyKey))
	f.waits = append(f.waits, r.URL.Query().Get("wait"))
	swallow := f.hosts[r.URL.Host] > 0
	f.hosts[r.URL.Host]--
	f.mu.Unlock()
	if swallow {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return f.RoundTripper.RoundTrip(r)
}

// trio returns the server of n2 in a bubble, with n1 (which leads) and n3
// behind a transport that may freeze.
func trio(t *testing.T) (*backend, *Server, *frozen) {
	b, _, _ := bubble(t)
	n2, s2 := b.serve("n2")
	_, s3 := b.serve("n3")
	_, s1 := b.serve("n1")
	b.addrs["n3"] = "a3"
	f := &frozen{RoundTripper: mesh{"a1": s1, "a3": s3}, hosts: map[string]int{}}
	n2.transport = f
	return b, s2, f
}

// A request in flight to a leader that freezes must be answered by the next
// leader as soon as that is known, a write under its first key: n1 swallows
// what it gets and n3 is elected after 1.5 s.
func TestLeaderFreezes(t *testing.T) {
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/v1/chains/c", `{"spec":{"desired":2}}`},
		{"GET", "/v1/chains", ""},
		{"GET", "/v1/chains?consistency=linearizable&wait=30s", ""},
		{"GET", "/v1/chains/with/content", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, s2, f := trio(t)
				b.must(fsm.NewPutChain("with", placement.Spec{Desired: 1}))
				b.settle()
				_, s1 := b.serve("n1")
				into[api.ContentPut](t, ask(t, s1, http.MethodPut, "/v1/chains/with/content", "x"), http.StatusOK)
				f.hosts["a1"] = 1 << 30
				time.AfterFunc(1500*time.Millisecond, func() { b.setLeader("n3") })
				start := time.Now()
				w := ask(t, s2, c.method, c.path, c.body)
				d := time.Since(start)
				if w.Code/100 != 2 || d < 1500*time.Millisecond || d > 1700*time.Millisecond {
					t.Errorf("%d after %v, want an answer soon after 1.5s: %s", w.Code, d, w.Body)
				}
				if n := len(f.keys); n != 2 || f.keys[0] != f.keys[1] || (c.method == "PUT") != (f.keys[0] != "") {
					t.Errorf("passed on under the keys %q, want twice under one", f.keys)
				}
			})
		})
	}
}

// A blocking read whose leader freezes after ten seconds must go on at the
// next with what is left of its wait.
func TestBlockingReadGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s2, f := trio(t)
		f.hosts["a1"] = 1
		time.AfterFunc(10*time.Second, func() { b.setLeader("n3") })
		start := time.Now()
		w := ask(t, s2, http.MethodGet, fmt.Sprintf("/v1/nodes?wait=30s&revision=%d", b.m.View().Revision), "")
		if d := time.Since(start); w.Code != http.StatusOK || d < 30*time.Second || d > 31*time.Second {
			t.Errorf("%d after %v, want 200 after 30s: %s", w.Code, d, w.Body)
		}
		if len(f.waits) != 2 || f.waits[0] != "30s" || !strings.HasPrefix(f.waits[1], "19.") && f.waits[1] != "20s" {
			t.Errorf("passed on with the waits %q, want 30s, then what is left of it", f.waits)
		}
	})
}

// A connection that swallows a request must not use up the whole time: the
// same leader answers the second attempt. One that swallows all of them ends
// within ?timeout=.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s2, f := trio(t)
		f.hosts["a1"] = 1
		start := time.Now()
		into[api.Chain](t, ask(t, s2, http.MethodPut, "/v1/chains/c", `{"spec":{}}`), http.StatusCreated)
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("answered after %v, want soon after 2.5s", d)
		}
		f.hosts["a1"] = 1 << 30
		start = time.Now()
		refusedWith(t, ask(t, s2, http.MethodPut, "/v1/chains/d", `{"spec":{}}`), api.OutcomeUnknown, "")
		if d := time.Since(start); d < 4900*time.Millisecond || d > 5*time.Second {
			t.Errorf("gave up after %v, want 5s", d)
		}
	})
}

// A client with a place that no node has reached must be reset by a follower
// too; one with a place that the follower has still to reach must not, neither
// at once nor when the follower catches up while it waits.
func TestAheadOfFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s2, f := trio(t)
		list := func(since uint64, more string) (api.ChainList, time.Duration) {
			start := time.Now()
			w := ask(t, s2, http.MethodGet, fmt.Sprintf("/v1/chains?since=%d%s", since, more), "", api.HeaderLineage, lineage)
			return into[api.ChainList](t, w, http.StatusOK), time.Since(start)
		}
		for _, more := range []string{"", "&wait=30s"} {
			if got, d := list(1_000_000, more); !got.Reset || d > 2*time.Second {
				t.Errorf("beyond the leader%s: %+v after %v, want a reset", more, got, d)
			}
		}
		b.setLag(true)
		b.must(fsm.NewPutChain("a", placement.Spec{Desired: 1}))
		at := uint64(b.m.View().Revision)
		if got, d := list(at, ""); got.Reset || d != 0 {
			t.Errorf("ahead of the follower: %+v after %v", got, d)
		}
		time.AfterFunc(500*time.Millisecond, func() { b.setLag(false) })
		asked := len(f.keys)
		if got, d := list(at, "&wait=10s"); got.Reset || d < 10*time.Second || d > 11*time.Second {
			t.Errorf("while it catches up: %+v after %v, want nothing new for 10s", got, d)
		}
		if n := len(f.keys) - asked; n != 0 {
			t.Errorf("the leader was asked %d times because of a short lag", n)
		}
		b.setLeader("")
		if got, _ := list(1_000_000, ""); got.Reset || got.Revision != 1_000_000 {
			t.Errorf("without a leader: %+v, want no verdict", got)
		}
	})
}

// An event stream from a follower whose client is ahead of it must wait for
// it, and reset the client when it has not got there in five seconds.
func TestEventsAheadOfFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, s2 := bubble(t)
		stream := func(at uint64, patience time.Duration) string {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/events", http.NoBody)
			r.Header.Set(api.HeaderLastEventID, fmt.Sprintf("%s-%d", lineage, at))
			w := httptest.NewRecorder()
			s2.ServeHTTP(w, r)
			return w.Body.String()
		}
		if got := stream(1_000_000, 4*time.Second); got != "" {
			t.Errorf("within 4s: %q, want nothing", got)
		}
		if got := stream(1_000_000, 6*time.Second); !strings.Contains(got, "event: reset") {
			t.Errorf("within 6s: %q, want a reset", got)
		}
		b.setLag(true)
		b.must(fsm.NewPutChain("a", placement.Spec{Desired: 1}))
		at := uint64(b.m.View().Revision)
		time.AfterFunc(2*time.Second, func() { b.setLag(false) })
		time.AfterFunc(3*time.Second, func() { b.must(fsm.NewPutChain("b", placement.Spec{Desired: 1})) })
		if got := stream(at, 10*time.Second); strings.Contains(got, "reset") || strings.Contains(got, `"id":"a"`) || !strings.Contains(got, `"id":"b"`) {
			t.Errorf("a follower that catches up: %q, want b alone", got)
		}
	})
}
