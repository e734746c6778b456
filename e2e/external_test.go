//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

func chainSpec(desired int) api.Spec { return api.Spec{Desired: &desired} }

// TestExternalRunner: with --runner external a program of any language drives
// its node's copies over HTTP. This test is that program: it reads what the
// node should hold and says what it has done, until the chain has its copy.
func TestExternalRunner(t *testing.T) {
	m := boot(t, 1, "--runner", "external")
	c := m.client(1)
	if _, err := c.PutChain(t.Context(), "shard-1", chainSpec(1)); err != nil {
		t.Fatal(err)
	}
	held := map[string]uint64{}
	told := uint64(0) // the incarnation that has the inventory
	m.eventually(time.Minute, "the chain has its live copy", func() error {
		a, err := c.Assignments(t.Context(), "n1")
		if err != nil {
			return err
		}
		report := api.Reports{Lineage: a.Lineage, Incarnation: a.Incarnation, Inventory: told != a.Incarnation}
		for _, x := range a.Assignments {
			if x.Phase == "pulling" {
				held[x.Chain] = x.Epoch
			}
		}
		for chain, epoch := range held {
			report.Reports = append(report.Reports, api.Report{Chain: chain, Epoch: epoch, Phase: "ready"})
		}
		if _, err := c.Report(t.Context(), "n1", report); err != nil {
			return err
		}
		told = a.Incarnation
		chain, err := c.Chain(t.Context(), "shard-1")
		if err == nil && chain.Health != "healthy" {
			err = fmt.Errorf("chain shard-1 is %s: %+v", chain.Health, chain.Holders)
		}
		return err
	})
}
