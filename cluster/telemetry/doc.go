// Package telemetry keeps, on every node, what all nodes last said of
// themselves: how busy they are, what is free on them, and where they lie on
// the network. It is gossiped, never logged, so each server has all of it and a
// new leader starts warm.
//
// # From a reading to a fact
//
// [Board.Run] reads the own node about once a second and smooths the readings
// (see [HalfLife]). What it publishes is rounded and sticky: a value stays as
// it is until the node has moved by more than the rounding, so a node that
// changes nothing says nothing new. Distances come from the probes of
// memberlist: each answer carries the coordinate of the one that answers, and
// hashicorp/serf/coordinate fits the own one to the time it took.
//
// A sample is published every two seconds while it changes and every five while
// it does not; each node passes on what is news to it. One that is older than
// 15 s counts as unknown, whoever it came from: its age travels with it.
//
// # What it costs
//
// A sample takes about 60 bytes and never more than 256. At most 100 samples a
// second are published in the whole cluster: from 200 nodes on the interval
// grows with the cluster, to 10 s at 1,000 nodes, and with it the age that is
// allowed, to 50 s. A node passes each on at most 2·⌈log10(nodes+1)⌉ times, and
// only in what memberlist's packets have left over: with the timing of a LAN 3
// packets of 1,400 bytes every 200 ms, so never more than 21 kB a second
// however large the cluster is. Who hears what how soon is chance: of 1,000
// nodes that change all the time half of all samples are younger than one
// interval and 99 % younger than two (TestNewsReachesEverybody measures it). A
// full exchange takes about 60 kB at 1,000 nodes.
//
// # What it does not do
//
// It keeps no history, judges nobody's liveness, and trusts nothing that comes
// in: what does not decode, is out of range or not finite is ignored, fields of
// later versions are passed on unread.
//
// # Concurrency
//
// New starts nothing; Run blocks. All methods may be called from any goroutine
// and do not wait: they are called by memberlist with its locks held.
//
// # Testing
//
// The arithmetic has tables and properties, the decoder is fuzzed, and the way
// through real gossip is tested with whole clusters in the packages above.
package telemetry
