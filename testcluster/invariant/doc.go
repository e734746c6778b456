// Package invariant holds the named promises of the design as checkers.
//
// A [Checker] is fed every committed log entry, in order, and applies it
// operation by operation to a shadow of the replicated state, so that it sees
// the state before and after each single one. What breaks a promise is
// returned as an error that begins with the invariant's name.
//
// A checker has one caller. It is used by tests only: by the simulation, by
// testcluster, and by the tests of whoever embeds a node.
package invariant
