package cluster

import (
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// What counts as evidence (rules S13 and S18).
const (
	failuresMin = 3               // failed probes in a row before a node is given up
	failingMin  = 2 * time.Second // of the leader's own clock, from the first of them to the last
	recoverMin  = 3               // good probes in a row before a sick node is alive
)

// record is what the leader's probes have shown of one process of a node.
type record struct {
	incarnation placement.Incarnation
	throws      int // of the clock when this evidence began
	failures    int // in a row
	firstFailed placement.Time
	lastFailed  placement.Time
	successes   int // in a row
	seen        bool
	index       uint64    // last log index it had, as of the last good probe
	answered    time.Time // when that was
	caughtUp    time.Time // since when it has kept up, zero = it has not
	err         string
}

// convincing tells whether the failures are enough to give the node up.
func (r record) convincing() bool {
	return r.failures >= failuresMin && r.lastFailed.Sub(r.firstFailed) >= failingMin
}

// health is the evidence of one reign: nothing of it outlives the term.
type health struct {
	mu    sync.Mutex
	nodes map[placement.NodeID]record
}

func newHealth() *health { return &health{nodes: map[placement.NodeID]record{}} }

// of returns what is known of a process of a node; evidence of an older one,
// or from before the clock last threw time away, does not count.
func (h *health) of(node placement.NodeID, incarnation placement.Incarnation, throws int) record {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.nodes[node]
	return r.renewed(incarnation, throws)
}

func (r record) renewed(incarnation placement.Incarnation, throws int) record {
	if r.incarnation != incarnation {
		return record{incarnation: incarnation, throws: throws}
	}
	if r.throws != throws {
		r.throws, r.failures = throws, 0
	}
	return r
}

// failed notes a probe that failed.
func (h *health) failed(node placement.NodeID, incarnation placement.Incarnation, now placement.Time, throws int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.nodes[node]
	r = r.renewed(incarnation, throws)
	if r.failures == 0 {
		r.firstFailed = now
	}
	r.failures, r.successes, r.lastFailed, r.seen, r.err = r.failures+1, 0, now, true, err.Error()
	r.caughtUp = time.Time{}
	h.nodes[node] = r
}

// succeeded notes a probe that was answered well.
func (h *health) succeeded(node placement.NodeID, incarnation placement.Incarnation, throws int, a probeAnswer, behind bool, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.nodes[node]
	r = r.renewed(incarnation, throws)
	r.failures, r.successes, r.seen, r.err = 0, r.successes+1, true, ""
	r.index, r.answered = a.Index, at
	switch {
	case behind:
		r.caughtUp = time.Time{}
	case r.caughtUp.IsZero():
		r.caughtUp = at
	}
	h.nodes[node] = r
}

// verdict says what should be committed about a node's liveness, given what
// the state says and both kinds of evidence. It returns the present state when
// nothing should change.
func verdict(n *placement.Node, r record, gossips bool, sickAfter time.Duration) placement.NodeState {
	switch {
	case !r.seen || n.State == placement.NodeLeft:
		return n.State
	case r.failures > 0:
		return worse(n.State, r, gossips, sickAfter)
	case n.State == placement.NodeSick && r.successes < recoverMin:
		return n.State
	case r.successes > 0:
		return placement.NodeAlive
	}
	return n.State
}

func worse(state placement.NodeState, r record, gossips bool, sickAfter time.Duration) placement.NodeState {
	failing := r.lastFailed.Sub(r.firstFailed)
	switch {
	case !gossips && r.convincing():
		return placement.NodeDead
	case state == placement.NodeDead:
		return state
	case gossips && r.convincing() && failing >= sickAfter:
		return placement.NodeSick
	case state == placement.NodeAlive:
		return placement.NodeSuspect
	}
	return state
}

// sightings turns what was seen and contradicts the committed state into
// operations: liveness, and copies that have been out of reach for too long.
func (r *reign) sightings(view *fsm.View) []fsm.Op {
	now, throws := r.clock.readThrows()
	steady := r.clock.steadyFor()
	gossiping := r.gossiping()
	later := view.View // the same state at the present time
	later.Now = max(now, view.Now)
	var ops []fsm.Op
	view.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		seen := r.health.of(id, n.Incarnation, throws)
		if state := verdict(n, seen, gossiping[n.Instance], view.Config.SickAfter); state != n.State {
			r.node.log.Info("sighting", "member", id, "was", n.State, "is", state, "failures", seen.failures, "gossips", gossiping[n.Instance], "error", seen.err)
			ops = append(ops, r.operation(string(state)+": "+evidence(seen), &fsm.Observe{Node: id, Incarnation: n.Incarnation, State: state}))
			return len(ops) < fsm.BatchOpsMax
		}
		if mayLose(n, view.Usage(id), seen, steady) && copyDue(&later, n) {
			ops = append(ops, r.operation("out of reach for the repair delay", &fsm.Lose{Node: id, Incarnation: n.Incarnation}))
		}
		return len(ops) < fsm.BatchOpsMax
	})
	return ops
}

func (r *reign) operation(reason string, body fsm.Body) fsm.Op {
	return fsm.Op{Actor: nodeActor(r.node.cfg.Node), Reason: reason[:min(len(reason), fsm.ReasonMax)], Body: body}
}

func evidence(r record) string {
	if r.failures == 0 {
		return "the leader's probe is answered"
	}
	return "the leader's probe fails: " + r.err
}

// gossiping returns the instances that gossip shows alive.
func (r *reign) gossiping() map[string]bool {
	alive := map[string]bool{}
	for _, m := range r.node.neighbours() {
		if m.Alive {
			alive[m.Instance] = true
		}
	}
	return alive
}

// mayLose tells whether this leader has evidence of its own that a node's
// copies are out of reach (rule S13), or that they stay unconfirmed (rule S2).
func mayLose(n *placement.Node, u placement.Usage, seen record, steady time.Duration) bool {
	switch n.State {
	case placement.NodeAlive:
		return u.Unconfirmed > 0 && steady >= failingMin
	case placement.NodeLeft:
		return true
	default:
		return seen.convincing()
	}
}

// copyDue tells whether any copy on the node is due to count as lost.
func copyDue(v *placement.View, n *placement.Node) bool {
	due := false
	v.ChainsOn(n.ID, func(c *placement.Chain, h *placement.Holder) bool {
		due = fsm.Due(v, n, c, h)
		return !due
	})
	return due
}
