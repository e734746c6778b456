package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/internal/secure"
	"github.com/holdfast-cluster/holdfast/transport"
)

// handshakesMax is what a node keeps of unfinished handshakes.
const handshakesMax = 1024

// fortress is two nodes that speak TLS on loopback, and a stream between them
// that is never to break.
type fortress struct {
	*node
	friend  *node
	lasting net.Conn
	certs   *secure.Certificates
}

// fortified starts the two. Handshakes may take as long as timeout.
func fortified(t *testing.T, timeout time.Duration) *fortress {
	t.Helper()
	dir := t.TempDir()
	if _, err := secure.Init(secure.Set{Dir: dir, Cluster: "test", Nodes: []string{"a", "b"}, Days: 1}); err != nil {
		t.Fatal(err)
	}
	p := place{
		network: func(string) transport.Network { return transport.System() },
		listen:  func(string) string { return "127.0.0.1:0" },
	}
	run := func(name string) (*node, *secure.Certificates) {
		certs, err := secure.LoadNode(secure.Paths{CA: filepath.Join(dir, secure.CAFile), Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem")}, "test")
		if err != nil {
			t.Fatal(err)
		}
		return start(t, p, identity(name), func(c *transport.Config) {
			c.Timeout = timeout
			c.Wrap = transport.Wrap{ServerConn: certs.Accept, ClientConn: certs.Dial}
		}), certs
	}
	f := &fortress{}
	f.node, _ = run("a")
	f.friend, f.certs = run("b")
	serveEcho(t, f.Accept(transport.KindRPC))
	f.lasting = f.dial(t)
	t.Cleanup(func() { f.lasting.Close() })
	return f
}

// dial opens a stream as the friend; an attack may make it slow, but no more.
// The caller closes it.
func (f *fortress) dial(t *testing.T) net.Conn {
	t.Helper()
	for tries := 1; ; tries++ {
		c, err := f.friend.Dial(t.Context(), transport.KindRPC, f.AdvertiseAddr())
		if err == nil {
			return c
		}
		if tries == 20 {
			t.Fatalf("a node of the cluster cannot open a stream: %v", err)
		}
	}
}

// holds checks that the lasting stream carries bytes and a new one can be opened.
func (f *fortress) holds(t *testing.T) {
	t.Helper()
	fresh := f.dial(t)
	defer fresh.Close()
	for _, c := range []net.Conn{f.lasting, fresh} {
		if err := echoed(c); err != nil {
			t.Fatal(err)
		}
	}
}

func echoed(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil { // a longstop
		return err
	}
	if _, err := c.Write([]byte("ping")); err != nil {
		return fmt.Errorf("a stream between nodes: %w", err)
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// knock opens a connection to the port.
func (f *fortress) knock(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", f.AdvertiseAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// until waits until something holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); {
		if time.Since(began) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// clientHello is the first record of an honest client.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		_ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() // it ends with the pipe
	}()
	b := make([]byte, 4096)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// Whoever speaks to a port that has TLS and is no node is told nothing and cut
// off, with one complaint a connection: noise, the protocols of the port in
// plain, a request of a web browser, half a handshake, records without end. A
// stream between nodes does not notice.
func TestHostileStreams(t *testing.T) {
	f := fortified(t, 5*time.Second)
	noise := make([]byte, 100_000)
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	hello := clientHello(t)
	plainHello := append([]byte("HOLD\x01\x03\x00\x14"), "\x04test\x00\x01b\x01i\x01p-----"...)
	for name, attack := range map[string][]byte{
		"noise":                    noise,
		"a plain hello of a node":  plainHello,
		"raft, in plain":           append([]byte{0}, bytes.Repeat([]byte{0x8a, 0xa4, 'T', 'e', 'r', 'm'}, 100)...),
		"gossip, in plain":         append([]byte{244, 4}, "test\x06\x83\xa5Nodes\x01"...),
		"a request":                []byte("GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"),
		"half a handshake":         hello[:len(hello)/2],
		"a handshake twice over":   append(slices.Clone(hello), hello...),
		"a flipped handshake":      append(slices.Clone(hello[:20]), noise[:len(hello)]...),
		"a record of 64 KiB":       append([]byte{22, 3, 3, 0xff, 0xff}, noise...),
		"an alert":                 {21, 3, 3, 0, 2, 1, 0},
		"application data":         append([]byte{23, 3, 3, 0x40, 0}, noise...),
		"a hello of 16 MiB":        append([]byte{22, 3, 3, 0x40, 0, 1, 0xff, 0xff, 0xff}, noise...),
		"nothing, and the end":     {},
		"a hundred empty records":  bytes.Repeat([]byte{22, 3, 3, 0, 0}, 100),
		"a hundred change ciphers": append(slices.Clone(hello), bytes.Repeat([]byte{20, 3, 3, 0, 1, 1}, 100)...),
	} {
		before := len(f.turnedAway())
		c := f.knock(t)
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(attack); err == nil {
			_ = c.(*net.TCPConn).CloseWrite() // fails if it was cut off already
		}
		answer, _ := io.ReadAll(c) // until it is cut off
		for _, secret := range []string{"HOLD", "test", "instance", "127.0.0.1"} {
			if bytes.Contains(answer, []byte(secret)) {
				t.Errorf("%s is answered with %q", name, answer)
			}
		}
		until(t, name+" is complained about", func() bool { return len(f.turnedAway()) > before })
		if got := f.turnedAway()[before:]; len(got) != 1 || strings.ContainsAny(got[0].Error(), "\r\n") || len(got[0].Error()) > 500 {
			t.Errorf("%s is complained about with %q", name, got)
		}
		f.holds(t)
	}
}

// More handshakes than a node keeps unfinished, silent ones, ones of half a
// hello, ones of a byte now and then and ones that send records without end, harm nobody:
// the oldest are cut off for the new, all when their time is over; meanwhile nodes
// open streams; and afterwards no goroutine and no memory is left of them.
func TestHostileFlood(t *testing.T) {
	f := fortified(t, 3*time.Second)
	f.holds(t)
	before, heap := runtime.NumGoroutine(), heapInUse()
	hello := clientHello(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	drippers := 0
	for i := range 3 * handshakesMax / 2 {
		c, err := net.Dial("tcp", f.AdvertiseAddr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		switch i % 50 {
		case 1:
			_, _ = c.Write(hello[:i%len(hello)]) // refused or not, it stays open at this end
		case 2:
			drippers++
			running.Go(func() { drip(ctx, c, hello) })
		case 3:
			drippers++
			running.Go(func() { drip(ctx, c, bytes.Repeat(append([]byte{23, 3, 3, 0x40, 0}, make([]byte, 1<<14)...), 100)) })
		}
		if i%300 == 0 {
			f.holds(t)
		}
	}
	if most := before + handshakesMax + drippers + 50; runtime.NumGoroutine() > most {
		t.Errorf("%d goroutines, want at most %d", runtime.NumGoroutine(), most)
	}
	f.holds(t)
	until(t, "all are cut off", func() bool { return len(f.turnedAway()) >= 3*handshakesMax/2 })
	stop()
	running.Wait()
	f.holds(t)
	until(t, "their goroutines have ended", func() bool { return runtime.NumGoroutine() <= before+5 })
	if now := heapInUse(); now > heap+16<<20 {
		t.Errorf("%d MiB are in use, %d before", now>>20, heap>>20)
	}
	if got := len(f.turnedAway()); got != 3*handshakesMax/2 {
		t.Errorf("%d complaints about %d connections", got, 3*handshakesMax/2)
	}
}

// drip sends a little now and then, until it is cut off.
func drip(ctx context.Context, c net.Conn, what []byte) {
	for {
		n := min(len(what), 1+len(what)/1000)
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := c.Write(what[:n]); err != nil || len(what) == n {
			return
		}
		what = what[n:]
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// Who has a certificate that is good for no node, and speaks first or waits, is
// refused by the handshake itself: the words of the node are for nodes.
func TestStrangersCertificates(t *testing.T) {
	f := fortified(t, 5*time.Second)
	for name, certs := range map[string][]tls.Certificate{"none": nil, "of another authority": {strangerOf(t, "test")}, "of another cluster": {strangerOf(t, "other")}} {
		before := len(f.turnedAway())
		c := tls.Client(f.knock(t), &tls.Config{InsecureSkipVerify: true, Certificates: certs})
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("HOLD\x01\x03\x00\x00"))
		answer, err := io.ReadAll(c)
		if err == nil || len(answer) > 0 {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		until(t, "the refusal is told", func() bool { return len(f.turnedAway()) > before })
		if got := f.turnedAway()[before]; !errors.Is(got, transport.ErrUnsecured) {
			t.Errorf("%s: %v", name, got)
		}
	}
	f.holds(t)
}

// strangerOf is a certificate of a cluster and authority of its own.
func strangerOf(t *testing.T, cluster string) tls.Certificate {
	t.Helper()
	dir := t.TempDir()
	if _, err := secure.Init(secure.Set{Dir: dir, Cluster: cluster, Nodes: []string{"x"}, Days: 1}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "x.pem"), filepath.Join(dir, "x-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
