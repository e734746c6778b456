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

// BenchmarkPlanner measures what a leader pays again and again at 100,000
// chains × 3 on 100 nodes: a pass after nothing has changed but the log's
// index, after one chain has, and after a node's copies were lost.
func BenchmarkPlanner(b *testing.B) {
	for _, bench := range []struct {
		name   string
		change func(s *scene.Scene, i int) []placement.ChainID
	}{
		{"idle", func(*scene.Scene, int) []placement.ChainID { return nil }},
		{"one-change", func(s *scene.Scene, i int) []placement.ChainID {
			id := placement.ChainID(fmt.Sprintf("chain-%07d", i%100_000))
			s.Chains[id].Revision = s.Draw()
			return []placement.ChainID{id}
		}},
		{"node-loss", func(s *scene.Scene, i int) []placement.ChainID {
			var lost []placement.ChainID
			for id, c := range s.Chains {
				if h := c.Holder(placement.NodeID(fmt.Sprintf("n%04d", i%100))); h != nil {
					c.Revision, h.Lost = s.Draw(), !h.Lost
					lost = append(lost, id)
				}
			}
			return lost
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := large(100_000, 100)
			planner := scheduler.NewPlanner()
			in := inputOf(s, scorer.New())
			planner.Plan(in, nil)
			decided := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				changed := bench.change(s, i)
				if changed != nil {
					in.View = s.View()
				} else {
					next := *in.View
					next.Index++
					in.View = &next
				}
				b.StartTimer()
				decided = len(planner.Plan(in, func(_ placement.Revision, chain func(placement.ChainID), _ func(placement.NodeID)) bool {
					for _, id := range changed {
						chain(id)
					}
					return true
				}).Decisions)
			}
			b.ReportMetric(float64(decided), "decisions")
		})
	}
}
