package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// What design section 8 measures decisions with.
const (
	proposers  = 16
	batchSize  = 100
	applyReach = 0.7
	// With states as small as these the garbage collector would run without a
	// pause; in a real cluster's heap it seldom does.
	applyGCPercent = 400
)

// Apply measures decisions that are committed: proposed by sixteen callers in
// batches of a hundred, replicated, synced and applied, beside bare raft with
// entries of the same size on the same disk, on one server and on three.
func Apply(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, remove, err := cfg.directory()
	if err != nil {
		return nil, err
	}
	defer remove()
	defer debug.SetGCPercent(debug.SetGCPercent(applyGCPercent))
	r := new(Report)
	r.add(Figure{Key: "proposers", What: "proposers", Value: proposers}, Figure{Key: "batch", What: "decisions a batch", Value: batchSize})
	for _, servers := range []int{1, 3} {
		cfg.progress("decisions, servers: %d", servers)
		if err := race(ctx, cfg, dir, servers, r); err != nil {
			return nil, err
		}
	}
	r.note("A decision is the assignment of a chain's first copy to a node, or its calling off. Bare raft: hashicorp/raft with raft-boltdb and a state")
	r.note("machine that does nothing; as many callers, entries of the same size. Both take turns on the same disk, at GOGC=%d.", applyGCPercent)
	return r, nil
}

// race measures one size of cluster.
func race(ctx context.Context, cfg Config, dir string, servers int, r *Report) (err error) {
	c, err := newNodes(ctx, dir, servers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	decisions, err := newDecisions(ctx, c)
	if err != nil {
		return err
	}
	b, err := newBare(ctx, dir, servers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	d, err := openDisk(dir)
	if err != nil {
		return err
	}
	defer d.close()
	ours := &crowd{size: proposers, do: func(caller int) (int, error) { return decisions[caller].next(ctx) }}
	entries, err := decisions[0].entries()
	if err != nil {
		return err
	}
	turns := make([]int, proposers)
	raw := &crowd{size: proposers, do: func(caller int) (int, error) {
		turns[caller]++
		return batchSize, b.propose(entries[turns[caller]%len(entries)])
	}}
	if err := inTurn(ctx, cfg.Length, raw.measure, ours.measure); err != nil {
		return err
	}
	if err := d.measure(ctx, min(cfg.Length, time.Second)); err != nil {
		return err
	}
	key, on := "", " on one server"
	if servers > 1 {
		key, on = fmt.Sprintf("_%d", servers), fmt.Sprintf(" on %d servers", servers)
	}
	r.add(
		Figure{
			Key: "decisions_per_second" + key, What: "decisions committed" + on, Value: ours.rate(), Unit: PerSecond,
			Goal: AtLeast, Limit: raw.rate(), Reach: applyReach, Against: "of bare raft",
		},
		Figure{Key: "bare_per_second" + key, What: "the same entries through bare raft" + on, Value: raw.rate(), Unit: PerSecond},
		Figure{Key: "entry_bytes" + key, What: "bytes of such an entry", Value: float64(len(entries[0])+len(entries[1])) / 2, Unit: Bytes},
		Figure{Key: "fsyncs_per_second" + key, What: "writes of a page, each synced", Value: d.rate(), Unit: PerSecond},
	)
	return nil
}

// decisions is one caller's batch of chains: it assigns all of them to a node,
// calls that off, and so on.
type decisions struct {
	nodes  *nodes
	target placement.NodeID
	chains []placement.Decision // the next one of each chain
}

// newDecisions makes the chains of all callers.
func newDecisions(ctx context.Context, c *nodes) ([]*decisions, error) {
	var all []*decisions
	var targets []placement.NodeID
	c.leader.View().Nodes.Ascend("", func(id placement.NodeID, _ *placement.Node) bool {
		targets = append(targets, id)
		return true
	})
	for caller := range proposers {
		d := &decisions{nodes: c, target: targets[caller%len(targets)]}
		var ops []fsm.Op
		for i := range batchSize {
			ops = append(ops, op(fsm.NewPutChain(chainName(caller*batchSize+i), placement.Spec{Desired: 1})))
		}
		results, err := c.propose(ctx, ops...)
		if err != nil {
			return nil, err
		}
		for _, res := range results {
			d.chains = append(d.chains, d.following(res.Chain))
		}
		all = append(all, d)
	}
	return all, nil
}

// following is the decision that comes next for a chain.
func (d *decisions) following(c *placement.Chain) placement.Decision {
	next := placement.Decision{
		Kind: placement.KindAssign, Cause: placement.CauseRepair, Chain: c.ID, ChainRevision: c.Revision, To: d.target,
		Mode: placement.PlaceFirst, ScoreFrom: placement.NoScore, ScoreTo: placement.NoScore,
		Reason: placement.Reason{Name: placement.ReasonFirstCopy, Detail: "0 of 1 copies are there"},
	}
	if len(c.Moves) > 0 {
		next.Kind, next.Move, next.To = placement.KindCallOff, c.Moves[0].ID, ""
		next.Reason = placement.Reason{Name: placement.ReasonTargetLost, Detail: "the benchmark goes on"}
	}
	return next
}

func (d *decisions) ops() []fsm.Op {
	ops := make([]fsm.Op, len(d.chains))
	for i, next := range d.chains {
		ops[i] = fsm.Op{Actor: "scheduler", Reason: next.Reason.String(), Body: fsm.NewDecide(next)}
	}
	return ops
}

// next commits one batch.
func (d *decisions) next(ctx context.Context) (int, error) {
	results, err := d.nodes.propose(ctx, d.ops()...)
	if err != nil {
		return 0, err
	}
	for i, res := range results {
		d.chains[i] = d.following(res.Chain)
	}
	return len(results), nil
}

// entries returns the bytes of the two batches that a caller proposes in turn.
func (d *decisions) entries() ([2][]byte, error) {
	var both [2][]byte
	for i := range both {
		data, err := fsm.EncodeBatch(fsm.Batch{Now: d.nodes.leader.View().Now, Wall: time.Now(), Ops: d.ops()})
		if err != nil {
			return both, err
		}
		both[i] = data
		if _, err := d.next(context.Background()); err != nil {
			return both, err
		}
	}
	return both, nil
}
