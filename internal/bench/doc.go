// Package bench measures this machine against the limits and rivals of the
// design, section 8: each run prints its figures as ratios beside a limit, or
// beside a rival that was measured in the same run.
//
// It is not a test: nothing fails because a machine is slow, and no figure is
// remembered. What it runs is the product's own code: states are restored from
// what the log's operations would have left, plans made by scheduler.Planner with the production
// scorer, decisions committed by cluster.Node, contents copied between agents.
// Nothing listens beyond the loopback address, and all files lie in one
// temporary directory that is removed at the end.
//
// Plan changes GOMAXPROCS while it runs: run one benchmark at a time in a
// process. All functions wait for the goroutines that they start.
//
// The tests run each benchmark at a tiny size with all its real parts and look
// at what it reports, never at how fast it was.
package bench
