// Package scene builds views of small made-up clusters from lines of text and
// plays decisions on them, for the tests of package scheduler and its scorer.
//
// It is no state machine: it refuses nothing, and every pull succeeds. What a
// decision may do is package fsm's to say. A scene belongs to one goroutine.
// It is tested by the tests that use it.
package scene

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Scene is a cluster that tests write to.
type Scene struct {
	Now         placement.Time
	Config      placement.Config
	Freeze      *placement.Freeze
	RepairPause *placement.RepairPause
	Guard       []placement.NodeID
	Forced      []placement.Forced
	Nodes       map[placement.NodeID]*placement.Node
	Chains      map[placement.ChainID]*placement.Chain

	rev placement.Revision
}

// New returns an empty scene at 1000 s of cluster time with the default
// configuration.
func New() *Scene {
	return &Scene{
		Now: Seconds(1000), Config: placement.DefaultConfig(),
		Nodes: map[placement.NodeID]*placement.Node{}, Chains: map[placement.ChainID]*placement.Chain{},
	}
}

// Seconds returns the cluster time of that many seconds.
func Seconds(s float64) placement.Time { return placement.Time(s * float64(time.Second)) }

// Draw returns the next revision.
func (s *Scene) Draw() placement.Revision {
	s.rev++
	return s.rev
}

// AddNode adds an alive and eligible node and returns it for changes.
func (s *Scene) AddNode(id placement.NodeID) *placement.Node {
	n := &placement.Node{
		ID: id, State: placement.NodeAlive, Eligibility: placement.Eligible, Inventoried: true,
		Weight: placement.ScoreOne, Role: placement.RoleServer,
	}
	s.Nodes[id] = n
	return n
}

// AddChain adds a chain with ready holders and returns it for changes.
func (s *Scene) AddChain(id placement.ChainID, desired int, holders ...placement.NodeID) *placement.Chain {
	c := &placement.Chain{
		ID: id, Revision: s.Draw(), EverReady: true,
		Spec: &placement.Spec{Desired: desired, Weight: int64(placement.ScoreOne), Policy: placement.PolicyEager},
	}
	for _, node := range holders {
		s.AddHolder(c, node, placement.Ready)
	}
	s.Chains[id] = c
	return c
}

// AddHolder adds a holder to a chain and returns its epoch.
func (s *Scene) AddHolder(c *placement.Chain, node placement.NodeID, phase placement.Phase) placement.Epoch {
	epoch := placement.Epoch(s.Draw())
	c.Holders = append(c.Holders, placement.Holder{Node: node, Phase: phase, Epoch: epoch, SizeBytes: c.SizeBytes()})
	slices.SortFunc(c.Holders, func(a, b placement.Holder) int { return cmp.Compare(a.Node, b.Node) })
	return epoch
}

// View returns the scene as a view that later changes do not reach.
func (s *Scene) View() *placement.View {
	v := &placement.View{
		Revision: s.rev, Now: s.Now, Config: s.Config, Freeze: s.Freeze, RepairPause: s.RepairPause,
		RestoreGuard: s.Guard, Forced: slices.Clone(s.Forced),
	}
	usages := map[placement.NodeID]placement.Usage{}
	chains := map[placement.ChainID]*placement.Chain{}
	on := map[placement.NodeID]map[placement.ChainID]struct{}{}
	nodes := map[placement.NodeID]*placement.Node{}
	for _, id := range sortedKeys(s.Nodes) {
		n := *s.Nodes[id]
		nodes[id] = &n
	}
	for _, id := range sortedKeys(s.Chains) {
		c := s.Chains[id].Clone()
		chains[id] = c
		for i := range c.Holders {
			node := c.Holders[i].Node
			if on[node] == nil {
				on[node] = map[placement.ChainID]struct{}{}
			}
			on[node][id] = struct{}{}
		}
		addUsage(usages, c)
		countMoves(&v.OpenMoves, usages, c)
	}
	held := map[placement.NodeID]placement.ChainSet{}
	for _, node := range sortedKeys(on) {
		held[node] = placement.TableOf(on[node])
	}
	v.Nodes, v.Chains, v.Usages, v.Held = placement.TableOf(nodes), placement.TableOf(chains), placement.TableOf(usages), placement.TableOf(held)
	return v
}

func addUsage(usages map[placement.NodeID]placement.Usage, c *placement.Chain) {
	for i := range c.Holders {
		h := &c.Holders[i]
		u := placement.Usage{Dropping: 1, UsedBytes: h.SizeBytes}
		switch h.Phase {
		case placement.Pulling:
			u = placement.Usage{Pulling: 1, Weight: c.Spec.Weight, ReservedBytes: c.SizeBytes()}
		case placement.Ready:
			u = placement.Usage{Ready: 1, Weight: c.Spec.Weight, UsedBytes: h.SizeBytes}
		default:
		}
		usages[h.Node] = usages[h.Node].Add(u)
	}
}

func countMoves(open *placement.OpenMoves, usages map[placement.NodeID]placement.Usage, c *placement.Chain) {
	for i := range c.Moves {
		m := &c.Moves[i]
		if m.Unbudgeted || m.Phase == placement.MoveDropping && m.Mode != placement.EvictFirst {
			continue
		}
		open.Total++
		switch m.Cause {
		case placement.CauseBalance:
			open.Balance++
		case placement.CauseDrain:
			open.Drain++
		default:
		}
		if m.From == "" {
			usages[m.To] = usages[m.To].Add(placement.Usage{RepairsIn: 1})
			continue
		}
		usages[m.To] = usages[m.To].Add(placement.Usage{MovesIn: 1})
		usages[m.From] = usages[m.From].Add(placement.Usage{MovesOut: 1})
	}
}

// sortedKeys is the one place here that walks a map.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
