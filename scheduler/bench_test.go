package scheduler_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// large returns a cluster of that many chains, three copies each, spread
// evenly over nodes.
func large(chains, nodes int) *scene.Scene {
	s := scene.New()
	ids := make([]placement.NodeID, nodes)
	for i := range nodes {
		ids[i] = placement.NodeID(fmt.Sprintf("n%04d", i))
		s.AddNode(ids[i])
	}
	for i := range chains {
		s.AddChain(placement.ChainID(fmt.Sprintf("chain-%07d", i)), 3, ids[i%nodes], ids[(i+1)%nodes], ids[(i+2)%nodes])
	}
	return s
}

// BenchmarkDecide measures a full pass over 100,000 chains × 3 on 100 nodes:
// with nothing to do, with one empty node that all would move to, and with a
// node that has just died.
func BenchmarkDecide(b *testing.B) {
	for _, bench := range []struct {
		name   string
		change func(*scene.Scene)
	}{
		{"even", func(*scene.Scene) {}},
		{"empty-node", func(s *scene.Scene) { s.AddNode("new") }},
		{"hopeless", func(s *scene.Scene) {
			floor := 1.0
			for _, c := range s.Chains {
				c.Spec.Floor = &floor
			}
			for i := range 50 {
				s.Nodes[placement.NodeID(fmt.Sprintf("n%04d", i))].Weight /= 2
			}
		}},
		{"dead-node", func(s *scene.Scene) {
			s.Nodes["n0000"].State = placement.NodeDead
			for _, c := range s.Chains {
				if h := c.Holder("n0000"); h != nil {
					h.Lost = true
				}
			}
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := large(100_000, 100)
			bench.change(s)
			in := inputOf(s, scorer.New())
			decided := 0
			b.ReportAllocs()
			for b.Loop() {
				decided = len(scheduler.Decide(in).Decisions)
			}
			b.ReportMetric(float64(decided), "decisions")
		})
	}
}
