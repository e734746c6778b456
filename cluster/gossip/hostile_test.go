package gossip

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"math/rand/v2"
	"net"
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
		deadlyStream(t, net, a.addr)
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
func bomb() []byte {
	var packed bytes.Buffer
	w := lzw.NewWriter(&packed, lzw.LSB, 8)
	zeros := make([]byte, 1<<20)
	for range 16 {
		w.Write(zeros)
	}
	w.Close()
	return message(msgCompress, "Algo", uint32(0), "Buf", packed.Bytes())
}

// deadlyStream sends a full exchange whose node has a version vector of one
// byte, plain, as a peer that the node port lets in.
func deadlyStream(t *testing.T, net *simnet.Net, target string) {
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
	defer mux.Close()
	conn, err := mux.Dial(t.Context(), transport.KindGossip, target)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exchange := slices.Concat(
		message(msgPushPull, "Nodes", uint32(1), "UserStateLen", uint32(0), "Join", true),
		message(0, "Name", "y", "Addr", []byte{10, 0, 0, 98}, "Port", uint32(7400), "State", uint32(0), "Incarnation", uint32(1), "Vsn", []byte{1})[1:],
	)
	if _, err := conn.Write(labelled(exchange)); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = conn.Read(make([]byte, 1000)) // whatever it answers
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
