package fsm

import (
	"sort"

	"github.com/holdfast-cluster/holdfast/placement"
)

// ring is a list in the order of revisions that is added to at the end and
// forgets at its beginning. A copy of the struct is a view: it does not see
// what is added later, which lies beyond its length.
type ring[T any] struct {
	blocks []*[ringBlock]dated[T]
	first  int // entries of the first block that are forgotten
	n      int
}

type dated[T any] struct {
	revision placement.Revision
	value    T
}

const ringBlock = 512

func (r *ring[T]) len() int { return r.n }

func (r *ring[T]) at(i int) *dated[T] {
	i += r.first
	return &r.blocks[i/ringBlock][i%ringBlock]
}

// push adds an entry. Its revision is above all that are there.
func (r *ring[T]) push(at placement.Revision, value T) {
	if r.first+r.n == len(r.blocks)*ringBlock {
		// Clipped, so that the list is copied without the blocks that were forgotten.
		r.blocks = append(r.blocks[:len(r.blocks):len(r.blocks)], new([ringBlock]dated[T]))
	}
	r.n++
	*r.at(r.n - 1) = dated[T]{at, value}
}

// pop forgets the oldest entry and returns its revision.
func (r *ring[T]) pop() placement.Revision {
	at := r.at(0).revision
	r.first, r.n = r.first+1, r.n-1
	if r.first == ringBlock {
		r.first, r.blocks = 0, r.blocks[1:]
	}
	return at
}

// from returns the index of the first entry at or after a revision.
func (r *ring[T]) from(at placement.Revision) int {
	return sort.Search(r.n, func(i int) bool { return r.at(i).revision >= at })
}

// get returns the entry of exactly that revision, or nil.
func (r *ring[T]) get(at placement.Revision) *T {
	if i := r.from(at); i < r.n && r.at(i).revision == at {
		return &r.at(i).value
	}
	return nil
}
