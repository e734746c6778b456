package fsm

import "github.com/holdfast-cluster/holdfast/placement"

// record adds a decision with its verdict to the history, a ring of
// [HistoryMax], and links the chain to it. c is the caller's writable chain.
func (t *tx) record(c *placement.Chain, d placement.Decision, verdict placement.Code) {
	at := t.draw()
	t.decisions.push(at, placement.Record{
		Revision: at, Decision: d, Verdict: verdict,
		Index: t.index, Term: t.term, Actor: t.op.Actor, At: t.now, Wall: t.batch.Wall,
	})
	if t.decisions.len() > HistoryMax {
		t.decisions.pop()
	}
	c.LastDecision = at
	t.changed(Change{at, ChangeDecision, string(d.Chain), false})
}

// recordRefusal keeps a refusal, once: a scheduler that proposes the same
// again and is refused the same does not fill the history.
func (t *tx) recordRefusal(d placement.Decision, verdict placement.Code) {
	old := t.chain(d.Chain)
	if old == nil {
		return
	}
	if last := t.decisions.get(old.LastDecision); last != nil && last.Verdict == verdict &&
		last.Decision.Kind == d.Kind && last.Decision.Cause == d.Cause &&
		last.Decision.From == d.From && last.Decision.To == d.To {
		return
	}
	c := old.Clone()
	t.record(c, d, verdict)
	t.setChain(c)
}
