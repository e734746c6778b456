package cluster

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/transport"
)

// saidEnded is what a follower logs when it does not wait for the timeout.
const saidEnded = "the leader's process has ended"

func (w *world) said(text string) int {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	return strings.Count(w.logs.text.String(), text)
}

// under draws a time.
func under(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}

// isFollowed tells whether a node leads, or another takes it for the leader.
func (w *world) isFollowed(name string) bool {
	for _, m := range w.members {
		if _, id := m.node.live.Load().raft().LeaderWithID(); string(id) == w.members[name].node.instance() {
			return true
		}
	}
	return false
}

// When the leader's process dies another node wins the election sooner than any
// heartbeat can time out, and all have their usual heartbeat again afterwards:
// provoked by kills of the leader in clusters of three and of five.
func TestDeadLeaderIsNotWaitedFor(t *testing.T) {
	for _, size := range []int{3, 5} {
		inBubble(t, func(t *testing.T, w *world) {
			w.startAll(size, size)
			w.settle(size)
			w.until("all vote", time.Minute, func() bool { return len(w.voters(w.leader())) == size })
			for range 5 {
				old := w.settle(size)
				w.until("all run with the shortest heartbeat", time.Minute, w.allRun(pace.Shortest))
				term, began := old.node.Status().Term, time.Now()
				old.kill()
				w.until("a new leader", 10*time.Second, func() bool { l := w.leader(); return l != nil && l.node.Status().Term > term })
				if took := time.Since(began); took >= pace.Shortest {
					t.Errorf("of %d: without a leader for %v", size, took)
				}
				advance(time.Second)
				for _, m := range w.members {
					if got := m.node.live.Load().raft().ReloadableConfig(); m != old && (got.HeartbeatTimeout != pace.Shortest || got.ElectionTimeout != pace.Shortest) {
						t.Errorf("%s goes on with a heartbeat of %v and %v for an election", m.name, got.HeartbeatTimeout, got.ElectionTimeout)
					}
				}
				w.start(int(old.name[1]-'0'), size)
			}
		})
	}
}

// refusing is a network on which one address refuses, if it is told to.
type refusing struct {
	transport.Network
	address *atomic.Pointer[string]
}

// Dial implements transport.Network.
func (r refusing) Dial(ctx context.Context, address string) (net.Conn, error) {
	if refuses := r.address.Load(); refuses != nil && *refuses == address {
		return nil, syscall.ECONNREFUSED
	}
	return r.Network.Dial(ctx, address)
}

// A leader that lives keeps its lead though its streams are reset again and
// again, and its port refuses all the while: provoked by both, with one follower
// after the other, at random times.
func TestRefusingLeaderIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var refuses atomic.Pointer[string]
		w.startAll(3, 3, func(c *Config) { c.Network = refusing{c.Network, &refuses} })
		leader := w.settle(3)
		term, address, rng := leader.node.Status().Term, leader.node.Address(), rand.New(rand.NewPCG(1, 1))
		refuses.Store(&address)
		const rounds = 500
		for range rounds {
			for _, m := range w.members {
				if m != leader {
					m.node.mux.CloseStreams(transport.KindRaft)
					advance(under(rng, 200*time.Millisecond))
				}
			}
		}
		if got := w.leader(); got != leader || got.node.Status().Term != term {
			t.Errorf("%s led in term %d:\n%s", leader.name, term, w.describe())
		}
		if tries := w.said(saidEnded); tries > rounds/100 { // it dials anew within a lease, nearly always
			t.Errorf("in %d resets it was taken for dead %d times", 2*rounds, tries)
		}
	})
}

// Streams that end and a silence are not enough: the leader's port must refuse.
// Provoked by cuts between the leader and one follower, shorter than its
// heartbeat timeout and longer than the lease, with all its streams reset.
func TestSilentLeaderIsWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		for range 50 {
			for _, m := range w.members {
				if m == leader {
					continue
				}
				w.net.Cut(leader.name, m.name)
				m.node.mux.CloseStreams(transport.KindRaft)
				advance(pace.Shortest - 10*time.Millisecond)
				w.net.Heal()
				advance(time.Second)
			}
		}
		if w.said(saidEnded) > 0 {
			t.Errorf("%d times its process was taken for dead", w.said(saidEnded))
		}
	})
}

// No leader that lives is taken for dead, whatever happens around it: provoked by
// streams that are reset or stall, as those that lose packets do, packets that
// are lost, and followers that are killed and come back, at random times.
func TestLivingLeaderIsNotTakenForDead(t *testing.T) {
	for seed := range uint64(3) {
		inBubble(t, func(t *testing.T, w *world) {
			rng := rand.New(rand.NewPCG(seed, 2))
			w.startAll(5, 5)
			w.settle(5)
			first := w.leader().node.Status().Term
			for range 200 {
				names := []string{"n1", "n2", "n3", "n4", "n5"}
				rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
				switch some := names[:1+rng.IntN(4)]; rng.IntN(4) {
				case 0:
					for _, name := range some {
						w.members[name].node.mux.CloseStreams(transport.KindRaft)
					}
				case 1:
					w.net.Partition(some)
					advance(under(rng, 400*time.Millisecond))
					w.net.Heal()
				case 2:
					chance := rng.Float64()
					for _, name := range some[1:] {
						w.net.Loss(some[0], name, chance)
					}
				case 3:
					if leader := w.leader(); leader != nil {
						names = slices.DeleteFunc(names, w.isFollowed) // by one who has not heard of the newest leader, perhaps
						w.members[names[0]].kill()
						advance(under(rng, time.Second))
						w.start(int(names[0][1]-'0'), 5)
					}
				}
				advance(under(rng, 500*time.Millisecond))
			}
			w.until("a leader", time.Minute, func() bool { return w.leader() != nil })
			t.Logf("seed %d: %d terms", seed, w.leader().node.Status().Term-first)
			if w.said(saidEnded) > 0 {
				t.Errorf("seed %d: %d times a living leader was taken for dead", seed, w.said(saidEnded))
			}
		})
	}
}
