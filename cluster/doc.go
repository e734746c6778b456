// Package cluster is the shell around the pure parts: a [Node] owns raft, the
// gossip, the data directory, the leader loop and the holder loop. It decides
// nothing: package scheduler plans, package fsm refuses, package voters says
// who should vote, and a Node carries their words between disk and network.
//
// # The life of a node
//
// [Node.Run] starts its parts in a told order and stops them in the reverse:
// data directory, node port, raft's storage, raft, rpc, the way into the
// cluster (join first, pledge if that is how this cluster begins), gossip and
// the telemetry that rides on it, enrolment, holder loop, leadership. A node
// without a cluster id refuses every raft stream (rule S14).
//
// While it leads, one leader loop runs and no other: barrier, genesis if the
// state is empty, tick, then, for as long as it leads: sightings become
// operations, the scheduler's plan becomes one batch, the raft configuration
// follows the voter plan. A wake-up carries no data; it says "look again".
//
// # What it does not do
//
// No HTTP: package agent serves the API on the listeners a Node hands out. It
// holds no content and no telemetry history. It does not restart itself: a
// failing log store or an entry that it cannot apply ends the node with one
// clear error, and a supervisor starts it again.
//
// # Concurrency
//
// New starts nothing and Run returns when everything it started has ended. All
// other methods may be called from any goroutine at any time. No lock is held
// across input, output or a wait.
//
// # Testing
//
// Whole clusters of real nodes, with real raft, gossip and bolt files, run in
// testing/synctest bubbles on the simulated network of testcluster/simnet; a
// few tests use real sockets. The leader's clock, the coalescer and the
// liveness rules have tables of their own.
package cluster
