package simnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
	"github.com/holdfast-cluster/holdfast/transport"
)

// serveMux runs a Mux on host n<i> until the test ends.
func serveMux(t *testing.T, n *simnet.Net, i int) *transport.Mux {
	t.Helper()
	name := fmt.Sprintf("n%d", i)
	m, err := transport.New(transport.Config{
		Network:  n.Host(name, ip(i)),
		Listen:   ip(i) + ":7400",
		Identity: func() transport.Identity { return transport.Identity{ClusterName: "sim", Node: name, Instance: name} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Bind(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) { // closed: the host was killed
			t.Errorf("%s: %v", name, err)
		}
	})
	return m
}

// A web server and its clients: large bodies, many requests at once on kept
// connections, a request that hangs in a partition until its timeout, and an
// orderly end after idle hours.
func TestHTTPOverSimnet(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		ln, err := h[0].Listen(":80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			w.Write(body)
		})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		tr := &http.Transport{
			MaxConnsPerHost: 8,
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return h[1].Dial(ctx, addr)
			},
		}
		client := &http.Client{Transport: tr}
		post := func(size int) error {
			body := bytes.Repeat([]byte{'x'}, size)
			resp, err := client.Post("http://n1:80/", "text/plain", bytes.NewReader(body))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err == nil && !bytes.Equal(got, body) {
				err = fmt.Errorf("got %d bytes, want %d", len(got), size)
			}
			return err
		}
		var requests sync.WaitGroup
		for i := range 100 {
			requests.Go(func() {
				if err := post(i * 40_000); err != nil {
					t.Error(err)
				}
			})
		}
		requests.Wait()
		n.Cut("n1", "n2")
		client.Timeout = time.Minute
		start := time.Now()
		if err := post(1); err == nil || time.Since(start) != time.Minute {
			t.Errorf("request in a partition: got %v after %v, want a timeout after 1m", err, time.Since(start))
		}
		n.Heal()
		if err := post(1); err != nil {
			t.Errorf("after healing: %v", err)
		}
		time.Sleep(10 * time.Hour)
		if err := post(1); err != nil {
			t.Errorf("after idle hours: %v", err)
		}
		tr.CloseIdleConnections()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// raftLayer lets raft speak through a Mux.
type raftLayer struct {
	net.Listener
	mux *transport.Mux
}

func (l raftLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.mux.Dial(ctx, transport.KindRaft, string(addr))
}

// counter is an FSM that counts.
type counter struct{ applied atomic.Int64 }

func (c *counter) Apply(*raft.Log) any                 { return c.applied.Add(1) }
func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("not in this test") }
func (c *counter) Restore(io.ReadCloser) error         { return errors.New("not in this test") }

// raftNode is one server of a cluster in a bubble.
type raftNode struct {
	*raft.Raft
	fsm *counter
}

func startRaft(t *testing.T, n *simnet.Net, count int) []raftNode {
	t.Helper()
	var nodes []raftNode
	var servers []raft.Server
	for i := 1; i <= count; i++ {
		m := serveMux(t, n, i)
		tr := raft.NewNetworkTransport(raftLayer{m.Accept(transport.KindRaft), m}, 3, time.Second, io.Discard)
		conf := raft.DefaultConfig()
		conf.LocalID = raft.ServerID(fmt.Sprintf("n%d", i))
		conf.LogOutput = io.Discard
		store, fsm := raft.NewInmemStore(), &counter{}
		r, err := raft.NewRaft(conf, fsm, store, store, raft.NewInmemSnapshotStore(), tr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			f := r.Shutdown()
			tr.Close()
			tr.CloseStreams()
			if err := f.Error(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, raftNode{r, fsm})
		servers = append(servers, raft.Server{ID: conf.LocalID, Address: raft.ServerAddress(m.AdvertiseAddr())})
	}
	if err := nodes[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	return nodes
}

// leaderOf waits until one of the nodes, other than except, leads.
func leaderOf(t *testing.T, nodes []raftNode, except int) int {
	t.Helper()
	for range 600 {
		for i, r := range nodes {
			if i != except && r.State() == raft.Leader {
				return i
			}
		}
		time.Sleep(100 * ms)
	}
	t.Fatal("no leader within a minute")
	return 0
}

// Raft over Mux over simnet elects, replaces a leader that is cut off, catches
// it up after healing, survives a killed follower, and idles through an hour.
func TestRaftOverSimnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		t.Cleanup(func() { n.Close() })
		nodes := startRaft(t, n, 3)
		apply := func(i, count int) {
			t.Helper()
			for range count {
				if err := nodes[i].Apply([]byte("x"), time.Second).Error(); err != nil {
					t.Fatal(err)
				}
			}
		}
		first := leaderOf(t, nodes, -1)
		apply(first, 10)
		name := func(i int) string { return fmt.Sprintf("n%d", i+1) }
		n.Partition([]string{name(first)})
		second := leaderOf(t, nodes, first)
		apply(second, 10)
		if got := nodes[first].fsm.applied.Load(); got != 10 {
			t.Errorf("the node that is cut off has applied %d commands, want 10", got)
		}
		time.Sleep(time.Minute)
		n.Heal()
		time.Sleep(time.Minute)
		leader := leaderOf(t, nodes, -1)
		apply(leader, 10)
		time.Sleep(time.Second) // followers learn of a commit with the next message
		n.Kill(name((leader + 1) % 3))
		apply(leader, 10)
		time.Sleep(time.Hour)
		for i, r := range nodes {
			want := int64(40)
			if i == (leader+1)%3 {
				want = 30
			}
			if got := r.fsm.applied.Load(); got != want {
				t.Errorf("%s has applied %d commands, want %d", name(i), got, want)
			}
		}
	})
}

// gossipTransport lets memberlist speak through a Mux: packets on the UDP
// socket, streams of the gossip kind.
type gossipTransport struct {
	mux     *transport.Mux
	streams net.Listener
	packets chan *memberlist.Packet
	conns   chan net.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	loops   sync.WaitGroup
}

func newGossipTransport(m *transport.Mux) *gossipTransport {
	g := &gossipTransport{
		mux: m, streams: m.Accept(transport.KindGossip),
		packets: make(chan *memberlist.Packet, 256), conns: make(chan net.Conn, 16),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.loops.Go(g.readPackets)
	g.loops.Go(g.acceptStreams)
	return g
}

func (g *gossipTransport) readPackets() {
	buf := make([]byte, 65536)
	for {
		k, from, err := g.mux.PacketConn().ReadFrom(buf)
		if err != nil {
			return
		}
		select {
		case g.packets <- &memberlist.Packet{Buf: bytes.Clone(buf[:k]), From: from, Timestamp: time.Now()}:
		case <-g.ctx.Done():
			return
		}
	}
}

func (g *gossipTransport) acceptStreams() {
	for {
		c, err := g.streams.Accept()
		if err != nil {
			return
		}
		select {
		case g.conns <- c:
		case <-g.ctx.Done():
			c.Close()
			return
		}
	}
}

func (g *gossipTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	host, port, err := net.SplitHostPort(g.mux.AdvertiseAddr())
	if err != nil {
		return nil, 0, err
	}
	p, err := strconv.Atoi(port)
	return net.ParseIP(host), p, err
}

func (g *gossipTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return time.Now(), g.mux.SendPacket(g.ctx, b, addr)
}

func (g *gossipTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	return g.mux.Dial(ctx, transport.KindGossip, addr)
}

func (g *gossipTransport) PacketCh() <-chan *memberlist.Packet { return g.packets }
func (g *gossipTransport) StreamCh() <-chan net.Conn           { return g.conns }

func (g *gossipTransport) Shutdown() error {
	g.cancel()
	g.streams.Close()
	g.mux.PacketConn().SetReadDeadline(time.Unix(1, 0))
	g.loops.Wait()
	return nil
}

// Memberlist over Mux over simnet joins, notices a partition on both sides,
// merges again after healing and one Join, and notices a killed host; packets
// get lost all the while.
func TestMemberlistOverSimnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		t.Cleanup(func() { n.Close() })
		var members []*memberlist.Memberlist
		for i := 1; i <= 5; i++ {
			conf := memberlist.DefaultLANConfig()
			conf.Name = fmt.Sprintf("n%d", i)
			conf.LogOutput = io.Discard
			conf.Transport = newGossipTransport(serveMux(t, n, i))
			conf.DeadNodeReclaimTime = 10 * time.Second
			m, err := memberlist.Create(conf)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := m.Shutdown(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute) // its stray timers
			})
			members = append(members, m)
		}
		want := func(what string, counts ...int) {
			t.Helper()
			for i, m := range members[:len(counts)] {
				if got := m.NumMembers(); got != counts[i] {
					t.Errorf("%s: n%d sees %d members, want %d", what, i+1, got, counts[i])
				}
			}
		}
		for i := 1; i < 5; i++ {
			n.Loss("n1", fmt.Sprintf("n%d", i+1), 0.02)
			if _, err := members[i].Join([]string{ip(1) + ":7400"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		want("joined", 5, 5, 5, 5, 5)
		n.Partition([]string{"n1", "n2"})
		time.Sleep(5 * time.Minute)
		want("partition", 2, 2, 3, 3, 3)
		n.Heal()
		if _, err := members[0].Join([]string{ip(4) + ":7400"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want("healed", 5, 5, 5, 5, 5)
		n.Kill("n5")
		time.Sleep(time.Minute)
		want("killed", 4, 4, 4, 4)
	})
}
