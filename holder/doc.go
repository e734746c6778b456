// Package holder is a node's own reconciler: it compares what the replicated
// state says the node should hold ([Duties]) with what is really there
// ([Copy]), and runs the difference through a [Runner].
//
// [Diff] is the comparison and is pure: its result depends on its arguments
// only. [Loop] is the shell around it: it watches the state, runs pulls and
// drops with bounds, retries and backoff, and reports what happened, with the
// lineage, incarnation and epoch that fence it.
//
// Rules it keeps (by their numbers in the safety rules): no copy is made from
// nothing, a copy goes only when a committed dropping or discard names its
// epoch or a newer version has replaced it, a failing Held is not "nothing
// held", and the view never goes back (S1); superseded versions stay until
// enough disks have the current one (S3); drops are fenced by epoch and work
// on one chain is serial (S4); the leader's probe passes through the loop (S18).
//
// # What it does not do
//
// It decides nothing about placement, keeps nothing durable, talks to no
// network and knows no raft: State and Reports are its two openings, and
// package cluster stands behind them. It moves no bytes: that is the Runner's
// work, of which package filestore is the built-in one.
//
// # Concurrency
//
// New starts nothing. Run blocks, and returns when the goroutines it started
// have ended; all of its state belongs to one goroutine, which neither reads
// nor writes a disk. Pull, Drop, Held and Report are called from others; at
// most Config.MaxPulls pulls and as many drops at once, one Held, one Report.
// Probe and Copies may be called from any goroutine.
//
// # Testing
//
// Diff has a table as text under testdata and a property test that no copy
// goes which no rule names. The loop runs in a testing/synctest bubble, with a
// Runner in memory there and with a real filestore in that package's tests.
package holder
