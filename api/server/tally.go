package server

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// tally knows how many chains are in each health and which have open moves, at
// a cost that grows with what has changed since it was last asked. It remembers
// only the chains that are not simply healthy, and looks again at those that
// changed, that are on a node which came or went, or whose quarantine is over.
// Chains that lack copies are asked about together: whether a node would take
// them can change with any node.
//
// It keeps no view, which would hold on to memory that the state has left. It
// may be asked by any number of goroutines; who brings an older view than the
// newest that it has seen is answered as of that. The zero value knows nothing:
// its first answer costs a look at every chain.
type tally struct {
	mu       sync.Mutex
	lineage  string
	index    uint64
	revision placement.Revision

	kinds   map[string]*kindOfChain
	chains  map[placement.ChainID]*kindOfChain // that are not healthy
	most    int                                // length that chains has had
	moving  map[placement.ChainID]struct{}
	alive   map[placement.NodeID]bool
	release placement.Time // no quarantine ends before
	counts  api.ChainCounts
}

// kindOfChain is the chains that do alike.
type kindOfChain struct {
	key    string
	health placement.Health // "" = they lack copies: under, or unplaceable
	n      int
	chains map[placement.ChainID]struct{} // those that must be found again, else nil

	// Bounds over the chains that lack copies; they only widen.
	sizeMin, sizeMax int64
	holdersMax       int
}

// of counts the chains by health.
func (t *tally) of(v *fsm.View) api.ChainCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(v)
	return t.counts
}

// moves returns the chains that have open moves, in id order.
func (t *tally) moves(v *fsm.View) []placement.ChainID {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(v)
	return slices.Sorted(maps.Keys(t.moving))
}

// advance takes in what has changed since the last view.
func (t *tally) advance(v *fsm.View) {
	if v.Lineage == t.lineage && v.Index <= t.index && t.chains != nil {
		return
	}
	touched := map[placement.ChainID]struct{}{}
	known := t.chains != nil && v.Lineage == t.lineage && v.Touched(t.revision,
		func(id placement.ChainID) { touched[id] = struct{}{} },
		func(id placement.NodeID) { t.node(v, id, touched) })
	if !known {
		t.restart(v)
	}
	if q := t.kinds[string(placement.HealthQuarantined)]; q != nil && v.Now >= t.release {
		t.release = math.MaxInt64
		maps.Copy(touched, q.chains)
	}
	for id := range touched {
		t.look(v, id, v.Chain(id))
	}
	if len(t.chains) < t.most/8 {
		t.chains = maps.Collect(maps.All(t.chains)) // a map does not shrink
		t.most = len(t.chains)
	}
	t.lineage, t.index, t.revision = v.Lineage, v.Index, v.Revision
	t.count(v)
}

// restart looks at all chains: nothing is known, or not what has changed.
func (t *tally) restart(v *fsm.View) {
	t.kinds, t.chains, t.most = map[string]*kindOfChain{}, map[placement.ChainID]*kindOfChain{}, 0
	t.moving, t.alive = map[placement.ChainID]struct{}{}, map[placement.NodeID]bool{}
	t.release = math.MaxInt64
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		t.alive[id] = n.State == placement.NodeAlive
		return true
	})
	v.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		t.look(v, id, c)
		return true
	})
}

// node adds the chains of a node whose copies began or ceased to count.
func (t *tally) node(v *fsm.View, id placement.NodeID, touched map[placement.ChainID]struct{}) {
	n := v.Node(id)
	alive := n != nil && n.State == placement.NodeAlive
	if alive == t.alive[id] {
		return
	}
	t.alive[id] = alive
	v.ChainsOn(id, func(c *placement.Chain, _ *placement.Holder) bool {
		touched[c.ID] = struct{}{}
		return true
	})
}

// look remembers how a chain is doing now; c is nil when it is gone.
func (t *tally) look(v *fsm.View, id placement.ChainID, c *placement.Chain) {
	if k := t.chains[id]; k != nil {
		k.n--
		delete(k.chains, id)
		delete(t.chains, id)
		if k.n == 0 {
			delete(t.kinds, k.key)
		}
	}
	delete(t.moving, id)
	if c == nil {
		return
	}
	if len(c.Moves) > 0 {
		t.moving[id] = struct{}{}
	}
	if k := t.kindOf(v, c); k != nil {
		k.n++
		t.chains[id] = k
		t.most = max(t.most, len(t.chains))
		if k.chains != nil {
			k.chains[id] = struct{}{}
		}
	}
}

// kindOf returns the kind that a chain is of, nil if it is healthy.
func (t *tally) kindOf(v *fsm.View, c *placement.Chain) *kindOfChain {
	if !lacks(v, c) {
		health := v.HealthOf(c)
		if health == placement.HealthHealthy {
			return nil
		}
		k := t.kind(string(health), health)
		if health == placement.HealthQuarantined {
			if k.chains == nil {
				k.chains = map[placement.ChainID]struct{}{}
			}
			t.release = min(t.release, c.Quarantine.Until)
		}
		return k
	}
	key := strconv.Itoa(c.Spec.Desired) + "\x00" + strings.Join(c.Spec.Require, "\x00")
	k, size := t.kind(key, ""), c.SizeBytes()
	if k.chains == nil {
		k.chains, k.sizeMin = map[placement.ChainID]struct{}{}, size
	}
	k.sizeMin, k.sizeMax = min(k.sizeMin, size), max(k.sizeMax, size)
	k.holdersMax = max(k.holdersMax, len(c.Holders))
	return k
}

func (t *tally) kind(key string, health placement.Health) *kindOfChain {
	k := t.kinds[key]
	if k == nil {
		k = &kindOfChain{key: key, health: health}
		t.kinds[key] = k
	}
	return k
}

// lacks tells whether it takes a look at the nodes to know how c is doing.
func lacks(v *fsm.View, c *placement.Chain) bool {
	if v.Missing(c) <= 0 || c.Quarantined(v.Now) {
		return false
	}
	live := v.LiveCount(c)
	return 0 < live && live < c.Spec.Desired
}

// count adds up the kinds.
func (t *tally) count(v *fsm.View) {
	out := api.ChainCounts{Total: v.Chains.Len()}
	out.Healthy = out.Total - len(t.chains)
	for _, k := range t.kinds {
		switch k.health {
		case placement.HealthUnder:
			out.Under += k.n
		case placement.HealthOver:
			out.Over += k.n
		case placement.HealthUnavailable:
			out.Unavailable += k.n
		case placement.HealthQuarantined:
			out.Quarantined += k.n
		default:
			stuck := k.unplaceable(v)
			out.Unplaceable += stuck
			out.Under += k.n - stuck
		}
	}
	t.counts = out
}

// unplaceable returns how many of the chains, which lack copies, are
// unplaceable. They want the same number of copies and require the same, so
// they are told apart by size and holders only: while more nodes would take the
// biggest of them than any has holders, each of them has a target; and where
// none would take the smallest, what is true of one is true of all. Only in
// between is each asked about.
func (k *kindOfChain) unplaceable(v *fsm.View) int {
	var one *placement.Chain
	for id := range k.chains {
		one = v.Chain(id)
		break
	}
	if len(takers(v, one.Spec, k.sizeMax, k.holdersMax+1)) > k.holdersMax {
		return 0
	}
	n, stuck := 0, placement.Health("") // of a chain that no node takes
	open := takers(v, one.Spec, k.sizeMin, math.MaxInt)
	for id := range k.chains {
		c := v.Chain(id)
		health := placement.HealthUnder
		switch {
		case len(c.Backoffs) > 0: // nodes that will take it later count
			health = v.HealthOf(c)
		case !slices.ContainsFunc(open, func(node placement.NodeID) bool { return v.TargetCode(c, node) == placement.Accepted }):
			if stuck == "" {
				stuck = v.HealthOf(c)
			}
			health = stuck
		}
		if health == placement.HealthUnplaceable {
			n++
		}
	}
	return n
}

// takers returns up to limit nodes that may be given a copy of size bytes of a
// chain with that spec which has no holder yet.
func takers(v *fsm.View, spec *placement.Spec, size int64, limit int) []placement.NodeID {
	bare := placement.Chain{Spec: spec, Content: &placement.Content{Size: size}}
	var list []placement.NodeID
	v.Nodes.Ascend("", func(id placement.NodeID, _ *placement.Node) bool {
		if v.TargetCode(&bare, id) == placement.Accepted {
			list = append(list, id)
		}
		return len(list) < limit
	})
	return list
}
