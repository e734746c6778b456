package scheduler

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Action is what a pass would do about a chain.
type Action string

// Actions of an explanation.
const (
	ActionNone   Action = "none"
	ActionMove   Action = "move"
	ActionRepair Action = "repair"
	ActionDrop   Action = "drop"
)

// Standing is what the scheduler thinks of one node for one chain.
type Standing struct {
	Node     placement.NodeID
	Eligible bool
	Code     placement.Code  // why it is not eligible
	Score    placement.Score // NoScore = no opinion
	Limiting string          // the axis that limits the score
	Axes     []Axis
}

// Explanation says what a pass that looked at one chain alone would do, and
// why not more.
type Explanation struct {
	Chain       placement.ChainID
	Action      Action
	Cause       placement.Cause // "" for none
	Text        string
	Gates       []Gate              // in the order tried
	Holders     []Standing          // by node
	Candidates  []Standing          // eligible ones first, then by score, then by node
	WouldChange []string            // what would have to change for more to happen
	Decision    *placement.Decision // nil = none
}

// Explain runs the arms of Decide for one chain and tells what they found.
// Moves that other chains would get in the same pass are not counted, open
// ones are. ok is false when the chain is unknown.
func Explain(in Input, id placement.ChainID) (e Explanation, ok bool) {
	c := in.View.Chain(id)
	if c == nil {
		return Explanation{}, false
	}
	p := newPass(in, bookAll(in.View))
	p.trace = &trace{}
	e = Explanation{Chain: id, Action: ActionNone, Holders: p.holders(c), Candidates: p.candidates(c)}
	p.explain(c)
	e.Gates = p.trace.gates
	for _, w := range p.trace.shut {
		if !slices.Contains(e.WouldChange, w.change) {
			e.WouldChange = append(e.WouldChange, w.change)
		}
	}
	e.conclude(p)
	return e, true
}

// explain tries the arms on c in Decide's order until one decides.
func (p *pass) explain(c *placement.Chain) {
	if !p.gate(GateRestoreGuard, p.view.RestoreGuard == nil, p.guardWords) {
		return
	}
	for _, examine := range []func(*placement.Chain){
		p.explainForced, p.examineEnding, p.examineRefill, p.explainFreeze,
		p.examineRepair, p.examineDrain, p.examineConstraint, p.examineExcess, p.explainBalance,
	} {
		if examine(c); p.trace.done || p.touched[c.ID] {
			return
		}
	}
}

// explainFreeze ends the explanation where a frozen pass ends.
func (p *pass) explainFreeze(*placement.Chain) {
	p.trace.done = p.frozen() && !p.gate(GateFreeze, false, p.freezeWords)
}

func (p *pass) explainForced(c *placement.Chain) {
	for i := range p.view.Forced {
		if f := &p.view.Forced[i]; f.Chain == c.ID && p.Now < f.Expires && !p.touched[c.ID] {
			p.examineForced(c, f)
		}
	}
}

func (p *pass) explainBalance(c *placement.Chain) {
	if p.gate(GateScorer, p.scorer != nil, p.scorerWords) {
		p.examineBalance(c)
	}
}

// conclude says in words what came out.
func (e *Explanation) conclude(p *pass) {
	if len(p.plan.Decisions) == 0 {
		e.Text = "nothing to do"
		if i := slices.IndexFunc(e.Gates, func(g Gate) bool { return !g.Pass }); i >= 0 {
			g := e.Gates[i] // the first arm that wanted something matters most
			e.Text = fmt.Sprintf("nothing is done: %s is %s, needed: %s", g.Name, g.Value, g.Limit)
		}
		return
	}
	d := p.plan.Decisions[0]
	e.Decision, e.Cause, e.Text = &d, d.Cause, d.Reason.String()
	switch d.Kind {
	case placement.KindAssign:
		e.Action = ActionRepair
	case placement.KindDrop, placement.KindCallOff:
		e.Action = ActionDrop
	default:
		e.Action = ActionMove
	}
}

// holders returns the standing of each holder of c.
func (p *pass) holders(c *placement.Chain) []Standing {
	var list []Standing
	for i := range c.Holders {
		node := c.Holders[i].Node
		s := p.look(c, node)
		if _, s.Eligible = p.mayHold(c, node); !s.Eligible {
			s.Code = placement.IneligibleTarget
		}
		list = append(list, s)
	}
	return list
}

// candidates returns the standing of each node that does not hold c.
func (p *pass) candidates(c *placement.Chain) []Standing {
	var list []Standing
	drain, constraint := p.agenda.leavers(c)
	victim := placement.NodeID("")
	if !drain && !constraint && p.view.Missing(c) <= 0 { // only balance looks for a node
		victim, _ = p.lowest(c)
	}
	p.view.Nodes.Ascend("", func(id placement.NodeID, _ *placement.Node) bool {
		if c.Holder(id) == nil {
			s := p.look(c, id)
			s.Code = p.admit(c, want{cause: placement.CauseRepair}, id).Code
			if back := p.view.MayReturn(c, victim, id); s.Code == placement.Accepted && !back.OK() {
				s.Code, s.Axes = back.Code, slices.Insert(s.Axes, 0, Axis{Name: "gate", Input: back.Detail})
			}
			s.Eligible = s.Code == placement.Accepted
			list = append(list, s)
		}
		return true
	})
	slices.SortStableFunc(list, func(a, b Standing) int {
		if a.Eligible != b.Eligible {
			if a.Eligible {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Score, a.Score)
	})
	return list
}

// look returns a node's score for c with the axes behind it.
func (p *pass) look(c *placement.Chain, node placement.NodeID) Standing {
	s := Standing{Node: node, Score: p.score(c, node)}
	if e, ok := p.scorer.(Explainer); ok {
		s.Axes, s.Limiting = e.Axes(c.ID, node)
	}
	return s
}
