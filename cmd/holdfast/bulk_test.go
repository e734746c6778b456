package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/api"
)

// batches answers chains:batch as a cluster would that has some of the chains
// already and refuses more than nine copies. After some requests it may fail.
type batches struct {
	mu     sync.Mutex
	has    map[string]bool
	sizes  []int
	keys   []string
	failAt int // the request that is answered 503, from 1; 0 = none
	specs  map[string]map[string]any
}

func (b *batches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var in struct {
		Chains []struct {
			ID   string         `json:"id"`
			Spec map[string]any `json:"spec"`
		} `json:"chains"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil || r.Method+" "+r.URL.Path != "POST /v1/chains:batch" || r.Header.Get("If-None-Match") != "*" {
		http.Error(w, fmt.Sprint(err, r.Method, r.URL, r.Header), http.StatusTeapot)
		return
	}
	b.sizes, b.keys = append(b.sizes, len(in.Chains)), append(b.keys, r.Header.Get(api.HeaderIdempotencyKey))
	if len(b.sizes) == b.failAt {
		p := api.NewProblem(api.NoLeader, "no leader")
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
		return
	}
	out := api.BatchResults{Results: []api.BatchResult{}}
	for _, c := range in.Chains {
		r := api.BatchResult{ID: c.ID}
		desired, _ := c.Spec["desired"].(float64)
		switch {
		case b.has[c.ID]:
			r.Code = api.NullString(api.Exists)
		case desired > 9:
			r.Code, r.Detail = api.NullString(api.Invalid), "spec.desired: not within 1..9"
		default:
			b.has[c.ID] = true
			b.specs[c.ID] = c.Spec
		}
		out.Results = append(out.Results, r)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// TestBulk: every line of a file becomes a chain, once, in requests of bounded
// size; what exists is left alone, what is refused is counted by its code and
// named, a line that cannot be read ends it there, and the exit code says
// which of these it was.
func TestBulk(t *testing.T) {
	ids := func(n int) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "c%d\n", i)
		}
		return text.String()
	}
	for _, test := range []struct {
		name, file     string
		failAt         int
		code           int
		sizes          []int
		stdout, stderr string // what must be said
	}{
		{"ids", ids(3), 0, exitDone, []int{3}, "created   3 ", ""},
		{"many", ids(2*bulkChains + 1), 0, exitDone, []int{1, bulkChains, bulkChains}, "created   8001 ", ""},
		{"nothing", "\n# nobody\n", 0, exitDone, nil, "created   0 ", ""},
		{"again", "old\nc1\n", 0, exitDone, []int{2}, "existing   1   left as they are", ""},
		{"refused", "a\n{\"id\":\"x1\",\"spec\":{\"desired\":12}}\n{\"id\":\"x2\",\"spec\":{\"desired\":12}}\n{\"id\":\"x3\",\"spec\":{\"desired\":12}}\n{\"id\":\"x4\",\"spec\":{\"desired\":12}}", 0, exitRefused, []int{5}, "refused   4   invalid: x1, x2, x3, … (spec.desired: not within 1..9)", "4 of 5 chains were refused"},
		{"syntax", "a\nb\n{\"id\":\"c\",\"spce\":{}}\nd\n", 0, exitUsage, []int{2}, "created   2 ", `line 3: unknown field "spce"; nothing from there on is sent`},
		{"list", "[\n", 0, exitUsage, nil, "created   0 ", "line 1: chain id"},
		{"two", `{"id":"a"}{"id":"b"}`, 0, exitUsage, nil, "created   0 ", "line 1: something follows the object"},
		{"long", "a\n" + strings.Repeat("b", bulkLineMax+1), 0, exitUsage, []int{1}, "created   1 ", "line 2: longer than"},
		{"unavailable", ids(9 * bulkChains), 1, exitFailed, nil, "created   ", "not all is sent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &batches{has: map[string]bool{"old": true}, specs: map[string]map[string]any{}, failAt: test.failAt}
			server := httptest.NewServer(b)
			defer server.Close()
			file := filepath.Join(t.TempDir(), "chains")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got := execute(t, []string{"HOLDFAST_ADDR=" + server.URL}, "", "chain", "create", "--file", file, "--timeout", "0s")
			if got.code != test.code || !strings.Contains(squeeze(got.out), squeeze(test.stdout)) || !strings.Contains(got.err, test.stderr) {
				t.Errorf("exit %d, want %d with %q and %q\n%s%s", got.code, test.code, test.stdout, test.stderr, got.out, got.err)
			}
			if slices.Sort(b.sizes); test.failAt == 0 && !slices.Equal(b.sizes, test.sizes) {
				t.Errorf("requests of %v chains, want %v", b.sizes, test.sizes)
			}
			if test.failAt != 0 && len(b.sizes) > test.failAt+bulkParallel {
				t.Errorf("%d requests although number %d failed", len(b.sizes), test.failAt)
			}
			slices.Sort(b.keys)
			if len(slices.Compact(b.keys)) != len(b.sizes) || slices.Contains(b.keys, "") {
				t.Errorf("idempotency keys %q, want one of its own for each of %d requests", b.keys, len(b.sizes))
			}
		})
	}
}

func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

// TestBulkSpecs: what a line does not say is taken from the flags, and one
// line's labels are not another's; -o json is a summary for programs.
func TestBulkSpecs(t *testing.T) {
	b := &batches{has: map[string]bool{}, specs: map[string]map[string]any{}}
	server := httptest.NewServer(b)
	defer server.Close()
	in := "{\"id\":\"a\",\"spec\":{\"desired\":1,\"labels\":{\"team\":\"x\"}}}\nb\n{\"id\":\"c\",\"spec\":{\"require\":[\"zone=c\"],\"desired\":12}}\n"
	got := execute(t, []string{"HOLDFAST_ADDR=" + server.URL}, in, "chain", "create", "--file", "-", "--desired", "2", "--label", "team=y", "--require", "disk=ssd", "-o", "json")
	want := map[string]map[string]any{
		"a": {"desired": 1.0, "labels": map[string]any{"team": "x"}, "require": []any{"disk=ssd"}},
		"b": {"desired": 2.0, "labels": map[string]any{"team": "y"}, "require": []any{"disk=ssd"}},
	}
	if diff := cmp.Diff(want, b.specs); diff != "" {
		t.Errorf("-want +sent\n%s", diff)
	}
	var summary bulkSummary
	if err := json.Unmarshal([]byte(got.out), &summary); err != nil || got.code != exitRefused {
		t.Fatalf("exit %d: %v: %s%s", got.code, err, got.out, got.err)
	}
	summary.Seconds = 0
	if diff := cmp.Diff(bulkSummary{Created: 2, Refused: []*bulkFault{{"invalid", 1, []string{"c"}, "spec.desired: not within 1..9"}}}, summary); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestProgressLine: the line fits a terminal and says how much is done and
// left, or only how much when the end is not known.
func TestProgressLine(t *testing.T) {
	for _, test := range []struct {
		g    progress
		want string
	}{
		{progress{size: 100}, "[........................]   0%  0 chains, 0/s"},
		{progress{size: 1 << 30, done: 1 << 28, count: 2_500_000}, "[######..................]  25%  2500000 chains, 250000/s, 30s left"},
		{progress{size: 100, done: 100, count: 10}, "[########################] 100%  10 chains, 1/s, 0s left"},
		{progress{count: 70}, "70 chains, 7/s"},
	} {
		if got := test.g.line(10 * time.Second); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if n := len(test.want); n > 79 {
			t.Errorf("%d characters do not fit a line", n)
		}
	}
}
