package simnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

const ms = time.Millisecond

func ip(i int) string { return fmt.Sprintf("10.0.0.%d", i) }

// bubble runs f in fake time with a network of hosts n1..n3 at 10.0.0.1..3.
func bubble(t *testing.T, f func(t *testing.T, n *simnet.Net, hosts []transport.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		defer n.Close()
		var hosts []transport.Network
		for i := 1; i <= 3; i++ {
			hosts = append(hosts, n.Host(fmt.Sprintf("n%d", i), ip(i)))
		}
		f(t, n, hosts)
	})
}

// connect opens a stream from one host to a new listener of another.
func connect(t *testing.T, from, to transport.Network) (dialed, accepted net.Conn) {
	t.Helper()
	ln, err := to.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if dialed, err = from.Dial(t.Context(), ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); err != nil || n != len(s) {
		t.Fatalf("write %q: got %d, %v", s, n, err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read: got %q, %v, want %q", b, err, want)
	}
}

// readFails reads with a deadline d ahead (0: none) and wants this error and no byte.
func readFails(t *testing.T, c net.Conn, d time.Duration, want error) {
	t.Helper()
	if d > 0 {
		c.SetReadDeadline(time.Now().Add(d))
		defer c.SetReadDeadline(time.Time{})
	}
	n, err := c.Read(make([]byte, 10))
	if n != 0 || !errors.Is(err, want) {
		t.Fatalf("read: got %d, %v, want 0, %v", n, err, want)
	}
}

func wantElapsed(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got != want {
		t.Fatalf("elapsed: got %v, want %v", got, want)
	}
}

// A dial takes one round trip and bytes one delay, also on a link made slow:
// measured in fake time, where both are exact.
func TestLatency(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		start := time.Now()
		a, b := connect(t, h[0], h[1])
		wantElapsed(t, start, 2*ms)
		start = time.Now()
		write(t, a, "x")
		wantElapsed(t, start, 0)
		read(t, b, "x")
		wantElapsed(t, start, ms)

		n.Delay("n1", "n2", 40*ms)
		start = time.Now()
		write(t, b, "slow")
		read(t, a, "slow")
		wantElapsed(t, start, 40*ms)
		start = time.Now()
		connect(t, h[1], h[0])
		wantElapsed(t, start, 80*ms)

		start = time.Now()
		connect(t, h[0], h[2])
		wantElapsed(t, start, 2*ms)
		start = time.Now()
		connect(t, h[0], h[0])
		if got := time.Since(start); got == 0 {
			t.Fatal("a host reaches itself in no time: a busy loop would stop fake time")
		}
	})
}

// Bytes stay in order when the link becomes faster with bytes still on it.
func TestOrderKeptWhenDelayShrinks(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		n.Delay("n1", "n2", time.Second)
		write(t, a, "first")
		n.Delay("n1", "n2", ms)
		write(t, a, "second")
		a.Close()
		time.Sleep(10 * ms)
		if _, err := b.Write([]byte("x")); err != nil {
			t.Errorf("the end of the stream has overtaken its bytes: %v", err)
		}
		read(t, b, "firstsecond")
		readFails(t, b, 0, io.EOF)
	})
}

// What is written in pieces of any size is read whole and in order, both ways
// at once, through queues far smaller than the data.
func TestBulk(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		const total = 5 << 20
		data := make([]byte, total)
		for i := range data {
			data[i] = byte(i * i >> 3)
		}
		send := func(c net.Conn, seed uint64) {
			rng := rand.New(rand.NewPCG(seed, 0))
			for rest := data; len(rest) > 0; {
				k := min(len(rest), 1+rng.IntN(300_000))
				if _, err := c.Write(rest[:k]); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				rest = rest[k:]
			}
		}
		recv := func(c net.Conn, done chan<- error) {
			got := make([]byte, total)
			_, err := io.ReadFull(c, got)
			if err == nil && !slices.Equal(got, data) {
				err = errors.New("other bytes than were sent")
			}
			done <- err
		}
		done := make(chan error, 2)
		go send(a, 1)
		go send(b, 2)
		go recv(a, done)
		go recv(b, done)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// A writer blocks at exactly the queue's size, until its deadline or until
// the reader takes something.
func TestBackpressure(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		a.SetWriteDeadline(time.Now().Add(time.Second))
		sent, err := a.Write(make([]byte, 3<<20))
		if sent != 1<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("write without reader: got %d, %v, want %d, deadline exceeded", sent, err, 1<<20)
		}
		a.SetWriteDeadline(time.Time{})
		done := make(chan error)
		go func() {
			_, err := a.Write([]byte("tail"))
			done <- err
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("a write into a full queue did not block")
		default:
		}
		if _, err := io.CopyN(io.Discard, b, 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		read(t, b, "tail")
	})
}

// Deadlines end reads that block already, can be moved while they block, and
// are errors of the kind that net/http and raft look for.
func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		start := time.Now()
		readFails(t, a, time.Minute, os.ErrDeadlineExceeded)
		wantElapsed(t, start, time.Minute)

		failed := make(chan error)
		blockedRead := func() {
			_, err := a.Read(make([]byte, 1))
			failed <- err
		}
		start = time.Now()
		a.SetDeadline(start.Add(time.Second))
		go blockedRead()
		synctest.Wait()
		a.SetReadDeadline(start.Add(time.Hour))
		err := <-failed
		wantElapsed(t, start, time.Hour)
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
			t.Fatalf("got %v, want a net.Error with Timeout", err)
		}

		a.SetReadDeadline(time.Time{})
		go blockedRead()
		synctest.Wait()
		a.SetReadDeadline(time.Unix(1, 0))
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read cut short: got %v", err)
		}
		write(t, b, "late")
		time.Sleep(2 * ms)
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read after its deadline with data there: got %v, want deadline exceeded", err)
		}
		a.SetReadDeadline(time.Time{})
		read(t, a, "late")
		a.SetWriteDeadline(time.Now())
		if _, err := a.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("write after its deadline: got %v", err)
		}
	})
}

// After Close the peer reads what was sent and then EOF, and its writes fail
// once it can know; the closed end fails at once, blocked reads included.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		failed := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		write(t, a, "bye")
		a.Close()
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("blocked read of the closed end: got %v, want closed", err)
		}
		write(t, b, "not known yet")
		start := time.Now()
		read(t, b, "bye")
		readFails(t, b, 0, io.EOF)
		readFails(t, b, 0, io.EOF)
		wantElapsed(t, start, ms)
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("write to a closed peer: got %v, want EPIPE", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("write to a closed conn: got %v", err)
		}
		if err := a.Close(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("second close: got %v", err)
		}
	})
}

// A writer that is blocked on a full queue learns that its peer has closed,
// also with unread bytes before the end.
func TestBlockedWriterSeesClose(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		write(t, b, "unread")
		failed := make(chan error)
		go func() {
			_, err := a.Write(make([]byte, 2<<20))
			failed <- err
		}()
		synctest.Wait()
		b.Close()
		select {
		case err := <-failed:
			if err != nil && !errors.Is(err, syscall.EPIPE) {
				t.Fatalf("got %v, want EPIPE or success into the void", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the writer still blocks a minute after its peer closed")
		}
	})
}

// In a partition bytes stall and nothing fails; what had arrived is readable,
// and healing delivers the rest in order one delay later.
func TestPartitionStallsAndHeals(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		c, d := connect(t, h[1], h[2])
		write(t, a, "arrived ")
		time.Sleep(2 * ms)
		write(t, a, "on the way ")
		n.Partition([]string{"n1"}, []string{"n2", "n3"})
		write(t, a, "in the cut")
		read(t, b, "arrived ")
		readFails(t, b, time.Hour, os.ErrDeadlineExceeded)
		write(t, c, "same side")
		read(t, d, "same side")

		n.Heal()
		start := time.Now()
		read(t, b, "on the way in the cut")
		wantElapsed(t, start, ms)
		write(t, b, "and back")
		read(t, a, "and back")
	})
}

// A cut blocks writers only when the queue is full, and healing frees them.
func TestPartitionFillsTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		n.Cut("n1", "n2")
		a.SetWriteDeadline(time.Now().Add(time.Minute))
		sent, err := a.Write(make([]byte, 2<<20))
		if sent != 1<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %d, %v, want %d and deadline exceeded", sent, err, 1<<20)
		}
		n.Heal()
		if _, err := io.CopyN(io.Discard, b, 1<<20); err != nil {
			t.Fatal(err)
		}
	})
}

// A one-way cut stalls one direction of a stream, and no dial passes in
// either direction, as a handshake needs both.
func TestCutOneWay(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		n.CutOneWay("n1", "n2")
		write(t, b, "passes")
		read(t, a, "passes")
		write(t, a, "stalls")
		readFails(t, b, time.Second, os.ErrDeadlineExceeded)
		for _, pair := range [][2]int{{0, 1}, {1, 0}} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			start := time.Now()
			_, err := h[pair[0]].Dial(ctx, ip(pair[1]+1)+":7400")
			cancel()
			wantElapsed(t, start, 3*time.Second)
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
				t.Fatalf("dial over a cut: got %v, want a timeout", err)
			}
		}
		n.Heal()
		read(t, b, "stalls")
	})
}

// Partition replaces earlier cuts; hosts that are not named stay together.
func TestPartitionReplaces(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		c, d := connect(t, h[1], h[2])
		n.Cut("n1", "n2")
		n.Partition([]string{"n3"})
		write(t, a, "together again")
		read(t, b, "together again")
		write(t, c, "apart")
		readFails(t, d, time.Second, os.ErrDeadlineExceeded)
	})
}

// A dial that a cut interrupts succeeds one round trip after the link heals,
// and one that waits in a cut ends at once with its context.
func TestDialInCut(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		ln, err := h[1].Listen(ip(2) + ":7400")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.AfterFunc(ms, func() { n.Cut("n1", "n2") })
		time.AfterFunc(time.Minute, n.Heal)
		c, err := h[0].Dial(t.Context(), ip(2)+":7400")
		if err != nil {
			t.Fatal(err)
		}
		wantElapsed(t, start, time.Minute+2*ms)
		c.Close()
		ln.Close()

		n.Cut("n1", "n2")
		ctx, cancel := context.WithCancel(t.Context())
		start = time.Now()
		time.AfterFunc(time.Second, cancel)
		if _, err := h[0].Dial(ctx, ip(2)+":7400"); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want canceled", err)
		}
		wantElapsed(t, start, time.Second)
	})
}

// A stream that its owner closes in a cut is reset after healing, and what had
// stalled never arrives.
func TestCloseInCut(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		n.Cut("n1", "n2")
		write(t, a, "lost")
		a.Close()
		readFails(t, b, time.Hour, os.ErrDeadlineExceeded)
		write(t, b, "nobody knows yet")
		n.Heal()
		readFails(t, b, time.Hour, syscall.ECONNRESET)
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("write after the reset: got %v", err)
		}
	})
}

// A killed host fails at once at its own end and its peers', refuses dials,
// can do nothing itself, and works again when revived.
func TestKill(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		ln, err := h[1].Listen(":7400")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := h[1].ListenPacket(":7400")
		if err != nil {
			t.Fatal(err)
		}
		a, b := connect(t, h[0], h[1])
		failed := make(chan error, 4)
		blocked := func(f func() error) { go func() { failed <- f() }() }
		blocked(func() error { _, err := ln.Accept(); return err })
		blocked(func() error { _, _, err := udp.ReadFrom(make([]byte, 9)); return err })
		blocked(func() error { _, err := a.Read(make([]byte, 1)); return err })
		blocked(func() error { _, err := b.Read(make([]byte, 1)); return err })
		synctest.Wait()
		start := time.Now()
		n.Kill("n2")
		for range 4 {
			if err := <-failed; !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("blocked call on the killed host: got %v, want closed or reset", err)
			}
		}
		wantElapsed(t, start, 0)
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write by the killed host: got %v", err)
		}
		if _, err := h[0].Dial(t.Context(), ip(2)+":7400"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to the killed host: got %v, want refused", err)
		}
		if _, err := h[1].Listen(":7400"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("listen on the killed host: got %v", err)
		}
		if _, err := h[1].Dial(t.Context(), ip(1)+":1"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("dial by the killed host: got %v", err)
		}
		n.Revive("n2")
		c, d := connect(t, h[0], h[1])
		write(t, c, "back")
		read(t, d, "back")
		if _, err := h[1].Listen(":7400"); err != nil {
			t.Errorf("the port is not free after the kill: %v", err)
		}
	})
}

// A kill behind a cut is not noticed until the link heals.
func TestKillInCut(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, _ := connect(t, h[0], h[1])
		n.Cut("n1", "n2")
		n.Kill("n2")
		write(t, a, "into the void")
		readFails(t, a, time.Hour, os.ErrDeadlineExceeded)
		n.Heal()
		start := time.Now()
		readFails(t, a, time.Hour, syscall.ECONNRESET)
		wantElapsed(t, start, ms)
	})
}

// Closing a listener resets streams that nobody accepted and refuses new ones.
func TestListenerClose(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		ln, err := h[1].Listen(":7400")
		if err != nil {
			t.Fatal(err)
		}
		c, err := h[0].Dial(t.Context(), ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		readFails(t, c, time.Second, syscall.ECONNRESET)
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: got %v", err)
		}
		if _, err := h[0].Dial(t.Context(), ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: got %v", err)
		}
	})
}

// Ports are allotted free for TCP and UDP; taken ones, foreign addresses and
// unknown names are refused with the machine's errors.
func TestAddresses(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		ln, err := h[0].Listen("10.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		if _, err := h[0].ListenPacket(addr); err != nil {
			t.Errorf("UDP on the allotted port: %v", err)
		}
		if _, err := h[0].Listen(addr); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr) {
			t.Errorf("second listen: got %v, want in use, with the address", err)
		}
		if _, err := h[0].ListenPacket(addr); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second UDP listen: got %v, want in use", err)
		}
		if _, err := h[0].Listen("10.0.0.2:0"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("listen on another host's address: got %v", err)
		}
		if _, err := h[0].Dial(t.Context(), "10.9.9.9:1"); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("dial to nowhere: got %v", err)
		}
		n.DNS("seeds.example", "10.0.0.3", "10.0.0.2")
		for name, want := range map[string][]string{
			"n2:7400": {"10.0.0.2:7400"}, "10.0.0.3:1": {"10.0.0.3:1"}, "localhost:5": {"10.0.0.1:5"},
			"seeds.example:7400": {"10.0.0.2:7400", "10.0.0.3:7400"},
		} {
			if got, err := h[0].Resolve(t.Context(), name); err != nil || !slices.Equal(got, want) {
				t.Errorf("resolve %s: got %v, %v, want %v", name, got, err, want)
			}
		}
		_, err = h[0].Resolve(t.Context(), "nobody:7400")
		if de, ok := errors.AsType[*net.DNSError](err); !ok || !de.IsNotFound {
			t.Errorf("resolve an unknown name: got %v", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a fault for an unknown host was accepted")
				}
			}()
			n.Cut("n1", "n9")
		}()
	})
}

// Close ends all that blocks, so that a bubble can end.
func TestNetClose(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		a, b := connect(t, h[0], h[1])
		ln, _ := h[0].Listen(":7400")
		udp, _ := h[0].ListenPacket(":7400")
		n.Cut("n1", "n2")
		failed := make(chan error, 6)
		blocked := func(f func() error) { go func() { failed <- f() }() }
		blocked(func() error { _, err := a.Read(make([]byte, 1)); return err })
		blocked(func() error { _, err := b.Read(make([]byte, 1)); return err })
		blocked(func() error { _, err := a.Write(make([]byte, 9<<20)); return err })
		blocked(func() error { _, err := ln.Accept(); return err })
		blocked(func() error { _, _, err := udp.ReadFrom(nil); return err })
		blocked(func() error { _, err := h[0].Dial(t.Context(), ip(2)+":1"); return err })
		synctest.Wait()
		n.Close()
		for range 6 {
			if err := <-failed; !errors.Is(err, net.ErrClosed) {
				t.Errorf("blocked call: got %v, want closed", err)
			}
		}
	})
}

// Nothing wakes without traffic: a hundred idle streams with blocked readers
// live for a century, which would take for ever if anything ticked.
func TestIdleCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net, h []transport.Network) {
		for range 100 {
			a, b := connect(t, h[0], h[1])
			go a.Read(make([]byte, 1))
			go b.Read(make([]byte, 1))
		}
		time.Sleep(100 * 365 * 24 * time.Hour)
	})
}
