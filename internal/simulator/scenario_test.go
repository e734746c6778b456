package simulator

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
)

const fewNodes = "name: x\nnodes: [{count: 3}]\nchains: [{count: 2}]\n"

// A scenario that cannot be meant is refused with the key that is wrong:
// provoked by one mistake each.
func TestParseNamesTheKey(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"nodes: [{count: 3}]\nchains: [{count: 2}]", "name: give one"},
		{"name: x\nchains: [{count: 2}]", "nodes: give at least one group"},
		{"name: x\nname: y", `key "name" already set`},
		{fewNodes + "band: 1", `unknown field "band"`},
		{fewNodes + "duration: soon", "duration: \"soon\" is not a duration such as 90s or 1h30m"},
		{fewNodes + "duration: 0s", "duration: must be above 0"},
		{fewNodes + "tick: 1s\nsample: 500ms", "sample: must be at least tick"},
		{fewNodes + "bandwidth: fast", "bandwidth: \"fast\" is not an amount such as 4096, 100MB or 1.5GiB"},
		{fewNodes + "placement: heap", `placement: "heap" is none of even, scheduled, on-first-K`},
		{fewNodes + "config: {cooldwn: 5m}", "config.cooldwn: no such key of the configuration"},
		{fewNodes + "config: {cooldown: 5}", "config.cooldown: 5 is not a duration such as \"5m\""},
		{fewNodes + "config: {moves_max: 0}", "config.moves_max: 0 is not within"},
		{"name: x\nnodes: [{count: many}]\nchains: [{count: 2}]", "nodes.count: a string stands where a whole number is wanted"},
		{"name: x\nnodes: [{count: 3}, {count: 4}]\nchains: [{count: 2}]", `nodes[1].name: "n" is given twice`},
		{"name: x\nnodes: [{count: 3, weight: 2}]\nchains: [{count: 2}]", "nodes[0].weight: 2 is not within 0..1"},
		{"name: x\nnodes: [{count: 3}]\nchains: [{count: 2, desired: 12}]", "chains[0].spec.desired: 12 is not within 1..9"},
		{"name: x\nnodes: [{count: 3}]\nchains: [{count: 2, spec: {policy: brisk}}]", `chains[0].spec.policy: "brisk" is none of`},
		{"name: x\nnodes: [{count: 3}]\nchains: [{count: 2, size: {fixed: 1, uniform: [1, 2]}}]", "chains[0].size: give one of fixed, uniform, zipf"},
		{"name: x\nnodes: [{count: 3}]\nchains: [{count: 2, weight: {uniform: [2, 1]}}]", "chains[0].weight: uniform wants the least and the largest"},
		{fewNodes + "duration: 1h\nevents: [{at: 61m, resume_repair: true}]", "events[0].at: it is behind the end of the run (duration 1h0m0s)"},
		{fewNodes + "events: [{at: 1m}]", "events[0].at: nothing happens then"},
		{fewNodes + "events: [{at: later, resume_repair: true}]", "events[0].at: \"later\" is not a duration"},
		{fewNodes + "events: [{at: 1m, noise: 0.1, add: {count: 1}}]", "events[0].noise: an event does one thing, and add is given already"},
		{fewNodes + "events: [{at: 1m, noise: 2}]", "events[0].noise: 2 is not within 0..1"},
		{fewNodes + "events: [{at: 1m, add: {count: 1, like: big}}]", `events[0].add.like: there is no group of nodes "big"`},
		{fewNodes + "events: [{at: 1m, lose: {}}]", "events[0].lose.all: say which nodes"},
		{fewNodes + "events: [{at: 1m, lose: {zone: z}}]", `events[0].lose.zone: no node is in zone "z"`},
		{fewNodes + "events: [{at: 1m, drain: {all: true, then: dance}}]", `events[0].drain.then: "dance" is none of`},
		{fewNodes + "events: [{at: 1m, weight: {all: true, weight: 3}}]", "events[0].weight.weight: 3 is not within 0..1"},
		{fewNodes + "events: [{at: 1m, delete: {group: d}}]", `events[0].delete.group: there is no group of chains "d"`},
	} {
		_, err := Parse([]byte(c.yaml))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\n  error %v\n  want  %s", c.yaml, err, c.want)
		}
	}
}

// The keys of the configuration are the API's: none is missing, none is named
// otherwise.
func TestConfigKeysAreTheAPIs(t *testing.T) {
	ours, theirs := reflect.TypeFor[placement.Config](), reflect.TypeFor[api.Config]()
	for i := range theirs.NumField() {
		f := theirs.Field(i)
		want, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if own, ok := ours.FieldByName(f.Name); !ok || snake(own.Name) != want {
			t.Errorf("%s is %q here, the API says %q", f.Name, snake(f.Name), want)
		}
	}
	cfg, err := override(placement.DefaultConfig(), map[string]any{"cooldown": "7m", "moves_max": 9.0, "balance_moves_max": 3.0, "drain_moves_max": 3.0, "swap_mode": "evict-first", "move_bandwidth": "10MB", "score_floor": 0.4})
	if err != nil || cfg.Cooldown.Minutes() != 7 || cfg.MovesMax != 9 || cfg.SwapMode != placement.EvictFirst || cfg.MoveBandwidth != 10_000_000 || cfg.ScoreFloor != 0.4 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// The scenarios that are shipped can be read.
func TestExamplesParse(t *testing.T) {
	paths, err := filepath.Glob("../../examples/scenarios/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
