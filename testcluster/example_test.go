package testcluster_test

import (
	"testing"
	"testing/synctest"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// A failover in twenty lines: what a client wrote before the leader died is
// there afterwards, and all its copies are rebuilt without anybody's help.
func TestFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 4})
		_, err := c.Client().PutChain(t.Context(), "orders", api.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		c.Settle() // three copies

		old := c.WaitLeader()
		c.Kill(old)
		c.WaitLeader()
		c.Settle() // three copies again, on the nodes that are left

		chain, err := c.Client().Chain(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if chain.Health != "healthy" {
			t.Errorf("chain orders is %s, want healthy", chain.Health)
		}
	})
}
