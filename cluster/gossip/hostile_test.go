package gossip

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
	"github.com/holdfast-cluster/holdfast/transport"
)

// Packets and streams that are not encrypted with the cluster's key harm
// nothing: those of another key, plain ones, random ones, lies about members, and
// the push/pull with a short version vector that ends a memberlist v0.6.0 that
// reads it. No member is lost and none appears.
func TestForeignGossip(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		seeds := []string{"n1:7400", "n2:7400"}
		a := start(t, net, 1, options{keys: keysOf(t, oldKey), seeds: seeds})
		b := start(t, net, 2, options{keys: keysOf(t, oldKey), seeds: seeds})
		await(t, 10*time.Second, "n1 n2", a, b)
		other := start(t, net, 3, options{keys: keysOf(t, newKey), seeds: seeds})
		plain := start(t, net, 4, options{seeds: seeds})
		stop := attack(t, net, a.addr)
		for range 300 {
			advance(100 * time.Millisecond)
			for _, n := range []*node{a, b} {
				if got := n.sees(); got != "n1 n2" {
					t.Fatalf("%s sees %q", n.id, got)
				}
			}
		}
		stop()
		streamsOf(t, net)(a.addr, labelled(deadly()))
		await(t, time.Second, "n3", other)
		await(t, time.Second, "n4", plain)
		await(t, 10*time.Second, "n1 n2", a, b)
		for _, want := range []string{"no installed keys could decrypt the message", "remote state is not encrypted"} {
			if got := a.log.String(); !strings.Contains(got, want) {
				t.Errorf("n1 does not say %q:\n%s", want, got)
			}
		}
		if lines := strings.Count(a.log.String(), "\n"); lines > 100 {
			t.Errorf("30,000 packets of a stranger left %d lines in the log of n1", lines)
		}
		stopAll(a, b, other, plain)
	})
}

// Without encryption packets of strangers may tell lies, but they do not end
// the node, nor cost it memory: what unpacks to a thousand times its size is
// not unpacked. When the lies end the truth comes back.
func TestHostilePlainPackets(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		a := start(t, net, 1, options{})
		b := start(t, net, 2, options{seeds: []string{"n1:7400"}})
		await(t, 10*time.Second, "n1 n2", a, b)
		stop := attack(t, net, a.addr)
		advance(30 * time.Second)
		stop()
		sees := func() bool { // among whom the lies have invented
			for _, n := range []*node{a, b} {
				if ids := strings.Fields(n.sees()); !slices.Contains(ids, "n1") || !slices.Contains(ids, "n2") {
					return false
				}
			}
			return true
		}
		for range 600 {
			if sees() {
				break
			}
			advance(100 * time.Millisecond)
		}
		if !sees() {
			t.Errorf("n1 sees %q, n2 sees %q", a.sees(), b.sees())
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		bombs := socketOf(t, net)
		packed := bomb()
		for range 20 {
			for _, packet := range [][]byte{packed, compound(packed, compound(packed))} {
				if _, err := bombs.WriteTo(labelled(packet), udpAddr(t, a.addr)); err != nil {
					t.Fatal(err)
				}
			}
			advance(10 * time.Millisecond)
		}
		bombs.Close()
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 200<<20 {
			t.Errorf("20 packets of compressed zeros, thrice, took %d MiB", took>>20)
		}
		stopAll(a, b)
	})
}

// attack sends hostile packets to a node, a thousand a second, until stop.
func attack(t *testing.T, sim *simnet.Net, target string) (stop func()) {
	t.Helper()
	socket, ended := socketOf(t, sim), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		rng := rand.New(rand.NewPCG(7, 7))
		for {
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
			if _, err := socket.WriteTo(hostile(rng), udpAddr(t, target)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return func() {
		close(ended)
		running.Wait()
		socket.Close()
	}
}

func socketOf(t *testing.T, sim *simnet.Net) net.PacketConn {
	t.Helper()
	socket, err := sim.Host("x", "10.0.0.99").ListenPacket("10.0.0.99:1")
	if err != nil {
		t.Fatal(err)
	}
	return socket
}

func udpAddr(t *testing.T, addr string) net.Addr {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Types of memberlist's messages.
const (
	msgSuspect  = 3
	msgAlive    = 4
	msgDead     = 5
	msgPushPull = 6
	msgCompound = 7
	msgCompress = 9
	msgTypes    = 16
)

// hostile returns a packet that a stranger might send who has read the source
// of memberlist: with the cluster's label, which is no secret.
func hostile(rng *rand.Rand) []byte {
	who := []string{"n1", "n2", "", "ghost", strings.Repeat("long", 60)}[rng.IntN(5)]
	from := []string{"n1", "n2", "ghost"}[rng.IntN(3)]
	incarnation := []uint32{0, 1, 1 << 20, rng.Uint32()}[rng.IntN(4)]
	var packet []byte
	switch rng.IntN(5) {
	case 0:
		packet = randomBytes(rng, 100)
		packet = append([]byte{byte(rng.IntN(msgTypes))}, packet...)
	case 1:
		packet = message(msgAlive, "Incarnation", incarnation, "Node", who, "Addr", randomBytes(rng, 17), "Port", rng.Uint32()%70000,
			"Meta", randomBytes(rng, 600), "Vsn", randomBytes(rng, 8))
	case 2:
		packet = message(msgSuspect+byte(rng.IntN(2))*(msgDead-msgSuspect), "Incarnation", incarnation, "Node", who, "From", from)
	case 3:
		packet = compound(message(msgSuspect, "Incarnation", incarnation, "Node", who, "From", from), randomBytes(rng, 50), []byte{msgCompound, 255})
	case 4:
		packet = message(byte(rng.IntN(msgTypes)), "SeqNo", incarnation, "Node", who, "Target", randomBytes(rng, 17), "Nack", true)
	}
	if n := rng.IntN(8); n == 0 { // mutilated
		packet = packet[:rng.IntN(len(packet)+1)]
	} else if n == 1 && len(packet) > 0 {
		packet[rng.IntN(len(packet))] ^= 1 << rng.IntN(8)
	}
	if rng.IntN(10) == 0 {
		return packet
	}
	return labelled(packet)
}

func randomBytes(rng *rand.Rand, most int) []byte {
	b := make([]byte, rng.IntN(most+1))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func labelled(packet []byte) []byte {
	const label = "blue"
	return slices.Concat([]byte{244, byte(len(label))}, []byte(label), packet)
}

func compound(parts ...[]byte) []byte {
	b := []byte{msgCompound, byte(len(parts))}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	return append(b, bytes.Join(parts, nil)...)
}

// bomb is a packet of a few kilobytes that unpacks to megabytes.
func bomb() []byte { return message(msgCompress, "Algo", uint32(0), "Buf", lzwOf(16)) }

// lzwOf packs as many MiB of zeros.
func lzwOf(mib int) []byte {
	var packed bytes.Buffer
	w := lzw.NewWriter(&packed, lzw.LSB, 8)
	zeros := make([]byte, 1<<20)
	for range mib {
		w.Write(zeros)
	}
	w.Close()
	return packed.Bytes()
}

// Without encryption a hostile stream ends no node and costs it little memory:
// each is one that ends a memberlist v0.6.0 that reads it, or makes it reserve
// what it announces; then thousands that are a true exchange but for a byte or a
// length. The node goes on, and who is a member stays one.
func TestHostilePlainStreams(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		a := start(t, net, 1, options{})
		b := start(t, net, 2, options{seeds: []string{"n1:7400"}})
		await(t, 10*time.Second, "n1 n2", a, b)
		dial := streamsOf(t, net)
		empty := lzwOf(0)
		for name, stream := range map[string][]byte{
			"a short version vector":        deadly(),
			"no version vector":             exchange(1, 0, message(0, "Name", "y", "Join", true)),
			"a user message of 2^62 bytes":  append([]byte{8, 0x81, 0xaa}, "UserMsgLen\xcf\x40\x00\x00\x00\x00\x00\x00\x00"...),
			"nothing, compressed":           message(msgCompress, "Algo", uint32(0), "Buf", empty),
			"a bomb":                        bomb(),
			"nested as deep as it may be":   slices.Concat([]byte{msgPushPull, 0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 7<<20)),
			"a million nodes":               exchange(1<<20, 0),
			"cargo of 19 MiB, never sent":   exchange(0, 19<<20),
			"the header twice over":         message(msgPushPull, "Nodes", uint32(0), "Nodes", uint32(1<<20)),
			"a node as a list":              exchange(1, 0, []byte{0, 0x97, 0xa1, 'y'}),
			"an error of a megabyte":        message(13, "Error", strings.Repeat("x", 200)),
			"a type that does not exist":    {77},
			"nothing":                       {},
			"a label that is not all there": nil,
		} {
			raw := labelled(stream)
			if stream == nil {
				raw = raw[:3]
			}
			before := allocated()
			dial(a.addr, raw)
			if took := allocated() - before; took > 64<<20 {
				t.Errorf("%s took %d MiB", name, took>>20)
			}
			advance(10 * time.Millisecond)
		}
		rng, began := rand.New(rand.NewPCG(7, 7)), time.Now()
		for range 3000 {
			raw := exchange(2, 5, nodeState("n1"), nodeState("y"), []byte("xcargo"))
			raw[1+rng.IntN(len(raw)-1)] = byte(rng.Uint32())
			if rng.IntN(4) == 0 {
				raw = raw[:rng.IntN(len(raw))]
			}
			dial(a.addr, labelled(raw))
		}
		for _, n := range []*node{a, b} {
			for ended := time.Now(); !slices.Contains(strings.Fields(n.sees()), "n1") || !slices.Contains(strings.Fields(n.sees()), "n2"); advance(100 * time.Millisecond) {
				if time.Since(ended) > time.Minute {
					t.Fatalf("%s sees %q", n.id, n.sees())
				}
			}
		}
		// 10 complaints in 10 s of memberlist with how many were left out, 10 own, and members that are invented and gone again.
		if lines, most := strings.Count(a.log.String(), "\n"), 50+25*int(time.Since(began)/complaintsEvery); lines > most {
			t.Errorf("3,000 streams of a stranger left %d lines in the log of n1, more than %d\n%s", lines, most, a.log)
		}
		stopAll(a, b)
	})
}

// More streams than a node keeps open, on which nothing comes, cut off each
// other and not a member's: it still joins, and the node holds no more of them.
func TestSilentStreams(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		timing := LocalTiming()
		timing.Stream = time.Hour // else they would be gone by themselves
		a := start(t, net, 1, options{timing: timing})
		mux := strange(t, net)
		var strangers []*transport.Conn
		for range 10 * streamsMax {
			conn, err := mux.Dial(t.Context(), transport.KindGossip, a.addr)
			if err != nil {
				t.Fatal(err)
			}
			strangers = append(strangers, conn)
		}
		b := start(t, net, 2, options{seeds: []string{"n1:7400"}})
		await(t, 10*time.Second, "n1 n2", a, b)
		open := 0
		for _, conn := range strangers {
			conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				open++
			}
			conn.Close()
		}
		if open > streamsMax || open == 0 {
			t.Errorf("%d silent streams are open, want at most %d", open, streamsMax)
		}
		stopAll(a, b)
	})
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// strange is the port of somebody who is no member and may open streams.
func strange(t *testing.T, net *simnet.Net) *transport.Mux {
	t.Helper()
	mux, err := transport.New(transport.Config{
		Network: net.Host("y", "10.0.0.98"), Listen: "10.0.0.98:7400",
		Identity: func() transport.Identity { return transport.Identity{ClusterName: "blue", Node: "y"} },
	})
	if err == nil {
		err = mux.Bind()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mux.Close() })
	return mux
}

// streamsOf returns what sends a stream of gossip and waits until the other
// end closes it.
func streamsOf(t *testing.T, net *simnet.Net) func(target string, stream []byte) {
	t.Helper()
	mux := strange(t, net)
	return func(target string, stream []byte) {
		t.Helper()
		conn, err := mux.Dial(t.Context(), transport.KindGossip, target)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Write(stream); err == nil {
			_, _ = io.Copy(io.Discard, conn) // whatever it answers
		}
	}
}

// deadly is a full exchange whose node has a version vector of one byte.
func deadly() []byte {
	return exchange(1, 0, message(0, "Name", "y", "Addr", []byte{10, 0, 0, 98}, "Port", uint32(7400), "State", uint32(0), "Incarnation", uint32(1), "Vsn", []byte{1}))
}

func nodeState(name string) []byte {
	return message(0, "Name", name, "Addr", []byte{10, 0, 0, 98}, "Port", uint32(7400), "State", uint32(0), "Incarnation", uint32(1), "Vsn", []byte{1, 5, 2, 0, 0, 0})
}

// exchange is a full exchange that announces nodes and cargo, and then has
// these parts, of each of which the first byte does not count.
func exchange(nodes, cargo uint32, parts ...[]byte) []byte {
	b := message(msgPushPull, "Nodes", nodes, "UserStateLen", cargo, "Join", true)
	for _, p := range parts {
		b = append(b, p[1:]...)
	}
	return b
}

// message is a type and a msgpack map of keys and values.
func message(kind byte, pairs ...any) []byte {
	b := []byte{kind, 0x80 | byte(len(pairs)/2)}
	for _, v := range pairs {
		switch v := v.(type) {
		case string:
			b = append(append(b, 0xd9, byte(len(v))), v...)
		case []byte:
			b = append(binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(len(v))), v...)
		case uint32:
			b = binary.BigEndian.AppendUint32(append(b, 0xce), v)
		case bool:
			b = append(b, 0xc3) // true
		}
	}
	return b
}

// Whatever a stream brings, sifting it must end, within the limit, and what
// passes must be what came, from its first byte.
func FuzzSift(f *testing.F) {
	for _, m := range [][]byte{deadly(), bomb(), exchange(1, 5, nodeState("n1"), []byte("xcargo")), message(0, "SeqNo", uint32(1), "Node", "n1"), message(13, "Error", "no")} {
		f.Add(m, false)
		f.Add(labelled(m), false)
	}
	f.Add(labelled([]byte{10, 0, 0, 0, 3, 1, 2, 3, 4}), true)
	f.Fuzz(func(t *testing.T, raw []byte, encrypted bool) {
		message, err := sift(bytes.NewReader(raw), encrypted)
		if err == nil && (len(message) == 0 || len(message) > streamBytesMax+300 || !bytes.HasPrefix(raw, message)) {
			t.Errorf("%d bytes of %d passed", len(message), len(raw))
		}
	})
}
