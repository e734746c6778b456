// Package sim runs the pure parts of Holdfast as plain calls in one loop: the
// state machine, the scheduler and each node's Diff, with fake nodes, fake time
// and one seeded source of chance. There is no goroutine, so a seed repeats a
// run exactly, and thousands of cluster hours fit into a minute.
//
// A run has a safety phase with faults (crashes with and without disk, lost,
// late and repeated reports, stale leaders, failing pulls, operator commands),
// in which every invariant is checked on every operation, and a liveness phase
// in which the faults end and the cluster must converge and fall quiet.
//
// What is simulated is the nodes' disks, the network between them and the
// leader, and the log's order; what is real is every decision.
package sim
