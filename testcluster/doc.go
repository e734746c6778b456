// Package testcluster runs whole clusters inside one test: the real agents,
// with their raft, gossip, bolt files and content stores, on a simulated
// network and in fake time. An hour takes seconds, and no port is opened.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := testcluster.Start(t, testcluster.Options{Nodes: 3})
//		old := c.WaitLeader()
//		c.Kill(old)
//		c.WaitLeader()
//	})
//
// [Start] is called inside a testing/synctest bubble, one cluster to a bubble,
// and returns a cluster that has formed. Nodes are numbered from 1; node i is
// named n<i>. The test breaks things ([Cluster.Kill], [Cluster.Partition],
// [Cluster.Wipe], [Cluster.Pause], [Cluster.StallDisk], [Cluster.Skew] and
// others), lets time pass ([Cluster.Advance], [Cluster.WaitFor]), talks to nodes over their HTTP API ([Cluster.Client]),
// and asks for peace ([Cluster.Settle]). Everything ends by itself with the
// test. When it has failed, the nodes' logs are printed in one sequence.
//
// # Invariants
//
// The promises of the design are checked without being asked for. Every entry
// that any node applies goes to an [invariant.Checker]; that all nodes apply
// the same bytes under the same index and term is checked on the way, and so is
// that a term has one leader. Settle and the end of the test compare the
// encoded states of nodes that have applied the same entry: they must be equal
// byte for byte.
//
// # What it does not do
//
// A run does not repeat from its seed: raft and gossip draw from sources of
// their own. Timers of a paused node go on. A killed node keeps all that it wrote, synced or not. Links have
// no bandwidth. A snapshot that is restored over HTTP begins a history that the
// checker has not seen: such tests set NoChecks.
//
// # Concurrency
//
// Methods that change the cluster have one caller, the test. Those that only
// look (Leader, View, Node, Decisions, Client) may be called from any goroutine
// of the bubble. A goroutine that the test starts must end before the test
// does. Loops that talk to the cluster must let time pass.
//
// # Testing
//
// The package's own tests are the failure scenarios of the whole system, and a
// nemesis that breaks clusters by chance (-nemesis.seeds=N runs more of it). The
// nodes write real files: TMPDIR on a memory file system makes tests faster.
package testcluster
