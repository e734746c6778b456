package gossip

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegates is what memberlist calls back, mostly with its lock held.
type delegates struct{ g *Gossip }

// NodeMeta is asked for the own meta.
func (d delegates) NodeMeta(int) []byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return d.g.meta
}

// NotifyMsg gets a message.
func (d delegates) NotifyMsg(message []byte) { d.g.cfg.Cargo.Heard(message) }

// GetBroadcasts is asked what fits into the rest of a packet.
func (d delegates) GetBroadcasts(overhead, limit int) [][]byte {
	return d.g.queue.GetBroadcasts(overhead, limit)
}

// LocalState is asked for this side of a full exchange.
func (d delegates) LocalState(bool) []byte { return d.g.cfg.Cargo.Everything() }

// MergeRemoteState gets the other side of it.
func (d delegates) MergeRemoteState(everything []byte, _ bool) {
	d.g.cfg.Cargo.HeardEverything(everything)
}

// AckPayload is asked what goes with the answer to a probe.
func (d delegates) AckPayload() []byte { return d.g.cfg.Cargo.Answer() }

// NotifyPingComplete gets what came with one.
func (d delegates) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, answer []byte) {
	d.g.cfg.Cargo.Measured(n.Name, rtt, answer)
}

// NotifyJoin notes a member.
func (d delegates) NotifyJoin(n *memberlist.Node) { d.note(n, true) }

// NotifyUpdate notes a member's new meta.
func (d delegates) NotifyUpdate(n *memberlist.Node) { d.note(n, true) }

// NotifyLeave notes that a member failed or left.
func (d delegates) NotifyLeave(n *memberlist.Node) { d.note(n, false) }

// NotifyAlive refuses news of nodes of another cluster.
func (d delegates) NotifyAlive(n *memberlist.Node) error {
	if n.Name == d.g.cfg.NodeID {
		return nil
	}
	return d.check(n)
}

// NotifyMerge refuses to join a node that knows nodes of another cluster.
func (d delegates) NotifyMerge(peers []*memberlist.Node) error {
	for _, n := range peers {
		if err := d.check(n); err != nil {
			return err
		}
	}
	return nil
}

// NotifyConflict says that a second node uses a name; memberlist keeps the
// first while it lives.
func (d delegates) NotifyConflict(existing, other *memberlist.Node) {
	d.complain(other.Name, fmt.Sprintf("node id %s is used by two nodes: %s and %s; the second is refused: give each node an id of its own", existing.Name, hostPort(existing), hostPort(other)))
}

func (d delegates) check(n *memberlist.Node) error {
	_, hash, err := decodeMeta(n.Meta)
	if err == nil {
		d.g.mu.Lock()
		own := d.g.cluster
		d.g.mu.Unlock()
		if hash == own || hash == (ClusterHash{}) || own == (ClusterHash{}) {
			return nil
		}
		err = fmt.Errorf("gossip: node %s at %s is of another cluster with the same name: check the seeds", n.Name, hostPort(n))
	}
	d.complain(n.Name, err.Error())
	return err
}

// complain logs a lasting complaint once.
func (d delegates) complain(about, text string) {
	if d.g.firstTime(about, text) {
		d.g.cfg.Logger.Warn(text, "node", about)
	}
}

// refusedMax bounds the complaints remembered.
const refusedMax = 1024

// firstTime reports whether the last complaint about it was another one, and
// may be logged: one that may not comes again.
func (g *Gossip) firstTime(about, text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused[about] == text {
		return false
	}
	if text != "" {
		if ok, _ := g.allowed.pass(); !ok {
			return false
		}
	}
	if len(g.refused) >= refusedMax {
		clear(g.refused)
	}
	g.refused[about] = text
	return true
}

// note copies what memberlist knows of a node; the node itself is memberlist's.
func (d delegates) note(n *memberlist.Node, alive bool) {
	meta, hash, err := decodeMeta(n.Meta)
	if err != nil {
		return // only a node that check has refused
	}
	m := Member{ID: n.Name, Gossip: hostPort(n), Meta: meta, Hash: hash, Alive: alive, Since: time.Now()}
	d.g.mu.Lock()
	old := d.g.members[m.ID]
	switch {
	case old.Alive == m.Alive && old.ID != "":
		m.Since = old.Since
	case alive:
		d.g.living.Add(1)
	case old.Alive:
		d.g.living.Add(-1)
	}
	d.g.members[m.ID] = m
	if alive {
		delete(d.g.refused, m.ID)
	}
	d.g.mu.Unlock()
	poke(d.g.changed)
}

func hostPort(n *memberlist.Node) string {
	return net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
}
