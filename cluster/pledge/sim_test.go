package pledge

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errCrash = errors.New("crash")

// memStore keeps what a disk would, and crashes at the write that its fuse
// says: with an even fuse before the write is durable, with an odd one after.
type memStore struct {
	pledge    json.RawMessage
	withdrawn []string
	fuse      int // < 0: never
}

func (s *memStore) change(do func()) error {
	s.fuse -= 2
	if s.fuse >= 0 || s.fuse < -2 {
		s.fuse = max(s.fuse, -3)
		do()
		return nil
	}
	if s.fuse == -1 {
		do()
	}
	s.fuse = -3
	return errCrash
}

func (s *memStore) Pledge() (json.RawMessage, bool, error) { return s.pledge, s.pledge != nil, nil }
func (s *memStore) Withdrawn() ([]string, error)           { return s.withdrawn, nil }

func (s *memStore) SetPledge(record json.RawMessage) error {
	return s.change(func() { s.pledge = record })
}

func (s *memStore) ClearPledge() error { return s.change(func() { s.pledge = nil }) }

func (s *memStore) SetWithdrawn(numbers []string) error {
	return s.change(func() { s.withdrawn = numbers })
}

// peer is one simulated node.
type peer struct {
	self      Server
	store     *memStore
	clusterID string // durable
	raft      string // durable: number that raft was bootstrapped with
	view      []Server
	m         *Machine // nil: down
}

type message struct {
	from, to int
	send     Send
	answer   *Answer // nil: the request
}

// world runs peers, their messages and one clock, with plain calls.
type world struct {
	peers        []*peer
	expect       []int
	cluster      []string
	now          time.Time
	network      []message
	ids          int
	jitter       func(time.Duration) time.Duration
	bootstrapped []Proposal
}

func newWorld(n, expect int, jitter func(time.Duration) time.Duration) *world {
	w := &world{now: time.Unix(1000, 0), jitter: jitter}
	for i := range n {
		id := fmt.Sprint("n", i+1)
		w.peers = append(w.peers, &peer{
			self:  Server{NodeID: id, Instance: "i-" + id, Address: id + ":7400"},
			store: &memStore{fuse: -3},
		})
		w.expect = append(w.expect, expect)
		w.cluster = append(w.cluster, "blue")
	}
	for _, p := range w.peers {
		p.view = w.all()
	}
	return w
}

func (w *world) all() []Server {
	var all []Server
	for _, p := range w.peers {
		all = append(all, p.self)
	}
	return all
}

func (w *world) start(i int) {
	p := w.peers[i]
	p.store.fuse = -3
	m, err := New(Config{
		Self: p.self, Cluster: w.cluster[i], ClusterID: p.clusterID, Expect: w.expect[i],
		NewID:  func() string { w.ids++; return fmt.Sprint("id-", w.ids) },
		Jitter: w.jitter,
	}, p.store)
	if err != nil {
		panic(err)
	}
	p.m = m
}

// crashed takes the peer down if err is a crash.
func (w *world) crashed(i int, err error) bool {
	if err == nil {
		return false
	}
	if !errors.Is(err, errCrash) {
		panic(err)
	}
	w.peers[i].m = nil
	return true
}

// tick lets a peer do its turn: its requests, and a bootstrap if it is due.
func (w *world) tick(i int) {
	p := w.peers[i]
	if p.m == nil {
		return
	}
	var seeds []string
	for _, s := range w.all() {
		seeds = append(seeds, s.Address)
	}
	sends, err := p.m.Tick(w.now, View{Servers: p.view, Seeds: seeds})
	if w.crashed(i, err) {
		return
	}
	for _, send := range sends {
		to := slices.IndexFunc(w.peers, func(q *peer) bool { return q.self.Address == send.To })
		w.network = append(w.network, message{from: i, to: to, send: send})
	}
	if proposal, ok := p.m.Decided(); ok {
		w.bootstrap(i, proposal)
	}
}

func (w *world) bootstrap(i int, proposal Proposal) {
	p := w.peers[i]
	if p.raft == "" {
		p.raft = proposal.Number
		w.bootstrapped = append(w.bootstrapped, proposal)
	}
	if p.store.fuse == 5 { // a crash between the bootstrap and the cluster id
		p.m = nil
		return
	}
	p.clusterID = proposal.ClusterID
	w.crashed(i, p.m.Joined(proposal.ClusterID))
}

// deliver takes message k off the network and brings it to its end.
func (w *world) deliver(k int) {
	msg := w.network[k]
	w.network = slices.Delete(w.network, k, k+1)
	if msg.answer != nil {
		if p := w.peers[msg.from]; p.m != nil {
			w.crashed(msg.from, p.m.Answered(w.now, msg.send, *msg.answer))
		}
		return
	}
	if w.peers[msg.to].m == nil {
		w.lose(msg)
		return
	}
	answer, err := w.peers[msg.to].m.Handle(msg.send.Request)
	if !w.crashed(msg.to, err) {
		msg.answer = &answer
		w.network = append(w.network, msg)
	}
}

func (w *world) lose(msg message) {
	if p := w.peers[msg.from]; msg.answer == nil && p.m != nil {
		p.m.Failed(msg.send)
	}
}

// letIn does what a running cluster does: the leader contacts who has pledged
// to it, and lets in who asks and has no pledge.
func (w *world) letIn() {
	for i, p := range w.peers {
		if p.m == nil || p.clusterID != "" || len(w.bootstrapped) == 0 {
			continue
		}
		first := w.bootstrapped[0]
		pledge, pledged := p.m.Pledge()
		_, found := p.m.Found()
		if pledged && pledge.Number == first.Number || !pledged && found {
			p.clusterID = first.ClusterID
			w.crashed(i, p.m.Joined(first.ClusterID))
		}
	}
}

// settle runs all peers with a stable network until limit.
func (w *world) settle(limit time.Duration) {
	for end := w.now.Add(limit); w.now.Before(end); w.now = w.now.Add(100 * time.Millisecond) {
		for i := range w.peers {
			w.tick(i)
		}
		for len(w.network) > 0 {
			w.deliver(0)
		}
		w.letIn()
	}
}

func (w *world) check(t interface {
	Helper()
	Fatalf(string, ...any)
},
) {
	t.Helper()
	if len(w.bootstrapped) > 1 {
		t.Fatalf("two clusters: %+v and %+v", w.bootstrapped[0], w.bootstrapped[1])
	}
	for _, b := range w.bootstrapped {
		for _, p := range w.peers {
			if slices.Contains(p.store.withdrawn, b.Number) {
				t.Fatalf("proposal %s of %s is bootstrapped and withdrawn", b.Number, p.self.NodeID)
			}
		}
	}
}

// However nodes with different views tick, talk, crash at a write and come
// back, and whatever is lost or repeated, there are never two bootstrapped
// configurations, and none that was withdrawn; and once the network is whole
// and the views are stable, all are in one cluster within two minutes.
func TestNeverTwoClusters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 5).Draw(t, "nodes")
		expect := 3
		if n == 5 && rapid.Bool().Draw(t, "expect 5") {
			expect = 5
		}
		w := newWorld(n, expect, func(bound time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(bound)-1).Draw(t, "jitter"))
		})
		for i, p := range w.peers {
			p.view = subset(t, w.all())
			w.start(i)
		}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			step(t, w)
			w.check(t)
		}
		for i, p := range w.peers {
			p.view = w.all()
			p.store.fuse = -3
			if p.m == nil {
				w.start(i)
			}
		}
		w.settle(2 * time.Minute)
		w.check(t)
		for _, p := range w.peers {
			if len(w.bootstrapped) != 1 || p.clusterID != w.bootstrapped[0].ClusterID {
				t.Fatalf("after %d bootstraps %s is in cluster %q: %s", len(w.bootstrapped), p.self.NodeID, p.clusterID, p.m.Waiting())
			}
		}
	})
}

// subset draws what a node sees: often just enough others to propose.
func subset(t *rapid.T, all []Server) []Server {
	order := rapid.Permutation(all).Draw(t, "order")
	return order[:rapid.IntRange(1, len(all)).Draw(t, "seen")]
}

// step is one thing that may happen.
func step(t *rapid.T, w *world) {
	i := rapid.IntRange(0, len(w.peers)-1).Draw(t, "node")
	p := w.peers[i]
	message := func() int { return rapid.IntRange(0, len(w.network)-1).Draw(t, "message") }
	switch kind := rapid.IntRange(0, 39).Draw(t, "step"); {
	case kind < 12:
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "ms")) * time.Millisecond)
		for i := range w.peers {
			w.tick(i)
		}
	case kind < 20:
		for range len(w.network) * 2 {
			if len(w.network) > 0 {
				w.deliver(message())
			}
		}
	case kind < 32:
		for range min(len(w.network), 3) {
			w.deliver(message())
		}
	case kind < 33 && len(w.network) > 0:
		k := message()
		w.lose(w.network[k])
		w.network = slices.Delete(w.network, k, k+1)
	case kind < 34 && len(w.network) > 0 && len(w.network) < 100:
		w.network = append(w.network, w.network[message()])
	case kind < 35:
		p.m = nil
	case kind < 36:
		p.store.fuse = rapid.IntRange(0, 5).Draw(t, "fuse")
	case kind < 37:
		w.now = w.now.Add(10 * time.Second)
	case kind < 38:
		p.view = subset(t, w.all())
	case p.m == nil:
		w.start(i)
	}
}

// Two proposals that share one server only: whatever the order of messages,
// one of them at most bootstraps.
func TestSharedServer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(5, 3, noJitter)
		for i := range w.peers {
			w.start(i)
		}
		w.sees(0, 2, 4)
		w.sees(1, 2, 3)
		for _, i := range []int{2, 3, 4} {
			w.sees(i, 0)
		}
		for range 40 {
			w.now = w.now.Add(300 * time.Millisecond)
			for i := range w.peers {
				w.tick(i)
			}
			for range rapid.IntRange(0, len(w.network)*2).Draw(t, "messages") {
				if len(w.network) > 0 {
					w.deliver(rapid.IntRange(0, len(w.network)-1).Draw(t, "message"))
				}
			}
			w.check(t)
		}
	})
}

// The same where every node sees every other, so that the only contest is one
// of time; and a data directory may be lost, which gives a new instance that
// may release nothing. With as many nodes as are expected there is still one
// cluster at most.
func TestWipedNodesNeverMakeTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(3, 3, func(bound time.Duration) time.Duration { return bound / 2 })
		for i := range w.peers {
			w.start(i)
		}
		for k := range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 49).Draw(t, "wipe") == 0 {
				i := rapid.IntRange(0, 2).Draw(t, "wiped")
				p := w.peers[i]
				if p.clusterID != "" || p.raft != "" {
					continue // losing members is raft's business
				}
				p.self.Instance = fmt.Sprint("i-again-", k)
				p.store = &memStore{fuse: -3}
				w.start(i)
				for _, p := range w.peers {
					p.view = w.all()
				}
			}
			step(t, w)
			w.check(t)
		}
	})
}
