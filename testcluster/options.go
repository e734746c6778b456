package testcluster

import (
	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Options says which cluster to start. The zero value is three nodes.
type Options struct {
	// Nodes is how many nodes there are, 1 to 200; default 3. The largest of 1,
	// 3 and 5 that is not above it begin the cluster, the others join.
	Nodes int
	// Zones are given to the nodes in turn. None = nodes without a zone.
	Zones []string
	// Seed varies how long bytes take between each two nodes, and which packets
	// are lost where Loss says that some are.
	Seed int64
	// Config changes the configuration of node i before each of its starts.
	Config func(i int, cfg *agent.Config)
	// Replicated changes the replicated configuration from its defaults before
	// Start returns.
	Replicated func(cfg *placement.Config)
	// NoChecks leaves the invariants unchecked.
	NoChecks bool
}

// nodesMax is how many addresses there are.
const nodesMax = 200

// expect returns how many servers begin a cluster of n nodes.
func expect(n int) int {
	switch {
	case n >= 5:
		return 5
	case n >= 3:
		return 3
	}
	return 1
}
