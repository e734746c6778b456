package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/internal/appetite"
)

// wire is a server that gives one answer, byte by byte, to all.
type wire []byte

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(w)), r)
}

// endless is a body that never ends.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	e.read += int64(len(b))
	return len(b), nil
}

func (e *endless) Close() error { return nil }

func clientOf(t testing.TB, via http.RoundTripper) *Client {
	t.Helper()
	c, err := New([]string{"http://a"}, WithHTTPClient(&http.Client{Transport: via}), WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An answer or an event that never ends costs no more memory or time than the
// longest that a node gives, and is not asked for again: a server that sends
// blanks for ever, and one that sends lines of one event.
func TestEndlessAnswers(t *testing.T) {
	body := new(endless)
	blanks := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: body, Request: r, Header: http.Header{}}, nil
	})
	c := clientOf(t, blanks)
	const most = 1 << 20
	short := func(k *call) { k.answerMax = most }
	for name, ask := range map[string]func() error{
		"status": func() error { _, err := c.Status(t.Context(), short); return err },
		"put": func() error {
			_, err := c.PutContent(t.Context(), "x", strings.NewReader("b"), 1, short)
			return err
		},
		"restore": func() error {
			_, err := c.Restore(t.Context(), "c", strings.NewReader("b"), 1, short)
			return err
		},
	} {
		body.read = 0
		if err := ask(); err == nil || again(err) || body.read > 2*most {
			t.Errorf("%s: %d bytes were read: %v", name, body.read, err)
		}
	}
	lines := roundTrip(func(r *http.Request) (*http.Response, error) {
		line := []byte("data: " + strings.Repeat("x", 1<<20) + "\n")
		text := io.MultiReader(strings.NewReader("event: move\n"), &repeated{line: line})
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(text), Request: r, Header: http.Header{}}, nil
	})
	asked := appetite.Of(func() {
		for _, err := range clientOf(t, lines).Events(t.Context(), "") {
			if err == nil {
				t.Error("an event without end has come")
			}
		}
	})
	if asked > 16*eventBytesMax {
		t.Errorf("an event asked for %d bytes of memory", asked)
	}
}

// repeated is one line for ever.
type repeated struct {
	line []byte
	at   int
}

func (r *repeated) Read(b []byte) (int, error) {
	n := copy(b, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	return n, nil
}

// Answers of a server that may be anybody, byte by byte, to calls of each kind:
// nothing panics or goes on for ever, memory stays in proportion, an error is
// one that can be shown, and what was read means the same when it is written.
func FuzzServerAnswers(f *testing.F) {
	chain := `{"id":"c","generation":3,"spec":{"desired":3,"cooldown":"5m"},"holders":[{"node":"n1","epoch":2,"phase":"ready"}]}`
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"3\"\r\n" + api.HeaderRevision + ": 9\r\n" + api.HeaderLineage + ": l\r\n\r\n"
	for i, body := range []string{
		chain, `{"chains":[` + chain + `],"next":"","revision":9}`, `{"nodes":[{"id":"n1","state":"alive","since":1.5}],"next":""}`,
		`{"cluster":{"id":"c-1","name":"blue","lineage":"l"},"leader":{"node":"n1"},"revision":9}`, `{"cooldown":"5m","score_floor":0.4}`,
		"id: l-9\nevent: move\ndata: {\"a\":1}\n\nid: l-10\nevent: reset\ndata: {}\n\n", `{"decisions":[{"chain":"c","at":12.345}],"next":null}`,
		`{"assignments":[{"chain":"c","epoch":3}],"discard":[]}`, `{"results":[{"id":"c","code":"accepted"}]}`,
		`{"version":3,"sha256":"aa","copies":2}`,
	} {
		f.Add(uint8(i), []byte(head+body))
	}
	f.Add(uint8(2), []byte(head+`{"id":"n1","drain_deadline":9223372036.8547}`)) // the last instant
	problem, err := json.Marshal(api.NewProblem(api.StaleGeneration, "no"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), fmt.Appendf(nil, "HTTP/1.1 412 Precondition Failed\r\n\r\n%s", problem))
	f.Add(uint8(3), []byte("HTTP/1.1 502 Bad Gateway\r\n\r\n<html>"))
	f.Add(uint8(2), []byte(head+`{"id":"n1","drain_deadline":12.345}`))
	f.Add(uint8(0), []byte("HTTP/1.1 404 Not Found\r\n\r\n{}")) // a problem of somebody else
	f.Add(uint8(5), []byte(head+": nothing yet\n\n\nid: l-9\ndata: {}\n\n"))
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		resp, err := wire(in).RoundTrip(nil)
		if err != nil {
			return // the HTTP library's
		}
		resp.Body.Close()
		if resp.StatusCode >= 300 && resp.StatusCode < 400 {
			return
		}
		asked := appetite.Of(func() {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				ask(ctx, t, clientOf(t, wire(in)), which)
			})
		})
		if limit := uint64(8<<20 + 1024*len(in)); asked > limit {
			t.Errorf("%d bytes asked for %d of memory", len(in), asked)
		}
	})
}

// ask makes one call.
func ask(ctx context.Context, t *testing.T, c *Client, which uint8) {
	t.Helper()
	var got any
	var err error
	var meta Meta
	switch which % 10 {
	case 0:
		got, err = c.Chain(ctx, "c", WithMeta(&meta))
	case 1:
		got, err = c.Chains(ctx, Page{}, WithMeta(&meta))
	case 2:
		got, err = c.Node(ctx, "n1")
	case 3:
		got, err = c.Status(ctx)
	case 4:
		got, err = c.Config(ctx)
	case 5:
		for e, problem := range c.Events(ctx, "") {
			if problem == nil && e.Kind == "" {
				t.Errorf("%+v is no event", e)
			}
			if err = problem; len(e.ID) > 64 {
				break
			}
		}
	case 6:
		got, err = c.Decisions(ctx, DecisionFilter{})
	case 7:
		got, err = c.Assignments(ctx, "n1")
	case 8:
		got, err = c.PutChains(ctx, []api.BatchItem{{ID: "c"}})
	case 9:
		got, err = c.PutContent(ctx, "c", strings.NewReader("b"), 1)
	}
	if err != nil {
		if p, ok := errors.AsType[*api.Problem](err); ok && p.Code == "" {
			t.Errorf("a problem without a code: %+v", p)
		}
		if err.Error() == "" {
			t.Errorf("%T has no words", err)
		}
		return
	}
	sameAgain(t, got)
}

// sameAgain writes what was read, and reads and writes it again.
func sameAgain(t *testing.T, got any) {
	t.Helper()
	if got == nil {
		return
	}
	first, err := json.Marshal(got)
	if err != nil {
		t.Fatalf("%+v was read and cannot be written: %v", got, err)
	}
	again := reflect.New(reflect.TypeOf(got))
	if err := json.Unmarshal(first, again.Interface()); err != nil {
		t.Fatalf("%s was written and cannot be read: %v", first, err)
	}
	if second, err := json.Marshal(again.Interface()); err != nil || !bytes.Equal(first, second) {
		t.Errorf("%s comes back as %s, %v", first, second, err)
	}
	if diff := cmp.Diff(got, again.Elem().Interface(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s does not say what was read: %s", first, diff)
	}
}
