package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// instantFuture is an entry that is committed as soon as it is proposed.
type instantFuture struct {
	raft.ApplyFuture
	results []fsm.Result
}

func (instantFuture) Error() error    { return nil }
func (f instantFuture) Response() any { return f.results }

// BenchmarkPropose: what the proposer itself costs an operation, from sixteen
// callers with a hundred decisions at a time: no log, no state machine.
func BenchmarkPropose(b *testing.B) {
	const callers, size = 16, 100
	ops := 0
	p := &proposer{
		apply: func([]byte, time.Duration) raft.ApplyFuture { return instantFuture{results: make([]fsm.Result, ops)} },
		stamp: func() placement.Time { return 1 }, level: func() int { return 1 }, deny: func() error { return ErrStopped },
		wall:  time.Now,
		count: func(n int) { ops = n }, queue: make(chan *proposal, proposalsMax), closed: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(b.Context())
	var all, running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	var batch []fsm.Op
	for i := range size {
		batch = append(batch, fsm.Op{Actor: "scheduler", Reason: "first-copy: 0 of 1 copies are there", Body: fsm.NewDecide(placement.Decision{
			Kind: placement.KindAssign, Cause: placement.CauseRepair, Chain: placement.ChainID(fmt.Sprintf("chain-%07d", i)), ChainRevision: 123456, To: "node-0001",
			Mode: placement.PlaceFirst, Reason: placement.Reason{Name: placement.ReasonFirstCopy, Detail: "0 of 1 copies are there"},
		})})
	}
	calls := make(chan struct{})
	for range callers {
		all.Go(func() {
			for range calls {
				if results, err := p.propose(ctx, fence{}, batch...); err != nil || len(results) != size {
					b.Error(len(results), err)
				}
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		calls <- struct{}{}
	}
	close(calls)
	all.Wait()
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "operations/s")
	cancel()
	running.Wait()
}
