package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Limits of the proofs.
const (
	proofsMax    = 4096 // reads that wait for one
	proofTimeout = 2 * time.Second
)

// proofs proves to linearizable reads that their leader still leads: of the
// voters that were asked after the read had begun, a majority has not got to a
// later term. Whoever was elected later had the votes of a majority, and a voter
// has a term before it votes in it.
//
// raft's VerifyLeader does not prove it. It counts each answer of a follower
// that comes in from now on, also one that was given earlier: a leader that was
// paused with a heartbeat in flight finds the answer when it goes on, and takes
// itself for the leader when another one is.
type proofs struct {
	voters func() (others []raft.Server, self bool)
	leads  func() bool
	term   func(ctx context.Context, voter raft.Server) (uint64, error)
	deny   func() error // what a read is told when this node does not lead
	own    uint64       // the term of the reign
	queue  chan chan error
	closed chan struct{} // nothing is taken from the queue any more
}

// termRequest asks a voter for its term.
type termRequest struct {
	Instance string `json:"instance"`
}

type termAnswer struct {
	Term uint64 `json:"term"`
}

// answerTerm answers a leader that wants to know whether it still is one.
func (n *Node) answerTerm(_ context.Context, asked termRequest) (termAnswer, error) {
	live := n.live.Load()
	if live == nil || asked.Instance != n.instance() {
		return termAnswer{}, fmt.Errorf("this is instance %s", n.instance())
	}
	r := live.raft()
	term := r.CurrentTerm()
	if r.State() == raft.Shutdown { // its successor may have voted in a later term already
		return termAnswer{}, ErrStopped
	}
	return termAnswer{term}, nil
}

func newProofs(n *Node, r *raft.Raft, term uint64) *proofs {
	return &proofs{
		voters: func() (others []raft.Server, self bool) {
			for _, s := range r.GetConfiguration().Configuration().Servers {
				switch {
				case s.Suffrage != raft.Voter:
				case string(s.ID) == n.instance():
					self = true
				default:
					others = append(others, s)
				}
			}
			return others, self
		},
		leads: func() bool { return r.State() == raft.Leader && r.CurrentTerm() == term },
		term: func(ctx context.Context, voter raft.Server) (uint64, error) {
			answer, err := call[termAnswer](ctx, n, string(voter.Address), methodTerm, termRequest{string(voter.ID)})
			return answer.Term, err
		},
		deny:  func() error { return n.notLeader() },
		own:   term,
		queue: make(chan chan error, proofsMax), closed: make(chan struct{}),
	}
}

// get returns nil once a proof that began after the call holds.
func (p *proofs) get(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case p.queue <- done:
	case <-p.closed:
		return p.deny()
	case <-ctx.Done():
		return fmt.Errorf("leadership is not proved: %w", ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-p.closed:
		return p.deny()
	case <-ctx.Done():
		return fmt.Errorf("leadership is not proved: %w", ctx.Err())
	}
}

// run proves until ctx ends. Reads that come while a proof is under way share
// the next one.
func (p *proofs) run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	defer close(p.closed)
	for {
		var waiting []chan error
		select {
		case one := <-p.queue:
			waiting = append(waiting, one)
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case one := <-p.queue:
				waiting = append(waiting, one)
			default:
				more = false
			}
		}
		err := p.prove(ctx, &asking)
		for _, one := range waiting {
			one <- err
		}
	}
}

// prove asks all other voters, and returns as soon as a majority agrees or it
// cannot any more. The calls that it leaves behind end at once.
func (p *proofs) prove(ctx context.Context, asking *sync.WaitGroup) error {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	others, self := p.voters()
	if !p.leads() {
		return p.deny()
	}
	agree, left := 0, len(others)
	need := len(others)/2 + 1
	if self {
		agree, need = 1, (len(others)+1)/2+1
	}
	type answer struct {
		term uint64
		err  error
	}
	answers := make(chan answer, len(others))
	for _, voter := range others {
		asking.Go(func() {
			term, err := p.term(ctx, voter)
			answers <- answer{term, err}
		})
	}
	var failed error
	for agree < need {
		if agree+left < need {
			return fmt.Errorf("%w; no majority of the voters says that it leads: %w", p.deny(), failed)
		}
		a := <-answers
		left--
		switch {
		case a.err != nil:
			failed = a.err
		case a.term > p.own:
			return p.deny()
		default:
			agree++
		}
	}
	return nil
}
