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
	c.cut()
}

// CutOneWay lets nothing pass from one node to another, beside what a partition
// cuts; the way back stays open.
func (c *Cluster) CutOneWay(from, to int) {
	c.t.Helper()
	way := [2]int{c.member(from).number, c.member(to).number}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.oneWay = append(c.oneWay, way)
	c.cut()
}

// Heal ends the partition and all one-way cuts. What stood still on the way
// arrives. Delays and losses stay.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group, c.oneWay = nil, nil
	c.cut()
}

// Pause makes node i stand still as far as anybody can tell: its disk hangs,
// and nothing comes from it or gets to it, clients included. Its own timers go
// on, as those of a stopped process would not.
func (c *Cluster) Pause(i int) { c.pause(i, true) }

// Resume ends the pause of node i: its writes end, and what stood still on the
// way arrives.
func (c *Cluster) Resume(i int) { c.pause(i, false) }

func (c *Cluster) pause(i int, still bool) {
	c.t.Helper()
	m := c.member(i)
	if still {
		m.disk.stall()
	} else {
		m.disk.resume(nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.still = still
	c.cut()
}

// cut makes the cuts of the network those of all faults there are. The caller
// holds c.mu.
func (c *Cluster) cut() {
	c.net.Heal()
	for _, a := range c.members {
		if a.still {
			c.net.Cut(a.name, a.client)
		}
		for _, b := range c.members[a.number:] {
			if c.group[a.number] != c.group[b.number] || a.still || b.still {
				c.net.Cut(a.name, b.name)
			}
		}
	}
	for _, way := range c.oneWay {
		c.net.CutOneWay(c.members[way[0]-1].name, c.members[way[1]-1].name)
	}
}

// StallDisk makes each write below the data directory of node i hang until
// MendDisk, or until the node is killed. A node whose log hangs for longer than
// its write limit ends by itself: see Ended.
func (c *Cluster) StallDisk(i int) {
	c.t.Helper()
	c.member(i).disk.stall()
}

// MendDisk lets the writes of node i go on.
func (c *Cluster) MendDisk(i int) {
	c.t.Helper()
	c.member(i).disk.resume(nil)
}

// Skew sets the clocks of node i forward or back, in addition to what they are
// off already: the time of day, and the clock of which a leader makes cluster
// time. Timers go on as they were.
func (c *Cluster) Skew(i int, by time.Duration) {
	c.t.Helper()
	c.member(i).watch.add(by)
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
