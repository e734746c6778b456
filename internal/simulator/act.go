package simulator

import (
	"fmt"
	"slices"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// What becomes of a node that is drained.
const (
	thenStay     = "stay"
	thenUncordon = "uncordon"
	thenRemove   = "remove"
)

// happen does an event of the scenario.
func (w *world) happen(e *Event) error {
	w.gauge.closeSegment()
	w.gauge.endMark()
	w.gauge.sample()
	err := w.act(e)
	w.gauge.pending--
	w.gauge.mark(e.Name)
	w.gauge.openSegment()
	w.gauge.sample()
	w.wakeBy(w.now)
	if err != nil {
		return fmt.Errorf("the event %q: %w", e.Name, err)
	}
	return nil
}

func (w *world) act(e *Event) error {
	switch {
	case e.Add != nil:
		err := w.addNodes(w.scenario.nodeGroup(e.Add.Like), e.Add.Count)
		w.sense()
		return err
	case e.Lose != nil:
		return w.lose(w.pick(e.Lose, true))
	case e.Return != nil:
		return w.each(w.pick(e.Return, false), w.boot)
	case e.Drain != nil:
		w.drains = append(w.drains, &draining{order: e.Drain, waiting: w.pick(&e.Drain.Pick, true)})
		w.gauge.pending++
		return nil
	case e.Uncordon != nil:
		return w.each(w.pick(e.Uncordon, true), func(n *node) error { return w.setEligibility(n, placement.Eligible) })
	case e.Weight != nil:
		weight, _ := placement.ScoreOf(e.Weight.Weight)
		return w.each(w.pick(&e.Weight.Pick, true), func(n *node) error {
			_, err := w.apply(op(&fsm.SetWeight{Node: n.id, Weight: weight}, "scenario"))
			return err
		})
	case e.Config != nil:
		cfg, err := override(w.machine.View().Config, e.Config)
		if err != nil {
			return err
		}
		_, err = w.apply(op(fsm.NewPutConfig(cfg), "scenario"))
		return err
	case e.Noise != nil:
		w.noise = e.Noise
		w.sense()
		w.keepSensing()
		return nil
	case e.Put != nil:
		return w.putChains(e.Put)
	case e.Delete != nil:
		return w.deleteChains(e.Delete)
	}
	_, err := w.apply(op(&fsm.ResumeRepair{}, "scenario"))
	return err
}

func (w *world) each(nodes []*node, do func(*node) error) error {
	for _, n := range nodes {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

// pick returns the nodes that p names, of those that are up, or down.
func (w *world) pick(p *Pick, up bool) []*node {
	var list []*node
	for _, n := range w.nodes {
		if n.up == up && w.machine.View().Node(n.id) != nil && p.matches(n) && (p.Count == 0 || len(list) < p.Count) {
			list = append(list, n)
		}
	}
	return list
}

func (p *Pick) matches(n *node) bool {
	return (p.Group == "" || p.Group == n.group.Name) && (p.Zone == "" || p.Zone == n.zone) &&
		(len(p.Nodes) == 0 || slices.Contains(p.Nodes, string(n.id)))
}

// lose lets nodes crash; the leader's probes tell.
func (w *world) lose(nodes []*node) error {
	for _, n := range nodes {
		n.crash()
		life := n.life
		if err := w.observe(n, placement.NodeSuspect); err != nil {
			return err
		}
		w.queue.add(w.now.Add(deadAfter), func() error {
			if n.life != life {
				return nil
			}
			w.wakeBy(w.now)
			return w.observe(n, placement.NodeDead)
		})
		w.queue.add(w.now.Add(w.machine.View().Config.RepairDelay), func() error { return w.giveUp(n, life) })
	}
	return nil
}

func (w *world) observe(n *node, state placement.NodeState) error {
	_, err := w.apply(fsm.Op{Actor: "leader", Reason: "probe", Body: &fsm.Observe{Node: n.id, Incarnation: n.announced, State: state}})
	return err
}

// giveUp marks the copies of a dead node lost whose repair delay is over, and
// comes back for the others.
func (w *world) giveUp(n *node, life int) error {
	if n.life != life {
		return nil
	}
	if _, err := w.apply(fsm.Op{Actor: "leader", Reason: "out of reach", Body: &fsm.Lose{Node: n.id, Incarnation: n.announced}}); err != nil {
		return err
	}
	w.wakeBy(w.now)
	left := false
	w.machine.View().ChainsOn(n.id, func(_ *placement.Chain, h *placement.Holder) bool {
		left = !h.Lost
		return !left
	})
	if left {
		w.queue.add(w.now.Add(loseEvery), func() error { return w.giveUp(n, life) })
	}
	return nil
}

// deleteChains deletes chains of a group; their copies are discarded.
func (w *world) deleteChains(d *DeleteChains) error {
	count := w.made["chain "+d.Group]
	if d.Count > 0 {
		count = min(count, d.Count)
	}
	for i := range count {
		id := placement.ChainID(fmt.Sprintf("%s%d", d.Group, i+1))
		c := w.machine.View().Chain(id)
		if c == nil {
			continue
		}
		if _, err := w.apply(op(&fsm.DeleteChain{Chain: id}, "scenario")); err != nil {
			return err
		}
		for _, h := range c.Holders {
			if n := w.byID[h.Node]; n != nil && n.up {
				w.dropLater(n, id, h.Epoch, w.now)
			}
		}
	}
	return nil
}

// draining is a drain of nodes, some at a time.
type draining struct {
	order   *Drain
	waiting []*node
	active  []*node
	copies  map[placement.NodeID]work // when the node's drain began
}

// goOnDraining ends the drains of nodes that are empty, and begins the next.
func (w *world) goOnDraining() error {
	var rest []*draining
	for _, d := range w.drains {
		if err := w.goOn(d); err != nil {
			return err
		}
		if len(d.active)+len(d.waiting) > 0 {
			rest = append(rest, d)
		} else {
			w.gauge.pending--
			w.gauge.active = w.now
		}
	}
	w.drains = rest
	return nil
}

func (w *world) goOn(d *draining) error {
	var active []*node
	changed := false
	step := func() {
		if !changed {
			w.gauge.closeSegment()
		}
		changed = true
	}
	for _, n := range d.active {
		m := w.machine.View().Node(n.id)
		switch {
		case !n.up || m == nil:
		case m.Eligibility != placement.Drained:
			active = append(active, n)
		default:
			step()
			w.gauge.drained(d.copies[n.id])
			if err := w.endDrain(n, d.order.Then); err != nil {
				return err
			}
		}
	}
	for len(d.waiting) > 0 && (d.order.AtOnce == 0 || len(active) < d.order.AtOnce) {
		n := d.waiting[0]
		d.waiting = d.waiting[1:]
		if !n.up {
			continue
		}
		step()
		u := w.machine.View().Usage(n.id)
		if d.copies == nil {
			d.copies = map[placement.NodeID]work{}
		}
		d.copies[n.id] = work{u.Ready, float64(u.Weight)}
		if err := w.setEligibility(n, placement.Draining); err != nil {
			return err
		}
		active = append(active, n)
		w.wakeBy(w.now) // an empty node is drained already
	}
	d.active = active
	if changed {
		w.gauge.openSegment()
	}
	return nil
}

func (w *world) setEligibility(n *node, e placement.Eligibility) error {
	_, err := w.apply(op(&fsm.SetEligibility{Node: n.id, Eligibility: e}, "scenario"))
	return err
}

// endDrain does with an empty node what the scenario says.
func (w *world) endDrain(n *node, then string) error {
	switch then {
	case thenUncordon:
		return w.setEligibility(n, placement.Eligible)
	case thenRemove:
		n.crash()
		_, err := w.apply(
			op(&fsm.Leave{Node: n.id, Instance: string(n.id)}, "scenario"),
			op(&fsm.RemoveNode{Node: n.id}, "scenario"),
		)
		return err
	}
	return nil
}
