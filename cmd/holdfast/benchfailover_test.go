package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The failover benchmark runs real processes of this program, kills and stops
// their leader, and prints the distribution of what clients saw; under load it
// counts elections. Provoked at the smallest size, with slow disks too.
func TestBenchFailover(t *testing.T) {
	for _, c := range []struct {
		args string
		keys string
	}{
		{"--runs 1 --profile local", "kill_min_seconds kill_median_seconds kill_p90_seconds kill_max_seconds kill_max_seconds_ratio stop_max_seconds first_decision_max_seconds"},
		{"--runs 1 --write-delay 5ms", "kill_max_seconds stop_max_seconds"},
		{"--load 1s", "load_seconds writes"},
	} {
		r := execute(t, os.Environ(), "", append(strings.Fields("bench failover "+c.args), "--dir", t.TempDir(), "-o", "json")...)
		var flat map[string]float64
		if err := json.Unmarshal([]byte(r.out), &flat); r.code != exitDone || r.err != "" || err != nil {
			t.Fatalf("bench failover %s: exit %d, %s, %v\n%s", c.args, r.code, r.err, err, r.out)
		}
		for _, key := range strings.Fields(c.keys) {
			if flat[key] <= 0 {
				t.Errorf("bench failover %s: %s is %v in %s", c.args, key, flat[key], r.out)
			}
		}
	}
}

// A failover benchmark of a size that cannot be is refused before anything is
// started.
func TestBenchFailoverRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--runs 0":         "--runs: 0 is not within 1..",
		"--nodes 2":        "--nodes: 2 is not within 3..",
		"--write-delay 2s": "--write-delay: 2s is not within",
		"--load -1s":       "--load: -1s is not within",
		"-o xml":           "--output: \"xml\" is neither table nor json",
	} {
		r := execute(t, nil, "", append([]string{"bench", "failover"}, strings.Fields(args)...)...)
		if r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("bench failover %s: exit %d, %q, want %d, %q", args, r.code, r.err, exitUsage, want)
		}
	}
}
