package placement

import (
	"cmp"
	"slices"
	"time"
)

// Table is an immutable map in key order.
type Table[K cmp.Ordered, V any] interface {
	Get(key K) (V, bool)
	Len() int
	// Ascend calls visit for each key ≥ pivot in order until it returns false.
	Ascend(pivot K, visit func(K, V) bool)
}

// Freeze stops the opening of moves, except forced ones.
type Freeze struct {
	Reason string
	Actor  string
	Since  Time
	Until  Time // Never = until thawed
}

// Heartbeat is how often the leader lets all voters hear of it: the one value
// that all of them run raft with (rule S17).
type Heartbeat struct {
	Timeout time.Duration // a voter that hears nothing for so long asks for an election; 0 = never committed
	Reason  string        // why it is not shorter
	Since   Time
}

// RepairPause is repair held back because too much vanished at once (rule S12).
type RepairPause struct {
	Since Time
	Until Time
	Nodes []NodeID // the nodes whose loss began it; half of them back end it
}

// ChainSet is an immutable set of chains in id order.
type ChainSet = Table[ChainID, struct{}]

// View is the replicated state at one revision, as far as placement is
// concerned. It is immutable and cheap to take.
type View struct {
	ClusterID    string
	ClusterName  string
	Lineage      string
	FeatureLevel int
	Revision     Revision
	Index        uint64 // the last raft index applied
	Term         uint64 // the term of that entry
	Now          Time   // cluster time of the last entry

	Config           Config
	ConfigGeneration Generation // changes with the configuration and with freeze and thaw
	Heartbeat        Heartbeat
	Freeze           *Freeze
	RepairPause      *RepairPause
	RestoreGuard     []NodeID // nodes whose inventory a restore still waits for; nil = no guard
	Forced           []Forced // in the order in which they were queued
	OpenMoves        OpenMoves

	Chains Table[ChainID, *Chain]
	Nodes  Table[NodeID, *Node]
	Usages Table[NodeID, Usage]
	Held   Table[NodeID, ChainSet] // the chains that have a holder on each node
}

// Node returns the node, or nil.
func (v *View) Node(id NodeID) *Node {
	n, _ := v.Nodes.Get(id)
	return n
}

// Chain returns the chain, or nil.
func (v *View) Chain(id ChainID) *Chain {
	c, _ := v.Chains.Get(id)
	return c
}

// Usage returns what the state's assignments add up to on a node.
func (v *View) Usage(id NodeID) Usage {
	u, _ := v.Usages.Get(id)
	return u
}

// ChainsOn calls visit for each chain with a holder on node, in id order,
// until it returns false.
func (v *View) ChainsOn(node NodeID, visit func(*Chain, *Holder) bool) {
	held, ok := v.Held.Get(node)
	if !ok {
		return
	}
	held.Ascend("", func(id ChainID, _ struct{}) bool {
		c := v.Chain(id)
		return visit(c, c.Holder(node))
	})
}

// Holds tells whether chain has a holder on node.
func (v *View) Holds(node NodeID, chain ChainID) bool {
	held, ok := v.Held.Get(node)
	if ok {
		_, ok = held.Get(chain)
	}
	return ok
}

// sortedTable is a Table over a sorted slice.
type sortedTable[K cmp.Ordered, V any] struct {
	keys   []K
	values []V
}

// TableOf returns an immutable table with the contents of m.
func TableOf[K cmp.Ordered, V any](m map[K]V) Table[K, V] {
	t := &sortedTable[K, V]{keys: sortedKeys(m)}
	for _, k := range t.keys {
		t.values = append(t.values, m[k])
	}
	return t
}

func (t *sortedTable[K, V]) Get(key K) (V, bool) {
	i, ok := slices.BinarySearch(t.keys, key)
	if !ok {
		var none V
		return none, false
	}
	return t.values[i], true
}

func (t *sortedTable[K, V]) Len() int { return len(t.keys) }

func (t *sortedTable[K, V]) Ascend(pivot K, visit func(K, V) bool) {
	i, _ := slices.BinarySearch(t.keys, pivot)
	for ; i < len(t.keys); i++ {
		if !visit(t.keys[i], t.values[i]) {
			return
		}
	}
}
