// Package logstore keeps raft's log, its stable values and its snapshots on
// disk, and is fail-stop: the first write that fails, or that outlasts its
// limit, is the last thing the store does.
//
// hashicorp/raft carries on after such errors, and both ways of carrying on
// were seen to do harm: a follower whose DeleteRange failed for a while
// applied entries that were never committed, and a leader whose disk hangs
// keeps its lead for ever, because heartbeats need no disk. So an error is
// latched: Failed is closed, Err says why, every later call fails, and the
// node must stop.
//
// Between that moment and the end of the node raft still runs, and it panics
// when its term cannot be written or an entry cannot be read. ForRaft gives it
// a view that ends the calling goroutine there instead (runtime.Goexit), as if
// the process had died at that write: deferred answers are given, Shutdown
// still works, nothing is applied any more. Guard makes that safe around
// raft.NewRaft, which writes on its caller's goroutine.
//
// Open reads the whole file, structure and entries, and refuses it if a bit is
// wrong that counts; see pages. Snapshots get a checksum of their description.
//
// It does not restart anything, and it does not watch how long reads take: bolt
// reads through the page cache.
//
// A Store is safe for concurrent use. Each write runs on a goroutine that ends
// with the write. One that hangs in the kernel for ever keeps that goroutine,
// and the file open, until the process ends; nothing else is left behind.
// Tests use real files, with Gate as the broken disk, inside synctest bubbles.
package logstore
