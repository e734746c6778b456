package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// Of the liveness phase: how long it may take, and what silence is longer than
// any timer of the world, without and with the brake on returns, which is ten
// cooldowns long.
const (
	calmMax   = 12 * time.Hour
	silence   = 12 * time.Minute
	stillness = 65 * time.Minute
	stepMin   = 500 * time.Millisecond
	stepMax   = 30 * time.Second
	pullLeft  = time.Second
)

// heal ends all faults and gives every node its full share again.
func (w *World) heal() {
	w.calm, w.late, w.saved, w.scorer, w.skew = true, nil, nil, scorer.New(), 0
	w.note("heal")
	for _, n := range w.nodes {
		n.cut = false
		if !n.up {
			n.start()
		}
		for i := range n.pulls {
			n.pulls[i].done = min(n.pulls[i].done, w.now.Add(pullLeft))
		}
		for _, op := range []fsm.Body{
			&fsm.SetWeight{Node: n.id, Weight: placement.ScoreOne},
			&fsm.SetEligibility{Node: n.id, Eligibility: placement.Eligible},
		} {
			w.calamity(w.apply(fsm.Op{Actor: "operator", Reason: "heal", Body: op}))
		}
	}
}

// settle lives on until nothing has been decided for longer than any timer, and
// checks refills and quiet. Steps grow while nothing happens.
func (w *World) settle() error {
	enough := silence
	if w.Seed%16 == 0 {
		enough = stillness
	}
	quiet, end, step := w.now, w.now.Add(calmMax), stepMin
	if w.odd {
		end = w.now.Add(silence + time.Minute)
	}
	decided := w.machine.View().Decided()
	for w.now < end {
		revision := w.machine.View().Revision
		if err := w.step(step); err != nil {
			return err
		}
		step = min(2*step, stepMax)
		if w.machine.View().Revision != revision {
			step = stepMin
		}
		if d := w.machine.View().Decided(); d != decided {
			decided, quiet = d, w.now
		}
		if w.now.Sub(quiet) >= enough {
			if err := w.refilled(); err != nil {
				return err
			}
			return w.examine()
		}
	}
	if w.odd {
		return nil
	}
	return fmt.Errorf("quiet: decisions are still made %v after the faults ended", calmMax)
}

// refilled checks that every node, all of which run, is known as alive, and
// that every chain that can have all its copies has them.
func (w *World) refilled() error {
	v := w.machine.View()
	for _, n := range w.nodes {
		if m := v.Node(n.id); m == nil || m.State != placement.NodeAlive || m.Process != n.name() {
			return fmt.Errorf("known: node %s runs and the state has it as %+v", n.id, m)
		}
	}
	for _, c := range w.chains() {
		want := min(c.Spec.Desired, w.suitable(c))
		// One that must leave a node, with nowhere to go, stays on top.
		if live := v.LiveCount(c); (live < want || live > c.Spec.Desired) && !w.gone(c) {
			return fmt.Errorf("refills: chain %s has %d live copies of %d (health %s, %+v)", c.ID, live, want, v.HealthOf(c), *c)
		}
		for _, m := range c.Moves {
			// A move whose victim may not go, for want of one more node, waits
			// without end (rule S8).
			if m.Phase != placement.MoveWaiting || c.Spec.Desired < w.suitable(c) {
				return fmt.Errorf("quiet: chain %s (%s, %+v) still has an open move: %+v", c.ID, v.HealthOf(c), *c.Spec, m)
			}
		}
	}
	return nil
}

// suitable counts the nodes that may hold the chain.
func (w *World) suitable(c *placement.Chain) int {
	v, count := w.machine.View(), 0
	for _, n := range w.nodes {
		if _, ok := v.EligibleHolder(c, n.id); ok {
			count++
		}
	}
	return count
}

// gone tells whether every copy of a chain without content was on disks that
// were replaced: nothing can be copied, and no copy is made from nothing.
func (w *World) gone(c *placement.Chain) bool {
	return !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.has(c.ID, c.SHA256()) })
}

// excused tells whether the copies of a chain may be gone: a restore of an older
// state brought its content back, or that it has none, and what lay on the disks
// then may have been superseded everywhere; or its last disk was replaced.
func (w *World) excused(c *placement.Chain) bool {
	turned, ok := w.turned[c.ID]
	return ok && turned == version(c) || w.spoiled[c.ID]
}

// version is that of the chain's content, 0 while it has none.
func version(c *placement.Chain) placement.Revision {
	if c.Content == nil {
		return 0
	}
	return c.Content.Version
}
