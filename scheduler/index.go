package scheduler

import (
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// index is a table over nodes with constant-time lookup: a pass looks up
// several nodes for each of up to a million chains.
type index[V any] struct {
	keys []placement.NodeID // sorted
	at   map[placement.NodeID]V
}

func newIndex[V any](size int) *index[V] {
	return &index[V]{keys: make([]placement.NodeID, 0, size), at: make(map[placement.NodeID]V, size)}
}

// add appends a key that is greater than all before.
func (x *index[V]) add(key placement.NodeID, v V) {
	x.keys = append(x.keys, key)
	x.at[key] = v
}

func (x *index[V]) Get(key placement.NodeID) (V, bool) {
	v, ok := x.at[key]
	return v, ok
}

func (x *index[V]) Len() int { return len(x.keys) }

func (x *index[V]) Ascend(pivot placement.NodeID, visit func(placement.NodeID, V) bool) {
	i, _ := slices.BinarySearch(x.keys, pivot)
	for _, key := range x.keys[i:] {
		if !visit(key, x.at[key]) {
			return
		}
	}
}
