package testcluster_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// chaos breaks a cluster by chance, never more than a minority at a time.
type chaos struct {
	*testcluster.Cluster
	t      *testing.T
	rng    *rand.Rand
	cut    bool
	bodies map[string][]byte // what was acknowledged last, by chain
	writes uint64
}

// step does one thing to the cluster, and lets some time pass.
func (c *chaos) step() {
	i := 1 + c.rng.IntN(c.Len())
	down := 0
	for _, j := range c.Nodes() {
		if !c.Running(j) {
			down++
		}
	}
	switch what := c.rng.IntN(10); {
	case !c.Running(i):
		c.t.Logf("restart %d", i)
		c.Restart(i)
	case c.cut && what < 5:
		c.t.Logf("heal")
		c.Heal()
		c.cut = false
	case what < 3 && down == 0 && !c.cut:
		c.t.Logf("partition %d", i)
		c.Partition([]int{i})
		c.cut = true
	case what < 5 && down+1 < (c.Len()+1)/2 && !c.cut:
		c.t.Logf("kill %d", i)
		c.Kill(i)
	case what < 6 && down+1 < (c.Len()+1)/2 && !c.cut:
		c.t.Logf("stop %d", i)
		c.Stop(i)
	case what < 7 && down == 0 && !c.cut:
		c.t.Logf("wipe %d", i)
		c.Settle() // one disk at a time
		c.Wipe(i)
	default:
		c.write(i)
	}
	c.Advance(time.Duration(c.rng.Int64N(int64(20 * time.Second))))
}

// write puts new content on a chain through node i, if that can be done now.
// What was not acknowledged may be there or not, until it is settled.
func (c *chaos) write(i int) {
	id := fmt.Sprintf("c%d", c.rng.IntN(4))
	c.writes++
	data, _ := content(c.writes, 1+c.rng.IntN(50_000))
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	_, err := c.Client(i).PutContent(ctx, id, bytes.NewReader(data), int64(len(data)), client.Within(5*time.Second))
	c.t.Logf("put %s through %d: %v", id, i, err)
	if err == nil {
		c.bodies[id] = data
	} else {
		delete(c.bodies, id)
	}
}

// Whatever happens to a minority, in any order, breaks no invariant, and at the
// end everything heals: all copies are there, and what was acknowledged last
// of each chain is read from every node. HOLDFAST_SEED repeats one run's faults.
func TestChaos(t *testing.T) {
	first, count := int64(1), int64(4)
	if n, err := strconv.ParseInt(os.Getenv("HOLDFAST_SEED"), 10, 64); err == nil {
		first, count = n, 1
	}
	if n, err := strconv.ParseInt(os.Getenv("HOLDFAST_SEEDS"), 10, 64); err == nil {
		count = n
	}
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chaos{
					Cluster: testcluster.Start(t, testcluster.Options{Nodes: 5, Seed: seed, Zones: []string{"a", "b", "c"}, Replicated: func(cfg *placement.Config) {
						cfg.Cooldown, cfg.RepairDelay = time.Minute, 10*time.Second
					}}),
					t: t, rng: rand.New(rand.NewPCG(uint64(seed), 7)), bodies: map[string][]byte{},
				}
				create(t, c.Cluster, 4)
				for range 25 {
					c.step()
				}
				c.Heal()
				for _, i := range c.Nodes() {
					if !c.Running(i) {
						c.Restart(i)
					}
				}
				c.Settle()
				for id, data := range c.bodies {
					wantContent(t, c.Cluster, id, data, hashOf(data))
				}
			})
		})
	}
}
