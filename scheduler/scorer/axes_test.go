package scorer_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// readFacts reads samples: "a=2.5" is a run queue of 2.5 per core, "a.free=8"
// 8 bytes of free memory, "a.at=20ms" a place on a line of round-trip times.
func readFacts(t *testing.T, words []string) placement.Facts {
	t.Helper()
	samples := map[placement.NodeID]placement.Sample{}
	for _, w := range words {
		what, text, _ := strings.Cut(w, "=")
		name, field, _ := strings.Cut(what, ".")
		node := placement.NodeID(name)
		s, known := samples[node]
		if !known {
			s = placement.Sample{Load: math.NaN(), FreeBytes: -1, MemoryFreeBytes: -1}
		}
		var err error
		switch field {
		case "free":
			s.MemoryFreeBytes, err = strconv.ParseInt(text, 10, 64)
		case "at":
			var rtt time.Duration
			rtt, err = time.ParseDuration(text)
			s.Coordinate = &placement.Coordinate{Vec: []float64{rtt.Seconds()}}
		default:
			s.Load, err = strconv.ParseFloat(text, 64)
		}
		if err != nil {
			t.Fatal(err)
		}
		samples[node] = s
	}
	return placement.Facts{Samples: placement.TableOf(samples)}
}

func standingText(s scheduler.Standing) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-2s %-9v", s.Node, s.Score)
	for _, a := range s.Axes {
		fmt.Fprintf(&b, " %s=%.4g (%s)", a.Name, a.Value, a.Input)
	}
	if s.Limiting != "" {
		fmt.Fprintf(&b, " ← %s", s.Limiting)
	}
	if !s.Eligible {
		fmt.Fprintf(&b, " not eligible: %s", s.Code)
	}
	return strings.TrimRight(b.String(), " ")
}

// Each file of testdata/axes shows how scores come about. "scene" builds a
// cluster (a line "facts a=2.5" gives telemetry), "scores chain=…" prints each
// node's score with its axes, holders first, "decide" what a pass does.
func TestAxes(t *testing.T) {
	datadriven.Walk(t, "testdata/axes", func(t *testing.T, path string) {
		var s *scene.Scene
		var facts placement.Facts
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			input := func() scheduler.Input {
				return scheduler.Input{View: s.View(), Facts: facts, Now: s.Now, Config: s.Config, Scorer: scorer.New()}
			}
			var b strings.Builder
			switch d.Cmd {
			case "scene":
				s, facts = scene.New(), placement.Facts{}
				for line := range strings.Lines(d.Input) {
					if words := strings.Fields(line); len(words) > 0 && words[0] == "facts" {
						facts = readFacts(t, words[1:])
					} else if err := s.Line(strings.TrimSpace(line)); err != nil {
						t.Fatal(err)
					}
				}
			case "scores":
				var id string
				d.ScanArgs(t, "chain", &id)
				e, ok := scheduler.Explain(input(), placement.ChainID(id))
				if !ok {
					return "unknown chain\n"
				}
				for _, x := range e.Holders {
					fmt.Fprintf(&b, "holder %s\n", standingText(x))
				}
				for _, x := range e.Candidates {
					fmt.Fprintf(&b, "other  %s\n", standingText(x))
				}
			case "decide":
				for _, x := range scheduler.Decide(input()).Decisions {
					fmt.Fprintf(&b, "%s %s %s from=%s to=%s: %v\n", x.Kind, x.Cause, x.Chain, x.From, x.To, x.Reason)
				}
				if b.Len() == 0 {
					return "nothing\n"
				}
			default:
				t.Fatalf("%s is no command", d.Cmd)
			}
			return b.String()
		})
	})
}

// A scorer that is not bound sees no state and so has no opinion.
func TestUnboundHasNoOpinion(t *testing.T) {
	s := scorer.New()
	if f, ok := s.Score("c", "n"); ok {
		t.Errorf("Score = %v, want no opinion", f)
	}
	if n, f, ok := s.BestAlternative("c", nil); ok {
		t.Errorf("BestAlternative = %v %v, want none", n, f)
	}
}
