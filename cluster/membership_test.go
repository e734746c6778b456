package cluster

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// joinOnly makes a node look for a cluster and never begin one.
func joinOnly(c *Config) { c.BootstrapExpect = 0 }

// A fourth node that knows one seed joins; with three voters before it, it
// gets no vote (an even number gains nothing), with a fifth both do.
func TestJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		w.settle(3)
		w.start(4, 0, func(c *Config) { c.Join = []string{"10.0.0.2:7400"} })
		leader := w.settle(4)
		advance(time.Minute)
		if got := w.voters(leader); len(got) != 3 {
			t.Errorf("voters of four servers: %v", got)
		}
		w.start(5, 0, joinOnly)
		w.start(6, 0, joinOnly)
		w.settle(6)
		w.until("five of six vote", 2*time.Minute, func() bool { return len(w.voters(w.leader())) == 5 })
		advance(time.Minute)
		if got := w.voters(w.leader()); len(got) != 5 {
			t.Errorf("voters of six servers: %v", got)
		}
	})
}

// A voter whose disk was wiped comes back under its old name: it is kept out
// while its old self may be alive, its old vote is gone before it is let in,
// and it votes again only as a caught-up server (rule S14).
func TestWipedNodeRejoins(t *testing.T) {
	t.Run("same address", func(t *testing.T) { inBubble(t, wipedNodeRejoins()) })
	t.Run("another address", func(t *testing.T) {
		inBubble(t, wipedNodeRejoins(func(c *Config) { c.Listen = strings.Replace(c.Listen, ":7400", ":7999", 1) }))
	})
}

func wipedNodeRejoins(change ...func(*Config)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		w.write("a")
		wiped := w.follower(leader)
		before := wiped.node.instance()
		wiped.kill()
		if err := os.RemoveAll(wiped.cfg.DataDir); err != nil {
			t.Fatal(err)
		}
		wiped.runner.wipe()
		w.start(int(wiped.name[1]-'0'), 3, change...)
		w.until("the wiped node is let in", 2*time.Minute, func() bool { return wiped.node.clusterID() != "" })
		for _, s := range w.leader().node.Status().Servers {
			if s.Instance == before {
				t.Fatal("the wiped node was let in before its old server was out")
			}
		}
		w.until("the new instance is in the state", time.Minute, func() bool {
			n := w.leader().nodeRecord(wiped.name)
			return n.Instance == wiped.node.instance() && n.State == placement.NodeAlive
		})
		if wiped.node.instance() == before {
			t.Fatal("the wiped node has its old instance")
		}
		w.settle(3)
		w.until("three vote again", time.Minute, func() bool { return len(w.voters(w.leader())) == 3 })
	}
}

// A wiped voter does not vote: while its old vote cannot be taken out because
// quorum is lost, it takes no raft stream, so that no leader is elected that
// lacks an acknowledged write (rule S14).
func TestWipedNodeDoesNotVote(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		b := w.follower(leader)
		c := w.other(leader, b)
		w.net.Partition([]string{c.name})
		w.write("acked") // on leader and b only
		leader.kill()
		b.kill()
		if err := os.RemoveAll(b.cfg.DataDir); err != nil {
			t.Fatal(err)
		}
		w.net.Heal()
		w.start(int(b.name[1]-'0'), 3)
		for began := time.Now(); time.Since(began) < 2*time.Minute; advance(50 * time.Millisecond) {
			if l := w.leader(); l != nil {
				t.Fatalf("%s leads, elected by a wiped voter; it lacks the acknowledged write: %v", l.name, l.node.View().Chain("acked") == nil)
			}
		}
	})
}

// A second data directory under a living node's id is refused, and says why;
// the first one is not disturbed.
func TestDuplicateNodeID(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		first := w.follower(leader)
		index := first.nodeRecord(first.name).Incarnation
		w.start(4, 0, joinOnly, func(c *Config) { c.Node = placement.NodeID(first.name) })
		advance(2 * time.Minute)
		if got := w.members["n4"].node.clusterID(); got != "" {
			t.Errorf("the second %s was let into cluster %s", first.name, got)
		}
		if n := w.leader().nodeRecord(first.name); n.Instance != first.node.instance() || n.Incarnation != index || n.State != placement.NodeAlive {
			t.Errorf("the first %s was disturbed: %+v", first.name, n)
		}
		for _, s := range w.leader().node.Status().Servers {
			if s.Instance == first.node.instance() && !s.Voter || s.Instance == w.members["n4"].node.instance() {
				t.Errorf("the raft configuration was changed: %+v", s)
			}
		}
		if len(w.voters(w.leader())) != 3 {
			t.Errorf("voters: %v", w.voters(w.leader()))
		}
		w.logs.mu.Lock()
		defer w.logs.mu.Unlock()
		if !strings.Contains(w.logs.text.String(), string(placement.NodeIDTaken)) {
			t.Error("the refused node does not say why")
		}
	})
}

// A node that leaves is out of raft and its state is left; a leader that
// leaves hands over first.
func TestLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		for range 2 {
			leaver := w.leaderOrWait()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			if err := leaver.node.Leave(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			leaver.stop()
			w.until("the leaver is out", time.Minute, func() bool {
				l := w.leader()
				if l == nil {
					return false
				}
				for _, s := range l.node.Status().Servers {
					if s.Instance == leaver.node.instance() {
						return false
					}
				}
				return l.nodeRecord(leaver.name).State == placement.NodeLeft
			})
			w.write("after-" + placement.ChainID(leaver.name))
		}
	})
}

// A node that an operator removes loses its place in raft too.
func TestRemovedNodeLeavesRaft(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		gone := w.follower(leader)
		gone.kill()
		w.until("it is dead", time.Minute, func() bool { return w.leader().nodeRecord(gone.name).State == placement.NodeDead })
		results, err := w.leader().node.Propose(t.Context(), fsm.Op{Actor: "test", Reason: "test", Body: &fsm.RemoveNode{Node: placement.NodeID(gone.name)}})
		if err != nil || !results[0].OK() {
			t.Fatal(results, err)
		}
		w.until("two servers are left", time.Minute, func() bool { return len(w.leader().node.Status().Servers) == 2 })
		w.write("after")
		w.start(int(gone.name[1]-'0'), 3) // it asks to be let in again
		w.settle(3)
		w.until("three vote again", time.Minute, func() bool { return len(w.voters(w.leader())) == 3 })
	})
}

// A node that comes back at another address, knowing no seed, is reached
// there, although no leader can tell the others so: its vote is needed for
// one. Then the raft configuration follows.
func TestAddressChange(t *testing.T) {
	if raceEnabled {
		// A leader of hashicorp/raft v1.7.3 writes a server's new address while
		// its replication reads the id beside it, which does not change.
		t.Skip("changing an address is a data race inside hashicorp/raft, on a value that stays the same")
	}
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		moved := w.follower(leader)
		moved.kill()
		w.write("a")
		leader.kill()
		w.start(int(moved.name[1]-'0'), 3, func(c *Config) {
			c.Listen, c.Join = strings.Replace(c.Listen, ":7400", ":7999", 1), []string{c.Listen}
		})
		w.write("b")
		w.until("the configuration has the new address", time.Minute, func() bool {
			l := w.leader()
			if l == nil {
				return false
			}
			for _, s := range l.node.Status().Servers {
				if s.Address == moved.cfg.Listen && s.Voter {
					return true
				}
			}
			return false
		})
		w.until("it has caught up", time.Minute, func() bool { return moved.node.View().Chain("b") != nil })
	})
}

// follower returns a running node that does not lead.
func (w *world) follower(leader *member) *member { return w.other(leader, leader) }

func (w *world) other(a, b *member) *member {
	for _, name := range []string{"n1", "n2", "n3"} {
		if m := w.members[name]; m != a && m != b {
			return m
		}
	}
	w.t.Fatal("no third node")
	return nil
}

func (w *world) leaderOrWait() *member {
	w.until("a leader that everybody knows", time.Minute, func() bool {
		l := w.leader()
		return l != nil && w.alive(l) > 1
	})
	return w.leader()
}
