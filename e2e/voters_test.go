//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// TestShrinkAndGrow: a cluster of five voters goes to three and back by its
// configuration, then loses two nodes that are removed and gets two new ones,
// all by the commands that an operator has, while chains are written. Every
// acknowledged write stays.
func TestShrinkAndGrow(t *testing.T) {
	m := boot(t, 5)
	m.eventually(time.Minute, "five vote", func() error { return m.voters(5) })
	stop := m.writer("early")
	m.must("config", "set", "max_voters=3", "--reason", "fewer disks to wait for")
	m.eventually(time.Minute, "three vote", func() error { return m.voters(3) })
	m.must("config", "set", "max_voters=5", "--reason", "more disks to lose")
	m.eventually(time.Minute, "five vote again", func() error { return m.voters(5) })

	acked := stop()
	m.eventually(time.Minute, "all chains are healthy", m.healthy)

	leader := m.leader()
	for _, gone := range []int{1 + leader%5, 1 + (leader+1)%5} {
		name := fmt.Sprintf("n%d", gone)
		m.kill(gone)
		m.eventually(time.Minute, name+" is removed", func() error {
			_, err := m.holdfast("node", "remove", name, "--reason", "sold")
			return err
		})
	}
	m.eventually(time.Minute, "three are left and vote", func() error { return m.voters(3) })
	t.Log(m.must("raft", "peers"))
	stop = m.writer("late")
	m.count = 7
	m.start(6)
	m.start(7)
	m.eventually(2*time.Minute, "five vote with the new nodes", func() error { return m.voters(5) })
	acked = append(acked, stop()...)
	t.Log(m.must("raft", "peers"), len(acked), "chains written")
	if len(acked) == 0 {
		t.Error("nothing was written meanwhile")
	}
	for _, id := range acked {
		if _, err := m.any().Chain(t.Context(), id); err != nil {
			t.Errorf("chain %s was acknowledged: %v", id, err)
		}
	}
	if _, err := m.any().PutChain(t.Context(), "last", api.Spec{}); err != nil {
		t.Error(err)
	}
}
