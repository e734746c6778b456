// Package lincheck judges what clients saw of a cluster. They record every
// operation with the times of its call and its return; [Check] says whether
// one cluster that promises what rules S20 and S21 promise could have answered
// so. It asks no server anything: a history is all it needs.
//
// # What is checked
//
//   - linearizable: for each chain, its writes and its linearizable reads are
//     put into one order by porcupine, against a model of a chain with
//     compare-and-set by generation and by the hash of the content.
//   - real-time: an acknowledged write and a linearizable read are at a
//     revision no lower than any that was answered before they were sent.
//   - its-revision: a read of any consistency shows the chain as the acknowledged
//     writes up to its revision left it.
//   - invented, refused-then-seen: what is read was written, and not refused.
//   - applied-twice, repeated: a value has one generation, a generation one value.
//   - read-your-write, monotonic, blocking, headers: what leader and stale reads,
//     blocking reads and the headers promise.
//
// The revision, generation and content hash in the answers make all of these
// but the first a walk through the history; porcupine believes none of these
// numbers and searches.
//
// # What it does not do
//
// It proves nothing about operations that nobody sent. An operation whose
// outcome is unknown may take effect at any time after its call, or never.
//
// # Concurrency and testing
//
// A [History] may be added to by any number of goroutines; everything else is
// plain functions. Tests feed histories that a correct cluster could not have
// produced, one for each check, and expect its name.
package lincheck
