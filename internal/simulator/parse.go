package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Limits of a scenario, so that a slip of the pen ends with a message and not
// with the machine's memory.
const (
	nodesMax  = 20_000
	chainsMax = 5_000_000
)

// Parse reads a scenario and fills in its defaults. An error begins with the
// name of the offending key.
func Parse(data []byte) (*Scenario, error) {
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("not the YAML that is wanted: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	s := &Scenario{
		Seed: 1, Duration: Duration{Duration: 4 * time.Hour}, Tick: Duration{Duration: 500 * time.Millisecond},
		Telemetry: Duration{Duration: 5 * time.Second}, Bandwidth: Amount{Value: 100e6}, Pulls: 2, Placement: "even",
	}
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, inWords(err)
	}
	if err := checkScalars("", reflect.ValueOf(*s)); err != nil {
		return nil, err
	}
	if s.Sample.Duration == 0 {
		s.Sample.Duration = max(s.Duration.Duration/400, s.Tick.Duration)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

// inWords names the key of a value that has the wrong type.
func inWords(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: a %s stands where %s is wanted", t.Field, t.Value, kindWords(t.Type))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func kindWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	default:
		return "a mapping"
	}
}

func (s *Scenario) check() error {
	for _, f := range []struct {
		key   string
		wrong bool
		want  string
	}{
		{"name", s.Name == "", "give one"},
		{"duration", s.Duration.Duration <= 0 || s.Duration.Duration > 10*placement.DurationMax, "must be above 0 and at most ten years"},
		{"tick", s.Tick.Duration < time.Millisecond, "must be at least 1ms"},
		{"sample", s.Sample.Duration < s.Tick.Duration || s.Duration.Duration/s.Sample.Duration > 100_000, "must be at least tick, and at least duration/100000"},
		{"telemetry", s.Telemetry.Duration < s.Tick.Duration, "must be at least tick"},
		{"bandwidth", s.Bandwidth.Value < 1, "must be at least 1 byte per second"},
		{"pulls", s.Pulls < 1, "must be at least 1"},
		{"nodes", len(s.Nodes) == 0, "give at least one group"},
		{"chains", len(s.Chains) == 0, "give at least one group"},
	} {
		if f.wrong {
			return fmt.Errorf("%s: %s", f.key, f.want)
		}
	}
	if k, ok := strings.CutPrefix(s.Placement, "on-first-"); ok {
		s.onFirst, _ = strconv.Atoi(k)
	}
	if s.Placement != "even" && s.Placement != "scheduled" && s.onFirst < 1 {
		return fmt.Errorf("placement: %q is none of even, scheduled, on-first-K", s.Placement)
	}
	if _, err := override(placement.DefaultConfig(), s.Config); err != nil {
		return fmt.Errorf("config.%w", err)
	}
	if err := s.checkGroups(); err != nil {
		return err
	}
	for i := range s.Events {
		if err := s.checkEvent(&s.Events[i]); err != nil {
			return fmt.Errorf("events[%d].%w", i, err)
		}
	}
	return s.checkSize()
}

// checkSize counts what is there at the beginning and what comes later.
func (s *Scenario) checkSize() error {
	nodes, chains := 0, 0
	for i := range s.Nodes {
		nodes += s.Nodes[i].Count
	}
	for i := range s.Chains {
		chains += s.Chains[i].Count
	}
	for i := range s.Events {
		if e := &s.Events[i]; e.Add != nil {
			nodes += e.Add.Count
		} else if e.Put != nil {
			chains += e.Put.Count
		}
	}
	if nodes > nodesMax || chains > chainsMax {
		return fmt.Errorf("nodes: %d nodes and %d chains in all, at most %d and %d are allowed", nodes, chains, nodesMax, chainsMax)
	}
	return nil
}

func (s *Scenario) checkGroups() error {
	var names []string
	for i := range s.Nodes {
		g := &s.Nodes[i]
		if err := g.check(); err != nil {
			return fmt.Errorf("nodes[%d].%w", i, err)
		}
		if slices.Contains(names, g.Name) {
			return fmt.Errorf("nodes[%d].name: %q is given twice", i, g.Name)
		}
		names = append(names, g.Name)
	}
	names = nil
	for i := range s.Chains {
		g := &s.Chains[i]
		if err := g.check(); err != nil {
			return fmt.Errorf("chains[%d].%w", i, err)
		}
		if slices.Contains(names, g.Name) {
			return fmt.Errorf("chains[%d].name: %q is given twice", i, g.Name)
		}
		names = append(names, g.Name)
	}
	return nil
}

func (g *NodeGroup) check() error {
	if g.Name == "" {
		g.Name = "n"
	}
	if g.Weight == nil {
		g.Weight = new(float64)
		*g.Weight = 1
	}
	if g.Load == 0 {
		g.Load = 0.5
	}
	if _, err := placement.ParseNodeID(g.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if _, err := placement.LabelsOf(g.Labels); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	switch {
	case g.Count < 1 || g.Count > nodesMax:
		return fmt.Errorf("count: %d is not within 1..%d", g.Count, nodesMax)
	case *g.Weight < 0 || *g.Weight > 1:
		return fmt.Errorf("weight: %v is not within 0..1", *g.Weight)
	case g.Load < 0:
		return fmt.Errorf("load: %v is negative", g.Load)
	case g.Noise < 0 || g.Noise > 1:
		return fmt.Errorf("noise: %v is not within 0..1", g.Noise)
	}
	return nil
}

func (g *ChainGroup) check() error {
	if g.Name == "" {
		g.Name = "c"
	}
	if _, err := placement.ParseChainID(g.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if g.Count < 1 || g.Count > chainsMax {
		return fmt.Errorf("count: %d is not within 1..%d", g.Count, chainsMax)
	}
	for _, d := range []struct {
		key      string
		dist     *Distribution
		standard float64
	}{{"size", &g.Size, 1 << 30}, {"weight", &g.Weight, 1}} {
		if err := d.dist.check(d.standard); err != nil {
			return fmt.Errorf("%s: %w", d.key, err)
		}
	}
	if _, err := g.spec(0, 1).Normalize(); err != nil {
		return fmt.Errorf("spec.%w", err)
	}
	return nil
}

func (d *Distribution) check(standard float64) error {
	given := 0
	for _, is := range []bool{d.Fixed != nil, d.Uniform != nil, d.Zipf != nil} {
		if is {
			given++
		}
	}
	if given == 0 {
		d.Fixed, given = &Amount{Value: standard}, 1
	}
	switch {
	case given > 1:
		return errors.New("give one of fixed, uniform, zipf")
	case d.Uniform != nil && !isRange(d.Uniform):
		return errors.New("uniform wants the least and the largest")
	case d.Zipf != nil && (math.IsNaN(d.Zipf.S) || d.Zipf.S < 0 || d.Zipf.Max.Value <= 0):
		return errors.New("zipf wants s of at least 0 and max above 0")
	}
	return nil
}

// spec returns what the group wants of a chain of that size and weight.
func (g *ChainGroup) spec(size, weight float64) placement.Spec {
	w := &g.Spec
	labels, _ := placement.LabelsOf(w.Labels) // Normalize tells of what is wrong
	s := placement.Spec{
		Desired: g.Desired, MinReady: w.MinReady, SizeBytes: int64(size),
		Weight: max(int64(weight*float64(placement.ScoreOne)), 1),
		Labels: labels, Policy: placement.Policy(w.Policy), Floor: w.Floor, Gap: w.Gap,
		Require: w.Require, Prefer: w.Prefer, Spread: placement.Spread(w.Spread), MaxPerZone: w.MaxPerZone,
		AntiAffinity: w.AntiAffinity, Colocate: w.Colocate,
	}
	if w.Cooldown != nil {
		s.Cooldown = &w.Cooldown.Duration
	}
	if w.RepairDelay != nil {
		s.RepairDelay = &w.RepairDelay.Duration
	}
	return s
}

func (s *Scenario) checkEvent(e *Event) error {
	things := []struct {
		key   string
		given bool
		check func() error
	}{
		{"add", e.Add != nil, func() error { return s.checkAdd(e.Add) }},
		{"lose", e.Lose != nil, func() error { return s.checkPick(e.Lose) }},
		{"return", e.Return != nil, func() error { return s.checkPick(e.Return) }},
		{"drain", e.Drain != nil, func() error { return s.checkDrain(e.Drain) }},
		{"uncordon", e.Uncordon != nil, func() error { return s.checkPick(e.Uncordon) }},
		{"weight", e.Weight != nil, func() error { return s.checkWeight(e.Weight) }},
		{"config", e.Config != nil, func() error { return checkConfig(e.Config) }},
		{"noise", e.Noise != nil, func() error { return nil }},
		{"put", e.Put != nil, func() error { return e.Put.check() }},
		{"delete", e.Delete != nil, func() error { return s.checkDelete(e.Delete) }},
		{"resume_repair", e.ResumeRepair, func() error { return nil }},
	}
	done := ""
	for _, t := range things {
		if !t.given {
			continue
		}
		if done != "" {
			return fmt.Errorf("%s: an event does one thing, and %s is given already", t.key, done)
		}
		done = t.key
		if err := t.check(); err != nil {
			return fmt.Errorf("%s.%w", t.key, err)
		}
	}
	if e.At.Duration > s.Duration.Duration {
		return fmt.Errorf("at: it is behind the end of the run (duration %v)", s.Duration.Duration)
	}
	if e.Noise != nil && (*e.Noise < 0 || *e.Noise > 1) {
		return fmt.Errorf("noise: %v is not within 0..1", *e.Noise)
	}
	if e.Name == "" {
		e.Name = strings.ReplaceAll(done, "_", " ")
	}
	if done == "" {
		return errors.New("at: nothing happens then; give add, lose, return, drain, uncordon, weight, config, noise, put, delete or resume_repair")
	}
	return nil
}

// isRange tells whether list is a lower and an upper bound.
func isRange(list []Amount) bool { return len(list) == 2 && list[0].Value <= list[1].Value }
