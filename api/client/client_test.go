package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hosts carries requests to handlers by host name, without sockets.
type hosts map[string]http.HandlerFunc

func (h hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	f, ok := h[r.URL.Host]
	if !ok {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	w := httptest.NewRecorder()
	f(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (h hosts) client(t *testing.T, opts ...Option) *Client {
	t.Helper()
	opts = append([]Option{WithHTTPClient(&http.Client{Transport: h})}, opts...)
	c, err := New([]string{"http://a", "http://b", "c"}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(code api.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, api.Status(code), api.NewProblem(code, "refused"))
	}
}

// Addresses must be tried in order, the one that answered last first, and a
// write must keep its key from one to the next.
func TestAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys, asked []string
		answer := func(name string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, name)
				keys = append(keys, r.Header.Get(api.HeaderIdempotencyKey))
				answerJSON(w, http.StatusOK, api.Chain{ID: "c"})
			}
		}
		h := hosts{"b": func(w http.ResponseWriter, r *http.Request) {
			keys = append(keys, r.Header.Get(api.HeaderIdempotencyKey))
			refuse(api.NoLeader)(w, r)
		}, "c": answer("c")}
		c := h.client(t, WithToken("secret"))
		if _, err := c.PutChain(t.Context(), "c", api.Spec{}); err != nil {
			t.Fatal(err)
		}
		if len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
			t.Errorf("keys %q", keys)
		}
		h["a"] = answer("a")
		if _, err := c.PutChain(t.Context(), "c", api.Spec{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(asked, ""); got != "cc" || keys[2] == keys[0] {
			t.Errorf("asked %s with keys %q, want c twice with two keys", got, keys)
		}
	})
}

// A call must be tried again without a leader until one is there, and given
// up when the retry time or the context is over; a refusal must come at once.
func TestRetry(t *testing.T) {
	for _, c := range []struct {
		name    string
		code    api.Code
		opts    []Option
		timeout time.Duration
		tries   int           // after so many it succeeds; 0 = never
		from    time.Duration // it ends within from..to
		to      time.Duration
	}{
		{"leader comes", api.NoLeader, nil, time.Hour, 10, 0, 5 * time.Second},
		{"never", api.NoLeader, nil, time.Hour, 0, DefaultRetry - backoffMax, DefaultRetry},
		{"one round", api.NoLeader, []Option{WithRetry(0)}, time.Hour, 0, 0, 0},
		{"context ends", api.OutcomeUnknown, nil, 3 * time.Second, 0, 3 * time.Second, 3 * time.Second},
		{"a place is free", api.Overloaded, nil, time.Hour, 10, 0, 5 * time.Second},
		{"refused", api.LastCopy, nil, time.Hour, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				all := func(w http.ResponseWriter, r *http.Request) {
					if n++; n == c.tries {
						answerJSON(w, http.StatusOK, api.Done{Revision: 7})
						return
					}
					refuse(c.code)(w, r)
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				start := time.Now()
				done, err := hosts{"a": all, "b": all, "c": all}.client(t, c.opts...).Thaw(ctx, "x")
				if d := time.Since(start); d < c.from || d > c.to {
					t.Errorf("took %v, want %v..%v", d, c.from, c.to)
				}
				var p *api.Problem
				switch {
				case c.tries > 0 && (err != nil || done.Revision != 7):
					t.Errorf("%+v, %v", done, err)
				case c.tries == 0 && (!errors.As(err, &p) || p.Code != c.code):
					t.Errorf("%v, want a problem %s", err, c.code)
				case c.name == "context ends" && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("%v does not say that the context ended", err)
				case c.name == "refused" && n != 1:
					t.Errorf("a refusal was tried %d times", n)
				}
			})
		})
	}
}

// A node that takes a request and never answers must be left for the next
// one.
func TestHangingNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		good := func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, api.Done{Revision: 1}) }
		start := time.Now()
		_, err := hosts{"a": hang, "b": good}.client(t).Thaw(t.Context(), "x")
		if d := time.Since(start); err != nil || d != patienceDefault {
			t.Errorf("%v after %v, want an answer after %v", err, d, patienceDefault)
		}
	})
}

// A content must be sent again from where it began if its reader can go back,
// and never sent short if it cannot.
func TestContentRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		h := hosts{"b": func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			if bodies = append(bodies, string(data)); len(bodies)%2 == 1 {
				refuse(api.NoLeader)(w, r)
				return
			}
			answerJSON(w, http.StatusOK, api.ContentPut{Version: 9})
		}}
		r := bytes.NewReader([]byte("xhello"))
		_, _ = r.ReadByte() // it has one
		if put, err := h.client(t).PutContent(t.Context(), "c", r, 5); err != nil || put.Version != 9 {
			t.Errorf("%+v, %v", put, err)
		}
		if len(bodies) != 2 || bodies[0] != "hello" || bodies[1] != "hello" {
			t.Errorf("sent %q", bodies)
		}
		bodies = nil
		h["a"] = h["b"] // an address that answers
		_, err := h.client(t).PutContent(t.Context(), "c", io.MultiReader(strings.NewReader("hello")), 5)
		var p *api.Problem
		if !errors.As(err, &p) || p.Code != api.NoLeader || len(bodies) != 1 {
			t.Errorf("%v after sending %q, want no-leader after one", err, bodies)
		}
	})
}

// An error answer that is no problem document, such as a proxy's, must keep
// its status.
func TestForeignError(t *testing.T) {
	h := hosts{"a": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) }}
	_, err := h.client(t).Status(t.Context())
	var p *api.Problem
	if !errors.As(err, &p) || p.Status != http.StatusBadGateway {
		t.Errorf("%v, want a problem of status 502", err)
	}
}

// Addresses that name no node must be refused by New.
func TestNewRefuses(t *testing.T) {
	for _, addrs := range [][]string{nil, {""}, {"ftp://x"}, {"http://"}, {"http://a b"}} {
		if c, err := New(addrs); err == nil {
			t.Errorf("New(%q) = %v, want an error", addrs, c)
		}
	}
}
