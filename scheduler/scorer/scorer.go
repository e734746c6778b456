package scorer

import (
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// Scorer is the production scorer. By itself it has no opinion of anything;
// [Scorer.Bind] makes one that has.
type Scorer struct{}

// New returns a scorer to install.
func New() *Scorer { return &Scorer{} }

// Score has no opinion: an unbound scorer sees no state.
func (*Scorer) Score(placement.ChainID, placement.NodeID) (float64, bool) { return 0, false }

// BestAlternative knows none.
func (*Scorer) BestAlternative(placement.ChainID, []placement.NodeID) (placement.NodeID, float64, bool) {
	return "", 0, false
}

// Bind returns the scorer of one pass. It also implements
// [scheduler.Chooser], [scheduler.Screener], [scheduler.TieBreaker] and
// [scheduler.Explainer]. It does not implement [scheduler.Eligibility]: who may
// hold a chain is said by the state alone.
func (*Scorer) Bind(view *placement.View, facts placement.Facts, r *scheduler.Reservations) scheduler.PlacementScorer {
	return newBound(view, facts, r)
}

// Score returns how good node is for chain: as it is for a holder; for any
// other node as it would be, once the copy had gone whose departure suits it
// best, or none while copies are missing. It has no opinion of a node that is
// not alive.
func (b *bound) Score(chain placement.ChainID, node placement.NodeID) (float64, bool) {
	i, known := b.at[node]
	if !b.ask(chain) || known && b.nodes[i].node.State != placement.NodeAlive {
		return 0, false
	}
	if !known || b.isShut(i) {
		return 0, true
	}
	j := b.judge(i, b.victimFor(i))
	return j.score(), true
}

// victimFor returns whose copy is thought away when node i is weighed.
func (b *bound) victimFor(i int) int {
	q := &b.question
	if q.holds(i) {
		return i
	}
	victim := nobody
	if b.view.Missing(q.chain) > 0 {
		return victim
	}
	best := -1.0
	for _, at := range q.stay {
		if j := b.judge(i, at); j.score() > best {
			victim, best = at, j.score()
		}
	}
	return victim
}

// BestAlternative returns the eligible node that is best for chain and not in
// exclude: the highest score, then the larger product of the axes, then the
// lowest id.
func (b *bound) BestAlternative(chain placement.ChainID, exclude []placement.NodeID) (placement.NodeID, float64, bool) {
	if !b.ask(chain) {
		return "", 0, false
	}
	admit := func(n placement.NodeID) bool {
		return !slices.Contains(exclude, n) && b.view.TargetCode(b.question.chain, n) == placement.Accepted
	}
	victims := b.question.stay
	if b.view.Missing(b.question.chain) > 0 || len(victims) == 0 {
		victims = []int{nobody}
	}
	best, found := choice{}, false
	for _, victim := range victims {
		if next, ok := b.choose(victim, placement.NoScore, admit); ok && (!found || b.better(next, best)) {
			best, found = next, true
		}
	}
	return b.named(best, found)
}

// Choose is BestAlternative among the nodes that admit lets through, once the
// copy on victim is gone, if the best of them scores above the given score.
func (b *bound) Choose(chain placement.ChainID, victim placement.NodeID, above placement.Score, admit func(placement.NodeID) bool) (placement.NodeID, float64, bool) {
	if !b.ask(chain) {
		return "", 0, false
	}
	from, known := b.at[victim]
	if !known {
		from = nobody
	}
	return b.named(b.choose(from, above, admit))
}

// choice is an alternative. Its zero value is none.
type choice struct {
	node           int
	exact          float64 // the score before rounding
	score, product placement.Score
}

func (b *bound) named(c choice, ok bool) (placement.NodeID, float64, bool) {
	if !ok {
		return "", 0, false
	}
	return b.nodes[c.node].node.ID, c.exact, true
}

// better tells whether x is a better alternative than y.
func (b *bound) better(x, y choice) bool {
	switch {
	case x.score != y.score:
		return x.score > y.score
	case x.product != y.product:
		return x.product > y.product
	case x.score == 0 && b.nodes[x.node].u != b.nodes[y.node].u: // beyond the axes' end, not all on the lowest id
		return b.nodes[x.node].u < b.nodes[y.node].u
	}
	return x.node < y.node
}

// choose looks at the nodes in the order of their load, as far as one may
// still be better than the best so far.
func (b *bound) choose(victim int, above placement.Score, admit func(placement.NodeID) bool) (best choice, found bool) {
	q := &b.question
	low, measured := b.lowest(victim)
	mean := b.mean()
	measured = measured && mean > 0
	order := b.sorted()
	for at := 0; at < len(order); at++ {
		i := order[at]
		n := &b.nodes[i]
		if n.top <= above || found && n.top < best.score {
			continue
		}
		atMost := placement.ScoreOne
		if measured {
			atMost = millionths(load(b.atLeast(n), low, mean))
		}
		if atMost <= above || found && atMost < best.score {
			break // the rest is loaded at least as much
		}
		if found && best.score >= atMost && best.product >= atMost && best.node < i {
			at = b.behind(at) - 1 // equally loaded ones tie at most, and have higher ids
			continue
		}
		ceiling := min(atMost, millionths(b.ceiling(i, victim)))
		if ceiling <= above || q.holds(i) || !q.wishes.suits(i) {
			continue
		}
		if found && (ceiling < best.score || best.score >= ceiling && best.product >= ceiling && best.node < i) {
			continue
		}
		j := b.judge(i, victim)
		next := choice{node: i, exact: j.score(), score: millionths(j.score()), product: millionths(j.product())}
		if next.score > above && (!found || b.better(next, best)) && admit(n.node.ID) {
			best, found = next, true
		}
	}
	return best, found
}

// Worse tells whether x rather than y should be given up: the one that must be
// left whatever its load, then the one with more load per capacity. A load
// axis at 0 makes all nodes equal that are far too full, and taking always
// from the first of them would empty it beyond the others.
func (b *bound) Worse(chain placement.ChainID, x, y placement.NodeID) bool {
	i, knowsX := b.at[x]
	j, knowsY := b.at[y]
	if !knowsX || !knowsY || b.nodes[i].capacity == 0 || b.nodes[j].capacity == 0 || !b.ask(chain) {
		return false
	}
	if badX, badY := !b.sound(i, i), !b.sound(j, j); badX != badY {
		return badX
	}
	return b.nodes[i].u > b.nodes[j].u
}

// isShut tells whether the gate is 0: the node may not hold the chain, or may
// not take it.
func (b *bound) isShut(i int) bool {
	q, n := &b.question, b.nodes[i].node
	if q.holds(i) {
		return leaves(n) || !q.wishes.suits(i)
	}
	return b.view.TargetCode(q.chain, n.ID) != placement.Accepted
}

// leaves tells whether the node is to be emptied.
func leaves(n *placement.Node) bool {
	return n.Eligibility == placement.Draining || n.Eligibility == placement.Maintenance
}
