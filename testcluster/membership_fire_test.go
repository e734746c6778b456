package testcluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// archive makes chains with content, named a0, a1 and so on, that nobody writes
// again, and returns what each must read as.
func archive(t *testing.T, c *testcluster.Cluster, count int) map[string][]byte {
	t.Helper()
	kept := map[string][]byte{}
	for i := range count {
		id := fmt.Sprintf("a%d", i)
		minReady, desired := 2, 3
		if _, err := c.Client().PutChain(t.Context(), id, api.Spec{Desired: &desired, MinReady: &minReady}); err != nil {
			t.Fatal(err)
		}
		data, _ := content(uint64(1000+i), 50_000)
		if _, err := c.Client().PutContent(t.Context(), id, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
		kept[id] = data
	}
	c.Settle()
	return kept
}

func wantArchive(t *testing.T, c *testcluster.Cluster, kept map[string][]byte) {
	t.Helper()
	for id, data := range kept {
		wantContent(t, c, id, data, hashOf(data))
	}
}

// guard looks, until the returned function is called, that no archived chain
// has fewer live copies than it must.
func guard(t *testing.T, c *testcluster.Cluster, kept map[string][]byte, least int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			for _, i := range c.Nodes() {
				v := c.View(i)
				for id := range kept {
					if chain := v.Chain(placement.ChainID(id)); chain != nil && c.Leader() == i && v.LiveCount(chain) < least {
						t.Errorf("chain %s has %d live copies: %d must stay", id, v.LiveCount(chain), least)
						return
					}
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return func() { cancel(); watching.Wait() }
}

// atHome tells whether every node that runs is known as alive, with its
// inventory, and the archived chains have all their live copies.
func atHome(c *testcluster.Cluster, kept map[string][]byte) bool {
	leader := c.Leader()
	if leader == 0 {
		return false
	}
	v := c.View(leader)
	for _, i := range c.Nodes() {
		n := v.Node(c.ID(i))
		if c.Running(i) && (n == nil || n.State != placement.NodeAlive || !n.Inventoried || n.Incarnation != c.Node(i).Node().Status().Incarnation) {
			return false
		}
	}
	for id := range kept {
		if chain := v.Chain(placement.ChainID(id)); chain == nil || v.LiveCount(chain) < chain.Spec.Desired {
			return false
		}
	}
	return true
}

// All nodes are restarted in good order, one by one, while clients write: each
// write is acknowledged, nothing acknowledged is lost, no chain at rest has fewer
// live copies than min_ready, and there is no election but for a leader that
// stops, and one for each of those.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	for seed := int64(1); seed <= 2; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := testcluster.Start(t, testcluster.Options{Nodes: 5, Seed: seed})
				kept := archive(t, c, 4)
				l := startLoad(t, c, seed, 3, time.Minute)
				stop := guard(t, c, kept, 2)
				term, led := c.View(c.WaitLeader()).Term, uint64(0)
				for _, i := range c.Nodes() {
					c.WaitFor("everybody is back", 2*time.Minute, func() bool { return atHome(c, kept) })
					leads := c.Leader() == i
					c.Stop(i)
					if leads {
						led++
						began := time.Now()
						c.WaitFor("another leads", time.Minute, func() bool { return c.Leader() != 0 })
						if took := time.Since(began); took >= pace.Lease(pace.Shortest) { // no election without a hand-over begins sooner
							t.Errorf("n%d led and was stopped, and nobody led for %v: it has not handed over", i, took)
						}
					}
					c.Advance(5 * time.Second) // as long as a new binary takes to be put in place
					c.Restart(i)
				}
				c.WaitFor("everybody is back", 2*time.Minute, func() bool { return atHome(c, kept) })
				if now := c.View(c.WaitLeader()).Term; now > term+led {
					t.Errorf("terms went from %d to %d: %d leaders stopped", term, now, led)
				}
				stop()
				l.stop()
				t.Log(l)
				c.Settle()
				l.check(c)
				wantArchive(t, c, kept)
			})
		})
	}
}

// Every node is replaced by another of a new name, address and disk, as an
// operator does it: add one, drain one, stop it, remove it. In the end none of
// the first is left, and half of the addresses that the new ones were given as
// seeds are dead. No chain at rest ever lacks a live copy, for a drain places
// before it drops, and three vote.
func TestEveryNodeReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 3, Replicated: func(cfg *placement.Config) { cfg.MaxVoters = 3 }})
		kept := archive(t, c, 4)
		l := startLoad(t, c, 1, 2, 0)
		stop := guard(t, c, kept, 3)
		first := c.Nodes()
		for _, old := range first {
			name := string(c.ID(old))
			c.Add()
			c.WaitFor("the new node is in", time.Minute, func() bool { return atHome(c, nil) })
			if _, err := c.Client().Drain(t.Context(), name, 0, "replaced"); err != nil {
				t.Fatal(err)
			}
			c.WaitFor(name+" is empty", 5*time.Minute, func() bool {
				leader := c.Leader()
				return leader != 0 && copiesOn(c, leader, old) == 0
			})
			c.Stop(old)
			c.WaitFor(name+" is removed", time.Minute, func() bool {
				_, err := c.Client(alive(c)...).RemoveNode(t.Context(), name, api.NodeRemoval{Reason: "replaced"})
				return err == nil
			})
			c.WaitFor("three vote, all of which run", time.Minute, func() bool { return votersRun(c, 3) })
		}
		stop()
		l.stop()
		t.Log(l)
		c.Settle()
		for _, i := range alive(c) {
			c.Kill(i) // none of the first is there to help
		}
		for _, i := range c.Nodes()[len(first):] {
			c.Restart(i)
		}
		c.Settle()
		for _, old := range first {
			if n := c.View(c.WaitLeader()).Node(c.ID(old)); n != nil {
				t.Errorf("node %s is still known as %s", n.ID, n.State)
			}
		}
		l.check(c)
		wantArchive(t, c, kept)
	})
}

// copiesOn counts the copies on node i in any phase, as the node viewer has it.
func copiesOn(c *testcluster.Cluster, viewer, i int) int {
	u := c.View(viewer).Usage(c.ID(i))
	return u.Pulling + u.Ready + u.Dropping
}

// alive lists the nodes that run.
func alive(c *testcluster.Cluster) []int {
	return slices.DeleteFunc(c.Nodes(), func(i int) bool { return !c.Running(i) })
}

// votersRun tells whether so many vote, and all of them run.
func votersRun(c *testcluster.Cluster, want int) bool {
	leader := c.Leader()
	if leader == 0 {
		return false
	}
	list := c.Node(leader).Node().Status().Voters
	return len(list) == want && !slices.ContainsFunc(list, func(id placement.NodeID) bool {
		return id == "" || !c.Running(c.Number(id)) // one that was removed has no name any more
	})
}

// Two of three nodes die, once all but the leader, once it is among them. The
// third acknowledges no write, from the first moment on, serves stale reads of what
// it has and no linearizable one, and moves nothing. When the two are back all
// goes on by itself.
func TestQuorumLostAndBack(t *testing.T) {
	t.Parallel()
	for seed := int64(1); seed <= 2; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := testcluster.Start(t, testcluster.Options{Nodes: 3, Seed: seed})
				kept := archive(t, c, 3)
				left := c.WaitLeader()
				if seed == 2 {
					left = left%3 + 1
				}
				decided := c.View(left).Decided()
				for _, i := range c.Nodes() {
					if i != left {
						c.Kill(i)
					}
				}
				began := time.Now()
				for n := 0; time.Since(began) < 10*time.Minute && !t.Failed(); n++ {
					var asking sync.WaitGroup // both while a leader still believes that it leads
					asking.Go(func() {
						if _, err := c.Client(left).Chain(t.Context(), "a0", client.At(api.Linearizable), client.Within(time.Second)); err == nil {
							t.Error("a linearizable read was answered without a quorum")
						}
					})
					_, err := c.Client(left).PutChain(t.Context(), fmt.Sprintf("lost-%d", n), spec(1), client.Within(time.Second))
					if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != api.NoLeader && p.Code != api.OutcomeUnknown {
						t.Errorf("a write without a quorum was answered %v", err)
					}
					asking.Wait()
					got, err := c.Client(left).Chain(t.Context(), "a0", client.At(api.Stale))
					if err != nil || got.Content == nil || got.Content.SHA256 != hashOf(kept["a0"]) {
						t.Errorf("a stale read without a quorum: %+v, %v", got, err)
					}
					c.Advance(20 * time.Second)
				}
				if now := c.View(left).Decided(); now != decided {
					t.Errorf("a decision was made without a quorum, at revision %d", now)
				}
				for _, i := range c.Nodes() {
					if i != left {
						c.Restart(i)
					}
				}
				c.Settle()
				if _, err := c.Client().PutChain(t.Context(), "after", spec(3)); err != nil {
					t.Error(err)
				}
				wantArchive(t, c, kept)
			})
		})
	}
}

// A zone dies with two of five voters: standbys of the other zones take their
// place, so that two more may die. When the zone is back it votes again.
func TestZoneOfVotersDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 9, Zones: []string{"a", "b", "c"}})
		kept := archive(t, c, 2)
		dead := []int{1, 4, 7} // zone a: n1 and n4 vote from the beginning
		voting := c.Node(c.WaitLeader()).Node().Status().Voters
		if !slices.Contains(voting, c.ID(1)) || !slices.Contains(voting, c.ID(4)) {
			t.Fatalf("the voters are %v: the test needs n1 and n4 among them", voting)
		}
		for _, i := range dead {
			c.Kill(i)
		}
		c.WaitFor("five vote, all of which run", 2*time.Minute, func() bool { return votersRun(c, 5) })
		wantArchive(t, c, kept)
		more := 0
		for _, id := range c.Node(c.WaitLeader()).Node().Status().Voters {
			if more < 2 {
				more++
				c.Kill(c.Number(id))
				dead = append(dead, c.Number(id))
			}
		}
		if _, err := c.Client(alive(c)...).PutChain(t.Context(), "meanwhile", spec(1), client.Within(30*time.Second)); err != nil {
			t.Errorf("with three of five voters left: %v", err)
		}
		for _, i := range dead {
			c.Restart(i)
		}
		c.WaitFor("the voters are spread over the zones again", 5*time.Minute, func() bool {
			zones, leader := map[string]int{}, c.Leader()
			if leader == 0 || !votersRun(c, 5) {
				return false
			}
			for _, id := range c.Node(leader).Node().Status().Voters {
				zones[c.View(leader).Node(id).Zone]++
			}
			return len(zones) == 3 && max(zones["a"], zones["b"], zones["c"]) == 2
		})
		c.Settle()
		wantArchive(t, c, kept)
	})
}

// A node dies and comes back every few seconds. The others quarantine it: it
// keeps the copies that it has and gets no others, until it has run for ten
// minutes; then it is given its share again.
func TestFlappingNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 5})
		kept := archive(t, c, 5)
		flaps := 5
		if c.WaitLeader() == flaps {
			flaps = 4
		}
		eligibility := func() placement.Eligibility { return c.View(c.WaitLeader()).Node(c.ID(flaps)).Eligibility }
		held := copiesOn(c, c.WaitLeader(), flaps)
		for range 8 {
			c.Kill(flaps)
			c.Advance(4 * time.Second)
			c.Restart(flaps)
			c.WaitFor("it is back", time.Minute, func() bool { return atHome(c, nil) })
			c.Advance(3 * time.Second)
		}
		if got := eligibility(); got != placement.NodeQuarantined {
			t.Fatalf("after eight falls the node is %s", got)
		}
		decided := len(c.Decisions())
		create(t, c, 6)
		c.Settle()
		if now := copiesOn(c, c.WaitLeader(), flaps); now != held {
			t.Errorf("the quarantined node has %d copies, %d before", now, held)
		}
		for _, r := range c.Decisions()[decided:] {
			if d := r.Decision; r.Verdict == placement.Accepted && (d.From == c.ID(flaps) || d.To == c.ID(flaps)) {
				t.Errorf("while the node was quarantined: %+v", d)
			}
		}
		wantArchive(t, c, kept)
		c.Advance(10 * time.Minute)
		if got := eligibility(); got != placement.Eligible {
			t.Errorf("after ten quiet minutes the node is %s", got)
		}
		c.Settle()
		if now := copiesOn(c, c.WaitLeader(), flaps); now <= held {
			t.Errorf("the node that is trusted again has %d copies, %d before: it gets none", now, held)
		}
	})
}
