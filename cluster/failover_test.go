package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// When the leader is killed another one leads in a higher term, what was
// acknowledged is still there, and writes are accepted again; the killed node
// comes back with a new incarnation.
func TestLeaderKilled(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		old := w.settle(3)
		w.write("before")
		term, incarnation := old.node.Status().Term, old.nodeRecord(old.name).Incarnation
		old.kill()
		w.until("a new leader", 10*time.Second, func() bool { l := w.leader(); return l != nil && l.node.Status().Term > term })
		w.write("after")
		leader := w.leader()
		for _, id := range []placement.ChainID{"before", "after"} {
			if leader.node.View().Chain(id) == nil {
				t.Errorf("chain %s is not in the new leader's state", id)
			}
		}
		w.until("the killed node is dead", 30*time.Second, func() bool { return leader.nodeRecord(old.name).State == placement.NodeDead })
		w.start(int(old.name[1]-'0'), 3)
		w.settle(3)
		if got := w.leader().nodeRecord(old.name).Incarnation; got <= incarnation {
			t.Errorf("incarnation after a restart: got %d, want above %d", got, incarnation)
		}
	})
}

// A node that is told to stop before it has started everything stops in good
// order, without an error.
func TestStoppedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		m := w.start(1, 1)
		m.stop()
		if m.err != nil {
			t.Errorf("Run returned %v", m.err)
		}
	})
}

// A leader that is told to stop hands over: somebody else takes writes within
// a tenth of the heartbeat timeout, and its last cluster time is not lost.
func TestGracefulStop(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		old := w.settle(3)
		w.write("before")
		advance(900 * time.Millisecond)
		reached := old.node.reign.Load().clock.read()
		began := time.Now()
		go old.cancel()
		w.until("another node takes a write", time.Second, func() bool {
			for _, m := range w.members {
				if m != old && m.node.reign.Load() != nil && w.writeBy(m, "after") == nil {
					return true
				}
			}
			return false
		})
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the hand-over took %v", took)
		}
		<-old.done
		if old.err != nil {
			t.Errorf("Run returned %v after a stop in good order", old.err)
		}
		if now := w.leader().node.View().Now; now < reached {
			t.Errorf("cluster time went back from %v to %v", reached, now)
		}
	})
}

// A cluster that is stopped as a whole, by a crash of all, goes on with all
// that it acknowledged.
func TestAllRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		for i := range 20 {
			w.write(placement.ChainID(fmt.Sprintf("c%d", i)))
		}
		id, lineage := leader.node.Status().ClusterID, leader.node.View().Lineage
		for _, m := range w.members {
			m.kill()
		}
		w.startAll(3, 3)
		leader = w.settle(3)
		if got := leader.node.View().Chains.Len(); got != 20 {
			t.Errorf("%d of 20 chains survived", got)
		}
		if got := leader.node.Status().ClusterID; got != id || leader.node.View().Lineage != lineage {
			t.Errorf("cluster id %s, lineage %s: want %s, %s", got, leader.node.View().Lineage, id, lineage)
		}
	})
}

// A leader that is cut off steps down, nobody leads in the same term as it,
// what it could not commit is not acknowledged, and it follows after healing.
func TestLeaderPartitioned(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		old := w.settle(3)
		term := old.node.Status().Term
		w.net.Partition([]string{old.name})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := old.node.Propose(ctx, fsm.Op{Actor: "test", Reason: "test", Body: fsm.NewPutChain("lost", placement.Spec{Desired: 1})})
		if !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("a write of a leader without quorum: got %v, want an unknown outcome", err)
		}
		w.until("the old leader steps down", 10*time.Second, func() bool { return !old.node.Status().IsLeader })
		w.until("another leads", 10*time.Second, func() bool {
			l := w.leader()
			return l != nil && l != old && l.node.Status().Term > term
		})
		_, err = old.node.Propose(ctx, fsm.Op{Actor: "test", Reason: "test", Body: &fsm.Thaw{}})
		if _, ok := errors.AsType[*NotLeaderError](err); !ok {
			t.Errorf("a write of a deposed leader: got %v, want that it does not lead", err)
		}
		w.write("kept")
		w.until("the cut-off node is dead", time.Minute, func() bool { return w.leader().nodeRecord(old.name).State == placement.NodeDead })
		w.net.Heal()
		w.settle(3)
		w.until("everybody has the new write and not the lost one", 30*time.Second, func() bool {
			for _, m := range w.members {
				if m.node.View().Chain("kept") == nil || m.node.View().Chain("lost") != nil {
					return false
				}
			}
			return true
		})
	})
}

// A batch that was made in another term is refused when it is applied: the
// scheduler of a deposed leader cannot act (rule S11).
func TestStaleTermRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(1, 1)
		leader := w.settle(1)
		r := leader.node.reign.Load()
		stale := fence{r.term - 1, leader.node.View().ConfigGeneration}
		results, err := r.proposer.propose(t.Context(), stale, fsm.Op{Actor: "test", Reason: "test", Body: fsm.NewPutChain("x", placement.Spec{Desired: 1})})
		if err != nil || results[0].Code != placement.StaleTerm {
			t.Errorf("got %v, %v; want stale-term", results, err)
		}
		if leader.node.View().Chain("x") != nil {
			t.Error("the stale batch changed the state")
		}
	})
}

// A plan that does not get into the log is made again, though nothing in the
// state has changed: provoked by a log that takes no plan once.
func TestPlanThatIsLostIsMadeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(1, 1)
		r := w.settle(1).node.reign.Load()
		synctest.Wait()
		apply, lost := r.proposer.apply, 0
		r.proposer.apply = func(data []byte, timeout time.Duration) raft.ApplyFuture {
			if b, err := fsm.DecodeBatch(data); err == nil && b.Term != 0 && lost == 0 {
				lost++
				return fullLog{}
			}
			return apply(data, timeout)
		}
		w.write("x")
		w.until("the chain has its copy", time.Minute, func() bool {
			v := r.node.View()
			return v.LiveCount(v.Chain("x")) == 1
		})
		if lost != 1 {
			t.Errorf("%d plans were lost, want one", lost)
		}
	})
}

// fullLog is the future of an entry for which there was no place in time.
type fullLog struct{ raft.ApplyFuture }

func (fullLog) Error() error { return raft.ErrEnqueueTimeout }

// A linearizable read sees every acknowledged write; on a leader that has lost
// its quorum it fails instead of answering from the past.
func TestLinearizableRead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		for i := range 20 {
			id := placement.ChainID(fmt.Sprintf("c%d", i))
			w.write(id)
			view, err := w.leader().node.Read(t.Context(), Linearizable)
			if err != nil || view.Chain(id) == nil {
				t.Fatalf("read after write %d: %v", i, err)
			}
		}
		for _, m := range w.members {
			if m == leader {
				continue
			}
			_, err := m.node.Read(t.Context(), Linearizable)
			not, ok := errors.AsType[*NotLeaderError](err)
			if !ok || not.Leader == nil || not.Leader.Node != placement.NodeID(leader.name) || not.Leader.HTTP != leader.cfg.HTTP {
				t.Errorf("read on a follower: got %v, want a pointer to %s", err, leader.name)
			}
		}
		w.net.Partition([]string{leader.name})
		advance(5 * time.Millisecond) // an answer that had arrived already counts
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := leader.node.Read(ctx, Linearizable); err == nil {
			t.Error("a leader without quorum answered a linearizable read")
		}
	})
}
