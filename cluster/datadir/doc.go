// Package datadir owns the data directory of one node: who it belongs to, and
// the few small facts that must survive a crash before raft has a log.
//
//	format      the version of this layout; an unknown one is refused
//	lock        held (flock) while a process uses the directory
//	instance    a UUID made with the directory; raft's server id (S14)
//	node-id     the node id this directory was first opened for
//	cluster     the cluster's name and, once known, its id
//	pledge      the bootstrap proposal this node has pledged to (S15)
//	withdrawn   the proposals of this instance that will never bootstrap (S15)
//	heartbeat   the cluster's heartbeat in force (S17)
//
// Every file is one text line and a checksum, replaced as a whole: written to
// a temporary file, synced, renamed, and the directory synced. So a crash
// leaves the old content or the new, and anything else is damage, which is
// refused with the name of the file and never repaired. Nothing is removed
// from a directory that is refused.
//
// It does not know raft, the contents of chains, or what a pledge means.
// It needs flock and directory sync: Unix only.
//
// A Dir is safe for concurrent use. Tests use real files in t.TempDir.
package datadir
