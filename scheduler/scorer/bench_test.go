package scorer_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// caught keeps what a pass binds the scorer to.
type caught struct {
	*scorer.Scorer
	view  *placement.View
	facts placement.Facts
	r     *scheduler.Reservations
}

func (c *caught) Bind(v *placement.View, f placement.Facts, r *scheduler.Reservations) scheduler.PlacementScorer {
	c.view, c.facts, c.r = v, f, r
	return c.Scorer.Bind(v, f, r)
}

// wide returns what a pass over 1,000 nodes in 5 zones and that many chains
// binds to. Node n0000 is empty; if sized, every node has another capacity.
func wide(chains int, sized bool) *caught {
	s := scene.New()
	s.Freeze = &placement.Freeze{} // the pass decides nothing
	samples := map[placement.NodeID]placement.Sample{}
	ids := make([]placement.NodeID, 1000)
	for i := range ids {
		ids[i] = placement.NodeID(fmt.Sprintf("n%04d", i))
		n := s.AddNode(ids[i])
		n.Zone = fmt.Sprintf("z%d", i%5)
		if sized {
			n.CapacityBytes = int64(1_000_000 + 1000*i)
		}
		samples[ids[i]] = placement.Sample{Load: 0.5, MemoryFreeBytes: -1}
	}
	for i := range chains {
		a := 1 + i*3%999
		s.AddChain(placement.ChainID(fmt.Sprintf("c%06d", i)), 3, ids[a], ids[1+a%999], ids[1+(a+1)%999])
	}
	c := &caught{Scorer: scorer.New()}
	scheduler.Decide(scheduler.Input{View: s.View(), Facts: placement.Facts{Samples: placement.TableOf(samples)}, Now: s.Now, Config: s.Config, Scorer: c})
	return c
}

// classes returns the classes of the copies of the first chains.
func (c *caught) classes(n int) []scheduler.Class {
	seen := map[scheduler.Class]bool{}
	var list []scheduler.Class
	c.view.Chains.Ascend("", func(_ placement.ChainID, x *placement.Chain) bool {
		for i := range x.Holders {
			if class := scheduler.ClassOf(c.view, x, &x.Holders[i]); !seen[class] {
				seen[class] = true
				list = append(list, class)
			}
		}
		return len(list) < n
	})
	return list
}

// BenchmarkBind measures the binding of the scorer to 1,000 nodes.
func BenchmarkBind(b *testing.B) {
	c := wide(1000, true)
	b.ReportAllocs()
	for b.Loop() {
		scorer.New().Bind(c.view, c.facts, c.r)
	}
}

// BenchmarkScreen measures the binding to 1,000 nodes and one look at each
// node for five classes.
func BenchmarkScreen(b *testing.B) {
	c := wide(1000, true)
	classes := c.classes(5)
	b.ReportAllocs()
	for b.Loop() {
		bound := scorer.New().Bind(c.view, c.facts, c.r).(scheduler.Screener)
		hot := 0
		c.view.Nodes.Ascend("", func(id placement.NodeID, _ *placement.Node) bool {
			for i := range classes {
				if bound.Hot(&classes[i], id) {
					hot++
				}
			}
			return true
		})
	}
}

// BenchmarkChoose measures the search for the target of a copy among 1,000
// nodes: as repair asks, and as balance does, the holders' scores included.
func BenchmarkChoose(b *testing.B) {
	for _, sized := range []bool{false, true} {
		c := wide(3000, sized)
		var chains []*placement.Chain
		c.view.Chains.Ascend("", func(_ placement.ChainID, x *placement.Chain) bool {
			chains = append(chains, x)
			return true
		})
		bound := scorer.New().Bind(c.view, c.facts, c.r).(exposed)
		i := 0
		run := func(name string, above placement.Score, admitted func(placement.NodeID) bool, holders bool) {
			b.Run(fmt.Sprintf("%s/sized=%v", name, sized), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					x := chains[i%len(chains)]
					i++
					if holders {
						for k := range x.Holders {
							bound.Score(x.ID, x.Holders[k].Node)
						}
					}
					bound.Choose(x.ID, x.Holders[0].Node, above, admitted)
				}
			})
		}
		all := func(placement.NodeID) bool { return true }
		run("repair", placement.NoScore, all, false)
		run("balance", 200_000, all, true)
		run("refused", 200_000, func(id placement.NodeID) bool { return id != "n0000" }, true)
	}
}
