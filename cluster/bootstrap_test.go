package cluster

import (
	"strconv"
	"testing"
	"time"
)

// A cluster of 1, 3 or 5 servers founds itself once, all of them vote, and it
// takes writes: empty nodes are started together.
func TestBootstrap(t *testing.T) {
	for _, count := range []int{1, 3, 5} {
		t.Run(strconv.Itoa(count), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.startAll(count, count)
				leader := w.settle(count)
				if got := w.voters(leader); len(got) != count {
					t.Errorf("voters: got %v, want %d", got, count)
				}
				w.write("a")
				id := leader.node.Status().ClusterID
				for _, m := range w.members {
					if got := m.node.Status().ClusterID; got != id || id == "" {
						t.Errorf("%s has cluster id %q, the leader %q", m.name, got, id)
					}
				}
				w.until("the chain has a live copy", time.Minute, func() bool {
					v := leader.node.View()
					return v.LiveCount(v.Chain("a")) == 1
				})
			})
		})
	}
}
