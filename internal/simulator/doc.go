// Package simulator measures how the scheduler balances: thousands of nodes and
// hundreds of thousands of chains live through a scenario in virtual time.
//
// What decides is real: scheduler.Planner, the production scorer and fsm.Apply,
// fed with the operations that a cluster commits. Simulated are the machines
// (pulls that take time by size and bandwidth, telemetry with noise, crashes)
// and time. Time jumps from event to event: a pull or drop that ends, an event
// of the scenario, a sample, or the instant that the scheduler waits for.
//
// It does not look for safety bugs: no report is lost, late or repeated here,
// and no leader is deposed. The sim layer of package testcluster hunts those.
// It simulates neither raft nor gossip, nor two pulls that share one source's
// link.
//
// A run is a function of its scenario: one seeded source of chance, no clock,
// no goroutine. Equal scenarios give equal results, byte for byte. A Scenario
// may be shared by goroutines; a run belongs to the one that calls [Run].
//
// Tests are small scenarios, each with what must hold at its end, and a golden
// picture of a drawn result's parts.
package simulator
