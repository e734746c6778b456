// Package scheduler decides which node should hold a copy of which chain.
//
// [Decide] is a function: the state, the telemetry of one instant, the time
// and a scorer go in, a bounded list of decisions goes out, each with its
// reason. It proposes; package fsm checks every decision again when it is
// applied. The dry run, [Explain] and the leader all run the same code.
//
// A pass takes its arms in a fixed order: forced operations, the ends of open
// moves, repair, drain, constraint, excess, balance. It makes at most one
// decision per chain, because each decision is bound to the chain's revision
// and the first one accepted changes it. What a pass has already decided
// counts for the rest of it, see [Reservations].
//
// It does not know how nodes are scored (package scorer does, or the user's
// own [PlacementScorer]), it keeps nothing between passes, it reads no clock,
// and it never assumes that a decision will be accepted.
//
// Decide and Explain may be called by any number of goroutines. A [Registry]
// is safe for concurrent use. A scorer is called by one goroutine per pass.
//
// Tests are tables for every boundary, property tests that hold plans against
// the predicates of package placement, and simulations by plain calls.
package scheduler
