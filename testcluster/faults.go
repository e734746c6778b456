package testcluster

import "time"

// Partition cuts the network into groups of nodes that do not reach each
// other. Nodes in no group form one of their own, so that Partition([]int{1})
// cuts node 1 off from everybody. It replaces the partition before. Clients
// reach every node.
func (c *Cluster) Partition(groups ...[]int) {
	c.t.Helper()
	group := map[int]int{}
	for g, nodes := range groups {
		for _, i := range nodes {
			group[c.member(i).number] = g + 1
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group = group
	c.net.Heal()
	for _, a := range c.members {
		for _, b := range c.members[a.number:] {
			if group[a.number] != group[b.number] {
				c.net.Cut(a.name, b.name)
			}
		}
	}
}

// Heal ends the partition. What stood still on the way arrives. Delays and
// losses stay.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group = nil
	c.net.Heal()
}

// Delay sets how long bytes take between nodes i and j, each way.
func (c *Cluster) Delay(i, j int, d time.Duration) {
	c.t.Helper()
	c.net.Delay(c.member(i).name, c.member(j).name, d)
}

// Loss sets the chance in [0,1] that a packet between nodes i and j is lost.
// Only gossip sends packets; streams do not mind.
func (c *Cluster) Loss(i, j int, chance float64) {
	c.t.Helper()
	c.net.Loss(c.member(i).name, c.member(j).name, chance)
}

// Advance lets time pass.
func (c *Cluster) Advance(d time.Duration) { time.Sleep(d) }
