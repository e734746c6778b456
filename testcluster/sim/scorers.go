package sim

import (
	"math"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

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
