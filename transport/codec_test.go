package transport

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var alice = Identity{ClusterName: "prod", ClusterID: "c-1", Node: "n1", Instance: "i-1", Process: "p-1"}

// must returns b; an encoder that refuses what it should take is a panic.
func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// The bytes on the wire are those of the golden file: nodes of different
// releases meet in one cluster.
func TestGoldenBytes(t *testing.T) {
	frame := func(b []byte, err error) string { return hex.EncodeToString(must(b, err)) }
	var got strings.Builder
	for _, line := range [][2]string{
		{"hello", frame(hello{kind: KindRaft, from: alice}.encode())},
		{"accepted", frame(reply{from: alice}.encode())},
		{"refused", frame(reply{refused: &Refused{Code: "code", Detail: "why"}, from: alice}.encode())},
		{"rpc-request", frame(rpcRequest{method: "join", timeout: 1500 * time.Millisecond, body: []byte("body")}.encode())},
		{"rpc-answer", frame(encodeRPCAnswer([]byte("body"), nil), nil)},
		{"rpc-error", frame(encodeRPCAnswer(nil, &RPCError{"code", "why"}), nil)},
	} {
		fmt.Fprintf(&got, "%s %s\n", line[0], line[1])
	}
	const file = "testdata/wire.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the wire format has changed (-golden +now):\n%s", diff)
	}
}

// What is encoded is decoded as it was, fields that a later release adds are
// skipped, and what follows the frame is not touched.
func TestHandshakeRoundTrip(t *testing.T) {
	h := hello{kind: KindPull, from: alice}
	b := must(h.encode())
	longer := append(append([]byte{}, b...), 3, 'n', 'e', 'w')
	longer[frameLen-1] += 4
	for _, in := range [][]byte{b, longer} {
		r := bytes.NewReader(append(in, "the protocol"...))
		got, err := readHello(r)
		if err != nil || got != h {
			t.Errorf("got %+v, %v, want %+v", got, err, h)
		}
		if r.Len() != len("the protocol") {
			t.Errorf("%d bytes left for the protocol, want %d", r.Len(), len("the protocol"))
		}
	}
	refused := reply{refused: &Refused{Code: "code", Detail: "two\nlines \x00" + strings.Repeat("é", 300)}, from: alice}
	got, err := readReply(bytes.NewReader(must(refused.encode())))
	if err != nil {
		t.Fatal(err)
	}
	want := reply{refused: &Refused{Code: "code", Detail: "two lines  " + strings.Repeat("é", 122)}, from: alice}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(reply{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{strings.Repeat("x", 256), "a\nb", "\xff"} {
		if _, err := (hello{kind: KindRPC, from: Identity{Node: bad}}).encode(); err == nil {
			t.Errorf("identity with %q was encoded", bad)
		}
	}
}

// The rpc frames round-trip; limits hold at both ends, and the longest bodies pass.
func TestRPCFrames(t *testing.T) {
	big := bytes.Repeat([]byte("x"), RPCBodyMax)
	req, err := readRPCRequest(bytes.NewReader(must(rpcRequest{method: "m", timeout: time.Hour, body: big}.encode())))
	if err != nil || req.method != "m" || req.timeout != RPCTimeoutMax || !bytes.Equal(req.body, big) {
		t.Errorf("got method %q timeout %v %d bytes, %v", req.method, req.timeout, len(req.body), err)
	}
	for _, bad := range []rpcRequest{{method: ""}, {method: strings.Repeat("m", 256)}, {method: "m", body: append(big, 'x')}} {
		if _, err := bad.encode(); err == nil {
			t.Errorf("request with method of %d and body of %d bytes was encoded", len(bad.method), len(bad.body))
		}
	}
	_, err = readRPCRequest(strings.NewReader("\x00\x00\x00\x01\x01m\x00\x40\x00\x01"))
	if re, ok := errors.AsType[*RPCError](err); !ok || re.Code != RPCCodeTooLarge {
		t.Errorf("announced too much: got %v", err)
	}
	_, err = readRPCAnswer(strings.NewReader("\x00\x00\x40\x00\x01"))
	if _, ok := errors.AsType[*RPCError](err); err == nil || ok {
		t.Errorf("answer that announces too much: got %v, want an error that is not the handler's", err)
	}
	_, err = readRPCAnswer(bytes.NewReader(encodeRPCAnswer(append(big, 'x'), nil)))
	if re, ok := errors.AsType[*RPCError](err); !ok || re.Code != RPCCodeTooLarge {
		t.Errorf("answer too large: got %v", err)
	}
	_, err = readRPCAnswer(bytes.NewReader(encodeRPCAnswer(nil, fmt.Errorf("outer: %w", &RPCError{"code", strings.Repeat("y", 5000)}))))
	if re, ok := errors.AsType[*RPCError](err); !ok || re.Code != "code" || len(re.Detail) != rpcDetailMax {
		t.Errorf("long error text: got %v", err)
	}
	_, err = readRPCAnswer(bytes.NewReader(encodeRPCAnswer(nil, errors.New("plain"))))
	if re, ok := errors.AsType[*RPCError](err); !ok || *re != (RPCError{RPCCodeFailed, "plain"}) {
		t.Errorf("error without code: got %v", err)
	}
}

// Whatever bytes come in, the handshake decoders do not panic, and what they
// accept they would send again in a form that means the same.
func FuzzHandshake(f *testing.F) {
	for _, s := range [][]byte{
		[]byte("HOLD\x01\x01\x00\x05\x00\x00\x00\x00\x00"),
		[]byte("HOLD\x01\x00\x00\x08\x00\x00\x01n\x00\x00\x00\x00"),
		[]byte("HOLD\x02\x01\x00\x09\x03bad\x04word"),
		[]byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if h, err := readHello(bytes.NewReader(in)); err == nil {
			again, err := readHello(bytes.NewReader(must(h.encode())))
			if err != nil || again != h {
				t.Errorf("hello: got %+v, %v, want %+v", again, err, h)
			}
		}
		if r, err := readReply(bytes.NewReader(in)); err == nil {
			again, err := readReply(bytes.NewReader(must(r.encode())))
			if err != nil || !cmp.Equal(again, r, cmp.AllowUnexported(reply{})) {
				t.Errorf("reply: got %+v, %v, want %+v", again, err, r)
			}
		}
	})
}

// Whatever bytes come in, the rpc decoders do not panic, hold to the limits,
// and what they accept they would send again in the same bytes.
func FuzzRPCFrames(f *testing.F) {
	for _, s := range []string{
		"\x00\x00\x05\xdc\x04join\x00\x00\x00\x04body",
		"\x00\x00\x00\x00\x04body",
		"\x01\x04code\x00\x03why",
		"\x00\xff\xff\xff\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if req, err := readRPCRequest(bytes.NewReader(in)); err == nil {
			again, err := readRPCRequest(bytes.NewReader(must(req.encode())))
			if diff := cmp.Diff(req, again, cmp.AllowUnexported(rpcRequest{})); err != nil || diff != "" {
				t.Errorf("request: %v\n%s", err, diff)
			}
		}
		body, err := readRPCAnswer(bytes.NewReader(in))
		re, isRPC := errors.AsType[*RPCError](err)
		if err != nil && !isRPC {
			return
		}
		if len(body) > RPCBodyMax || isRPC && len(re.Detail) > rpcDetailMax {
			t.Error("above the limits")
		}
	})
}
