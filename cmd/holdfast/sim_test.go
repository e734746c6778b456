package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-cluster/holdfast/internal/simulator"
)

const smallScenario = `
name: three full nodes and a new one
duration: 2h
nodes: [{count: 3}]
chains: [{count: 30, desired: 2, size: {fixed: 100MB}}]
events: [{at: 1m, add: {count: 1}}]
`

// sim prints a summary, JSON or a picture of a scenario from a file or standard
// input; the seed of the command line goes before the scenario's.
func TestSim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(path, []byte(smallScenario), 0o600); err != nil {
		t.Fatal(err)
	}
	table := execute(t, nil, "", "sim", "--scenario", path)
	for _, want := range []string{"scenario      three full nodes and a new one, seed 1\n", "cluster       4 nodes, 30 chains, 60 copies\n", "refused       none\n"} {
		if !strings.Contains(table.out, want) {
			t.Errorf("no %q in\n%s%s", want, table.out, table.err)
		}
	}
	asJSON := execute(t, nil, smallScenario, "sim", "--scenario", "-", "--seed", "7", "-o", "json")
	var r simulator.Result
	if err := json.Unmarshal([]byte(asJSON.out), &r); err != nil || r.Seed != 7 || !r.Even || !r.Quiet {
		t.Errorf("JSON: %v, seed %d, even %v, quiet %v", err, r.Seed, r.Even, r.Quiet)
	}
	if svg := execute(t, nil, "", "sim", "--scenario", path, "--output", "svg"); !bytes.HasPrefix([]byte(svg.out), []byte("<svg ")) {
		t.Errorf("no picture: %.80s%s", svg.out, svg.err)
	}
}

// A command line or a scenario that cannot be simulated is a usage error that
// names what is wrong, on one line.
func TestSimRefuses(t *testing.T) {
	for _, c := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", []string{"sim"}, "--scenario is missing"},
		{"", []string{"sim", "--scenario", "no-such-file"}, "no-such-file"},
		{"", []string{"sim", "--scenario", "-", "-o", "png"}, `--output: "png"`},
		{"name: x\nnode: []", []string{"sim", "--scenario", "-"}, `unknown field "node"`},
	} {
		got := execute(t, nil, c.stdin, c.args...)
		if got.code != exitUsage || !strings.Contains(got.err, c.want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%v: exit %d, %q; want %d and %q on one line", c.args, got.code, got.err, exitUsage, c.want)
		}
	}
}
