package fsm

import (
	"errors"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/holdfast-cluster/holdfast/placement"
)

// ErrFatal wraps the errors after which a node must stop before it applies
// anything: an entry or snapshot of a level, kind or field that this build
// does not know, or bytes that are damaged.
var ErrFatal = errors.New("the replicated state cannot go on")

// Machine holds the replicated state. Build it with [New].
type Machine struct {
	s    *state
	view atomic.Pointer[View]
}

// New returns a machine with the empty state that precedes Genesis.
func New() *Machine {
	m := &Machine{s: newState()}
	m.publish(nil)
	return m
}

// View returns the state as of the last applied entry. It never blocks.
func (m *Machine) View() *View { return m.view.Load() }

// publish makes the present state visible and wakes who waits for it.
func (m *Machine) publish(before *View) {
	m.view.Store(m.s.freeze())
	if before != nil {
		close(before.next)
	}
}

// View is the whole replicated state at one index: what placement needs, and
// what only readers do. It is immutable.
type View struct {
	placement.View

	decisions  ring[placement.Record]
	changes    ring[Change]
	strays     *btree.Map[string, Stray]
	tombstones *btree.Map[placement.ChainID, Tombstone]
	requests   *btree.Map[string, *request]
	changesCut placement.Revision
	timers     placement.Time
	next       chan struct{}
}

// Next is closed when a newer view is there.
func (v *View) Next() <-chan struct{} { return v.next }

// ChangedSince calls visit with each change after revision since, oldest
// first, until it returns false. It answers false when since is older than
// the kept changes: the caller must list anew.
func (v *View) ChangedSince(since placement.Revision, visit func(Change) bool) bool {
	if since < v.changesCut || since > v.Revision {
		return false
	}
	for i := v.changes.from(since + 1); i < v.changes.len() && visit(v.changes.at(i).value); i++ {
	}
	return true
}

// Touched calls chain and node with the id of each that has changed after
// revision since, as often as it did. It answers false when since is older
// than the kept changes: anything may have changed. It is what
// scheduler.Planner learns from.
func (v *View) Touched(since placement.Revision, chain func(placement.ChainID), node func(placement.NodeID)) bool {
	return v.ChangedSince(since, func(c Change) bool {
		switch c.Kind {
		case ChangeChain:
			chain(placement.ChainID(c.ID))
		case ChangeNode:
			node(placement.NodeID(c.ID))
		default:
		}
		return true
	})
}

// Decisions calls visit with the records of the history before the revision
// (0 = all), newest first, until it returns false.
func (v *View) Decisions(before placement.Revision, visit func(*placement.Record) bool) {
	i := v.decisions.len()
	if before != 0 {
		i = v.decisions.from(before)
	}
	for i--; i >= 0 && visit(&v.decisions.at(i).value); i-- {
	}
}

// TimersUntil returns a cluster time after which no chain waits on time: no
// cooldown, deadline, backoff or quarantine is still running then. It is an upper
// bound: a deadline counts although its move has ended early.
func (v *View) TimersUntil() placement.Time { return v.timers }

// Decided returns the revision of the newest record of the history, 0 if none.
func (v *View) Decided() placement.Revision {
	if n := v.decisions.len(); n > 0 {
		return v.decisions.at(n - 1).revision
	}
	return 0
}

// Decision returns the record at a revision, or nil.
func (v *View) Decision(at placement.Revision) *placement.Record {
	return v.decisions.get(at)
}

// Strays calls visit with each copy that node holds and the state does not
// list, in chain order, until it returns false.
func (v *View) Strays(node placement.NodeID, visit func(Stray) bool) {
	prefix := strayPrefix(node, "")
	v.strays.Ascend(prefix, func(_ string, s Stray) bool { return s.Node == node && visit(s) })
}

// OrphanCount returns how many copies of unknown chains the nodes hold.
func (v *View) OrphanCount() int {
	n := 0
	v.strays.Scan(func(_ string, s Stray) bool {
		if s.Verdict == CopyOrphan {
			n++
		}
		return true
	})
	return n
}

// Tombstone returns the tombstone of a deleted chain, and whether there is one.
func (v *View) Tombstone(id placement.ChainID) (Tombstone, bool) { return v.tombstones.Get(id) }

// TombstoneCount returns how many deleted chains are remembered.
func (v *View) TombstoneCount() int { return v.tombstones.Len() }

// RequestCount returns how many answers are remembered (rule S20).
func (v *View) RequestCount() int { return v.requests.Len() }
