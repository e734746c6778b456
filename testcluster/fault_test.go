package testcluster_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// create makes chains named c0, c1 and so on through a client.
func create(t *testing.T, c *testcluster.Cluster, count int) {
	t.Helper()
	api := c.Client()
	for i := range count {
		if _, err := api.PutChain(t.Context(), fmt.Sprintf("c%d", i), spec(3)); err != nil {
			t.Fatalf("create chain c%d: %v", i, err)
		}
	}
}

func spec(desired int) api.Spec { return api.Spec{Desired: &desired} }

// A leader that is cut off loses its place to a node that reaches a quorum,
// which repairs what the old one held. The old one comes back as a follower
// when the network heals, with nothing of its own.
func TestLeaderCutOff(t *testing.T) {
	t.Parallel()
	for seed := int64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := testcluster.Start(t, testcluster.Options{Nodes: 4, Seed: seed})
				create(t, c, 5)
				c.Settle()
				old := c.WaitLeader()
				term := c.View(old).Term
				c.Partition([]int{old})
				began := time.Now()
				next := c.WaitLeader()
				if took := time.Since(began); next == old || took > 10*time.Second {
					t.Errorf("node %d leads %v after node %d was cut off", next, took, old)
				}
				if _, err := c.Client(next).PutChain(t.Context(), "late", spec(3)); err != nil {
					t.Fatal(err)
				}
				c.Settle()
				c.View(next).Chains.Ascend("", func(id placement.ChainID, chain *placement.Chain) bool {
					if chain.Holder(c.ID(old)) != nil {
						t.Errorf("chain %s is still assigned to the node that is cut off", id)
					}
					return true
				})
				c.Heal()
				c.Settle()
				if v := c.View(old); v.Term <= term || v.Chain("late") == nil {
					t.Errorf("the old leader is at term %d, chain late %v: want a later term and the chain", v.Term, v.Chain("late"))
				}
			})
		})
	}
}

// A partition of five minutes ends by itself: gossip and raft find together
// without anybody's help, and all copies are healthy.
func TestLongPartitionHeals(t *testing.T) {
	t.Parallel()
	for seed := int64(1); seed <= 2; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := testcluster.Start(t, testcluster.Options{Nodes: 5, Seed: seed, Zones: []string{"a", "b", "c"}})
				create(t, c, 5)
				c.Settle()
				leader := c.WaitLeader()
				c.Partition([]int{leader, leader%5 + 1})
				c.Advance(5 * time.Minute)
				if now := c.WaitLeader(); now == leader {
					t.Errorf("node %d still leads without a quorum", leader)
				}
				c.Heal()
				began := time.Now()
				c.Settle()
				if took := time.Since(began); took > 3*time.Minute {
					t.Errorf("peace came %v after the partition had healed", took)
				}
			})
		})
	}
}

// A cluster whose nodes all crash at once goes on with everything that it
// acknowledged, without a move.
func TestAllRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 5})
		create(t, c, 10)
		c.Settle()
		before := c.View(c.WaitLeader())
		for _, i := range c.Nodes() {
			c.Kill(i)
		}
		c.Advance(time.Hour) // nobody's clock runs
		for _, i := range c.Nodes() {
			c.Restart(i)
		}
		c.Settle()
		now := c.View(c.WaitLeader())
		if now.Chains.Len() != 10 || now.ClusterID != before.ClusterID || now.Lineage != before.Lineage {
			t.Errorf("%d chains, cluster %s, lineage %s: want 10, %s, %s", now.Chains.Len(), now.ClusterID, now.Lineage, before.ClusterID, before.Lineage)
		}
		if now.Decided() != before.Decided() {
			t.Errorf("decisions were made, the last at revision %d: nothing had to be", now.Decided())
		}
	})
}

// A leader that is told to stop hands over: another one leads within half of
// the time that a crash would need to be noticed at all.
func TestGracefulStopIsFast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 3})
		create(t, c, 1)
		c.Settle()
		for range 3 {
			old := c.WaitLeader()
			began, done := time.Now(), make(chan struct{})
			go func() {
				defer close(done)
				c.Stop(old)
			}()
			c.WaitFor("another node leads", 10*time.Second, func() bool { l := c.Leader(); return l != 0 && l != old })
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("another node leads after %v", took)
			}
			<-done
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the stop took %v", took)
			}
			c.Restart(old)
			c.Settle()
		}
	})
}

// A node that joins later gets work by itself, until the cluster is even, and
// then nothing moves any more.
func TestAddedNodeGetsWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 3, Replicated: shortCooldown})
		create(t, c, 8)
		c.Settle()
		added := c.Add()
		c.Settle()
		c.Advance(2 * time.Minute)
		c.Settle()
		u := c.View(c.WaitLeader()).Usage(c.ID(added))
		if u.Ready < 5 || u.Ready > 7 {
			t.Errorf("the added node holds %d of 24 copies, want about 6", u.Ready)
		}
		decided := c.View(c.WaitLeader()).Decided()
		c.Advance(5 * time.Minute)
		if now := c.View(c.WaitLeader()).Decided(); now != decided {
			t.Errorf("the even cluster went on to decide, last %v", c.Decisions()[len(c.Decisions())-1])
		}
	})
}

// A disk that breaks ends its node, and no other: the copies are made anew
// elsewhere.
func TestBrokenDiskEndsNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := map[int]*atomic.Bool{}
		for i := 1; i <= 4; i++ {
			broken[i] = new(atomic.Bool)
		}
		c := testcluster.Start(t, testcluster.Options{Nodes: 4, Config: func(i int, cfg *agent.Config) {
			cfg.Cluster.Gate = func(string) error {
				if broken[i].Load() {
					return errors.New("the disk is broken")
				}
				return nil
			}
		}})
		create(t, c, 5)
		c.Settle()
		leader := c.WaitLeader()
		broken[leader].Store(true)
		if err := c.Ended(leader); err == nil {
			t.Errorf("node %d ended without an error on a broken disk", leader)
		}
		c.Settle()
		broken[leader].Store(false)
		c.Restart(leader)
		c.Settle()
	})
}

// A network that loses a fifth of the packets, and is slow, is no reason to
// move anything; a leader is replaced on it as on any other.
func TestSlowLossyNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 5})
		create(t, c, 5)
		c.Settle()
		decided := len(c.Decisions())
		for _, i := range c.Nodes() {
			for j := 1; j < i; j++ {
				c.Loss(i, j, 0.2)
				c.Delay(i, j, 30*time.Millisecond)
			}
		}
		c.Advance(3 * time.Minute)
		c.Settle()
		if now := c.Decisions(); len(now) != decided {
			t.Errorf("%d decisions were made because of the network, the last %+v", len(now)-decided, now[len(now)-1])
		}
		c.Kill(c.WaitLeader())
		c.Settle()
	})
}
