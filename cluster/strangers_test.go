package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Two clusters of one name are led into each other by a wrong seed. They stay
// two: no member, server or chain of one is ever seen by the other, both say
// what is wrong, and do not say it with each round of gossip. A new node that has
// seeds in both joins one of them, and stays there.
func TestTwoClustersStayTwo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var one, two []string
		for j := 1; j <= 3; j++ {
			one, two = append(one, fmt.Sprintf("10.0.0.%d:7400", j)), append(two, fmt.Sprintf("10.0.0.%d:7400", j+3))
		}
		join := func(seeds ...string) func(*Config) { return func(c *Config) { c.Join = seeds } }
		for i := 1; i <= 3; i++ {
			w.start(i, 3, join(one...))
			w.start(i+3, 3, join(two...))
		}
		first, second := w.founded("n1", "n2", "n3"), w.founded("n4", "n5", "n6")
		if first == second {
			t.Fatalf("both are cluster %s", first)
		}
		w.members["n4"].kill()
		w.start(4, 3, join(append(two, one...)...)) // the wrong seeds
		w.founded("n4", "n5", "n6")
		write := func(names []string, id placement.ChainID) {
			w.until(fmt.Sprintf("chain %s is written", id), time.Minute, func() bool {
				for _, name := range names {
					if m := w.members[name]; m.node.Status().IsLeader && w.writeBy(m, id) == nil {
						return true
					}
				}
				return false
			})
		}
		apart := func() {
			t.Helper()
			for name, m := range w.members {
				mine, id := "n1 n2 n3", first
				if m.node.clusterID() == second {
					mine, id = "n4 n5 n6", second
				}
				if name == "n7" || m.node.View().Node("n7") != nil {
					mine += " n7"
				}
				if got := m.node.clusterID(); got != id {
					t.Errorf("%s is in cluster %s", name, got)
				}
				m.node.View().Nodes.Ascend("", func(n placement.NodeID, _ *placement.Node) bool {
					if !strings.Contains(mine, string(n)) {
						t.Errorf("%s knows %s, which is of the other cluster", name, n)
					}
					return true
				})
				for _, s := range m.node.Status().Servers {
					if !strings.Contains(mine, string(s.Node)) {
						t.Errorf("%s has server %s of the other cluster in its raft configuration", name, s.Node)
					}
				}
				if m.node.View().Chain("a") != nil && m.node.View().Chain("b") != nil {
					t.Errorf("%s has chains of both clusters", name)
				}
			}
		}
		for range 10 {
			advance(time.Minute)
			apart()
		}
		write([]string{"n1", "n2", "n3"}, "a")
		write([]string{"n4", "n5", "n6"}, "b")
		for _, seed := range one {
			if said := w.lines("[WARN]", "the address belongs to another cluster: check --cluster and --join", "node=n4", "address="+seed); len(said) != 1 {
				t.Errorf("in ten minutes n4 says of seed %s: %q; want one line", seed, said)
			}
		}
		for i := 1; i <= 3; i++ {
			said := w.lines("[WARN]", "turned a node away", fmt.Sprintf("node=n%d ", i), "gossip stream", `\"n4\" of cluster`, "same name, another cluster")
			if len(said) == 0 || len(said) > 11 {
				t.Errorf("in ten minutes n%d says %d times that n4 does not belong here; want it once a minute at most", i, len(said))
			}
		}

		w.start(7, 0, join(append(one, two...)...))
		w.until("the new node is in a cluster", time.Minute, func() bool { return w.members["n7"].node.View().Node("n7") != nil })
		joined := w.members["n7"].node.clusterID()
		for range 5 {
			advance(time.Minute)
			apart()
		}
		w.members["n7"].kill()
		w.start(7, 0, join(append(two, one...)...))
		advance(time.Minute)
		if now := w.members["n7"].node.clusterID(); now != joined || joined != first && joined != second {
			t.Errorf("the new node was in cluster %s and is in %s; there are %s and %s", joined, now, first, second)
		}
		apart()
	})
}

// founded waits until the named nodes are one cluster in which all are alive,
// and returns its id.
func (w *world) founded(names ...string) string {
	w.t.Helper()
	w.until(strings.Join(names, ", ")+" are a cluster", time.Minute, func() bool {
		for _, name := range names {
			if m := w.members[name]; w.alive(m) != len(names) || m.node.ownIncarnation() != m.nodeRecord(name).Incarnation {
				return false
			}
		}
		return true
	})
	return w.members[names[0]].node.clusterID()
}
