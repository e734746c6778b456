package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// chance is one in n, and counts the fault when it strikes.
func (w *World) chance(kind string, n int) bool {
	if w.rng.IntN(n) != 0 {
		return false
	}
	w.Faults[kind]++
	return true
}

// inject lets something go wrong, or an operator do something.
func (w *World) inject() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch {
	case n.up && w.chance("crash", 400):
		n.crash()
	case !n.up && w.rng.IntN(200) == 0:
		if w.mayWipe(n) && w.chance("disk replaced", 4) {
			n.wipe()
		}
		n.start()
	case !n.cut && w.chance("cable out", 500):
		n.cut, n.down = true, w.now
		w.note("cut %s", n.id)
	case n.cut && w.rng.IntN(100) == 0:
		n.cut = false
		w.note("join %s", n.id)
	case w.chance("leader change", 300):
		w.term++
		w.planner = scheduler.NewPlanner()
		w.note("term %d", w.term)
	}
	w.stale()
	if w.rng.IntN(60) == 0 {
		w.command()
	}
	if w.rng.IntN(80) == 0 {
		w.put()
	}
	if err := w.turnBack(); err != nil {
		w.calamity(err)
	}
	if w.rng.IntN(400) == 0 {
		w.whim()
	}
	if w.rng.IntN(20) == 0 {
		w.gossip()
	}
}

// whim lets another scorer decide for a while: none at all, one that talks
// nonsense, or one that does not let every node hold every chain.
func (w *World) whim() {
	switch {
	case w.chance("no scorer", 6):
		w.scorer = nil
	case w.chance("scorer of chance", 3):
		w.scorer = noise{w}
	case w.chance("picky scorer", 3):
		w.scorer = picky{scorer.New()}
	default:
		w.scorer = scorer.New()
	}
}

// picky is a scorer without opinions that forbids each chain some nodes.
type picky struct{ *scorer.Scorer }

// Bind implements scheduler.Binder.
func (p picky) Bind(*placement.View, placement.Facts, *scheduler.Reservations) scheduler.PlacementScorer {
	return p
}

// Eligible implements scheduler.Eligibility.
func (picky) Eligible(chain placement.ChainID, n placement.NodeID) (string, bool) {
	return "it is not to its taste", (chain[len(chain)-1]+n[len(n)-1])%5 != 0
}

// noise is a scorer whose opinions are chance, and sometimes no numbers.
type noise struct{ w *World }

// Score implements scheduler.PlacementScorer.
func (n noise) Score(placement.ChainID, placement.NodeID) (float64, bool) {
	r := n.w.rng
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 2, 1e308}
	if r.IntN(10) == 0 {
		return odd[r.IntN(len(odd))], true
	}
	return r.Float64(), r.IntN(10) != 0
}

// BestAlternative implements scheduler.PlacementScorer.
func (n noise) BestAlternative(chain placement.ChainID, _ []placement.NodeID) (placement.NodeID, float64, bool) {
	score, ok := n.Score(chain, "")
	return n.w.nodes[n.w.rng.IntN(len(n.w.nodes))].id, score, ok
}

// stale lets batches of the past, perhaps of a deposed leader, reach the log.
func (w *World) stale() {
	if len(w.late) > 0 && w.rng.IntN(20) == 0 {
		b := w.late[0]
		w.late = w.late[1:]
		if err := w.commit(b); err != nil {
			w.note("late batch: %v", err)
			w.calamity(err)
		}
	}
}

// calamity keeps an error that a fault's own commit met, for the next step.
func (w *World) calamity(err error) { w.broken = err }

// mayWipe tells whether the node's disk may go: every content on it must be
// live somewhere else, so that no more than write_copies−1 disks are lost.
func (w *World) mayWipe(n *node) bool {
	if n.up {
		return false
	}
	v := w.machine.View()
	if m := v.Node(n.id); m == nil || m.State != placement.NodeDead {
		return false
	}
	for _, c := range n.disk {
		chain := v.Chain(c.Chain)
		if chain == nil || chain.Content == nil {
			continue
		}
		others := 0
		for _, o := range w.nodes {
			if o != n && o.has(c.Chain, chain.SHA256()) {
				others++
			}
		}
		if others == 0 {
			return false
		}
	}
	return true
}

// put writes new content to a chain as a receiving node does: to the disks of
// write_copies holders first, then into the log. The commit may be lost.
func (w *World) put() {
	v := w.machine.View()
	var chains []*placement.Chain
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		chains = append(chains, c)
		return true
	})
	if len(chains) == 0 {
		return
	}
	c := chains[w.rng.IntN(len(chains))]
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
		body.Holders = append(body.Holders, fsm.StoredCopy{Node: h.Node, Incarnation: m.Incarnation, Epoch: h.Epoch})
	}
	w.note("put %s base %d %.6s on %v", c.ID, body.Base, body.SHA256, body.Holders)
	op := fsm.Op{Actor: "client", Reason: "put", Body: body}
	switch {
	case w.chance("put lost", 10):
	case w.chance("put late", 6):
		w.late = append(w.late, fsm.Batch{Now: w.now, Ops: []fsm.Op{op}})
	default:
		if err := w.apply(op); err != nil {
			w.calamity(err)
		}
	}
}

// heal ends all faults and gives every node its full share again.
func (w *World) heal() {
	w.calm, w.late, w.saved, w.scorer = true, nil, nil, scorer.New()
	w.note("heal")
	for _, n := range w.nodes {
		n.cut = false
		if !n.up {
			n.start()
		}
		for _, op := range []fsm.Body{
			&fsm.SetWeight{Node: n.id, Weight: placement.ScoreOne},
			&fsm.SetEligibility{Node: n.id, Eligibility: placement.Eligible},
		} {
			if err := w.apply(fsm.Op{Actor: "operator", Reason: "heal", Body: op}); err != nil {
				w.calamity(err)
			}
		}
	}
}

// settle waits until nothing is decided any more, for twice the longest timer
// of the run, and checks refills and quiet.
func (w *World) settle() error {
	quiet := placement.Never
	end := w.now.Add(w.Calm)
	last := w.machine.View().Decided()
	for w.now < end {
		if err := w.step(); err != nil {
			return err
		}
		if d := w.machine.View().Decided(); d != last || quiet == placement.Never {
			last, quiet = d, w.now
		}
		if w.now.Sub(quiet) >= 12*time.Minute {
			return w.refilled()
		}
	}
	return fmt.Errorf("quiet: decisions are still made %v after the faults ended", w.Calm)
}

// refilled checks that every chain that can have all its copies has them.
func (w *World) refilled() error {
	v := w.machine.View()
	var err error
	v.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		want := min(c.Spec.Desired, w.suitable(c))
		// One that must leave a node, with nowhere to go, stays on top.
		if live := v.LiveCount(c); (live < want || live > c.Spec.Desired) && !w.gone(c) {
			err = fmt.Errorf("refills: chain %s has %d live copies of %d (health %s, %+v)", id, live, want, v.HealthOf(c), *c)
		}
		for _, m := range c.Moves {
			// A move whose victim may not go, for want of one more node, waits
			// without end (rule S8).
			if m.Phase != placement.MoveWaiting || c.Spec.Desired < w.suitable(c) {
				err = fmt.Errorf("quiet: chain %s still has an open move: %+v", id, m)
			}
		}
		return err == nil
	})
	return err
}

// gone tells whether every copy of a chain without content was on disks that
// were replaced: nothing can be copied, and no copy is made from nothing.
func (w *World) gone(c *placement.Chain) bool {
	return !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.has(c.ID, c.SHA256()) })
}
