package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// inject lets something go wrong, or somebody do something.
func (w *World) inject() {
	w.strike(w.nodes[w.rng.IntN(len(w.nodes))])
	switch {
	case w.chance("leader change", 40):
		w.calamity(w.elect())
	case w.chance("leader paused", 200): // and all that waits for it
		w.now += placement.Time(w.rng.IntN(600)) * placement.Time(time.Second)
		w.note("all pause")
	}
	w.stale()
	if w.chance("", 8) {
		w.command()
	}
	if w.chance("put", 12) {
		w.put()
	}
	w.calamity(w.turnBack())
	if w.chance("", 60) {
		w.whim()
	}
	if w.chance("", 10) {
		w.gossip()
	}
}

// strike lets something befall a node, or end.
func (w *World) strike(n *node) {
	switch {
	case n.up && w.chance("crash", 60):
		n.crash()
	case !n.up && w.rng.IntN(15) == 0:
		if w.mayWipe(n) && w.chance("disk replaced", 3) {
			n.wipe()
		}
		n.start()
	case n.up && w.chance("restart", 100):
		n.crash()
		n.start()
	case !n.cut && w.chance("cable out", 80):
		n.cut, n.down = true, w.now
		w.note("cut %s", n.id)
	case n.cut && w.rng.IntN(12) == 0:
		n.cut = false
		w.note("join %s", n.id)
	}
}

// stale lets batches of the past, perhaps of a deposed leader, reach the log.
func (w *World) stale() {
	if len(w.late) > 0 && w.rng.IntN(8) == 0 {
		w.calamity(w.arrive())
	}
}

// arrive commits the oldest batch that is late.
func (w *World) arrive() error {
	b := w.late[0]
	w.late = w.late[1:]
	if b.Term != 0 && b.Term != w.term {
		w.Faults["batch of a deposed leader"]++
	}
	return w.commit(b, w.term)
}

// calamity keeps the first error that a fault's own commit met, for the next step.
func (w *World) calamity(err error) {
	if w.broken == nil {
		w.broken = err
	}
}

// mayWipe tells whether the node's disk may go: every content on it must be
// on another disk that was not told to drop it, so that no more than
// write_copies−1 disks are lost. A chain without content may lose its last copy.
func (w *World) mayWipe(n *node) bool {
	v := w.machine.View()
	if m := v.Node(n.id); m == nil || m.State != placement.NodeDead {
		return false
	}
	for _, c := range n.disk {
		if chain := v.Chain(c.Chain); chain != nil && chain.Content != nil && !w.elsewhere(chain, n) {
			return false
		}
	}
	return true
}

// elsewhere tells whether a disk other than n's has the content of a chain, and
// is to keep it.
func (w *World) elsewhere(c *placement.Chain, n *node) bool {
	for _, o := range w.nodes {
		if h := c.Holder(o.id); o != n && o.has(c.ID, c.SHA256()) && (h == nil || h.Phase != placement.Dropping) {
			return true
		}
	}
	return false
}

// chains lists all chains.
func (w *World) chains() []*placement.Chain {
	var all []*placement.Chain
	w.machine.View().Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		all = append(all, c)
		return true
	})
	return all
}

// put writes new content to a chain as a receiving node does: to the disks of
// write_copies holders first, then into the log. The commit may be lost.
func (w *World) put() {
	chains := w.chains()
	if len(chains) == 0 {
		return
	}
	op := w.stage(chains[w.rng.IntN(len(chains))])
	switch {
	case w.chance("put lost", 8):
	case w.chance("put late", 6):
		w.late = append(w.late, fsm.Batch{Now: w.clock, Ops: []fsm.Op{op}})
	default:
		w.calamity(w.apply(op))
	}
}

// stage stores new content of a chain on the disks of write_copies holders, and
// returns its commit.
func (w *World) stage(c *placement.Chain) fsm.Op {
	v := w.machine.View()
	w.writes++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d", w.writes))
	body := &fsm.CommitContent{Chain: c.ID, SHA256: hex.EncodeToString(sum[:]), Size: int64(w.rng.IntN(1000))}
	if c.Content != nil {
		body.Base = c.Content.Version
	}
	for _, h := range c.Holders {
		n := w.node(h.Node)
		m := v.Node(h.Node)
		if len(body.Holders) == v.Config.WriteCopiesFor(c.Spec) || !n.reachable() || h.Phase == placement.Dropping || m == nil || m.Process != n.name() {
			continue
		}
		n.store(holder.Copy{Chain: c.ID, Epoch: h.Epoch, SHA256: body.SHA256, SizeBytes: body.Size, Staged: true, Base: body.Base})
		n.seen = nil
		body.Holders = append(body.Holders, fsm.StoredCopy{Node: h.Node, Incarnation: m.Incarnation, Epoch: h.Epoch})
	}
	w.note("put %s over version %d, stored on %d disks", c.ID, body.Base, len(body.Holders))
	return fsm.Op{Actor: "client", Reason: "put", Body: body}
}
