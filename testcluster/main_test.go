package testcluster_test

import (
	"context"
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// TestMain puts the nodes' disks into memory where the system offers it: they
// sync after each write, and what they wrote need not survive this machine.
func TestMain(m *testing.M) {
	flag.Parse()
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); os.Getenv("TMPDIR") == "" && err == nil && info.IsDir() {
		if err := os.Setenv("TMPDIR", memory); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// scores is a scorer whose word the test decides: a node is good, at 0.9,
// until it is said to be worth something else. All nodes of a cluster share one.
type scores struct {
	mu    sync.Mutex
	nodes []placement.NodeID // in order
	of    map[placement.NodeID]float64
}

func newScores(nodes ...placement.NodeID) *scores {
	return &scores{nodes: nodes, of: map[placement.NodeID]float64{}}
}

func (s *scores) set(node placement.NodeID, score float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[node] = score
}

func (s *scores) Score(_ placement.ChainID, node placement.NodeID) (float64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if score, ok := s.of[node]; ok {
		return score, true
	}
	return 0.9, true
}

func (s *scores) BestAlternative(chain placement.ChainID, exclude []placement.NodeID) (best placement.NodeID, score float64, ok bool) {
	for _, node := range s.nodes {
		out := false
		for _, e := range exclude {
			out = out || e == node
		}
		if got, _ := s.Score(chain, node); !out && (!ok || got > score) {
			best, score, ok = node, got, true
		}
	}
	return best, score, ok
}

// slowRunner keeps copies in memory, which outlives the process as a disk
// does. A pull takes as long as the test says.
type slowRunner struct {
	mu     sync.Mutex
	copies map[placement.ChainID]holder.Copy
	takes  time.Duration
	pulled chan placement.ChainID // hears of each pull that has ended, if anybody listens
}

func (r *slowRunner) Pull(ctx context.Context, a holder.Assignment) error {
	r.mu.Lock()
	takes := r.takes
	r.mu.Unlock()
	for waited := time.Duration(0); waited < takes; waited += time.Second {
		a.Progress(int64(waited), int64(takes))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(time.Second, takes-waited)):
		}
	}
	r.mu.Lock()
	r.copies[a.Chain] = holder.Copy{Chain: a.Chain, Epoch: a.Epoch, SHA256: a.SHA256()}
	r.mu.Unlock()
	select {
	case r.pulled <- a.Chain:
	default:
	}
	return nil
}

func (r *slowRunner) Drop(_ context.Context, c holder.Copy) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copies[c.Chain].Epoch == c.Epoch {
		delete(r.copies, c.Chain)
	}
	return nil
}

func (r *slowRunner) Held(context.Context) ([]holder.Copy, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []holder.Copy
	for _, c := range r.copies {
		all = append(all, c)
	}
	return all, nil
}

// scene is a cluster whose scores and pulls the test controls.
type scene struct {
	*testcluster.Cluster
	t       *testing.T
	scores  *scores
	runners map[int]*slowRunner
}

// stage starts a cluster of four, so that a chain of three copies has one node
// to go to, with a chain on it.
func stage(t *testing.T, seed int64, change func(i int, cfg *agent.Config), replicated func(*placement.Config)) *scene {
	t.Helper()
	s := &scene{t: t, scores: newScores("n1", "n2", "n3", "n4"), runners: map[int]*slowRunner{}}
	for i := 1; i <= 4; i++ {
		s.runners[i] = &slowRunner{copies: map[placement.ChainID]holder.Copy{}, takes: 10 * time.Millisecond, pulled: make(chan placement.ChainID)}
	}
	s.Cluster = testcluster.Start(t, testcluster.Options{
		Nodes: 4, Seed: seed, Replicated: replicated,
		Config: func(i int, cfg *agent.Config) {
			cfg.Scorer, cfg.Cluster.Runner = s.scores, s.runners[i]
			if change != nil {
				change(i, cfg)
			}
		},
	})
	s.put(chainX)
	s.Settle()
	return s
}

const chainX placement.ChainID = "x"

// put creates a chain of three copies.
func (s *scene) put(id placement.ChainID) {
	s.t.Helper()
	if _, err := s.Client().PutChain(s.t.Context(), string(id), api.Spec{}); err != nil {
		s.t.Fatalf("create chain %s: %v", id, err)
	}
}

// pullsTake sets how long a pull takes from now on.
func (s *scene) pullsTake(d time.Duration) {
	for _, r := range s.runners {
		r.mu.Lock()
		r.takes = d
		r.mu.Unlock()
	}
}

// chain returns the chain as the leader has it.
func (s *scene) chain() *placement.Chain {
	if leader := s.Leader(); leader != 0 {
		return s.View(leader).Chain(chainX)
	}
	return nil
}

// move returns the chain's open move with a victim, or nil.
func (s *scene) move() *placement.Move {
	if c := s.chain(); c != nil {
		return c.Rebalance()
	}
	return nil
}

// worsen makes the nth holder of the chain bad, so that balance moves its copy,
// and returns its node.
func (s *scene) worsen(n int) placement.NodeID {
	c := s.chain()
	victim := c.Holders[n%len(c.Holders)].Node
	s.scores.set(victim, 0.1)
	return victim
}

// evictions returns when balance opened moves of the chain, and when their
// victims were told to drop, by the history.
func (s *scene) evictions() (opened, dropped []placement.Time) {
	for _, r := range s.Decisions() {
		d := r.Decision
		if d.Chain != chainX || d.Cause != placement.CauseBalance || r.Verdict != placement.Accepted {
			continue
		}
		switch d.Kind {
		case placement.KindOpenMove:
			opened = append(opened, r.At)
		case placement.KindComplete:
			dropped = append(dropped, r.At)
		}
	}
	return opened, dropped
}

// cooled fails the test unless each balance move opened a cooldown after the
// one before it opened, and after the last victim before it was told to drop.
func (s *scene) cooled(cooldown time.Duration) {
	s.t.Helper()
	opened, dropped := s.evictions()
	for i, at := range opened {
		for _, before := range append(opened[:i:i], dropped...) {
			if gap := at.Sub(before); gap > 0 && gap < cooldown {
				s.t.Errorf("balance moved chain %s again %v after its last rebalance; the cooldown is %v", chainX, gap, cooldown)
			}
		}
	}
}
