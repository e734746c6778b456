package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidwall/btree"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Bounds of what the state keeps.
const (
	HistoryMax      = 10_000
	ChangesMax      = 100_000
	RequestsMax     = 1_000_000
	RequestBytesMax = 128 << 20
	ForcedMax       = 1_000
)

// state is the mutable side of a [View]. The trees are copied lazily: freeze
// shares them with the view, and the next write copies what it touches.
type state struct {
	clusterID, name, lineage string

	level      int
	rev        placement.Revision
	index      uint64
	term       uint64
	now        placement.Time
	config     placement.Config
	configGen  placement.Generation
	heartbeat  placement.Heartbeat
	freezing   *placement.Freeze
	pause      *placement.RepairPause
	guard      []placement.NodeID
	forced     []placement.Forced
	swept      placement.Time // the last second of cluster time that was swept
	changesCut placement.Revision

	chains     *btree.Map[placement.ChainID, *placement.Chain]
	nodes      *btree.Map[placement.NodeID, *placement.Node]
	decisions  ring[placement.Record]
	strays     *btree.Map[string, Stray]
	tombstones *btree.Map[placement.ChainID, Tombstone]
	requests   *btree.Map[string, *request]

	// Derived, never encoded: rebuilt on restore.
	on        onNodes
	specs     specs
	changes   ring[Change]
	expiries  *btree.Map[string, string]            // request keys by expiry
	endings   *btree.Map[string, placement.ChainID] // tombstones by expiry
	reqBytes  int64
	openMoves placement.OpenMoves
	timers    placement.Time // no chain waits on time later than this
}

func newState() *state {
	return &state{
		level: 1, config: placement.DefaultConfig(),
		chains:     new(btree.Map[placement.ChainID, *placement.Chain]),
		nodes:      new(btree.Map[placement.NodeID, *placement.Node]),
		strays:     new(btree.Map[string, Stray]),
		tombstones: new(btree.Map[placement.ChainID, Tombstone]),
		requests:   new(btree.Map[string, *request]),
		on:         onNodes{nodes: new(btree.Map[placement.NodeID, *onNode])},
		expiries:   new(btree.Map[string, string]),
		endings:    new(btree.Map[string, placement.ChainID]),
	}
}

// freeze returns the state as an immutable view, in constant time.
func (s *state) freeze() *View {
	v := &View{
		View:      s.live(),
		decisions: s.decisions, changes: s.changes, strays: s.strays.Copy(),
		tombstones: s.tombstones.Copy(), requests: s.requests.Copy(),
		changesCut: s.changesCut, timers: s.timers, next: make(chan struct{}),
	}
	v.Chains, v.Nodes = s.chains.Copy(), s.nodes.Copy()
	on := s.on.freeze()
	v.Usages, v.Held = usageTable{on}, heldTable{on}
	return v
}

// live returns a view of the state as it is now, for the predicates of
// package placement. It sees later writes and must not be kept.
func (s *state) live() placement.View {
	return placement.View{
		ClusterID: s.clusterID, ClusterName: s.name, Lineage: s.lineage, FeatureLevel: s.level,
		Revision: s.rev, Index: s.index, Term: s.term, Now: s.now,
		Config: s.config, ConfigGeneration: s.configGen, Heartbeat: s.heartbeat, Freeze: s.freezing, RepairPause: s.pause,
		RestoreGuard: s.guard, Forced: s.forced, OpenMoves: s.openMoves,
		Chains: s.chains, Nodes: s.nodes, Usages: usageTable{s.on}, Held: heldTable{s.on},
	}
}

// draw advances the one counter (rule S4).
func (s *state) draw() placement.Revision {
	s.rev++
	return s.rev
}

func (s *state) chain(id placement.ChainID) *placement.Chain {
	c, _ := s.chains.Get(id)
	return c
}

func (s *state) node(id placement.NodeID) *placement.Node {
	n, _ := s.nodes.Get(id)
	return n
}

// putChain makes c the chain's present value, at a new revision.
func (s *state) putChain(c *placement.Chain) {
	c.Revision = s.draw()
	s.setChain(c)
	s.changed(Change{c.Revision, ChangeChain, string(c.ID), false})
}

// setChain stores c without a new revision: for what no reader waits for
// (progress, the link to the last decision).
func (s *state) setChain(c *placement.Chain) {
	slices.SortFunc(c.Holders, func(a, b placement.Holder) int { return cmp.Compare(a.Node, b.Node) })
	if len(c.Moves) == 0 {
		c.Moves = nil // a list emptied in place would keep its memory for good
	}
	old, _ := s.chains.Set(c.ID, c)
	s.account(old, c)
}

// removeChain deletes a chain.
func (s *state) removeChain(c *placement.Chain) {
	s.account(c, nil)
	s.chains.Delete(c.ID)
	s.changed(Change{s.draw(), ChangeChain, string(c.ID), true})
}

// putNode makes n the node's present value, at a new revision.
func (s *state) putNode(n *placement.Node) {
	n.Revision = s.draw()
	s.nodes.Set(n.ID, n)
	s.changed(Change{n.Revision, ChangeNode, string(n.ID), false})
}

// bury leaves a tombstone in place of an older one of the same chain.
func (s *state) bury(tomb Tombstone) {
	if old, was := s.tombstones.Set(tomb.Chain, tomb); was {
		s.endings.Delete(expiryKey(old.Expires, string(old.Chain)))
	}
	s.endings.Set(expiryKey(tomb.Expires, string(tomb.Chain)), tomb.Chain)
}

// changed remembers which object a revision changed, in a bounded ring.
func (s *state) changed(c Change) {
	s.changes.push(c.Revision, c)
	if s.changes.len() > ChangesMax {
		s.changesCut = s.changes.pop()
	}
}

// Booked tells whether a move counts against the budgets: as long as something
// of it is still to be copied. A content commit's repair never does. A place-first
// move no longer does once its target is ready: while it waits, its victim may
// need a repair to be let go, and must not take that repair's place.
func Booked(m *placement.Move) bool {
	return !m.Unbudgeted && (m.Phase == placement.MovePulling || m.Mode == placement.EvictFirst)
}

// holderUsage is what one holder adds to its node. Bytes are reserved while it
// pulls and free only when it is gone (rule S10).
func holderUsage(c *placement.Chain, h *placement.Holder) placement.Usage {
	var u placement.Usage
	switch h.Phase {
	case placement.Pulling:
		u = placement.Usage{Pulling: 1, Weight: c.Spec.Weight, ReservedBytes: max(c.SizeBytes(), h.SizeBytes)}
	case placement.Ready:
		u = placement.Usage{Ready: 1, Weight: c.Spec.Weight, UsedBytes: h.SizeBytes}
	case placement.Dropping:
		u = placement.Usage{Dropping: 1, UsedBytes: h.SizeBytes}
	}
	if h.Unconfirmed {
		u.Unconfirmed = 1
	}
	if h.Lost {
		u.Lost = 1
	}
	return u
}

// timersOf returns until when something about a chain waits on cluster time:
// cooldowns, deadlines, backoffs, quarantine. The brake on returns is none of
// them: that a new leader may know of less time makes it longer, which harms
// nobody, and is not worth ten cooldowns of ticks.
func timersOf(c *placement.Chain, cfg *placement.Config) placement.Time {
	until := max(c.LastRebalance.Add(cfg.CooldownFor(c.Spec)), c.LastConstraint.Add(cfg.ConstraintCooldown))
	for i := range c.Moves {
		until = max(until, c.Moves[i].Deadline)
	}
	for i := range c.Backoffs {
		until = max(until, c.Backoffs[i].Until)
	}
	if c.Quarantine != nil {
		until = max(until, c.Quarantine.Until)
	}
	return until
}

// strayPrefix is what the keys of strays on node, of that chain and those after
// it, begin with or follow.
func strayPrefix(node placement.NodeID, chain placement.ChainID) string {
	return string(node) + "\x00" + string(chain)
}

// strayKey orders strays by node, then chain, then epoch.
func strayKey(node placement.NodeID, chain placement.ChainID, epoch placement.Epoch) string {
	return strayPrefix(node, chain) + fmt.Sprintf("\x00%020d", epoch)
}
