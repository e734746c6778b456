package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
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
	w.calamity(w.apply(op))
	if w.chance("command repeated", 4) {
		w.late = append(w.late, fsm.Batch{Now: w.clock, Ops: []fsm.Op{op}})
	}
}

// wish is what the operator wants, or nil.
func (w *World) wish() fsm.Body {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch kind := w.rng.IntN(16); {
	case kind == 0 && w.chance("chain created", 1):
		return w.newChain().Body
	case kind == 1 && w.chance("node weighed", 1):
		return &fsm.SetWeight{Node: n.id, Weight: placement.Score(w.rng.IntN(11)) * placement.ScoreOne / 10}
	case kind < 4 && w.chance("node drained or cordoned", 1):
		list := []placement.Eligibility{placement.Cordoned, placement.Draining, placement.Maintenance, placement.Eligible, placement.Eligible}
		return &fsm.SetEligibility{Node: n.id, Eligibility: list[w.rng.IntN(len(list))], Deadline: time.Duration(w.rng.IntN(2)) * time.Minute}
	case kind == 4 && w.chance("freeze", 1):
		return &fsm.SetFreeze{For: time.Duration(1+w.rng.IntN(60)) * time.Second}
	case kind == 5:
		return []fsm.Body{&fsm.ResumeRepair{}, &fsm.ReleaseGuard{}, &fsm.Thaw{}}[w.rng.IntN(3)]
	case kind == 6 && w.chance("configuration changed", 1):
		return w.reconfigure()
	case kind == 7 && w.chance("node left", 1):
		return w.leave(n)
	case kind == 8 && w.chance("node removed", 1):
		return &fsm.RemoveNode{Node: n.id, AllowDataLoss: w.chance("data loss allowed", 4)}
	case kind == 9 && w.chance("orphan purged", 1):
		return w.purge(n.id)
	case kind > 9:
		return w.wishForChain(n.id)
	}
	return nil
}

// purge gives up a copy of a chain that the state does not know.
func (w *World) purge(n placement.NodeID) fsm.Body {
	body := &fsm.PurgeOrphan{Node: n, Chain: "c001"}
	w.machine.View().Strays(n, func(s fsm.Stray) bool {
		body.Chain = s.Chain
		return s.Verdict != fsm.CopyOrphan
	})
	return body
}

// wishForChain is what the operator wants of one chain.
func (w *World) wishForChain(n placement.NodeID) fsm.Body {
	chains := w.chains()
	if len(chains) == 0 {
		return nil
	}
	c := chains[w.rng.IntN(len(chains))]
	switch w.rng.IntN(5) {
	case 0:
		if len(chains) > 1 && w.chance("chain deleted", 2) {
			return &fsm.DeleteChain{Chain: c.ID}
		}
	case 1:
		if w.chance("chain changed", 1) {
			return fsm.NewPutChain(c.ID, w.spec(nth(c.ID)))
		}
	case 2:
		if w.chance("chain created anew", 1) { // if it was deleted
			n := 1 + w.rng.IntN(w.made)
			return fsm.NewPutChain(chainID(n), w.spec(n))
		}
	case 3:
		if len(c.Holders) > 0 && w.chance("forced move", 1) {
			return &fsm.Force{Chain: c.ID, From: c.Holders[w.rng.IntN(len(c.Holders))].Node}
		}
	case 4:
		if w.chance("forced move", 1) {
			return &fsm.Force{Chain: c.ID, To: n}
		}
	}
	return nil
}

func (w *World) newChain() fsm.Op {
	w.made++
	return fsm.Op{Actor: "sim", Reason: "create", Body: fsm.NewPutChain(chainID(w.made), w.spec(w.made))}
}

func chainID(nth int) placement.ChainID { return placement.ChainID(fmt.Sprintf("c%03d", nth)) }

// nth is the inverse of chainID.
func nth(id placement.ChainID) int {
	n, _ := strconv.Atoi(string(id[1:]))
	return n
}

// reconfigure changes one thing of the configuration.
func (w *World) reconfigure() fsm.Body {
	c := w.machine.View().Config
	switch w.rng.IntN(6) {
	case 0:
		c.Cooldown = time.Duration(w.rng.IntN(300)) * time.Second
	case 1:
		c.SwapMode = []placement.SwapMode{placement.PlaceFirst, placement.EvictFirst}[w.rng.IntN(2)]
	case 2:
		c.WriteCopies = w.rng.IntN(4)
	case 3:
		c.RepairDelay = time.Duration(1+w.rng.IntN(60)) * time.Second
	case 4:
		c.MovesMax = 1 + w.rng.IntN(8)
		c.BalanceMovesMax, c.DrainMovesMax = w.rng.IntN(c.MovesMax+1), w.rng.IntN(c.MovesMax+1)
	case 5:
		c.MoveDeadline = time.Duration(10+w.rng.IntN(300)) * time.Second
	}
	return fsm.NewPutConfig(c)
}

// leave lets a running node say that it goes; its process ends, its disk stays.
func (w *World) leave(n *node) fsm.Body {
	m := w.machine.View().Node(n.id)
	if !n.reachable() || m == nil || m.Process != n.name() {
		return nil
	}
	n.crash()
	return &fsm.Leave{Node: n.id, Instance: m.Instance, Incarnation: m.Incarnation}
}

// turnBack saves a snapshot now and then, and restores the saved one later, as
// a new lineage (rule S5). What was acknowledged between the two is lost, as
// restoring says.
func (w *World) turnBack() error {
	switch {
	case w.saved == nil && w.chance("", 100):
		return w.save()
	case w.saved == nil || !w.chance("turned back", 80):
		return nil
	}
	return w.restore()
}

// save keeps a snapshot of the state.
func (w *World) save() error {
	w.note("snapshot saved")
	var err error
	w.saved, err = encoded(w.machine)
	return err
}

// restore makes the saved snapshot the state, as a new lineage.
func (w *World) restore() error {
	w.lineages++
	w.note("snapshot restored as lineage %d", w.lineages)
	var out bytes.Buffer
	if err := fsm.Rewrite(bytes.NewReader(w.saved), w.machine.View(), fmt.Sprint("r", w.lineages), &out); err != nil {
		return err
	}
	w.saved, w.base, w.tail = nil, nil, nil
	if err := w.check.Restored(out.Bytes()); err != nil {
		return err
	}
	if err := w.machine.Restore(&out); err != nil {
		return err
	}
	w.told = w.machine.View().Revision
	w.turned = map[placement.ChainID]placement.Revision{}
	for _, c := range w.chains() {
		w.turned[c.ID] = version(c)
	}
	return w.elect() // the leader's loop starts as if newly elected
}
