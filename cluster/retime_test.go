package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/placement"
)

// slowDisk makes each write below a data directory last so long.
type slowDisk struct{ takes atomic.Int64 }

func (d *slowDisk) set(takes time.Duration) { d.takes.Store(int64(takes)) }

// on is a change for start.
func (d *slowDisk) on(c *Config) {
	c.Gate = func(string) error {
		if takes := time.Duration(d.takes.Load()); takes > 0 {
			sleep(context.Background(), takes)
		}
		return nil
	}
}

// allRun tells whether all running nodes run with a heartbeat, and know it as
// the cluster's.
func (w *world) allRun(heartbeat time.Duration) func() bool {
	return func() bool {
		for _, m := range w.members {
			if m.running() && (m.node.running() != heartbeat || m.node.View().Heartbeat.Timeout != heartbeat) {
				return false
			}
		}
		return true
	}
}

// writes writes some chains and returns their names.
func (w *world) writes(prefix string) (names []placement.ChainID) {
	w.t.Helper()
	for i := range 10 {
		id := placement.ChainID(fmt.Sprintf("%s-%d", prefix, i))
		w.write(id)
		names = append(names, id)
	}
	return names
}

func (w *world) haveAll(names []placement.ChainID) func() bool {
	return func() bool {
		for _, m := range w.members {
			for _, id := range names {
				if m.running() && m.node.View().Chain(id) == nil {
					return false
				}
			}
		}
		return true
	}
}

// When a voter's disk slows, the heartbeat rises at once to what it can bear,
// on all voters, the leader last and after handing over, without losing a
// write or a state; ten calm minutes later it falls by one step, and in ten
// more by the next: provoked by one disk that takes 52 ms and then none.
func TestHeartbeatFollowsDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk := new(slowDisk)
		w.start(1, 3)
		w.start(2, 3, disk.on)
		w.start(3, 3)
		w.settle(3)
		w.until("all run with the shortest heartbeat", time.Minute, w.allRun(pace.Shortest))
		w.makeLeader(w.members["n1"])
		old := w.leader()
		names := w.writes("before")
		disk.set(52 * time.Millisecond)
		names = append(names, w.writes("slow")...)
		w.until("the followers run with 600 ms", time.Minute, func() bool {
			if old.node.running() == 600*time.Millisecond && (w.members["n2"].node.running() != old.node.running() || w.members["n3"].node.running() != old.node.running()) {
				t.Error("the leader was not the last")
			}
			return w.members["n2"].node.running() == 600*time.Millisecond && w.members["n3"].node.running() == 600*time.Millisecond
		})
		w.until("all run with 600 ms", time.Minute, w.allRun(600*time.Millisecond))
		names = append(names, w.writes("after")...)
		if why := w.leader().node.View().Heartbeat.Reason; why != "n2: its longest stable write took 52ms" {
			t.Errorf("the reason is %q", why)
		}
		if w.leader() == old {
			t.Error("the leader did not hand over before its own raft was replaced")
		}
		raised := time.Now()
		disk.set(0)
		w.until("it falls by one step", time.Hour, w.allRun(300*time.Millisecond))
		if took := time.Since(raised); took < pace.CalmFor {
			t.Errorf("lowered after %v", took)
		}
		lowered := time.Now()
		w.until("it falls by another", time.Hour, w.allRun(pace.Shortest))
		if took := time.Since(lowered); took < pace.CalmFor-10*time.Second {
			t.Errorf("lowered again after %v", took)
		}
		w.until("every write is everywhere", time.Minute, w.haveAll(names))
		w.settle(3)
	})
}

// A standby follows its leader through a longer heartbeat as a voter does: with
// its old one it would think between two beats that there is no leader. Provoked
// by a slow disk, and a look at the standby again and again.
func TestStandbyKeepsItsLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk := new(slowDisk)
		w.start(1, 3, disk.on)
		w.start(2, 3)
		w.start(3, 3)
		w.settle(3)
		standby := w.start(4, 0)
		w.until("the fourth is a standby", time.Minute, func() bool { return len(standby.node.Status().Servers) == 4 && len(w.voters(standby)) == 3 })
		disk.set(300 * time.Millisecond)
		w.writes("slow")
		w.until("all run with the longest heartbeat", time.Minute, w.allRun(pace.Longest))
		w.until("the standby has a leader", time.Minute, func() bool { return standby.node.leader() != nil })
		for looks := range 1000 {
			if advance(10 * time.Millisecond); standby.node.leader() == nil {
				t.Fatalf("the standby has no leader at look %d, with a heartbeat of %v", looks, standby.node.running())
			}
		}
	})
}

// A voter that is away is not waited for; when it comes back it gets the
// heartbeat, and one that was in force is there again at the next start, before
// any leader is: provoked by a kill, a slow disk, and a kill of all.
func TestHeartbeatOfAbsentVoter(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk := new(slowDisk)
		w.start(1, 3, disk.on)
		w.start(2, 3)
		w.start(3, 3)
		w.settle(3)
		w.members["n3"].kill()
		disk.set(90 * time.Millisecond)
		w.writes("slow")
		w.until("the two run with 1 s", time.Minute, w.allRun(time.Second))
		w.start(3, 3)
		w.until("the third does, too", time.Minute, w.allRun(time.Second))
		w.settle(3)
		for _, m := range w.members {
			m.kill()
		}
		w.start(1, 3, disk.on)
		w.start(2, 3)
		m := w.start(3, 3)
		w.until("raft runs", time.Minute, func() bool { return m.node.live.Load() != nil })
		if got := m.node.running(); got != time.Second {
			t.Errorf("after a restart raft runs with %v", got)
		}
		w.settle(3)
	})
}

// A cluster on slow disks founds itself and elects a leader: the founders
// measure their disks and begin with what the slowest of them needs. So does
// one whose disks became slow while it was stopped, with a heartbeat that no
// election can keep. A node that joins runs with the cluster's heartbeat.
func TestSlowDisksElect(t *testing.T) {
	for takes, want := range map[time.Duration]time.Duration{
		30 * time.Millisecond: 300 * time.Millisecond, 50 * time.Millisecond: 600 * time.Millisecond, 300 * time.Millisecond: 5 * time.Second,
	} {
		inBubble(t, func(t *testing.T, w *world) {
			disk := new(slowDisk)
			disk.set(takes)
			w.startAll(3, 3, disk.on)
			w.settle(3)
			w.write("x")
			w.until(fmt.Sprintf("all run with %v or more", want), time.Minute, func() bool { return w.leader() != nil && w.leader().node.running() >= want })
			m := w.start(4, 0, disk.on)
			w.settle(4)
			if got := m.node.running(); got < want {
				t.Errorf("the node that joined runs with %v", got)
			}
		})
		inBubble(t, func(t *testing.T, w *world) {
			disk := new(slowDisk)
			w.startAll(3, 3, disk.on)
			w.settle(3)
			w.until("all run with the shortest heartbeat", time.Minute, w.allRun(pace.Shortest))
			for _, m := range w.members {
				m.kill()
			}
			disk.set(takes)
			w.startAll(3, 3, disk.on)
			w.settle(3)
			w.write("x")
			w.until("all run with a heartbeat that they can bear", 5*time.Minute, func() bool { return w.leader() != nil && w.leader().node.running() >= want })
		})
	}
}

// A voter alone raises its own heartbeat, and goes on with its state.
func TestHeartbeatOfSingle(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk := new(slowDisk)
		w.start(1, 1, disk.on)
		w.settle(1)
		names := w.writes("before")
		disk.set(200 * time.Millisecond)
		names = append(names, w.writes("slow")...)
		w.until("it runs with 2.5 s", time.Minute, w.allRun(2500*time.Millisecond))
		w.write("after")
		w.until("every write is there", time.Minute, w.haveAll(names))
	})
}

// A profile that is fixed is what its voter asks for, and so the longest of
// them is everybody's.
func TestHeartbeatOfProfiles(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start(1, 3)
		w.start(2, 3, func(c *Config) { c.Profile = ProfileWAN })
		w.start(3, 3, func(c *Config) { c.Profile = ProfileLocal })
		w.settle(3)
		w.until("all run with that of wan", time.Minute, w.allRun(2500*time.Millisecond))
		if why := w.leader().node.View().Heartbeat.Reason; !strings.Contains(why, "n2: its profile is wan") && !strings.Contains(why, "elected") {
			t.Errorf("the reason is %q", why)
		}
	})
}
