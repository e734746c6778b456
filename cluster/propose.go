package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Limits of the proposer.
const (
	proposalsMax   = 4096 // calls that wait for their entry
	entriesMax     = 4    // entries in flight
	entryOverhead  = 128  // bytes of an entry besides its operations
	enqueueTimeout = 2 * time.Second
)

// fence binds a batch to the view it was made on (rule S11). The zero fence
// binds it to nothing, so that it may share an entry with others.
type fence struct {
	term     uint64
	configAt placement.Generation
}

type proposal struct {
	ops   []fsm.Encoded
	bytes int
	fence fence
	done  chan outcome // has room for the one outcome
}

type outcome struct {
	results []fsm.Result
	err     error
}

// proposer turns the operations of many callers into log entries while one
// reign lasts. While entries are in flight, what arrives shares the next one.
type proposer struct {
	apply  func(data []byte, timeout time.Duration) raft.ApplyFuture
	stamp  func() placement.Time
	wall   func() time.Time
	level  func() int
	deny   func() error // what a caller is told once the reign is over
	count  func(ops int)
	queue  chan *proposal
	closed chan struct{} // nothing is taken from the queue any more
}

func newProposer(n *Node, clock *leaderClock, r *raft.Raft) *proposer {
	return &proposer{
		apply: r.Apply,
		stamp: clock.read,
		wall:  n.cfg.Wall,
		level: func() int { return n.View().FeatureLevel },
		deny:  func() error { return n.notLeader() },
		count: func(ops int) {
			n.cfg.Metrics.Entries.Add(1)
			n.cfg.Metrics.Operations.Add(float64(ops))
		},
		queue:  make(chan *proposal, proposalsMax),
		closed: make(chan struct{}),
	}
}

// propose puts operations into the log and returns their answers, in order.
// An error is a refusal of the whole, says that nothing was applied
// (*NotLeaderError), or wraps ErrOutcomeUnknown.
func (p *proposer) propose(ctx context.Context, f fence, ops ...fsm.Op) ([]fsm.Result, error) {
	one := &proposal{ops: make([]fsm.Encoded, len(ops)), fence: f, done: make(chan outcome, 1)}
	for i := range ops {
		var err error
		if one.ops[i], err = ops[i].Encode(); err != nil {
			return nil, &RefusedError{placement.Invalid, err.Error()}
		}
		one.bytes += one.ops[i].Size()
	}
	if len(ops) > fsm.BatchOpsMax || one.bytes > fsm.BatchBytesMax-entryOverhead {
		return nil, &RefusedError{placement.Invalid, fmt.Sprintf("%d operations of %d bytes in one write: at most %d and %d are allowed", len(ops), one.bytes, fsm.BatchOpsMax, fsm.BatchBytesMax-entryOverhead)}
	}
	select {
	case p.queue <- one:
	case <-p.closed:
		return nil, p.deny()
	case <-ctx.Done():
		return nil, fmt.Errorf("not proposed: %w", ctx.Err())
	}
	select {
	case o := <-one.done:
		return o.results, o.err
	case <-p.closed:
		return p.last(one)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
	}
}

// last tells a caller how it ended when the proposer has closed: by then each
// proposal has its outcome, except one that came into the queue too late.
func (p *proposer) last(one *proposal) ([]fsm.Result, error) {
	select {
	case o := <-one.done:
		return o.results, o.err
	default:
		return nil, p.deny()
	}
}

// run sends entries until ctx ends, then waits for those in flight.
func (p *proposer) run(ctx context.Context) {
	var flying sync.WaitGroup
	defer close(p.closed)
	defer flying.Wait()
	slots := make(chan struct{}, entriesMax)
	var next *proposal
	for {
		if next == nil {
			select {
			case next = <-p.queue:
			case <-ctx.Done():
				return
			}
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			next.done <- outcome{err: p.deny()}
			return
		}
		var batch []*proposal
		batch, next = p.gather(next)
		future, ops := p.send(batch)
		if future == nil {
			<-slots
			continue
		}
		flying.Go(func() {
			defer func() { <-slots }()
			p.settle(batch, future, ops)
		})
	}
}

// gather takes what else is waiting, as far as it fits into first's entry. It
// also returns the proposal that did not fit, if one was taken.
func (p *proposer) gather(first *proposal) (batch []*proposal, rest *proposal) {
	batch = []*proposal{first}
	ops, bytes := len(first.ops), first.bytes
	if first.fence != (fence{}) {
		return batch, nil
	}
	for {
		select {
		case one := <-p.queue:
			ops, bytes = ops+len(one.ops), bytes+one.bytes
			if ops > fsm.BatchOpsMax || bytes > fsm.BatchBytesMax-entryOverhead || one.fence != (fence{}) {
				return batch, one
			}
			batch = append(batch, one)
		default:
			return batch, nil
		}
	}
}

// send encodes one entry and hands it to raft. Without a future the batch has
// been answered.
func (p *proposer) send(batch []*proposal) (future raft.ApplyFuture, ops int) {
	entry := fsm.Batch{
		Level: p.level(), Now: p.stamp(), Wall: p.wall(),
		Term: batch[0].fence.term, ConfigAt: batch[0].fence.configAt,
	}
	var all []fsm.Encoded
	for _, one := range batch {
		all = append(all, one.ops...)
	}
	data, err := fsm.EncodeEntry(entry, all)
	if err != nil {
		for _, one := range batch {
			one.done <- outcome{err: &RefusedError{placement.Invalid, err.Error()}}
		}
		return nil, 0
	}
	p.count(len(all))
	return p.apply(data, enqueueTimeout), len(all)
}

// settle waits for an entry's fate and tells the callers.
func (p *proposer) settle(batch []*proposal, future raft.ApplyFuture, ops int) {
	results, err := p.fate(future, ops)
	for _, one := range batch {
		o := outcome{err: err}
		if err == nil {
			o.results, results = results[:len(one.ops):len(one.ops)], results[len(one.ops):]
		}
		one.done <- o
	}
}

func (p *proposer) fate(future raft.ApplyFuture, ops int) ([]fsm.Result, error) {
	err := future.Error()
	switch {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return nil, p.deny()
	case errors.Is(err, raft.ErrAbortedByRestore):
		return nil, ErrAborted
	default:
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	switch response := future.Response().(type) {
	case []fsm.Result:
		if len(response) == ops {
			return response, nil
		}
		return nil, fmt.Errorf("%w: %d answers to %d operations", ErrOutcomeUnknown, len(response), ops)
	case error:
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, response)
	}
	return nil, fmt.Errorf("%w: no answer from the state machine", ErrOutcomeUnknown)
}
