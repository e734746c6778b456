package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// Each benchmark runs from the command line, at a tiny size, and prints one
// flat object with its keys, or a table with a line for each and its verdict.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		keys string
	}{
		{"plan --chains 300 --nodes 6", "chains nodes cold_seconds idle_seconds idle_allocs node_loss_seconds one_change_seconds rss_bytes"},
		{"state --chains 300 --nodes 6", "restore_seconds stall_seconds"},
		{"apply", "decisions_per_second bare_per_second"},
		{"write --clients 2", "writes_per_second"},
		{"copy --size 1MiB", "copy_bytes_per_second"},
	} {
		r := execute(t, nil, "", append(strings.Fields("bench "+c.args), "--seconds", "0.1", "--dir", dir, "-o", "json")...)
		var flat map[string]float64
		if err := json.Unmarshal([]byte(r.out), &flat); r.code != exitDone || r.err != "" || err != nil {
			t.Fatalf("bench %s: exit %d, %s, %v\n%s", c.args, r.code, r.err, err, r.out)
		}
		for _, key := range strings.Fields(c.keys) {
			if _, ok := flat[key]; !ok {
				t.Errorf("bench %s: no %s in %s", c.args, key, r.out)
			}
		}
	}
	r := execute(t, nil, "", "bench", "plan", "--chains", "300", "--nodes", "6", "--seconds", "0.01")
	if r.code != exitDone || !strings.Contains(r.out, "at most 2s") || !strings.Contains(r.out, "ok") || !strings.Contains(r.err, "building") {
		t.Errorf("as a table: exit %d\n%s%s", r.code, r.out, r.err)
	}
}

// A benchmark with a size that cannot be is refused before anything is done,
// and one that is interrupted says so.
func TestBenchRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"plan --nodes 3":     "--nodes: 3 is not within 4..",
		"copy --size much":   "--size: \"much\" is not a number of bytes",
		"apply --seconds -1": "--seconds: -1s is not within",
		"write -o xml":       "--output: \"xml\" is neither table nor json",
	} {
		r := execute(t, nil, "", append([]string{"bench"}, strings.Fields(args)...)...)
		if r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("bench %s: exit %d, %q, want %d, %q", args, r.code, r.err, exitUsage, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs strings.Builder
	p := &program{stdin: strings.NewReader(""), stdout: new(strings.Builder), stderr: &errs}
	if code := p.run(ctx, []string{"bench", "copy", "--dir", t.TempDir()}); code != exitFailed || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("interrupted: exit %d, %q", code, errs.String())
	}
}
