package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
	"github.com/holdfast-cluster/holdfast/transport"
)

// place is a network with room for many nodes: the machine's loopback, or a
// simulated one with a host for each.
type place struct {
	network func(host string) transport.Network
	listen  func(host string) string
}

// everywhere runs a test on real sockets, and in a bubble on simulated ones.
func everywhere(t *testing.T, f func(t *testing.T, p place)) {
	t.Run("loopback", func(t *testing.T) {
		f(t, place{
			network: func(string) transport.Network { return transport.System() },
			listen:  func(string) string { return "127.0.0.1:0" },
		})
	})
	t.Run("simnet", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1)
			t.Cleanup(func() { n.Close() })
			ips := map[string]string{}
			at := func(host string) string {
				if ips[host] == "" {
					ips[host] = fmt.Sprintf("10.0.0.%d", len(ips)+1)
				}
				return ips[host]
			}
			f(t, place{
				network: func(host string) transport.Network { return n.Host(host, at(host)) },
				listen:  func(host string) string { return at(host) + ":0" },
			})
		})
	})
}

// node is a running Mux and what it turned away.
type node struct {
	*transport.Mux
	stop func()

	mu      sync.Mutex
	refused []error
}

func (n *node) turnedAway() []error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]error(nil), n.refused...)
}

func identity(name string) transport.Identity {
	return transport.Identity{ClusterName: "test", Node: name, Instance: "instance-of-" + name}
}

// start runs a Mux until the test ends or stop is called. edit may change the configuration.
func start(t *testing.T, p place, id transport.Identity, edit func(*transport.Config)) *node {
	t.Helper()
	n := &node{}
	cfg := transport.Config{
		Network:  p.network(id.Node),
		Listen:   p.listen(id.Node),
		Identity: func() transport.Identity { return id },
		OnRefused: func(_ string, err error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.refused = append(n.refused, err)
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	m, err := transport.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Bind(); err != nil {
		t.Fatal(err)
	}
	n.Mux = m
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run of %s: %v", id.Node, err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

// serveEcho sends back what it reads, on each stream, until the listener closes.
func serveEcho(t *testing.T, l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	var streams sync.WaitGroup
	streams.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			streams.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		streams.Wait()
	})
}

func wantRefused(t *testing.T, err error, code string) {
	t.Helper()
	r, ok := errors.AsType[*transport.Refused](err)
	if !ok || r.Code != code {
		t.Fatalf("got %v, want refused with code %s", err, code)
	}
	if strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("more than one line: %q", err)
	}
}

// Streams carry bytes both ways, of each kind to its own listener, and both
// ends know who the other is.
func TestStreamsByKind(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		for _, kind := range []transport.Kind{transport.KindRaft, transport.KindGossip, transport.KindRPC, transport.KindHTTP, transport.KindPull} {
			l := b.Accept(kind)
			if l != b.Accept(kind) {
				t.Errorf("%s: a second Accept gives another listener", kind)
			}
			if got := l.Addr().String(); got != b.AdvertiseAddr() {
				t.Errorf("%s: listener's address: got %s, want %s", kind, got, b.AdvertiseAddr())
			}
			c, err := a.Dial(t.Context(), kind, b.AdvertiseAddr())
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, "ping ", kind)
			got := make([]byte, len("ping ")+len(kind.String()))
			if _, err := io.ReadFull(s, got); err != nil || string(got) != "ping "+kind.String() {
				t.Errorf("%s: got %q, %v", kind, got, err)
			}
			peer, ok := transport.PeerOf(s)
			if !ok || peer.Node != "a" || peer.Instance != "instance-of-a" || peer.Process == "" {
				t.Errorf("%s: acceptor sees %+v, %v", kind, peer, ok)
			}
			if c.Peer.Node != "b" || c.Kind != kind || c.Peer.Process == peer.Process {
				t.Errorf("%s: dialer sees %+v, kind %s", kind, c.Peer, c.Kind)
			}
			s.Close()
			if _, err := c.Read(got); !errors.Is(err, io.EOF) {
				t.Errorf("%s: after Close: got %v, want EOF", kind, err)
			}
			c.Close()
		}
		if _, ok := transport.PeerOf(&net.TCPConn{}); ok {
			t.Error("PeerOf knows the peer of a conn that is not ours")
		}
	})
}

// Packets go from node port to node port, also to one's own.
func TestPackets(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		for _, to := range []*node{b, a} {
			if err := a.SendPacket(t.Context(), []byte("hello"), to.AdvertiseAddr()); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, from, err := to.PacketConn().ReadFrom(buf)
			if err != nil || string(buf[:n]) != "hello" || from.String() != a.AdvertiseAddr() {
				t.Errorf("got %q from %v, %v, want hello from %s", buf[:n], from, err, a.AdvertiseAddr())
			}
		}
	})
}

// Each built-in check refuses with its code, the dialer learns code and words,
// and the acceptor tells OnRefused.
func TestBuiltInRefusals(t *testing.T) {
	base := transport.Identity{ClusterName: "test", ClusterID: "id-1", Node: "b", Instance: "i-b", Process: "p-b"}
	for _, tc := range []struct {
		name string
		from transport.Identity
		kind transport.Kind
		code string // "": let in
		word string // in the error
	}{
		{"same cluster", transport.Identity{ClusterName: "test", ClusterID: "id-1", Node: "a", Instance: "i-a"}, transport.KindRPC, "", ""},
		{"cluster id not known yet", transport.Identity{ClusterName: "test", Node: "a", Instance: "i-a"}, transport.KindRPC, "", ""},
		{"other name", transport.Identity{ClusterName: "prod", Node: "a"}, transport.KindRPC, transport.CodeWrongClusterName, `"prod"`},
		{"other id", transport.Identity{ClusterName: "test", ClusterID: "id-2", Node: "a"}, transport.KindRPC, transport.CodeWrongClusterID, "id-1"},
		{"copied data directory", transport.Identity{ClusterName: "test", Node: "a", Instance: "i-b", Process: "p-a"}, transport.KindRPC, transport.CodeDuplicateInstance, "i-b"},
		{"itself", base, transport.KindRPC, "", ""},
		{"kind that nobody takes", transport.Identity{ClusterName: "test", Node: "a"}, transport.KindRaft, transport.CodeKindRefused, "raft"},
		{"kind that nobody knows", transport.Identity{ClusterName: "test", Node: "a"}, transport.Kind(99), transport.CodeKindRefused, "kind 99"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place) {
				b := start(t, p, base, nil)
				serveEcho(t, b.Accept(transport.KindRPC))
				a := start(t, p, tc.from, func(c *transport.Config) { c.Network, c.Listen = p.network("x"), p.listen("x") })
				c, err := a.Dial(t.Context(), tc.kind, b.AdvertiseAddr())
				if tc.code == "" {
					if err != nil {
						t.Fatal(err)
					}
					c.Close()
					return
				}
				wantRefused(t, err, tc.code)
				for _, want := range []string{b.AdvertiseAddr(), tc.kind.String() + " stream", tc.word} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not name %s", err, want)
					}
				}
				b.stop()
				told := b.turnedAway()
				if len(told) != 1 {
					t.Fatalf("OnRefused was told %v, want one error", told)
				}
				wantRefused(t, told[0], tc.code)
			})
		})
	}
}

// The dialer checks the acceptor too: one that lets everybody in (here: it
// claims to know no cluster id when it judges, and another one when it answers) is not believed.
func TestDialerChecksAcceptor(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		ln, err := p.network("b").Listen(p.listen("b"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			io.ReadFull(c, make([]byte, 8))
			c.Write([]byte("HOLD\x01\x00\x00\x0b\x00\x00\x04prod\x00\x00\x00\x00"))
			io.Copy(io.Discard, c)
		}()
		a := start(t, p, identity("a"), nil)
		_, err = a.Dial(t.Context(), transport.KindRaft, ln.Addr().String())
		wantRefused(t, err, transport.CodeWrongClusterName)
		<-answered
	})
}

// Admit sees kind and peer, after the built-in checks only, and its refusal
// reaches the dialer.
func TestAdmit(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		b := start(t, p, identity("b"), func(c *transport.Config) {
			c.Admit = func(kind transport.Kind, peer transport.Identity) *transport.Refused {
				if peer.ClusterName != "test" {
					t.Error("Admit was asked about a peer of another cluster")
				}
				if kind == transport.KindRPC {
					return nil
				}
				return &transport.Refused{Code: "not-pledged", Detail: "node " + peer.Node + "\nmay not speak " + kind.String()}
			}
		})
		serveEcho(t, b.Accept(transport.KindRPC))
		serveEcho(t, b.Accept(transport.KindRaft))
		a := start(t, p, identity("a"), nil)
		c, err := a.Dial(t.Context(), transport.KindRPC, b.AdvertiseAddr())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		_, err = a.Dial(t.Context(), transport.KindRaft, b.AdvertiseAddr())
		wantRefused(t, err, "not-pledged")
		if want := "node a may not speak raft"; !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it, on one line", err, want)
		}
		stranger := start(t, p, transport.Identity{ClusterName: "prod", Node: "s"}, nil)
		_, err = stranger.Dial(t.Context(), transport.KindRPC, b.AdvertiseAddr())
		wantRefused(t, err, transport.CodeWrongClusterName)
	})
}

// The identity is asked for at each handshake: a node that learns its
// cluster's id is refused by another cluster from then on.
func TestIdentityMayChange(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		var mu sync.Mutex
		id := identity("a")
		a := start(t, p, id, func(c *transport.Config) {
			c.Identity = func() transport.Identity { mu.Lock(); defer mu.Unlock(); return id }
		})
		other := identity("b")
		other.ClusterID = "id-b"
		b := start(t, p, other, nil)
		serveEcho(t, b.Accept(transport.KindRPC))
		c, err := a.Dial(t.Context(), transport.KindRPC, b.AdvertiseAddr())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		mu.Lock()
		id.ClusterID = "id-a"
		mu.Unlock()
		_, err = a.Dial(t.Context(), transport.KindRPC, b.AdvertiseAddr())
		wantRefused(t, err, transport.CodeWrongClusterID)
	})
}

// A queue that nobody empties refuses streams beyond its bound, and takes them
// again once it is emptied.
func TestQueueIsBounded(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		l := b.Accept(transport.KindPull)
		for i := range 1024 {
			if _, err := a.Dial(t.Context(), transport.KindPull, b.AdvertiseAddr()); err != nil {
				t.Fatalf("stream %d: %v", i, err)
			}
		}
		_, err := a.Dial(t.Context(), transport.KindPull, b.AdvertiseAddr())
		wantRefused(t, err, transport.CodeOverloaded)
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Dial(t.Context(), transport.KindPull, b.AdvertiseAddr()); err != nil {
			t.Fatalf("after one was taken: %v", err)
		}
	})
}

// A closed listener refuses its kind and closes what waited in it; a new one
// takes streams again, as a raft transport that is built anew needs.
func TestListenerReopens(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		l := b.Accept(transport.KindRaft)
		waiting, err := a.Dial(t.Context(), transport.KindRaft, b.AdvertiseAddr())
		if err != nil {
			t.Fatal(err)
		}
		blocked := make(chan error)
		l2 := b.Accept(transport.KindPull)
		go func() {
			_, err := l2.Accept()
			blocked <- err
		}()
		l.Close()
		l.Close()
		l2.Close()
		if err := <-blocked; !errors.Is(err, net.ErrClosed) {
			t.Errorf("blocked Accept: got %v, want closed", err)
		}
		if _, err := waiting.Read(make([]byte, 1)); err == nil {
			t.Error("a stream that nobody will take stays open")
		}
		_, err = a.Dial(t.Context(), transport.KindRaft, b.AdvertiseAddr())
		wantRefused(t, err, transport.CodeKindRefused)
		serveEcho(t, b.Accept(transport.KindRaft))
		if _, err := a.Dial(t.Context(), transport.KindRaft, b.AdvertiseAddr()); err != nil {
			t.Errorf("after reopening: %v", err)
		}
	})
}

// The end of Run closes the streams of both directions, frees the port, and
// fails what comes after it, while a stream of CloseStreams' kind alone ends before.
func TestEndClosesEverything(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		serveEcho(t, b.Accept(transport.KindRaft))
		serveEcho(t, b.Accept(transport.KindGossip))
		serveEcho(t, a.Accept(transport.KindRPC))
		dial := func(from, to *node, kind transport.Kind) net.Conn {
			c, err := from.Dial(t.Context(), kind, to.AdvertiseAddr())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		raft, gossip, incoming := dial(a, b, transport.KindRaft), dial(a, b, transport.KindGossip), dial(b, a, transport.KindRPC)
		a.CloseStreams(transport.KindRaft)
		if _, err := raft.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("raft stream after CloseStreams: got %v, want closed", err)
		}
		for _, c := range []net.Conn{gossip, incoming} {
			fmt.Fprint(c, "x")
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Errorf("stream of another kind: %v", err)
			}
		}
		addr := a.AdvertiseAddr()
		a.stop()
		for _, c := range []net.Conn{gossip, incoming} {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a stream outlives its Mux")
			}
		}
		if _, err := a.Dial(t.Context(), transport.KindRaft, b.AdvertiseAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial after the end: got %v, want closed", err)
		}
		if _, err := a.Accept(transport.KindRPC).Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after the end: got %v, want closed", err)
		}
		again := start(t, p, identity("a"), func(c *transport.Config) { c.Listen = addr })
		if again.AdvertiseAddr() != addr {
			t.Errorf("got %s, want %s", again.AdvertiseAddr(), addr)
		}
	})
}

// An address in use is refused in words that name it, and nothing stays bound.
func TestAddressInUse(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a := start(t, p, identity("a"), nil)
		cfg := transport.Config{
			Network: p.network("a"), Listen: a.AdvertiseAddr(),
			Identity: func() transport.Identity { return identity("a") },
		}
		m, err := transport.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = m.Bind()
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "TCP address "+a.AdvertiseAddr()+" is in use") {
			t.Errorf("got %v, want in use, naming the address", err)
		}
		addr := takenUDP(t, p)
		cfg.Network, cfg.Listen = p.network("b"), addr
		if m, err = transport.New(cfg); err != nil {
			t.Fatal(err)
		}
		if err := m.Bind(); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "UDP address "+addr+" is in use") {
			t.Errorf("got %v, want in use, naming the address", err)
		}
		ln, err := p.network("b").Listen(addr)
		if err != nil {
			t.Fatalf("TCP stays bound after UDP could not be: %v", err)
		}
		ln.Close()
	})
}

// takenUDP takes a UDP port of b whose TCP port nothing on this machine has.
func takenUDP(t *testing.T, p place) string {
	t.Helper()
	for range 100 {
		udp, err := p.network("b").ListenPacket(p.listen("b"))
		if err != nil {
			t.Fatal(err)
		}
		ln, err := p.network("b").Listen(udp.LocalAddr().String())
		if err == nil {
			ln.Close()
			t.Cleanup(func() { udp.Close() })
			return udp.LocalAddr().String()
		}
		udp.Close()
	}
	t.Fatal("no port is free in TCP and UDP")
	return ""
}

// Configurations that cannot work are refused by New, and an advertised port 0
// is the bound one.
func TestConfig(t *testing.T) {
	id := func() transport.Identity { return identity("a") }
	for _, tc := range []struct{ listen, advertise, want string }{
		{"127.0.0.1", "", "not host:port"},
		{"0.0.0.0:7400", "", "say which address to advertise"},
		{":7400", "", "say which address to advertise"},
		{"[::]:7400", "", "say which address to advertise"},
		{"0.0.0.0:7400", "0.0.0.0:7400", "cannot be reached by others"},
		{"0.0.0.0:7400", "example", "not host:port"},
	} {
		if _, err := transport.New(transport.Config{Listen: tc.listen, Advertise: tc.advertise, Identity: id}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("listen %q advertise %q: got %v, want %q in it", tc.listen, tc.advertise, err, tc.want)
		}
	}
	if _, err := transport.New(transport.Config{Listen: "127.0.0.1:0"}); err == nil {
		t.Error("a configuration without identity is accepted")
	}
	m, err := transport.New(transport.Config{Listen: "127.0.0.1:0", Advertise: "node.example:0", Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); err == nil {
		t.Error("Run before Bind does not fail")
	}
	if err := m.Bind(); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, port, _ := net.SplitHostPort(m.Addr().String())
	if got, want := m.AdvertiseAddr(), "node.example:"+port; got != want {
		t.Errorf("advertised: got %s, want %s", got, want)
	}
	if got, want := m.PacketConn().LocalAddr().String(), m.Addr().String(); got != want {
		t.Errorf("UDP is bound to %s, TCP to %s", got, want)
	}
}

// The machine's resolver turns addresses into themselves and says what is wrong
// with others.
func TestSystemResolve(t *testing.T) {
	got, err := transport.System().Resolve(t.Context(), "127.0.0.1:7400")
	if diff := cmp.Diff([]string{"127.0.0.1:7400"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := transport.System().Resolve(t.Context(), "nowhere"); err == nil || !strings.Contains(err.Error(), "host:port") {
		t.Errorf("got %v", err)
	}
}

// A port is vacant when its host refuses, and only then: provoked by a node that
// runs, then by one that has ended, and by a caller with no time left.
func TestVacant(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		address := b.AdvertiseAddr()
		if a.Vacant(t.Context(), address) {
			t.Error("the port of a node that runs counts as vacant")
		}
		b.stop()
		if !a.Vacant(t.Context(), address) {
			t.Error("the port of a node that has ended does not count as vacant")
		}
		late, cancel := context.WithCancel(t.Context())
		cancel()
		if a.Vacant(late, address) {
			t.Error("no answer counts as a refusal")
		}
	})
}

// A dial ends with its context, or after the configured time when the other
// end accepts but never answers.
func TestDialGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		t.Cleanup(func() { n.Close() })
		p := place{
			network: func(h string) transport.Network { return n.Host(h, "10.0.0."+h) },
			listen:  func(h string) string { return "10.0.0." + h + ":7400" },
		}
		a, c := start(t, p, identity("1"), nil), start(t, p, identity("3"), nil)
		silent, err := p.network("2").Listen("10.0.0.2:7400")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		begun := time.Now()
		_, err = a.Dial(t.Context(), transport.KindRPC, "10.0.0.2:7400")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 5*time.Second {
			t.Errorf("silent peer: got %v after %v, want deadline exceeded after 5s", err, time.Since(begun))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begun = time.Now()
		_, err = a.Dial(ctx, transport.KindRPC, "10.0.0.2:7400")
		if !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("canceled: got %v after %v", err, time.Since(begun))
		}
		time.AfterFunc(time.Second, a.stop)
		begun = time.Now()
		_, err = a.Dial(t.Context(), transport.KindRPC, "10.0.0.2:7400")
		if !errors.Is(err, net.ErrClosed) || time.Since(begun) != time.Second {
			t.Errorf("Mux ended: got %v after %v", err, time.Since(begun))
		}
		n.Cut("3", "2")
		time.AfterFunc(time.Second, c.stop)
		begun = time.Now()
		_, err = c.Dial(t.Context(), transport.KindRPC, "10.0.0.2:7400")
		if !errors.Is(err, net.ErrClosed) || time.Since(begun) != time.Second {
			t.Errorf("Mux ended while dialing into a cut: got %v after %v", err, time.Since(begun))
		}
	})
}

// The limits of the handshake end with it: more streams than handshakes may be
// unfinished live side by side, and through an idle hour.
func TestStreamsOutliveTheHandshake(t *testing.T) {
	attacked(t, func(t *testing.T, b *node, p place, _ func() net.Conn) {
		a := start(t, p, identity("a"), nil)
		var streams []net.Conn
		for range 1100 {
			c, err := a.Dial(t.Context(), transport.KindRPC, b.AdvertiseAddr())
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, c)
		}
		time.Sleep(time.Hour)
		for i, c := range streams {
			fmt.Fprint(c, "x")
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatalf("stream %d of %d: %v", i, len(streams), err)
			}
		}
	})
}
