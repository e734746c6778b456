package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// pipeListener is a listener in memory, for bubbles.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.IPAddr{} }

// pipes serves a handler until the test ends and returns what opens a
// connection to it.
func pipes(t *testing.T, h http.Handler) func() net.Conn {
	t.Helper()
	l := make(pipeListener)
	server := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		close(l)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return func() net.Conn {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close() })
		l <- far
		return near
	}
}

// answerOf reads one answer, whose body must be a problem if it is an error.
func answerOf(t *testing.T, r *bufio.Reader) (int, api.Problem) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p api.Problem
	if resp.StatusCode >= http.StatusBadRequest {
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatalf("%d %q: %v", resp.StatusCode, text, err)
		}
	}
	return resp.StatusCode, p
}

// closes checks that the other end closes a connection.
func closes(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if b, err := r.ReadByte(); err == nil {
		t.Errorf("the connection goes on with %q", b)
	}
}

// ended reads until the other end closes a connection.
func ended(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // how it ends does not matter

// A body that no handler reads, of a page, a refusal or an unknown path, or of
// which one reads as long as it may, must hold neither the answer nor the
// connection for longer than BodyTimeout: it is announced and never sent.
func TestUnreadBody(t *testing.T) {
	for _, line := range []string{
		"GET /v1/status", "GET /livez", "GET /nowhere", "POST /v1/status", "POST /v1/plan", "PUT /v1/chains/no.such/content?timeout=x",
		"PUT /v1/snapshot",
	} {
		t.Run(line, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s := newBackend(t).serve("n1")
				near := pipes(t, s)()
				begin := time.Now()
				fmt.Fprintf(near, "%s HTTP/1.1\r\nHost: x\r\n%s: %s\r\nContent-Length: 100\r\n\r\n", line, api.HeaderConfirm, clusterID)
				r := bufio.NewReader(near)
				answerOf(t, r)
				closes(t, r)
				if took := time.Since(begin); took > 15*time.Second {
					t.Errorf("the connection was held for %v", took)
				}
			})
		})
	}
}

// A blocking read with a body must not be cut short by the time that the body
// has, and a request on the same connection must be answered after it.
func TestBodyTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		_, s := b.serve("n1")
		near := pipes(t, s)()
		r := bufio.NewReader(near)
		at := b.m.View().Revision
		time.AfterFunc(time.Minute, func() { b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1})) })
		fmt.Fprintf(near, "GET /v1/status?revision=%d&wait=5m HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", at)
		begin := time.Now()
		status, _ := answerOf(t, r)
		if took := time.Since(begin); status != http.StatusOK || took != time.Minute {
			t.Errorf("status %d after %v, want 200 after the change", status, took)
		}
		near = pipes(t, s)()
		fmt.Fprint(near, "PUT /v1/chains/d HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{\"spec\":{}}")
		r = bufio.NewReader(near)
		if status, p := answerOf(t, r); status != http.StatusCreated {
			t.Errorf("a write: %d %s", status, p.Detail)
		}
		time.Sleep(time.Hour)
		fmt.Fprint(near, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		if status, _ := answerOf(t, r); status != http.StatusOK {
			t.Errorf("on the same connection, an hour later: %d", status)
		}
	})
}

// A content whose sender makes progress must be taken however long it takes,
// and one whose sender stops, or sends a byte now and then, must be given up
// within the stall, its place with it.
func TestSlowContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		_, s := b.serve("n1")
		b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
		b.settle()
		dial := pipes(t, s)
		put := func(steps, bytes int, every time.Duration) (int, api.Problem, time.Duration) {
			near := dial()
			begin := time.Now()
			fmt.Fprintf(near, "PUT /v1/chains/c/content HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 40*stallBytes)
			go func() {
				for range steps {
					if _, err := near.Write(make([]byte, bytes)); err != nil {
						return
					}
					time.Sleep(every)
				}
			}()
			r := bufio.NewReader(near)
			status, p := answerOf(t, r)
			if status != http.StatusOK {
				closes(t, r)
			}
			return status, p, time.Since(begin)
		}
		if status, p, took := put(40, stallBytes, 29*time.Second); status != http.StatusOK || took < 10*time.Minute {
			t.Errorf("a slow sender: %d %s after %v", status, p.Detail, took)
		}
		before := b.m.View().Revision
		for _, steps := range []int{0, 1, 10_000} {
			status, p, took := put(steps, 1, time.Second)
			if p.Code != api.Invalid || !strings.Contains(p.Detail, "30s") || took > 31*time.Second {
				t.Errorf("%d bytes, one a second: %d %+v after %v", steps, status, p, took)
			}
			if steps == 10_000 {
				time.Sleep(time.Minute) // the sender finds out
			}
		}
		synctest.Wait()
		if got := b.m.View().Revision; got != before || s.clients.contents.within.Load() != 0 {
			t.Errorf("revision %d, was %d; %d places are still taken", got, before, s.clients.contents.within.Load())
		}
	})
}

// A content that is given up because it came too slowly must be answered so
// that the sender hears it: what it still sends is taken, and the answer is not
// lost to a connection that is closed under it.
func TestSlowContentHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		_, s := b.serve("n1")
		b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
		b.settle()
		near := pipes(t, s)()
		fmt.Fprint(near, "PUT /v1/chains/c/content HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		sent := make(chan error, 1)
		go func() {
			for range 40 {
				if _, err := near.Write(make([]byte, 25)); err != nil {
					sent <- err
					return
				}
				time.Sleep(time.Second)
			}
			sent <- nil
		}()
		if status, p := answerOf(t, bufio.NewReader(near)); status != http.StatusBadRequest || !strings.Contains(p.Detail, "30s") {
			t.Errorf("answered %d %s", status, p.Detail)
		}
		if err := <-sent; err != nil {
			t.Errorf("what it still sent: %v", err)
		}
	})
}

// asks sends a request in a goroutine and waits until it waits.
func asks(t *testing.T, h http.Handler, method, target, body string) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}()
	synctest.Wait()
	return func() { cancel(); <-done }
}

// Of each kind, no more requests must be let in than its limit; the next must
// be told 429 with Retry-After and change nothing, requests of other kinds and
// probes must be answered, and a place that becomes free must be given again.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		kind, method, target, body string
		change                     func(*Limits)
		other                      string
	}{
		{"watchers", "GET", "/v1/events", "", func(l *Limits) { l.Watchers = 2 }, "/v1/status"},
		{"watchers", "GET", "/v1/chains?since=1000&wait=10m", "", func(l *Limits) { l.Watchers = 2 }, "/v1/status"},
		{"requests", "PUT", "/v1/chains/new?timeout=5m", `{"spec":{}}`, func(l *Limits) { l.Requests = 2 }, "/v1/status?wait=1ms"},
		{"body bytes", "PUT", "/v1/chains/new?timeout=5m", `{"spec":{}}`, func(l *Limits) { l.BodyBytes = 30 }, "/v1/status"},
		{"contents", "GET", "/v1/chains/c/content?wait=1ms&timeout=5m", "", func(l *Limits) { l.Contents = 2 }, "/v1/status?wait=1ms"},
		{"contents", "GET", "/v1/snapshot?timeout=5m", "", func(l *Limits) { l.Contents = 2 }, "/v1/status"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(t)
				_, s := b.serve("n1", func(cfg *Config) { c.change(&cfg.Limits) })
				b.setLeader("") // what needs one waits
				first := asks(t, s, c.method, c.target, c.body)
				second := asks(t, s, c.method, c.target, c.body)
				before := b.m.View().Revision
				for range 10 {
					w := ask(t, s, c.method, c.target, c.body)
					refusedWith(t, w, api.Overloaded, "")
					if w.Header().Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
				}
				for _, page := range []string{"/livez", "/readyz", "/metrics", c.other} {
					if w := ask(t, s, http.MethodGet, page, ""); w.Code != http.StatusOK {
						t.Errorf("%s: %d %s", page, w.Code, w.Body)
					}
				}
				metrics := ask(t, s, http.MethodGet, "/metrics", "").Body.String()
				if want := fmt.Sprintf("holdfast_http_refused_total{kind=%q,port=\"http\"} 10", c.kind); !strings.Contains(metrics, want) {
					t.Errorf("the metrics lack %s", want)
				}
				first()
				third := asks(t, s, c.method, c.target, c.body)
				refusedWith(t, ask(t, s, c.method, c.target, c.body), api.Overloaded, "")
				second()
				third()
				if got := b.m.View().Revision; got != before {
					t.Errorf("the revision went from %d to %d", before, got)
				}
				for _, g := range []*gate{s.clients.requests, s.clients.watchers, s.clients.contents, s.clients.bodies} {
					if n := g.within.Load(); n != 0 {
						t.Errorf("%s: %d places are still taken", g.name, n)
					}
				}
			})
		})
	}
}

// Bodies must take of the room for bodies what has come of them, not what they
// announce, and give it back: the room is for two bodies of the largest size
// here, a hundred are announced, and a write beside them must be answered. What
// goes beyond the room while it comes must be refused.
func TestAnnouncedBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newBackend(t).serve("n1", func(cfg *Config) { cfg.Limits.BodyBytes = 2 * api.BodyBytesMax })
		dial := pipes(t, s)
		announce := func() net.Conn {
			near := dial()
			fmt.Fprintf(near, "PUT /v1/chains/c HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", api.BodyBytesMax)
			go ended(near)
			return near
		}
		for range 100 {
			announce()
		}
		synctest.Wait()
		if w := ask(t, s, http.MethodPut, "/v1/chains/d", `{"spec":{}}`); w.Code != http.StatusCreated {
			t.Errorf("beside bodies that do not come: %d %s", w.Code, w.Body)
		}
		for range 2 {
			if _, err := announce().Write(make([]byte, api.BodyBytesMax-1)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got, want := s.clients.bodies.within.Load(), int64(2*(api.BodyBytesMax-1)); got != want {
			t.Errorf("%d bytes are taken, want %d", got, want)
		}
		w := ask(t, s, http.MethodPut, "/v1/chains/e", `{"spec":{}}`)
		refusedWith(t, w, api.Overloaded, "")
		time.Sleep(time.Hour)
		if got := s.clients.bodies.within.Load(); got != 0 {
			t.Errorf("%d bytes are still taken", got)
		}
	})
}

// inContent is a Content that asks its own server while it stores, as the
// agent's does.
type inContent struct {
	Content
	ask func(context.Context)
}

func (c inContent) Put(ctx context.Context, w ContentWrite, body io.Reader) (api.ContentPut, error) {
	c.ask(ctx)
	return c.Content.Put(ctx, w, body)
}

// A request counts once on a node: one that another node has passed on must be
// answered though the leader's own clients have taken all places, and what a
// content asks of its own node must need no further place.
func TestCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one := func(cfg *Config) { cfg.Limits.Requests = 1 }
		var s *Server
		inner := 0
		n, s := b.serve("n1", one, func(cfg *Config) {
			cfg.Content = inContent{cfg.Content, func(ctx context.Context) {
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/chains/c", http.NoBody)
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				inner = w.Code
			}}
		})
		b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
		b.settle()
		b.setLeader("")
		end := asks(t, s, http.MethodPut, "/v1/chains/x?timeout=5m", `{"spec":{}}`)
		refusedWith(t, ask(t, s, http.MethodGet, "/v1/chains", ""), api.Overloaded, "")
		b.setLeader("n1")
		s.clients.requests.within.Add(1) // the write above has been answered
		defer s.clients.requests.within.Add(-1)
		end()
		if w := ask(t, s, http.MethodPut, "/v1/chains/c/content", "abc"); w.Code != http.StatusOK || inner != http.StatusOK {
			t.Errorf("a content: %d %s, its own question %d", w.Code, w.Body, inner)
		}
		passed := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/chains", http.NoBody)
		passed.Header.Set(api.HeaderForwarded, "n2")
		w := httptest.NewRecorder()
		s.Peers().ServeHTTP(w, passed)
		if w.Code != http.StatusOK {
			t.Errorf("passed on by a node: %d %s", w.Code, w.Body)
		}
		_ = n
	})
}

// A small body must not cost much memory, whatever it repeats under long keys
// or how deep it goes: the path to each value used to be spelt out.
func TestCostlyBodies(t *testing.T) {
	_, s := newBackend(t).serve("n1")
	long := strings.Repeat("k", 300<<10)
	for name, body := range map[string]string{
		"long key": `{"spec":{},"holders":{"` + long + `":[` + strings.Repeat("1,", 300<<10) + `1]}}`,
		"deep":     `{"spec":{},"holders":` + strings.Repeat("[", 9000) + strings.Repeat("1,", 100<<10) + "1" + strings.Repeat("]", 9000) + `}`,
		"deeper":   `{"spec":{},"holders":` + strings.Repeat("[", 200<<10) + strings.Repeat("]", 200<<10) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := ask(t, s, http.MethodPut, "/v1/chains/c", body)
			runtime.ReadMemStats(&after)
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 200<<20 {
				t.Errorf("%d MiB were spent on %d KiB", spent>>20, len(body)>>10)
			}
			if name != "long key" && w.Code != http.StatusBadRequest || w.Body.Len() > 4096 {
				t.Errorf("%d with %d bytes: %.300s", w.Code, w.Body.Len(), w.Body)
			}
		})
	}
}
