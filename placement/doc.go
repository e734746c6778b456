// Package placement holds the words of Holdfast as types: chains, nodes,
// holders, moves, decisions, and the immutable [View] of all of them at one
// revision.
//
// It knows no encoding, no network and no clock: package fsm owns the bytes
// of the log, package api the JSON. It is pure: its functions depend on their
// arguments only, so every node that has the same state answers the same.
//
// Values reached through a [View] are shared and must never be written; all
// of them may be read by any number of goroutines.
//
// The predicates here (live copy, missing copies, min-ready, eligible target)
// are the single wording of the safety rules: the scheduler plans with them
// and the state machine refuses with them.
package placement
