package scheduler

import (
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Names of the gates that an arm tries in turn; the first that does not pass
// ends the arm's work on the chain.
const (
	GateRestoreGuard       = "restore-guard"
	GateFreeze             = "freeze"
	GateVictim             = "victim"
	GateRepairPause        = "repair-pause"
	GateQuarantine         = "quarantine"
	GateSource             = "source"
	GateCopies             = "copies"
	GateMove               = "open-move"
	GateConstraintCooldown = "constraint-cooldown"
	GateMinReady           = "min-ready"
	GateScorer             = "scorer"
	GatePinned             = "pinned"
	GateDesired            = "desired"
	GateLeaving            = "leaving"
	GateCooldown           = "cooldown"
	GateScored             = "scored"
	GateFloor              = "floor"
	GateBudget             = "budget"
	GateTarget             = "target"
	GateGap                = "gap"
	GateCost               = "cost"
)

// Gate is one condition that was tried.
type Gate struct {
	Name  string
	Pass  bool
	Value string // what was found
	Limit string // what it is held against
}

// words describe a gate for people; change says what would open it.
type words struct{ value, limit, change string }

// trace collects the gates that an explanation shows.
type trace struct {
	gates []Gate
	shut  []words // of the gates that did not pass
	done  bool    // the pass would end here
}

// gate notes that a condition was tried and returns it. The words are only
// made while explaining.
func (p *pass) gate(name string, pass bool, describe func() words) bool {
	if p.trace == nil {
		return pass
	}
	w := describe()
	p.trace.gates = append(p.trace.gates, Gate{Name: name, Pass: pass, Value: w.value, Limit: w.limit})
	if !pass {
		p.trace.shut = append(p.trace.shut, w)
	}
	return pass
}

func (p *pass) pauseWords(live int) words {
	w := words{value: "no pause", limit: "one live copy, or no pause", change: "the repair pause ends, or an operator resumes repair"}
	if p.view.RepairPause != nil {
		w.value = fmt.Sprintf("paused, %d live copies", live)
	}
	return w
}

func (p *pass) quarantineWords(c *placement.Chain) words {
	if c.Quarantine == nil {
		return words{value: "no", limit: "no"}
	}
	return words{
		value: fmt.Sprintf("%v left", max(c.Quarantine.Until.Sub(p.Now), 0)), limit: "0s",
		change: fmt.Sprintf("the quarantine ends in %v (last failure: %s)", max(c.Quarantine.Until.Sub(p.Now), 0), c.Quarantine.Error),
	}
}

func sourceWords(c *placement.Chain, live int) words {
	w := words{value: fmt.Sprintf("%d live copies", live), limit: "1, or a chain that never had one", change: "a node that has a copy comes back"}
	if !c.EverReady {
		w.change = "the first copy becomes ready"
	}
	return w
}

func (p *pass) copiesWords(c *placement.Chain) words {
	return words{
		value: fmt.Sprintf("%d pulling, %d live", p.view.PullingCount(c), p.view.LiveCount(c)), limit: fmt.Sprintf("at most %d before one more", c.Spec.Desired),
		change: "a pull ends, or a surplus copy is dropped",
	}
}

func moveWords(c *placement.Chain) words {
	if len(c.Moves) == 0 {
		return words{value: "none", limit: "none"}
	}
	m := &c.Moves[0]
	return words{
		value: fmt.Sprintf("move %d (%s, %s)", m.ID, m.Cause, m.Phase), limit: "none",
		change: fmt.Sprintf("move %d to node %s ends", m.ID, m.To),
	}
}

func victimWords(from placement.NodeID) words {
	w := words{value: string(from), limit: "a ready holder", change: fmt.Sprintf("node %s holds a ready copy", from)}
	if from == "" {
		w.value, w.change = "the worst holder", "a copy becomes ready"
	}
	return w
}

func minReadyWords(v placement.Verdict) words {
	w := words{value: "kept", limit: "min_ready kept", change: "another copy becomes live"}
	if !v.OK() {
		w.value = v.Detail
	}
	return w
}

func pinnedWords(c *placement.Chain) words {
	return words{value: string(c.Spec.Policy), limit: "not pinned", change: "the chain is unpinned"}
}

func desiredWords(c *placement.Chain, live int) words {
	return words{value: fmt.Sprintf("%d live", live), limit: strconv.Itoa(c.Spec.Desired), change: "the missing copies become live"}
}

func leavingWords(drain, constraint bool) words {
	w := words{value: "none", limit: "none", change: "the copy that must leave its node has moved"}
	switch {
	case drain:
		w.value = "a copy on a draining node"
	case constraint:
		w.value = "a copy on a node that may not hold the chain"
	}
	return w
}

// untilWords describe a cooldown that ends at until.
func (p *pass) untilWords(until placement.Time) words {
	left := time.Duration(0)
	if p.Now < until {
		left = until.Sub(p.Now)
	}
	return words{value: fmt.Sprintf("%v left", left), limit: "0s", change: fmt.Sprintf("the cooldown ends in %v", left)}
}

func scoredWords(victim placement.NodeID) words {
	w := words{value: "node " + string(victim), limit: "a holder with a score", change: "the scorer has an opinion of a holder"}
	if victim == "" {
		w.value = "no opinion"
	}
	return w
}

func floorWords(victim placement.NodeID, score, floor placement.Score) words {
	return words{
		value: fmt.Sprintf("%v (%s)", score, victim), limit: fmt.Sprintf("below %v", floor),
		change: fmt.Sprintf("a holder scores below %v (the lowest is node %s with %v)", floor, victim, score),
	}
}

func budgetWords(v placement.Verdict) words {
	w := words{value: "within", limit: "within the budgets", change: "an open move ends"}
	if !v.OK() {
		w.value = v.Detail
	}
	return w
}

func gapWords(to placement.NodeID, score, from, gap placement.Score) words {
	return words{
		value: fmt.Sprintf("%v (%s at %v)", score-from, to, score), limit: fmt.Sprintf("above %v", gap),
		change: fmt.Sprintf("a node would score above %v (the best is node %s with %v)", from+gap, to, score),
	}
}

// targetWords counts why nodes are refused as targets.
func (p *pass) targetWords(c *placement.Chain, w want) words {
	list := words{value: "no node", limit: "1 eligible node", change: "a node may take a copy"}
	p.view.Nodes.Ascend("", func(id placement.NodeID, _ *placement.Node) bool {
		v := p.admit(c, w, id)
		if v.OK() {
			list.value = "node " + string(id)
			return false
		}
		if c.Holder(id) == nil {
			list.change = "a node may take a copy: " + v.Detail
		}
		return true
	})
	return list
}

func (p *pass) guardWords() words {
	w := words{value: "none", limit: "none"}
	if n := len(p.view.RestoreGuard); p.view.RestoreGuard != nil {
		w.value = fmt.Sprintf("%d nodes have not reported their inventory", n)
		w.change = "they report it, or an operator releases the snapshot"
	}
	return w
}

func (p *pass) freezeWords() words {
	return words{value: "frozen: " + p.view.Freeze.Reason, limit: "thawed", change: "an operator thaws the cluster, or the freeze expires"}
}

func (p *pass) scorerWords() words {
	w := words{value: "installed", limit: "installed", change: "a scorer is installed"}
	if p.scorer == nil {
		w.value = "none"
	}
	return w
}
