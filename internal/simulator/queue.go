package simulator

import (
	"container/heap"

	"github.com/holdfast-cluster/holdfast/placement"
)

// queue is what will happen, by time; what falls on one instant happens in the
// order in which it was put in.
type queue struct {
	list  happenings
	count uint64
}

type happening struct {
	at    placement.Time
	order uint64
	do    func() error
}

func (q *queue) add(at placement.Time, do func() error) {
	q.count++
	heap.Push(&q.list, happening{at, q.count, do})
}

// next returns when something happens next; [placement.Never] when nothing does.
func (q *queue) next() placement.Time {
	if len(q.list) == 0 {
		return placement.Never
	}
	return q.list[0].at
}

func (q *queue) pop() happening { return heap.Pop(&q.list).(happening) } //nolint:errcheck // container/heap hands back what it was given

// happenings implements heap.Interface.
type happenings []happening

func (h happenings) Len() int      { return len(h) }
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h happenings) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}

// Push implements heap.Interface.
func (h *happenings) Push(x any) { *h = append(*h, x.(happening)) } //nolint:errcheck // container/heap hands back what it was given

// Pop implements heap.Interface.
func (h *happenings) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
