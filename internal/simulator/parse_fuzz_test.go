package simulator

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/internal/appetite"
)

// A scenario of any bytes: it is refused in one line that begins with a word,
// or it is one that can be run; reading asks for memory in proportion, and what
// is read stays within the limits with all that is added later. Small and short
// ones are run, and end.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("../../examples/scenarios/*.yaml")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	const short = fewNodes + "duration: 5s\n"
	for _, more := range []string{
		"",
		"events: [{at: 1s, add: {count: 1}}, {at: 2s, lose: {count: 1}}, {at: 3s, return: {all: true}}, {at: 4s, drain: {nodes: [n1]}}]",
		"events: [{at: 1s, put: {name: d, count: 2, desired: 1}}, {at: 2s, delete: {group: d}}, {at: 3s, config: {cooldown: 1m}}, {at: 4s, noise: 0.5}]",
		"placement: scheduled\nzones: [a, b]\nconfig: {swap_mode: evict-first}",
		"events: [{at: 1s, add: {count: 20000}}, {at: 2s, add: {count: 20000}}]",
		"events: [{at: 1s, put: {name: d, count: 5000000}}]",
		"seed: &a [1]\nzones: [*a, *a]",
	} {
		f.Add([]byte(short + more))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s *Scenario
		var err error
		asked := appetite.Of(func() { s, err = Parse(text) })
		if limit := uint64(1<<20 + 1024*len(text)); asked > limit {
			t.Errorf("%d bytes asked for %d of memory", len(text), asked)
		}
		if err != nil {
			if words := err.Error(); s != nil || words == "" || strings.Contains(words, "\n") {
				t.Errorf("%+v, %q", s, words)
			}
			return
		}
		nodes, chains := sizeOf(s)
		if nodes > nodesMax || chains > chainsMax {
			t.Errorf("%d nodes and %d chains", nodes, chains)
		}
		if nodes > 6 || chains > 8 || s.Duration.Duration > 10*time.Second || s.Tick.Duration < 100*time.Millisecond {
			return
		}
		if result, err := Run(context.Background(), s, nil); err == nil && result == nil {
			t.Error("a run without a result")
		}
	})
}

// sizeOf counts the nodes and chains that a scenario makes in all.
func sizeOf(s *Scenario) (nodes, chains int) {
	for _, g := range s.Nodes {
		nodes += g.Count
	}
	for _, g := range s.Chains {
		chains += g.Count
	}
	for _, e := range s.Events {
		if e.Add != nil {
			nodes += e.Add.Count
		}
		if e.Put != nil {
			chains += e.Put.Count
		}
	}
	return nodes, chains
}
