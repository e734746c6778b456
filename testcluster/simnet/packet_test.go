package simnet_test

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
	"github.com/holdfast-cluster/holdfast/transport"
)

// sockets binds one UDP socket on each of two hosts.
func sockets(t *testing.T, a, b transport.Network) (net.PacketConn, net.PacketConn) {
	t.Helper()
	p, err := a.ListenPacket(":7400")
	if err != nil {
		t.Fatal(err)
	}
	q, err := b.ListenPacket(":7400")
	if err != nil {
		t.Fatal(err)
	}
	return p, q
}

func send(t *testing.T, p net.PacketConn, to net.PacketConn, s string) {
	t.Helper()
	if n, err := p.WriteTo([]byte(s), to.LocalAddr()); err != nil || n != len(s) {
		t.Fatalf("send: got %d, %v", n, err)
	}
}

// drain returns all packets that arrive within a second.
func drain(p net.PacketConn) []string {
	var got []string
	b := make([]byte, 1<<16)
	p.SetReadDeadline(time.Now().Add(time.Second))
	defer p.SetReadDeadline(time.Time{})
	for {
		n, _, err := p.ReadFrom(b)
		if err != nil {
			return got
		}
		got = append(got, string(b[:n]))
	}
}

// A packet arrives one delay later, names its sender, and is cut to the
// reader's buffer; one that is too large is an error.
func TestPackets(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		p, q := sockets(t, h[0], h[1])
		start := time.Now()
		send(t, p, q, "hello")
		b := make([]byte, 4)
		k, from, err := q.ReadFrom(b)
		if err != nil || string(b[:k]) != "hell" || from.String() != p.LocalAddr().String() {
			t.Fatalf("got %q from %v, %v", b[:k], from, err)
		}
		wantElapsed(t, start, ms)
		n.Delay("n1", "n2", 10*ms)
		send(t, p, q, "slow")
		n.Delay("n1", "n2", ms)
		send(t, p, q, "fast")
		if got, want := drain(q), []string{"fast", "slow"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q: packets are not queued behind slower ones", got, want)
		}
		if _, err := p.WriteTo(make([]byte, 65508), q.LocalAddr()); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("too large: got %v", err)
		}
		if _, err := p.WriteTo([]byte("x"), &net.UDPAddr{IP: net.ParseIP("10.0.0.3"), Port: 9}); err != nil {
			t.Errorf("packet to nobody: got %v, want silence", err)
		}
		p.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := p.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read past the deadline: got %v", err)
		}
		p.Close()
		if _, err := p.WriteTo([]byte("x"), q.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write on a closed socket: got %v", err)
		}
	})
}

// A cut loses packets, those on the way too, in its direction only, and
// healing does not bring them back.
func TestPacketsAndCuts(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		p, q := sockets(t, h[0], h[1])
		send(t, p, q, "arrived")
		time.Sleep(2 * ms)
		send(t, p, q, "on the way")
		n.CutOneWay("n1", "n2")
		send(t, p, q, "in the cut")
		send(t, q, p, "other way")
		n.Heal()
		send(t, p, q, "healed")
		if got, want := drain(q), []string{"arrived", "healed"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := drain(p), []string{"other way"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Loss takes about its share of the packets, the same ones for the same seed,
// and a full queue drops the rest.
func TestLossAndOverflow(t *testing.T) {
	lossy := func(seed int64, chance float64) (got string) {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(seed)
			defer n.Close()
			p, q := sockets(t, n.Host("a", "10.0.0.1"), n.Host("b", "10.0.0.2"))
			n.Loss("a", "b", chance)
			for i := range 2000 {
				send(t, p, q, string(rune('A'+i%26)))
				if i%500 == 499 {
					got += strings.Join(drain(q), "")
				}
			}
		})
		return got
	}
	if got := len(lossy(1, 0)); got != 2000 {
		t.Errorf("no loss: got %d of 2000", got)
	}
	if got := len(lossy(1, 1)); got != 0 {
		t.Errorf("all lost: got %d", got)
	}
	one := lossy(7, 0.3)
	if got := len(one); got < 1300 || got > 1500 {
		t.Errorf("30 %% lost: got %d of 2000", got)
	}
	if one != lossy(7, 0.3) || one == lossy(8, 0.3) {
		t.Error("losses do not follow the seed")
	}
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		p, q := sockets(t, h[0], h[1])
		for range 3000 {
			send(t, p, q, "x")
		}
		if got := len(drain(q)); got != 1024 {
			t.Errorf("full queue: got %d packets, want 1024", got)
		}
	})
}
