package scheduler

import (
	"iter"
	"math/bits"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
)

// booked is what the open moves of the state will still change, and where
// chains are that others want to be near or apart from: sums over all chains.
type booked struct {
	load     map[placement.NodeID]int64 // weight on its way, on top of the usages
	leaving  map[placement.NodeID]int64 // bytes of copies that are on their way out
	reserved map[placement.NodeID]int64 // bytes kept for the refill of an evict-first move
	peers    map[placement.Label]*peer
	sizes    [65]int        // chains by the number of bits of what a copy takes
	barred   [barredMax]int // chains by how many nodes they bar from taking a copy: holders and those that failed or were left

	uncounted []*peer           // named since the last recount
	unwanted  []placement.Label // named by nobody when last looked at
}

// peer is a group of chains that some chain's spec names by one of their
// labels, or by id.
type peer struct {
	wanted  int  // how many chains name it
	counted bool // at is filled in
	at      map[placement.NodeID]int
	total   int
}

// barredMax bounds how exactly barred nodes are counted: from here on, any
// number.
const barredMax = 32

func newBooked() booked {
	return booked{
		load: map[placement.NodeID]int64{}, leaving: map[placement.NodeID]int64{}, reserved: map[placement.NodeID]int64{},
		peers: map[placement.Label]*peer{},
	}
}

// book adds (sign 1) or takes away (-1) what c contributes.
func (b *booked) book(c *placement.Chain, sign int64) {
	for i := range c.Holders {
		if h := &c.Holders[i]; h.Phase == placement.Dropping {
			add(b.leaving, h.Node, sign*h.SizeBytes)
		}
	}
	for i := range c.Moves {
		m := &c.Moves[i]
		if h := c.Holder(m.From); h != nil && h.Phase != placement.Dropping {
			add(b.load, m.From, -sign*c.Spec.Weight)
			add(b.leaving, m.From, sign*h.SizeBytes)
		}
	}
	if m := unfilled(c); m != nil && c.Holder(m.To) == nil {
		add(b.load, m.To, sign*c.Spec.Weight)
		add(b.reserved, m.To, sign*c.SizeBytes())
	}
	b.sizes[bits.Len64(uint64(c.SizeBytes()))] += int(sign)
	b.barred[min(len(c.Holders)+len(c.Backoffs)+len(c.Departed), barredMax-1)] += int(sign)
	b.mention(c, int(sign))
	b.count(c, int(sign), true)
}

// add keeps a sum without its zeros.
func add(sums map[placement.NodeID]int64, node placement.NodeID, x int64) {
	if sum := sums[node] + x; sum != 0 {
		sums[node] = sum
	} else {
		delete(sums, node)
	}
}

// largest returns what no chain exceeds: the bytes of a copy, rounded up to a
// power of two, and the nodes that it bars, -1 = any number.
func (b *booked) largest() (bytes int64, barred int) {
	for k := range b.sizes {
		if b.sizes[k] > 0 {
			bytes = 1<<k - 1
		}
	}
	for k := range b.barred {
		if b.barred[k] > 0 {
			barred = k
		}
	}
	if barred == barredMax-1 {
		barred = -1
	}
	return bytes, barred
}

// mention notes which groups the spec of c names.
func (b *booked) mention(c *placement.Chain, sign int) {
	for _, list := range [][]string{c.Spec.AntiAffinity, c.Spec.Colocate} {
		for _, expr := range list {
			label := peerLabel(expr)
			p := b.peers[label]
			if p == nil {
				p = &peer{at: map[placement.NodeID]int{}}
				b.peers[label], b.uncounted = p, append(b.uncounted, p)
			}
			if p.wanted += sign; p.wanted == 0 {
				b.unwanted = append(b.unwanted, label)
			}
		}
	}
}

// count counts the copies of c in the groups that it belongs to, among those
// that have been counted, or have not.
func (b *booked) count(c *placement.Chain, sign int, counted bool) {
	if len(b.peers) == 0 {
		return
	}
	for label := range labelsOf(c) {
		p := b.peers[label]
		if p == nil || p.counted != counted {
			continue
		}
		for node := range planned(c) {
			p.at[node] += sign
			p.total += sign
		}
	}
}

// recount forgets the groups that nobody names any more, and counts those that
// are new among all chains.
func (b *booked) recount(chains placement.Table[placement.ChainID, *placement.Chain]) {
	for _, label := range b.unwanted {
		if p := b.peers[label]; p != nil && p.wanted == 0 {
			delete(b.peers, label)
		}
	}
	b.unwanted = nil
	if len(b.uncounted) == 0 {
		return
	}
	chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		b.count(c, 1, false)
		return true
	})
	for _, p := range b.uncounted {
		p.counted = true
	}
	b.uncounted = nil
}

// peerLabel returns the label that an expression over other chains names; the
// key "chain" stands for a chain's id.
func peerLabel(expr string) placement.Label {
	key, value, _ := strings.Cut(expr, "=")
	return placement.Label{Key: key, Value: value}
}

// labelsOf returns what other chains may name c by. A label with the key that
// stands for the id is not among it, as [placement.PeerMatches] has it.
func labelsOf(c *placement.Chain) iter.Seq[placement.Label] {
	return func(yield func(placement.Label) bool) {
		for _, l := range c.Spec.Labels {
			if l.Key != "chain" && !yield(l) {
				return
			}
		}
		yield(placement.Label{Key: "chain", Value: string(c.ID)})
	}
}

// planned returns the nodes that will hold c once its open moves have ended.
func planned(c *placement.Chain) iter.Seq[placement.NodeID] {
	return func(yield func(placement.NodeID) bool) {
		victim := placement.NodeID("")
		if m := c.Rebalance(); m != nil {
			victim = m.From
		}
		for i := range c.Holders {
			if h := &c.Holders[i]; h.Phase != placement.Dropping && h.Node != victim && !yield(h.Node) {
				return
			}
		}
		if m := unfilled(c); m != nil && c.Holder(m.To) == nil {
			yield(m.To)
		}
	}
}
