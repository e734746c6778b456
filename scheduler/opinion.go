package scheduler

import "github.com/holdfast-cluster/holdfast/placement"

// PlacementScorer says how good a node is for a chain.
//
// Scores lie in [0,1] and are compared as integer millionths; a finite score
// outside is clamped, NaN and ±Inf count as no opinion.
type PlacementScorer interface {
	// Score returns how well node holds, or would hold, chain. ok is false
	// when the scorer has no opinion; such a holder is never balance's victim.
	Score(chain placement.ChainID, node placement.NodeID) (score float64, ok bool)
	// BestAlternative returns the best node for chain that is not in exclude,
	// with the score it would have; ok is false when there is none.
	BestAlternative(chain placement.ChainID, exclude []placement.NodeID) (node placement.NodeID, score float64, ok bool)
}

// Eligibility is what a scorer implements to say that a node must not hold a
// chain at all, which is not the same as having no opinion. The answer may
// depend on committed state only (rule S9). Holders it refuses are moved
// under cause constraint; nodes it refuses are never targets.
type Eligibility interface {
	// Eligible tells whether node may hold chain, and if not, why.
	Eligible(chain placement.ChainID, node placement.NodeID) (reason string, ok bool)
}

// Axis is one part of a score.
type Axis struct {
	Name  string
	Value float64 // 0..1
	Input string  // what it was computed from, for people
}

// Explainer is what a scorer implements to show how its scores come about.
type Explainer interface {
	// Axes returns the known axes of a score in a fixed order, and the name
	// of the one that limits it ("" = none does).
	Axes(chain placement.ChainID, node placement.NodeID) (axes []Axis, limiting string)
}

// Chooser is what a bound scorer implements to rank targets with the pass's
// own admission in one search, instead of being asked again for each refusal.
type Chooser interface {
	// Choose returns the best node that admit lets through, scored as it would
	// be once the copy on victim ("" = none) has moved there, if that is above
	// the given score; [placement.NoScore] asks for the best whatever it
	// scores.
	Choose(chain placement.ChainID, victim placement.NodeID, above placement.Score, admit func(placement.NodeID) bool) (node placement.NodeID, score float64, ok bool)
}

// Screener is what a bound scorer implements to spare balance the copies that
// it has nothing against. Without it, every chain is examined.
type Screener interface {
	// Hot tells whether any copy of that class on node might score below its
	// floor while some node that balance may still use might score above it by
	// more than the gap. It may say yes too often, and never no wrongly. It
	// depends on nodes, facts, configuration and reservations, never on a
	// single chain.
	Hot(class *Class, node placement.NodeID) bool
}

// TieBreaker is what a scorer implements that knows more than its scores say:
// an axis that has reached 0 makes holders equal that are not. Without it, and
// when it does not care, ties go to the lowest node id.
type TieBreaker interface {
	// Worse tells whether, of two holders with the same score, a rather than b
	// should be given up.
	Worse(chain placement.ChainID, a, b placement.NodeID) bool
}

// Binder is what a scorer implements that needs more than ids: Decide calls
// Bind once a pass and asks only what it returns (rule S24).
type Binder interface {
	// Bind returns the scorer of one pass. The view shows the state as
	// planned so far: its usages and open moves change as the pass decides,
	// and r.Version tells when.
	Bind(view *placement.View, facts placement.Facts, r *Reservations) PlacementScorer
}
