package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// command is something an operator does. The command carries a key and may be
// sent twice, as by a client that heard no answer.
func (w *World) command() {
	body := w.wish()
	if body == nil {
		return
	}
	w.note("operator %T %+v", body, body)
	w.keys++
	sum := sha256.Sum256(fmt.Append(nil, w.keys))
	op := fsm.Op{Actor: "operator", Reason: "because", Body: body, Request: fsm.Request{Key: fmt.Sprint("k", w.keys), Hash: sum[:]}}
	if err := w.apply(op); err != nil {
		w.calamity(err)
	}
	if w.chance("command repeated", 4) {
		w.late = append(w.late, fsm.Batch{Now: w.now, Ops: []fsm.Op{op}})
	}
}

// wish is what the operator wants, or nil.
func (w *World) wish() fsm.Body {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch w.rng.IntN(13) {
	case 0:
		return w.newChain().Body
	case 1:
		return &fsm.SetWeight{Node: n.id, Weight: placement.Score(w.rng.IntN(11)) * placement.ScoreOne / 10}
	case 2:
		list := []placement.Eligibility{placement.Cordoned, placement.Draining, placement.Maintenance, placement.Eligible, placement.Eligible}
		return &fsm.SetEligibility{Node: n.id, Eligibility: list[w.rng.IntN(len(list))], Deadline: time.Duration(w.rng.IntN(2)) * time.Minute}
	case 3:
		return &fsm.SetFreeze{For: time.Duration(1+w.rng.IntN(60)) * time.Second}
	case 4:
		return &fsm.ResumeRepair{}
	case 5:
		return &fsm.ReleaseGuard{}
	case 6:
		return w.reconfigure()
	case 7:
		return w.leave(n)
	case 8:
		return &fsm.RemoveNode{Node: n.id, AllowDataLoss: w.rng.IntN(4) == 0}
	default:
		return w.wishForChain(n.id)
	}
}

// wishForChain is what the operator wants of one chain.
func (w *World) wishForChain(n placement.NodeID) fsm.Body {
	v := w.machine.View()
	var chains []*placement.Chain
	v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		chains = append(chains, c)
		return true
	})
	if len(chains) == 0 {
		return nil
	}
	c := chains[w.rng.IntN(len(chains))]
	switch w.rng.IntN(4) {
	case 0:
		if len(chains) > 2 {
			return &fsm.DeleteChain{Chain: c.ID}
		}
	case 1:
		return fsm.NewPutChain(c.ID, w.spec())
	case 2:
		if len(c.Holders) > 0 {
			return &fsm.Force{Chain: c.ID, From: c.Holders[w.rng.IntN(len(c.Holders))].Node}
		}
	}
	return &fsm.Force{Chain: c.ID, To: n}
}

// reconfigure changes one thing of the configuration.
func (w *World) reconfigure() fsm.Body {
	c := w.machine.View().Config
	switch w.rng.IntN(4) {
	case 0:
		c.Cooldown = time.Duration(w.rng.IntN(300)) * time.Second
	case 1:
		c.SwapMode = []placement.SwapMode{placement.PlaceFirst, placement.EvictFirst}[w.rng.IntN(2)]
	case 2:
		c.WriteCopies = w.rng.IntN(4)
	case 3:
		c.RepairDelay = time.Duration(1+w.rng.IntN(60)) * time.Second
	}
	return fsm.NewPutConfig(c)
}

// leave lets a running node say that it goes; its process ends, its disk stays.
func (w *World) leave(n *node) fsm.Body {
	m := w.machine.View().Node(n.id)
	if !n.reachable() || m == nil || m.Process != n.name() {
		return nil
	}
	w.Faults["node left"]++
	n.crash()
	return &fsm.Leave{Node: n.id, Instance: m.Instance}
}

// turnBack saves a snapshot now and then, and restores the saved one later, as
// a new lineage (rule S5). What was acknowledged between the two is lost, as
// restoring says.
func (w *World) turnBack() error {
	switch {
	case w.saved == nil && w.rng.IntN(2000) == 0:
		w.note("snapshot saved")
		var out bytes.Buffer
		if _, err := w.machine.View().WriteTo(&out); err != nil {
			return err
		}
		w.saved = out.Bytes()
		return nil
	case w.saved == nil || !w.chance("turned back", 1000):
		return nil
	}
	w.lineages++
	w.note("snapshot restored as lineage %d", w.lineages)
	var out bytes.Buffer
	if err := fsm.Rewrite(bytes.NewReader(w.saved), w.machine.View(), fmt.Sprint("r", w.lineages), &out); err != nil {
		return err
	}
	w.saved = nil
	if err := w.check.Restored(out.Bytes()); err != nil {
		return err
	}
	if err := w.machine.Restore(&out); err != nil {
		return err
	}
	w.turned = map[placement.ChainID]placement.Revision{}
	w.machine.View().Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		if c.Content != nil {
			w.turned[id] = c.Content.Version
		}
		return true
	})
	return nil
}
