// Package filestore is the built-in holder.Runner: the content of a chain is a
// file. It keeps the bytes under their hash, copies them between nodes and
// verifies them, receives what clients PUT, and looks for rot.
//
// # On disk
//
//	<dir>/LOCK                      held while a Store is open
//	<dir>/chains/<name>/            name = lower-case base32 of the SHA-256 of the chain id (rule S6)
//	    id                          the chain id
//	    <sha256>.blob               verified bytes, never written again
//	    <sha256>.part               an unfinished pull, resumed by the next
//	    put-*.tmp, *.tmp            writes under way; leftovers go when the store opens
//	    <epoch>-<sha256|empty>.copy the durable record of one copy
//	    *.bad-*                     set aside: torn or rotten, kept for the operator
//
// A copy is held when its record is whole and its blob is there with the
// record's size. A blob is complete and synced before it gets its name, and a
// record is written after its blob, so a crash at any point leaves the old
// truth or the new one. Two versions never share a file, so nobody is served
// bytes that were not asked for by their hash (rule S3).
//
// # What it does not do
//
// It does not know which version is current, decides nothing about who holds
// what, and removes no copy unless Drop or Abandon names it exactly. It does not
// guard the handler: who may connect is the transport's business.
//
// # Concurrency
//
// Open starts nothing; Run scrubs and tidies until its context ends. All
// methods may be called from any goroutine. Changes to one chain's directory
// are serialized by a semaphore that a waiting caller leaves when its context
// ends; bytes stream outside of it. The index's mutex is never held across I/O.
//
// # Testing
//
// Tests use real files in t.TempDir: crash leftovers made by hand, sources that
// break, lie or stop, slow drops, two writers at once, and the whole under a
// holder.Loop in a testing/synctest bubble. Config.Volume stands in for a full disk.
package filestore
