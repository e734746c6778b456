// Package fsm is the replicated state of a cluster: what the log's entries
// mean, what they change, and what they are refused for.
//
// A [Machine] is fed entries in log order by [Machine.Apply] and answers each
// operation on its own. It re-checks every precondition, so a decision that
// was made on an older state is refused and never merged. [Machine.View]
// returns the state at one revision; taking it costs one atomic load and
// never waits for Apply. [View.Encode] streams a snapshot of it and
// [Machine.Restore] reads one back.
//
// The package owns the only codec of log and snapshot: deterministic CBOR
// with integer keys, decoded strictly. The same state has the same bytes on
// every node. A golden file pins the bytes of every operation. Decisions, which
// come in thousands, are read and written by code of their own, which fuzzing
// and properties hold to what the general codec does.
//
// It does not propose, elect, log or tell the time: cluster time arrives in
// the entries (rule S13). It is pure; Apply and Restore have one caller, all
// other methods may be called by any number of goroutines.
//
// Tests: tables per operation, the scenarios of the safety rules, properties
// over random histories against the named invariants, golden bytes.
package fsm
