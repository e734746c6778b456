package scheduler

import (
	"cmp"
	"container/heap"

	"github.com/holdfast-cluster/holdfast/placement"
)

// merge walks the chains that have a hot copy, each once, in cyclic id order.
type merge struct {
	heads  heads
	filled int               // the version of the reservations that heads is of
	after  placement.ChainID // where the walk has come to
	end    placement.ChainID // where it began: the second round ends there
	second bool
	length int // hot copies in all
}

// newMerge begins a walk behind a chain.
func newMerge(p *pass, after placement.ChainID) *merge {
	m := &merge{after: after, end: after}
	m.fill(p)
	return m
}

// fill collects where the hot copies of each class go on.
func (m *merge) fill(p *pass) {
	m.filled, m.heads, m.length = p.r.Version(), m.heads[:0], 0
	for _, node := range p.agenda.roster.ids {
		s := p.agenda.shelves[node]
		if s == nil {
			continue
		}
		for _, g := range s.copies {
			if !p.screener.Hot(&g.class, node) || !p.view.Budget(placement.CauseBalance, node, "").OK() {
				continue
			}
			m.length += g.chains.Len()
			if id, ok := behind(&g.chains, m.after); ok {
				m.heads = append(m.heads, head{id, &g.chains})
			}
		}
	}
	heap.Init(&m.heads)
}

// next returns the next chain, or false at the end of the walk. What is hot is
// asked again when the reservations have changed.
func (m *merge) next(p *pass) (placement.ChainID, bool) {
	if m.filled != p.r.Version() {
		m.fill(p)
	}
	if len(m.heads) == 0 && !m.second && m.end != "" {
		m.second, m.after = true, ""
		m.fill(p)
	}
	if len(m.heads) == 0 || m.second && m.heads[0].id > m.end {
		return "", false
	}
	m.after = m.heads[0].id
	for len(m.heads) > 0 && m.heads[0].id == m.after {
		if id, ok := behind(m.heads[0].chains, m.after); ok {
			m.heads[0].id = id
			heap.Fix(&m.heads, 0)
		} else {
			heap.Pop(&m.heads)
		}
	}
	return m.after, true
}

// behind returns the first chain of a set after id.
func behind(s *chainSet, id placement.ChainID) (next placement.ChainID, ok bool) {
	s.Ascend(id, func(key placement.ChainID) bool {
		next, ok = key, key != id
		return !ok
	})
	return next, ok
}

// head is where a walk through a set has come to.
type head struct {
	id     placement.ChainID
	chains *chainSet
}

// heads is a heap by id.
type heads []head

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return cmp.Less(h[i].id, h[j].id) }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *heads) Push(x any) { *h = append(*h, x.(head)) } //nolint:errcheck // container/heap hands back what it was given

// Pop implements heap.Interface.
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
