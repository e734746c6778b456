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

// NotifyMsg, GetBroadcasts, LocalState and MergeRemoteState carry user data,
// of which there is none.
func (d delegates) NotifyMsg([]byte) {}

// GetBroadcasts has nothing to send.
func (d delegates) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState has nothing to send.
func (d delegates) LocalState(bool) []byte { return nil }

// MergeRemoteState gets nothing.
func (d delegates) MergeRemoteState([]byte, bool) {}

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

// firstTime reports whether the last complaint about it was another one.
func (g *Gossip) firstTime(about, text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused[about] == text {
		return false
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
	if old, ok := d.g.members[m.ID]; ok && old.Alive == m.Alive {
		m.Since = old.Since
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
