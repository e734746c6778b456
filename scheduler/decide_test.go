package scheduler_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
)

// read builds a scene and a table of scores from lines of text. Besides those
// of package scene it knows "score c1 a=0.4 …" and "better c1 d=0.9 …", the
// scorer's alternatives from best to worst.
func read(t *testing.T, text string) (*scene.Scene, *fixedScorer) {
	t.Helper()
	s := scene.New()
	table := &fixedScorer{scores: map[pair]float64{}, alternatives: map[placement.ChainID][]scored{}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "score" && words[0] != "better" {
			if err := s.Line(strings.TrimSpace(line)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		chain := placement.ChainID(words[1])
		for _, w := range words[2:] {
			node, value, _ := strings.Cut(w, "=")
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			if words[0] == "score" {
				table.scores[pair{chain, placement.NodeID(node)}] = f
			} else {
				table.alternatives[chain] = append(table.alternatives[chain], scored{placement.NodeID(node), f})
			}
		}
	}
	return s, table
}

// inputOf returns the input of a pass over the scene.
func inputOf(s *scene.Scene, scorer scheduler.PlacementScorer) scheduler.Input {
	return scheduler.Input{View: s.View(), Now: s.Now, Config: s.Config, Scorer: scorer}
}

// planText prints a plan, one decision a line.
func planText(p scheduler.Plan) string {
	var b strings.Builder
	for i := range p.Decisions {
		d := &p.Decisions[i]
		fmt.Fprintf(&b, "%s %s %s", d.Kind, d.Cause, d.Chain)
		for _, f := range []struct{ name, value string }{
			{"move", number(uint64(d.Move))},
			{"from", string(d.From)},
			{"to", string(d.To)},
			{"source", string(d.Source)},
			{"mode", string(d.Mode)},
			{"forced", number(uint64(d.Forced))},
		} {
			if f.value != "" {
				fmt.Fprintf(&b, " %s=%s", f.name, f.value)
			}
		}
		fmt.Fprintf(&b, " scores=%v>%v\n  %v\n", d.ScoreFrom, d.ScoreTo, d.Reason)
	}
	if len(p.Decisions) == 0 {
		b.WriteString("nothing\n")
	}
	if p.Wake != placement.Never {
		fmt.Fprintf(&b, "wake %vs\n", p.Wake.Seconds())
	}
	if p.More {
		fmt.Fprintf(&b, "more %+v\n", p.Next)
	}
	return b.String()
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func explanationText(e scheduler.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n%s\n", e.Action, e.Cause, e.Text)
	for _, g := range e.Gates {
		fmt.Fprintf(&b, "gate %-20s %-5v %s | %s\n", g.Name, g.Pass, g.Value, g.Limit)
	}
	for i, list := range [][]scheduler.Standing{e.Holders, e.Candidates} {
		for _, s := range list {
			fmt.Fprintf(&b, "%s %s eligible=%v score=%v", []string{"holder", "candidate"}[i], s.Node, s.Eligible, s.Score)
			if s.Code != placement.Accepted {
				fmt.Fprintf(&b, " code=%s", s.Code)
			}
			b.WriteString("\n")
		}
	}
	for _, w := range e.WouldChange {
		fmt.Fprintf(&b, "would change: %s\n", w)
	}
	return b.String()
}

// Each file of testdata/decide tells what one arm does, and when it does not.
// "scene" builds a cluster, "decide" prints the plan for it, "decide
// scorer=no" the plan without a scorer, "explain chain=…" why one chain is
// treated as it is.
func TestDecideScenes(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		var s *scene.Scene
		var table *fixedScorer
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "scene":
				s, table = read(t, d.Input)
				return ""
			case "decide":
				in := inputOf(s, table)
				if d.HasArg("scorer") {
					in.Scorer = nil
				}
				if d.HasArg("work") {
					d.ScanArgs(t, "work", &in.Work)
				}
				plan := scheduler.Decide(in)
				if diff := cmp.Diff(plan, scheduler.Decide(in)); diff != "" {
					t.Errorf("the same input gave another plan:\n%s", diff)
				}
				return planText(plan)
			case "explain":
				var id string
				d.ScanArgs(t, "chain", &id)
				e, ok := scheduler.Explain(inputOf(s, table), placement.ChainID(id))
				if !ok {
					return "unknown chain\n"
				}
				return explanationText(e)
			}
			t.Fatalf("%s is no command", d.Cmd)
			return ""
		})
	})
}
