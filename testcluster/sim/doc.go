// Package sim runs the pure parts of Holdfast as plain calls in one loop: the
// state machine, the scheduler and each node's Diff, with fake nodes, fake time
// and one seeded source of chance. A world has no goroutine, so a seed repeats a
// run exactly, and thousands of cluster hours fit into a minute.
//
// The seed draws the cluster, its wishes, and which kinds of faults strike it how
// often. A run has a safety phase with faults (crashes with and without disk,
// lost, late, repeated and reordered reports, deposed leaders, wrong clocks, slow
// and failing pulls, scorers that talk nonsense, operator commands, restores), in
// which every invariant is checked on every operation, and a liveness phase in
// which the faults end and the cluster must converge and fall quiet.
//
// What should be read as a story is one: a file of testdata/scenarios, in which
// nothing happens by chance.
//
// What is simulated is the nodes' disks, the network between them and the
// leader, and the log's order; what is real is every decision.
package sim
