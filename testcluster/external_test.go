package testcluster_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// program is a runner outside of its node: it asks for its assignments and
// reports over HTTP, in the contract's words and no others.
type program struct {
	api  *client.Client
	node string
	held map[string]uint64 // chain → epoch
	told uint64            // the incarnation that has had the inventory
}

// run works until ctx ends.
func (p *program) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.work(ctx)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// work does what is asked of the node now. What fails is done again.
func (p *program) work(ctx context.Context) {
	a, err := p.api.Assignments(ctx, p.node)
	if err != nil || a.Incarnation == 0 {
		return
	}
	r := api.Reports{Lineage: a.Lineage, Incarnation: a.Incarnation, Inventory: p.told != a.Incarnation, Reports: []api.Report{}}
	if r.Inventory {
		for chain, epoch := range p.held {
			r.Reports = append(r.Reports, api.Report{Chain: chain, Epoch: epoch, Phase: "ready"})
		}
	} else {
		for _, one := range a.Assignments {
			switch one.Phase {
			case "pulling":
				p.held[one.Chain] = one.Epoch
				r.Reports = append(r.Reports, api.Report{Chain: one.Chain, Epoch: one.Epoch, Phase: "ready"})
			case "dropping":
				delete(p.held, one.Chain)
				r.Reports = append(r.Reports, api.Report{Chain: one.Chain, Epoch: one.Epoch, Phase: "dropped"})
			}
		}
	}
	if _, err := p.api.Report(ctx, p.node, r); err == nil && r.Inventory {
		p.told = a.Incarnation
	}
}

// An external runner that comes back with nothing says so in its inventory, and
// gets its copies anew.
func TestExternalRunnerLosesCopies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		programs := map[int]*program{}
		c := testcluster.Start(t, testcluster.Options{Nodes: 3, Config: func(_ int, cfg *agent.Config) {
			cfg.Runner = agent.External
		}})
		ends := map[int]func(){}
		begin := func(i int) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			p := &program{api: c.Client(i), node: string(c.ID(i)), held: map[string]uint64{}}
			programs[i] = p
			go func() {
				defer close(done)
				p.run(ctx)
			}()
			ends[i] = func() { cancel(); <-done }
		}
		for _, i := range c.Nodes() {
			begin(i)
		}
		defer func() {
			for _, end := range ends {
				end()
			}
		}()
		create(t, c, 3)
		c.Settle()
		ends[2]()
		c.Kill(2)
		c.Restart(2)
		begin(2)
		c.Settle()
		ends[2]()
		if held := len(programs[2].held); held != 3 {
			t.Errorf("the program that had lost its copies has %d of 3 again", held)
		}
	})
}
