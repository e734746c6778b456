package testcluster

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster/invariant"
)

// audit sees each entry that each node applies. All nodes must apply the same
// history; its first telling goes to the checker. Nodes that replay, or that
// a snapshot has carried past some entries, are held against what was seen
// before: of all nodes one applied each entry first, before any snapshot could
// contain it.
type audit struct {
	fail func(error) // hears the first breach; later ones would be its echo

	mu     sync.Mutex
	check  *invariant.Checker
	seen   map[uint64]applied
	last   uint64             // the highest index
	states map[uint64]applied // by index: the encoded state after it
	broken bool
}

// applied is one entry, or the state after it, as the first node had it.
type applied struct {
	node string
	term uint64
	sum  [sha256.Size]byte
}

func newAudit(fail func(error)) *audit {
	return &audit{fail: fail, check: invariant.New(), seen: map[uint64]applied{}, states: map[uint64]applied{}}
}

// stateEvery is after how many revisions states are compared at every second
// index only, then at every third, and so on: large states are costly to encode.
const stateEvery = 500

// observer returns what to call with each entry that one run of a node is
// about to apply. view is the node's state before that.
func (a *audit) observer(node string, view func() *fsm.View) func(index, term uint64, data []byte) {
	var compared placement.Revision
	return func(index, term uint64, data []byte) {
		if v := view(); v.Revision != compared && v.Index%(1+uint64(v.Revision)/stateEvery) == 0 {
			compared = v.Revision
			a.report(a.state(node, v))
		}
		a.report(a.entry(node, index, term, data))
	}
}

// report makes the first breach known.
func (a *audit) report(err error) {
	a.mu.Lock()
	first := err != nil && !a.broken
	a.broken = a.broken || first
	a.mu.Unlock()
	if first {
		a.fail(err)
	}
}

// state checks that the encoded state of a node is, byte for byte, the one
// that every other node has had after the same entry.
func (a *audit) state(node string, v *fsm.View) error {
	if v.Index == 0 {
		return nil
	}
	hash := sha256.New()
	if _, err := v.WriteTo(hash); err != nil {
		return fmt.Errorf("same-state: encode the state of node %s: %w", node, err)
	}
	now := applied{node: node, term: v.Term, sum: [sha256.Size]byte(hash.Sum(nil))}
	a.mu.Lock()
	defer a.mu.Unlock()
	first, ok := a.states[v.Index]
	if !ok {
		a.states[v.Index] = now
	} else if first.sum != now.sum {
		return fmt.Errorf("same-state: the states of nodes %s and %s differ after index %d, revision %d", first.node, node, v.Index, v.Revision)
	}
	return nil
}

// entry checks one entry that a node is about to apply.
func (a *audit) entry(node string, index, term uint64, data []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken {
		return nil
	}
	now := applied{node, term, sha256.Sum256(data)}
	first, ok := a.seen[index]
	switch {
	case !ok && index < a.last:
		return fmt.Errorf("same-state: node %s applies index %d, which no node had applied before index %d: it was not committed", node, index, a.last)
	case ok && first.term != term:
		return fmt.Errorf("one-leader: node %s applies index %d of term %d, node %s applied it as of term %d", node, index, term, first.node, first.term)
	case ok && first.sum != now.sum:
		return fmt.Errorf("same-state: node %s applies other bytes at index %d, term %d, than node %s", node, index, term, first.node)
	case ok:
		return nil
	}
	if before := a.seen[a.last]; term < before.term {
		return fmt.Errorf("one-leader: node %s applies index %d of term %d after index %d of term %d", node, index, term, a.last, before.term)
	}
	a.seen[index], a.last = now, index
	return a.check.Entry(index, term, data)
}

// accounts checks that the sums of the state are those of its chains.
func (a *audit) accounts() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return invariant.Accounting(a.check.View())
}

// reigns remembers who has led in which term.
type reigns struct {
	before map[string]uint64 // node → the term it claimed to lead at the last look
	led    map[uint64]string
}

func newReigns() *reigns { return &reigns{map[string]uint64{}, map[uint64]string{}} }

// look takes the present claims: node → term. A claim counts when it is made
// in two looks in a row, because a node that steps down learns the new term an
// instant before it knows that it has not won it.
func (r *reigns) look(claims map[string]uint64) error {
	before := r.before
	r.before = claims
	for node, term := range claims {
		if before[node] != term {
			continue
		}
		if other, ok := r.led[term]; ok && other != node {
			return fmt.Errorf("one-leader: nodes %s and %s have both led in term %d", other, node, term)
		}
		r.led[term] = node
	}
	return nil
}
