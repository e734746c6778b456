package testcluster_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// shortCooldown makes the cooldown a minute.
func shortCooldown(cfg *placement.Config) { cfg.Cooldown = time.Minute }

// The leader may die at any step of a move: the next one knows of it, the chain
// keeps its live copies, balance leaves it alone for the cooldown, and at last
// the bad node is rid of it.
func TestLeaderKilledAtEachStep(t *testing.T) {
	t.Parallel()
	steps := []struct {
		name  string
		reach func(s *scene, victim placement.NodeID)
	}{
		{"opened", func(s *scene, _ placement.NodeID) {
			s.WaitFor("the move opens", time.Minute, func() bool { return s.move() != nil })
		}},
		{"pulling", func(s *scene, _ placement.NodeID) {
			s.WaitFor("the move opens", time.Minute, func() bool { return s.move() != nil })
			s.Advance(2500 * time.Millisecond) // half of the pull
		}},
		{"pulled", func(s *scene, _ placement.NodeID) {
			s.WaitFor("the move opens", time.Minute, func() bool { return s.move() != nil })
			<-s.runners[s.Number(s.move().To)].pulled // the report is on its way
		}},
		{"dropping", func(s *scene, victim placement.NodeID) {
			s.WaitFor("the victim is told to drop", time.Minute, func() bool {
				h := s.chain().Holder(victim)
				return h != nil && h.Phase == placement.Dropping
			})
		}},
		{"dropped", func(s *scene, victim placement.NodeID) {
			s.WaitFor("the victim is gone", time.Minute, func() bool { return s.chain().Holder(victim) == nil })
		}},
	}
	for _, step := range steps {
		for seed := int64(1); seed <= 3; seed++ {
			t.Run(fmt.Sprintf("%s/seed=%d", step.name, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := stage(t, seed, nil, shortCooldown)
					s.pullsTake(5 * time.Second)
					victim := s.worsen(int(seed))
					step.reach(s, victim)
					before := s.chain()
					old := s.Leader()
					s.Kill(old)
					now := s.View(s.WaitLeader()).Chain(chainX)
					if now.LastRebalance < before.LastRebalance || now.LastRebalance == placement.Never {
						t.Errorf("the cooldown stamp went from %v to %v with the leader", before.LastRebalance, now.LastRebalance)
					}
					s.Advance(20 * time.Second)
					s.Restart(old)
					s.Settle()
					s.cooled(time.Minute)
					s.Advance(2 * time.Minute) // a move that was called off is tried again
					s.Settle()
					if s.chain().Holder(victim) != nil {
						t.Errorf("chain %s is still on %s", chainX, victim)
					}
					s.cooled(time.Minute)
				})
			})
		}
	}
}

// Balance evicts from a chain once in a cooldown, however many leaders there
// are in it: three of them see a bad copy of a chain that has just been moved,
// and the fourth moves it when the cooldown is over, not later.
func TestThreeLeadersInOneCooldown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stage(t, 1, nil, nil)
		victim := s.worsen(0)
		s.WaitFor("the victim is gone", time.Minute, func() bool { return s.chain().Holder(victim) == nil })
		s.Settle()
		s.scores.set(victim, 0.9)
		s.worsen(0) // there is something to do from now on
		for range 3 {
			old := s.WaitLeader()
			s.Kill(old)
			s.WaitLeader()
			s.Advance(5 * time.Second)
			s.Restart(old)
			s.Settle()
		}
		opened, dropped := s.evictions()
		if len(opened) != 1 || len(dropped) != 1 {
			t.Fatalf("balance opened %d moves and completed %d within the cooldown, want one of each", len(opened), len(dropped))
		}
		began := s.View(s.Leader()).Now
		if began.Sub(dropped[0]) > 4*time.Minute {
			t.Fatalf("three leader changes took %v of the cooldown of 5 min: too long to show anything", began.Sub(dropped[0]))
		}
		s.Advance(6 * time.Minute)
		s.Settle()
		s.cooled(5 * time.Minute)
		opened, _ = s.evictions()
		if len(opened) != 2 {
			t.Fatalf("balance opened %d moves after the cooldown, want one more", len(opened))
		}
		if late := opened[1].Sub(dropped[0]) - 5*time.Minute; late > 2*time.Second {
			t.Errorf("the second move opened %v after the cooldown's end", late)
		}
	})
}

// A pull that takes longer than the cooldown does not let the next move begin
// with it: the cooldown counts again from when the victim is told to drop.
func TestPullLongerThanCooldown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stage(t, 1, nil, shortCooldown)
		s.pullsTake(90 * time.Second)
		victim := s.worsen(0)
		s.WaitFor("the victim is gone", 3*time.Minute, func() bool { return s.chain().Holder(victim) == nil })
		s.scores.set(victim, 0.9)
		s.worsen(0) // there is something to do from now on
		s.Advance(2 * time.Minute)
		s.Settle()
		opened, dropped := s.evictions()
		if len(opened) != 2 || len(dropped) != 2 {
			t.Fatalf("balance opened %d moves and completed %d, want 2 of each", len(opened), len(dropped))
		}
		if pull := dropped[0].Sub(opened[0]); pull < 90*time.Second {
			t.Fatalf("the pull took %v: it was to be slower than the cooldown", pull)
		}
		s.cooled(time.Minute)
	})
}
