// Package simnet is a simulated network for tests inside testing/synctest
// bubbles: hosts with addresses, streams and packets with latency, and faults
// (partitions, one-way cuts, loss, slow links, killed hosts). It implements
// transport.Network, so that the code under test is the code that runs on real
// sockets.
//
// # The model
//
// A stream is a pair of byte queues. Each write arrives one link delay
// later, in order; a reader sees it then. A queue holds at most 1 MiB, after
// which the writer blocks. There is no half-close: after Close the peer reads
// what was sent, then EOF.
//
// A cut link loses packets, and stalls streams as a real partition does:
// nothing fails, writes go on until the queue is full, reads block until their
// deadline, dials until their context ends. When the link heals, what had
// stalled arrives one delay later; a stream that its other end closed, or lost in a kill, during the
// cut is reset. A killed host's listeners and connections fail at once, its
// peers see a reset as soon as a link lets them, and dials to it are refused
// until it is revived.
//
// Simplified: acknowledgements take no time and pass one-way cuts; stalled
// streams never time out on their own; a dial needs both directions and takes
// one round trip.
//
// # Concurrency
//
// It starts no goroutines. Blocked calls wait on channels and timers made in
// the caller's bubble, never on a lock, so fake time advances; without traffic
// nothing wakes. One mutex guards the whole net and is never held while
// waiting. Close ends everything.
//
// # What it does not do
//
// No bandwidth limits, no reordering or duplication of packets, no IPv6
// scopes. Only packet loss is random; it repeats from the seed as far as the
// order of the calls does.
//
// # Testing
//
// The tests run plain streams through each fault, and net/http, hashicorp/raft's
// network transport, memberlist and transport.Mux over it.
package simnet
