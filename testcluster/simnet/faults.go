package simnet

import (
	"slices"
	"time"
)

// Partition cuts all links between hosts of different groups, both ways, and
// heals all others. Hosts in no group form one of their own, so that
// Partition([]string{"n1"}) cuts n1 off from everybody.
func (n *Net) Partition(groups ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	group := make(map[string]int)
	for i, names := range groups {
		for _, name := range names {
			group[n.named(name).name] = i + 1
		}
	}
	want := make(map[link]bool)
	for a := range n.hosts {
		for b := range n.hosts {
			if group[a] != group[b] {
				want[link{a, b}] = true
			}
		}
	}
	n.setCuts(want)
}

// Cut cuts the link between two hosts, both ways, in addition to what is cut already.
func (n *Net) Cut(a, b string) { n.addCuts(link{a, b}, link{b, a}) }

// CutOneWay lets nothing pass from one host to another; the other way stays
// as it is.
func (n *Net) CutOneWay(from, to string) { n.addCuts(link{from, to}) }

// Heal ends all cuts. What had stalled arrives one delay later. Delays and
// losses stay.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setCuts(map[link]bool{})
}

func (n *Net) addCuts(links ...link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	want := make(map[link]bool)
	for l := range n.cut {
		want[l] = true
	}
	for _, l := range links {
		if n.named(l.from) != n.named(l.to) { // a host always reaches itself
			want[l] = true
		}
	}
	n.setCuts(want)
}

// setCuts makes want the set of cut links and lets the traffic on those that
// changed stall or move on.
func (n *Net) setCuts(want map[link]bool) {
	was := n.cut
	n.cut = want
	now := time.Now()
	for _, c := range n.conns {
		l := link{c.peer.host.name, c.host.name}
		switch {
		case want[l] && !was[l]:
			for i := range c.in {
				c.in[i].stalled = c.in[i].stalled || !c.in[i].arrived(now)
			}
		case !want[l] && was[l]:
			for i := range c.in {
				if c.in[i].stalled {
					c.in[i].stalled = false
					c.in[i].at = now.Add(n.delayOf(c.peer.host, c.host))
				}
			}
		default:
			continue
		}
		c.sig.wake()
	}
	for _, h := range n.hosts {
		for _, p := range h.udp {
			p.queue = slices.DeleteFunc(p.queue, func(pk packet) bool {
				return pk.at.After(now) && want[link{pk.from.name, h.name}]
			})
		}
	}
	n.topo.wake()
}

// Delay sets how long bytes take from a to b and from b to a, at least 1 µs.
// It holds for what is sent from now on. a and b may be the same host.
func (n *Net) Delay(a, b string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	d = max(d, delayMin)
	a, b = n.named(a).name, n.named(b).name
	n.delay[link{a, b}], n.delay[link{b, a}] = d, d
}

// Loss sets the chance in [0,1] that a packet between a and b is lost, both
// ways. Streams do not mind.
func (n *Net) Loss(a, b string, p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, b = n.named(a).name, n.named(b).name
	n.loss[link{a, b}], n.loss[link{b, a}] = p, p
}

// Kill takes a host off the network, as kill -9 or a power cut does with the
// processes on it: its listeners and sockets close, its streams are reset, at
// the other ends too as soon as the links allow, and it can neither dial nor listen until Revive. The
// goroutines that stood for its process go on; stop them before Revive.
func (n *Net) Kill(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.named(name)
	h.down = true
	h.closeAll()
	for _, c := range slices.Clone(n.conns) {
		if c.host == h {
			c.kill()
		}
	}
	n.topo.wake()
}

// Revive puts a killed host back on the network, with nothing listening.
func (n *Net) Revive(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.named(name).down = false
	n.topo.wake()
}
