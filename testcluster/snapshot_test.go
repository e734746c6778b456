package testcluster_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/placement"
)

// firsts notes the first entry that each run of each node applies.
type firsts struct {
	mu sync.Mutex
	of map[int]uint64
}

// config lets a node write snapshots often and keep little of its log.
func (f *firsts) config(i int, cfg *agent.Config) {
	f.mu.Lock()
	delete(f.of, i)
	f.mu.Unlock()
	cfg.Cluster.Snapshots = cluster.Snapshots{Entries: 20, Every: 5 * time.Second, Trailing: 20}
	cfg.Cluster.OnApply = func(index, _ uint64, _ []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.of[i] == 0 {
			f.of[i] = index
		}
	}
}

func (f *firsts) first(i int) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[i]
}

// A node that knows the past from a snapshot only leads as one that has read
// the log: it knows what was moved, and leaves it alone until the cooldown is
// over. So does a cluster that restarts from its snapshots.
func TestFailoverFromSnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &firsts{of: map[int]uint64{}}
		s := stage(t, 1, f.config, func(cfg *placement.Config) { cfg.Cooldown = 10 * time.Minute })
		if _, err := s.Client().PutChain(t.Context(), string(chainX), spec(2)); err != nil { // three nodes are enough
			t.Fatal(err)
		}
		s.Settle()
		heir := 1 // will have slept through the move
		for heir == s.WaitLeader() {
			heir++
		}
		stopped := s.View(heir).Index
		s.Kill(heir)
		s.Settle()
		victim := s.worsen(0)
		s.WaitFor("the victim is gone", time.Minute, func() bool { return s.chain().Holder(victim) == nil })
		stamp := s.chain().LastRebalance
		for i := range 60 {
			s.put(placement.ChainID(fmt.Sprintf("c%d", i)))
		}
		s.Advance(time.Minute)
		s.Restart(heir)
		s.Settle()
		if first := f.first(heir); first <= stopped+1 {
			t.Fatalf("node %d read the log from index %d on: it was to get a snapshot", heir, first)
		}
		s.scores.set(victim, 0.9)
		s.worsen(0)
		s.elect(heir)
		s.Settle()
		if got := s.chain().LastRebalance; got != stamp {
			t.Errorf("the stamp is %v after the failover, want %v", got, stamp)
		}
		for _, i := range s.Nodes() {
			s.Kill(i)
		}
		for _, i := range s.Nodes() {
			s.Restart(i)
		}
		s.Settle()
		for _, i := range s.Nodes() {
			if f.first(i) < 20 {
				t.Errorf("node %d replayed the log from index %d on: it was to begin with a snapshot", i, f.first(i))
			}
		}
		if got := s.chain().LastRebalance; got != stamp {
			t.Errorf("the stamp is %v after the restart of all, want %v", got, stamp)
		}
		s.Advance(10 * time.Minute)
		s.Settle()
		if opened, _ := s.evictions(); len(opened) < 2 {
			t.Errorf("balance opened %d moves in all, want another one after the cooldown", len(opened))
		}
		s.cooled(10 * time.Minute)
	})
}

// elect makes node i leader: it becomes a voter in place of one that is away
// for a while, and is then the only one left that has all of the log.
func (s *scene) elect(i int) {
	s.t.Helper()
	old := s.WaitLeader()
	if old == i {
		return
	}
	for _, v := range s.voters() {
		if away := s.Number(v); away != old && !slices.Contains(s.voters(), s.ID(i)) {
			s.Kill(away)
			s.WaitFor("the heir is a voter", 50*time.Second, func() bool { return slices.Contains(s.voters(), s.ID(i)) })
			s.Restart(away)
			s.Settle()
		}
	}
	var others []int
	for _, j := range s.Nodes() {
		if j != i && j != old {
			others = append(others, j)
		}
	}
	s.Partition([]int{i, old}, others)
	s.put("news") // which only these two have
	index := s.View(old).Index
	s.WaitFor("the heir has it", time.Minute, func() bool { return s.View(i).Index >= index })
	s.Kill(old)
	s.Heal()
	if got := s.WaitLeader(); got != i {
		s.t.Fatalf("node %d leads, want %d", got, i)
	}
	s.Restart(old)
}

// voters returns the voters as the leader knows them.
func (s *scene) voters() []placement.NodeID {
	s.t.Helper()
	return s.Node(s.WaitLeader()).Node().Status().Voters
}
