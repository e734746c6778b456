package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// quietScorer leaves all decisions to the benchmark: to it no node is fit for
// any chain, so the leader's own scheduler looks and decides nothing.
type quietScorer struct{}

func (quietScorer) Score(placement.ChainID, placement.NodeID) (float64, bool) { return 0, false }

func (quietScorer) BestAlternative(placement.ChainID, []placement.NodeID) (placement.NodeID, float64, bool) {
	return "", 0, false
}

// Eligible implements scheduler.Eligibility.
func (quietScorer) Eligible(placement.ChainID, placement.NodeID) (string, bool) {
	return "the benchmark decides", false
}

// nodes is a cluster of real nodes on loopback whose copies nobody makes.
type nodes struct {
	all    []*cluster.Node
	leader *cluster.Node
	stop   context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// newNodes starts so many nodes and waits until all of them may be given
// copies, with budgets that are never used up.
func newNodes(ctx context.Context, dir string, count int) (*nodes, error) {
	running, stop := context.WithCancel(context.Background())
	c := &nodes{stop: stop}
	seed := "127.0.0.1:1" // nobody is there; the others will come
	for i := range count {
		registry := new(scheduler.Registry)
		registry.Install(quietScorer{})
		name := fmt.Sprintf("n%d", i+1)
		cfg := cluster.Config{
			Node: placement.NodeID(name), DataDir: filepath.Join(dir, fmt.Sprintf("nodes-%d-%s", count, name)), Cluster: "bench",
			BootstrapExpect: count, Listen: "127.0.0.1:0", Profile: cluster.ProfileLAN, Registry: registry,
		}
		if count > 1 {
			cfg.Join = []string{seed}
		}
		n, err := cluster.New(cfg)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.run(running, n)
		select {
		case <-n.Bound():
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), c.close())
		}
		if i == 0 {
			seed = n.Address()
		}
		c.all = append(c.all, n)
	}
	if err := c.settle(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *nodes) run(ctx context.Context, n *cluster.Node) {
	c.ended.Go(func() {
		if err := n.Run(ctx); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.errs = append(c.errs, err)
		}
	})
}

// settle waits for a leader that knows all nodes, and reports for each that it
// holds nothing.
func (c *nodes) settle(ctx context.Context) error {
	if err := until(ctx, fmt.Sprintf("%d nodes form a cluster", len(c.all)), func() bool {
		for _, n := range c.all {
			if n.Status().IsLeader && n.View().Nodes.Len() == len(c.all) {
				c.leader = n
				return true
			}
		}
		return false
	}); err != nil {
		return err
	}
	view := c.leader.View()
	config := view.Config
	config.MovesMax, config.RepairMovesInMax = 1<<20, 1<<20
	ops := []fsm.Op{op(fsm.NewPutConfig(config))}
	view.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		ops = append(ops, op(&fsm.Report{Node: id, Lineage: view.Lineage, Incarnation: n.Incarnation, Inventory: true, Revision: view.Revision}))
		return true
	})
	_, err := c.propose(ctx, ops...)
	return err
}

func op(body fsm.Body) fsm.Op { return fsm.Op{Actor: "bench", Reason: "bench", Body: body} }

// propose commits operations, all of which must be accepted.
func (c *nodes) propose(ctx context.Context, ops ...fsm.Op) ([]fsm.Result, error) {
	results, err := c.leader.Propose(ctx, ops...)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if !r.OK() {
			return nil, fmt.Errorf("an operation was refused: %s: %s", r.Code, r.Detail)
		}
	}
	return results, nil
}

// close stops all nodes and waits for them.
func (c *nodes) close() error {
	c.stop()
	c.ended.Wait()
	return errors.Join(c.errs...)
}
