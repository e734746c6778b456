package testcluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// TestQuietClusterWritesNothing: once no timer runs any more, a cluster that
// holds chains commits no entry at all, however long it lives; and a chain
// that cools keeps cluster time going until its cooldown is over.
func TestQuietClusterWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 3})
		desired := 2
		for _, id := range []string{"a", "b"} {
			if _, err := c.Client().PutChain(t.Context(), id, api.Spec{Desired: &desired}); err != nil {
				t.Fatal(err)
			}
		}
		c.Settle()
		at := c.View(c.WaitLeader()).Now
		c.Advance(30 * time.Second)
		if now := c.View(c.WaitLeader()).Now; now.Sub(at) < 25*time.Second {
			t.Errorf("a remembered answer waits on time, and cluster time went on by %v in 30 s", now.Sub(at))
		}
		c.Advance(12 * time.Minute) // answers are forgotten, move deadlines have passed
		before := c.View(c.WaitLeader()).Index
		c.Advance(10 * time.Minute)
		if after := c.View(c.WaitLeader()).Index; after != before {
			t.Errorf("a quiet cluster wrote %d entries in ten minutes", after-before)
		}
	})
}
