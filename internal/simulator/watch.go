package simulator

import (
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// watch follows the state at a cost that grows with what has changed: the
// pulls that it asks for, and the counts that are drawn.
type watch struct {
	seen   placement.Revision
	pulls  map[placement.ChainID][]*pull
	health map[placement.ChainID]health

	chains, copies     int
	under, unavailable int
	open               [causesCount]int
}

// health is what a chain adds to the counts.
type health struct {
	live, desired int8
	open          [causesCount]int8
}

// Causes in the order in which they are counted and drawn.
const causesCount = 5

func causes() [causesCount]placement.Cause {
	return [...]placement.Cause{
		placement.CauseBalance, placement.CauseRepair, placement.CauseDrain, placement.CauseConstraint, placement.CauseForced,
	}
}

func causeIndex(cause placement.Cause) int {
	for i, c := range causes() {
		if c == cause {
			return i
		}
	}
	return 0
}

func newWatch() watch {
	return watch{pulls: map[placement.ChainID][]*pull{}, health: map[placement.ChainID]health{}}
}

// follow looks at every chain and node that has changed since it last did.
func (w *world) follow() {
	v := w.machine.View()
	var chains []placement.ChainID
	var nodes []placement.NodeID
	known := v.Touched(w.watch.seen,
		func(id placement.ChainID) { chains = append(chains, id) },
		func(id placement.NodeID) { nodes = append(nodes, id) })
	w.watch.seen = v.Revision
	if !known {
		chains = chains[:0]
		v.Chains.Ascend("", func(id placement.ChainID, _ *placement.Chain) bool {
			chains = append(chains, id)
			return true
		})
	}
	for _, n := range w.nodes {
		if !known || len(nodes) > 0 {
			chains = w.followNode(v, n, chains)
		}
	}
	for _, id := range chains {
		w.followChain(v, id)
	}
}

// followNode adds the chains of a node that came or went: their live copies
// count anew.
func (w *world) followNode(v *fsm.View, n *node, chains []placement.ChainID) []placement.ChainID {
	m := v.Node(n.id)
	if m == nil || m.State == n.state {
		return chains
	}
	n.state = m.State
	v.ChainsOn(n.id, func(c *placement.Chain, _ *placement.Holder) bool {
		chains = append(chains, c.ID)
		return true
	})
	return chains
}

// followChain begins what the state asks of the chain's holders, ends what it
// no longer asks, and counts.
func (w *world) followChain(v *fsm.View, id placement.ChainID) {
	c := v.Chain(id)
	running := w.watch.pulls[id]
	var going []*pull
	for _, p := range running {
		var h *placement.Holder
		if c != nil {
			h = c.Holder(p.node.id)
		}
		switch {
		case p.ended:
		case p.life != p.node.life || h == nil || h.Epoch != p.epoch || h.Phase != placement.Pulling:
			w.endPull(p)
		default:
			going = append(going, p)
		}
	}
	if c != nil {
		going = w.startChain(v, c, going)
	}
	if len(going) > 0 {
		w.watch.pulls[id] = going
	} else if running != nil {
		delete(w.watch.pulls, id)
	}
	w.watch.count(v, id, c)
}

// startChain begins the pulls and drops of the chain that are not under way.
func (w *world) startChain(v *fsm.View, c *placement.Chain, going []*pull) []*pull {
	for i := range c.Holders {
		h := &c.Holders[i]
		n := w.byID[h.Node]
		switch {
		case n == nil || !n.up:
		case h.Phase == placement.Pulling && !pulls(going, n):
			if p := w.begin(n, c, h.Epoch); !p.ended {
				going = append(going, p)
			}
		case h.Phase == placement.Dropping:
			at := h.Since.Add(v.Config.DropGrace)
			if w.instant {
				at = w.now
			}
			w.dropLater(n, c.ID, h.Epoch, at)
		}
	}
	return going
}

func pulls(list []*pull, n *node) bool {
	for _, p := range list {
		if p.node == n {
			return true
		}
	}
	return false
}

// count replaces what the chain added to the counts; c is nil when it is gone.
func (x *watch) count(v *fsm.View, id placement.ChainID, c *placement.Chain) {
	if old, ok := x.health[id]; ok {
		x.add(old, -1)
		delete(x.health, id)
	}
	if c == nil {
		return
	}
	h := health{live: int8(v.LiveCount(c)), desired: int8(c.Spec.Desired)}
	for i := range c.Moves {
		if m := &c.Moves[i]; fsm.Booked(m) || m.Unbudgeted {
			h.open[causeIndex(m.Cause)]++
		}
	}
	x.add(h, 1)
	x.health[id] = h
}

func (x *watch) add(h health, sign int) {
	x.chains += sign
	x.copies += sign * int(h.desired)
	if h.live < h.desired {
		x.under += sign
	}
	if h.live == 0 {
		x.unavailable += sign
	}
	for i := range h.open {
		x.open[i] += sign * int(h.open[i])
	}
}
