package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// errDenied is what the reads of these tests are told by a node that is no
// leader.
var errDenied = errors.New("denied")

// prover is a leader of term 7 with the given other voters, whose answers the
// test decides. stop ends it.
func prover(t *testing.T, others int, self bool, answer func(ctx context.Context, id string) (uint64, error)) (p *proofs, stop func()) {
	t.Helper()
	var servers []raft.Server
	for i := range others {
		servers = append(servers, raft.Server{ID: raft.ServerID(strconv.Itoa(i))})
	}
	p = &proofs{
		voters: func() ([]raft.Server, bool) { return servers, self },
		leads:  func() bool { return true },
		term:   func(ctx context.Context, v raft.Server) (uint64, error) { return answer(ctx, string(v.ID)) },
		deny:   func() error { return errDenied },
		own:    7, queue: make(chan chan error, proofsMax), closed: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(ctx)
	}()
	return p, func() { cancel(); <-done }
}

// TestProofs: leadership is proved when a majority of the voters has no later
// term, whatever the others do, and denied as soon as one has a later term or
// no majority is left. A voter is down (-), silent (.), or has the term given.
func TestProofs(t *testing.T) {
	for _, c := range []struct {
		others string
		self   bool
		holds  bool
	}{
		{"", true, true}, // the only voter
		{"7", true, true},
		{"-", true, false},
		{"7-", true, true},
		{".7", true, true},
		{"6.", true, true}, // it has not heard of this term, so it voted in no later one
		{"--", true, false},
		{"8.", true, false},
		{"77--", true, true},
		{"7---", true, false},
		{"7-..", true, false},
		{"7", false, true}, // a leader that was removed as voter
		{"7-", false, false},
		{"77-", false, true},
	} {
		t.Run(fmt.Sprintf("%q %v", c.others, c.self), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, stop := prover(t, len(c.others), c.self, func(ctx context.Context, id string) (uint64, error) {
					var at int
					fmt.Sscan(id, &at)
					switch b := c.others[at]; b {
					case '.':
						<-ctx.Done()
						return 0, ctx.Err()
					case '-':
						return 0, errors.New("down")
					default:
						return uint64(b - '0'), nil
					}
				})
				defer stop()
				err := p.get(t.Context())
				if c.holds && err != nil || !c.holds && !errors.Is(err, errDenied) {
					t.Errorf("got %v, want proved: %v", err, c.holds)
				}
			})
		})
	}
}

// TestProofIsNew: a read that comes while a proof is under way is not proved by
// it: what a voter has answered by then says nothing of later. Provoked with a
// voter that gets to a later term before its first answer arrives.
func TestProofIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		p, stop := prover(t, 1, true, func(context.Context, string) (uint64, error) {
			asked++
			term := uint64(6 + asked)
			time.Sleep(time.Second)
			return term, nil
		})
		defer stop()
		early, late := make(chan error, 1), make(chan error, 1)
		go func() { early <- p.get(t.Context()) }()
		synctest.Wait()
		go func() { late <- p.get(t.Context()) }()
		if err := <-early; err != nil {
			t.Errorf("the read that was there first: %v", err)
		}
		if err := <-late; !errors.Is(err, errDenied) {
			t.Errorf("the read that came in between: %v, want it denied", err)
		}
	})
}

// TestProofEnds: reads that wait when the reign ends are denied, and one whose
// time is over is told so.
func TestProofEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := prover(t, 2, true, func(ctx context.Context, _ string) (uint64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.get(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read of one second: %v", err)
		}
		waits := make(chan error, 1)
		go func() { waits <- p.get(t.Context()) }()
		synctest.Wait()
		stop()
		if err := <-waits; !errors.Is(err, errDenied) {
			t.Errorf("a read at the end of the reign: %v, want it denied", err)
		}
		if err := p.get(t.Context()); !errors.Is(err, errDenied) {
			t.Errorf("a read after the reign: %v, want it denied", err)
		}
	})
}

// TestTermOfStoppedRaft: a voter tells no term while its raft is replaced for
// another heartbeat: the new one may have voted in a later term already, and a
// deposed leader would take the old term for a proof. Provoked with a raft that
// has been stopped.
func TestTermOfStoppedRaft(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(1, 1)
		n := w.settle(1).node
		if a, err := n.answerTerm(t.Context(), termRequest{n.instance()}); err != nil || a.Term == 0 {
			t.Fatalf("while it runs: %+v, %v", a, err)
		}
		if err := n.live.Load().raft().Shutdown().Error(); err != nil {
			t.Fatal(err)
		}
		if a, err := n.answerTerm(t.Context(), termRequest{n.instance()}); err == nil {
			t.Errorf("a raft that has been stopped says %+v", a)
		}
	})
}
