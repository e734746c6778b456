package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// slowLog is raft as a proposer sees it: each entry is applied to a state
// machine after a while, or fails.
type slowLog struct {
	mu      sync.Mutex
	machine *fsm.Machine
	entries []int // operations of each entry
	largest int   // bytes
	fail    error
}

type slowFuture struct {
	raft.ApplyFuture
	log      *slowLog
	index    int
	data     []byte
	err      error
	response any
}

func (l *slowLog) apply(data []byte, _ time.Duration) raft.ApplyFuture {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, err := fsm.DecodeBatch(data)
	if err != nil {
		panic(err)
	}
	l.entries = append(l.entries, len(batch.Ops))
	l.largest = max(l.largest, len(data))
	f := &slowFuture{log: l, data: data, err: l.fail, index: len(l.entries)}
	if f.err == nil {
		f.response, _ = l.machine.Apply(uint64(f.index), 1, data)
	}
	return f
}

func (f *slowFuture) Error() error {
	time.Sleep(10 * time.Millisecond)
	return f.err
}

func (f *slowFuture) Response() any { return f.response }

// proposing runs a proposer over a slow log in a bubble.
func proposing(t *testing.T, scenario func(*proposer, *slowLog, context.CancelFunc)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{machine: fsm.New()}
		p := &proposer{
			apply: log.apply, stamp: func() placement.Time { return 1 }, wall: time.Now, level: func() int { return 1 },
			deny: func() error { return &NotLeaderError{} }, count: func(int) {},
			queue: make(chan *proposal, proposalsMax), closed: make(chan struct{}),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.run(ctx) }()
		if _, err := p.propose(ctx, fence{}, fsm.Op{Body: &fsm.Genesis{ClusterID: "c", Name: "n", Lineage: "l"}}); err != nil {
			t.Fatal(err)
		}
		scenario(p, log, cancel)
		cancel()
		<-done
	})
}

func put(id string) fsm.Op {
	return fsm.Op{Actor: "test", Body: fsm.NewPutChain(placement.ChainID(id), placement.Spec{Desired: 1, Weight: 1e6, Policy: placement.PolicyEager})}
}

// What many callers propose at once shares entries, each within the limits,
// and each caller gets the answer to its own operations.
func TestCoalescing(t *testing.T) {
	proposing(t, func(p *proposer, log *slowLog, _ context.CancelFunc) {
		var callers sync.WaitGroup
		for i := range 2000 {
			callers.Go(func() {
				id := fmt.Sprintf("c%04d", i)
				results, err := p.propose(context.Background(), fence{}, put(id), put(id))
				if err != nil || len(results) != 2 || results[0].Chain == nil || string(results[0].Chain.ID) != id || !results[0].Created || results[1].Created {
					t.Errorf("caller %d: got %v, %v", i, results, err)
				}
			})
		}
		callers.Wait()
		if len(log.entries) > 40 {
			t.Errorf("4000 operations took %d entries", len(log.entries))
		}
		for _, ops := range log.entries {
			if ops > fsm.BatchOpsMax {
				t.Errorf("an entry has %d operations", ops)
			}
		}
		if log.largest > fsm.BatchBytesMax {
			t.Errorf("an entry has %d bytes", log.largest)
		}
	})
}

// A batch that is bound to a term shares its entry with nobody; one that is
// too large is refused before it is proposed.
func TestFenceAndLimits(t *testing.T) {
	proposing(t, func(p *proposer, log *slowLog, _ context.CancelFunc) {
		var callers sync.WaitGroup
		for i := range 50 {
			callers.Go(func() {
				f := fence{}
				if i%5 == 0 {
					f = fence{term: 1}
				}
				if _, err := p.propose(context.Background(), f, put(fmt.Sprintf("c%d", i)), put("x"), put("y")); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		alone := 0
		for _, ops := range log.entries {
			if ops == 3 {
				alone++
			}
		}
		if alone < 10 {
			t.Errorf("only %d of 10 fenced batches are alone in their entry: %v", alone, log.entries)
		}
		before := len(log.entries)
		_, err := p.propose(context.Background(), fence{}, make([]fsm.Op, 0)...)
		if err != nil || len(log.entries) != before+1 {
			t.Errorf("a tick: %v, %d entries more", err, len(log.entries)-before)
		}
		var large []fsm.Op
		for i := range fsm.BatchOpsMax + 1 {
			large = append(large, put(strconv.Itoa(i)))
		}
		_, err = p.propose(context.Background(), fence{}, large...)
		if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Code != placement.Invalid {
			t.Errorf("513 operations: got %v", err)
		}
	})
}

// Every error of raft says truthfully whether the operations may have been
// applied.
func TestFates(t *testing.T) {
	for _, c := range []struct {
		raft error
		want string
	}{
		{raft.ErrNotLeader, "no"},
		{raft.ErrLeadershipTransferInProgress, "no"},
		{raft.ErrEnqueueTimeout, "no"},
		{raft.ErrAbortedByRestore, "aborted"},
		{raft.ErrLeadershipLost, "unknown"},
		{raft.ErrRaftShutdown, "unknown"},
		{errors.New("anything else"), "unknown"},
	} {
		t.Run(c.raft.Error(), func(t *testing.T) {
			proposing(t, func(p *proposer, log *slowLog, _ context.CancelFunc) {
				log.mu.Lock()
				log.fail = c.raft
				log.mu.Unlock()
				_, err := p.propose(context.Background(), fence{}, put("a"))
				got := "no"
				if _, not := errors.AsType[*NotLeaderError](err); !not {
					got = "other"
				}
				if errors.Is(err, ErrOutcomeUnknown) {
					got = "unknown"
				}
				if errors.Is(err, ErrAborted) {
					got = "aborted"
				}
				if got != c.want {
					t.Errorf("got %s (%v), want %s", got, err, c.want)
				}
			})
		})
	}
}

// When a reign ends, nobody is left waiting: what is in flight gets its
// answer, what was not sent is denied, and later callers are denied.
func TestProposerEnds(t *testing.T) {
	proposing(t, func(p *proposer, log *slowLog, end context.CancelFunc) {
		var callers sync.WaitGroup
		var mu sync.Mutex
		applied, denied := 0, 0
		for i := range 1000 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Microsecond)
				_, err := p.propose(context.Background(), fence{}, put(fmt.Sprintf("c%d", i)))
				mu.Lock()
				defer mu.Unlock()
				if _, not := errors.AsType[*NotLeaderError](err); not {
					denied++
				} else if err == nil {
					applied++
				} else {
					t.Error(err)
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		end()
		callers.Wait()
		if got := log.machine.View().Chains.Len(); got != applied || applied == 0 || denied == 0 {
			t.Errorf("%d chains exist, %d callers were told so, %d were denied", got, applied, denied)
		}
	})
}
