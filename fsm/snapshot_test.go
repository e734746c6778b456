package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// TestSnapshotDamage: a damaged snapshot must be refused and change nothing.
// Every byte of one is turned over, and it is cut at every length.
func TestSnapshotDamage(t *testing.T) {
	r := richRig(t)
	good := r.bytes()
	m := New()
	if err := m.Restore(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	kept := m.View()
	refused := func(what string, at int, data []byte) {
		t.Helper()
		if err := m.Restore(bytes.NewReader(data)); !errors.Is(err, ErrFatal) {
			t.Errorf("%s at %d: %v", what, at, err)
		}
		if m.View() != kept {
			t.Fatalf("%s at %d changed the state", what, at)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		refused("a flipped bit", i, bad)
		refused("a cut", i, good[:i])
	}
	refused("a byte more", len(good), append(bytes.Clone(good), 0))
	if got := viewBytes(t, m.View()); !bytes.Equal(got, good) {
		t.Error("the state has other bytes")
	}
	if err := m.Restore(iotest.OneByteReader(bytes.NewReader(good))); err != nil {
		t.Errorf("read byte by byte: %v", err)
	}
	if err := m.Restore(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, ErrFatal) {
		t.Errorf("from a broken disk: %v", err)
	}
}

// rebuild writes a snapshot's records anew, changed, with the right checksum.
func rebuild(t *testing.T, good []byte, change func(kind recordKind, body []byte) []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(snapshotMagic)
	rest := bytes.NewReader(good[len(snapshotMagic):])
	for {
		kind, err := rest.ReadByte()
		if err != nil {
			t.Fatal(err)
		}
		if recordKind(kind) == recEnd {
			break
		}
		size, err := binary.ReadUvarint(rest)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(rest, body); err != nil {
			t.Fatal(err)
		}
		if body = change(recordKind(kind), body); body != nil {
			out.WriteByte(kind)
			out.Write(binary.AppendUvarint(nil, uint64(len(body))))
			out.Write(body)
		}
	}
	out.WriteByte(byte(recEnd))
	sum := sha256.Sum256(out.Bytes())
	out.Write(sum[:])
	return out.Bytes()
}

// TestSnapshotIsReadStrictly: a snapshot of a newer build, or one that lacks
// records, must be refused although its checksum is right (rule S19).
func TestSnapshotIsReadStrictly(t *testing.T) {
	good := richRig(t).bytes()
	same := func(_ recordKind, body []byte) []byte { return body }
	if !bytes.Equal(rebuild(t, good, same), good) {
		t.Fatal("the test does not rebuild what it read")
	}
	in := func(k recordKind, change func([]byte) []byte) func(recordKind, []byte) []byte {
		return func(kind recordKind, body []byte) []byte {
			if kind == k {
				return change(body)
			}
			return body
		}
	}
	level := func(n byte) func([]byte) []byte {
		return func(body []byte) []byte { // the header's field 4
			i := bytes.Index(body, []byte{0x04, Level, 0x05})
			body[i+1] = n
			return body
		}
	}
	field := func(body []byte) []byte { // one more field, of number 23
		body[0]++
		return append(body, 0x17, 0x01)
	}
	none := func([]byte) []byte { return nil }
	for name, change := range map[string]func(recordKind, []byte) []byte{
		"higher level":  in(recHeader, level(Level+1)),
		"level 0":       in(recHeader, level(0)),
		"no header":     in(recHeader, none),
		"no nodes":      in(recNode, none),
		"no chains":     in(recChains, none),
		"no tombstones": in(recTombstone, none),
		"no strays":     in(recStray, none),
		"no requests":   in(recRequest, none),
		"no history":    in(recDecision, none),
		"unknown field": in(recTombstone, field),
		"trailing byte": in(recTombstone, func(body []byte) []byte { return append(body, 0) }),
	} {
		m := New()
		before := m.View()
		if err := m.Restore(bytes.NewReader(rebuild(t, good, change))); !errors.Is(err, ErrFatal) || m.View() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	unknown := bytes.Clone(good[:len(good)-1-sha256.Size])
	unknown = append(unknown, byte(recEnd)+1, 0, byte(recEnd))
	sum := sha256.Sum256(unknown)
	if err := New().Restore(bytes.NewReader(append(unknown, sum[:]...))); !errors.Is(err, ErrFatal) {
		t.Errorf("unknown record: %v", err)
	}
}

// TestSnapshotLengthsCostNothing: a damaged length must not make the reader
// allocate what is not there.
func TestSnapshotLengthsCostNothing(t *testing.T) {
	for _, size := range []uint64{recordBytesMax, recordBytesMax + 1, 1 << 62, 1<<64 - 1} {
		data := append([]byte(snapshotMagic), byte(recHeader))
		data = append(binary.AppendUvarint(data, size), "short"...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := New().Restore(bytes.NewReader(data)); !errors.Is(err, ErrFatal) {
			t.Errorf("length %d: %v", size, err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("length %d: %d bytes were allocated", size, got)
		}
	}
}

// failingWriter takes so many bytes, then fails.
type failingWriter int

func (w *failingWriter) Write(p []byte) (int, error) {
	if *w -= failingWriter(len(p)); *w < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// TestSnapshotWriteFails: a full disk must be told, not taken for a snapshot.
func TestSnapshotWriteFails(t *testing.T) {
	v := richRig(t).m.View()
	for _, room := range []failingWriter{0, 100} {
		if _, err := v.WriteTo(&room); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("a full disk: %v", err)
		}
	}
	var out bytes.Buffer
	if n, err := v.WriteTo(&out); err != nil || n != int64(out.Len()) {
		t.Errorf("%d bytes written, %d said (%v)", out.Len(), n, err)
	}
}

// TestReplay: a log that is replayed over a state that survived must not be
// applied twice. Old entries are fed again.
func TestReplay(t *testing.T) {
	r := newRig(t, "a")
	data, err := EncodeBatch(Batch{Now: r.now, Ops: []Op{{Body: NewPutChain("x", placement.Spec{})}}})
	if err != nil {
		t.Fatal(err)
	}
	index := r.m.View().Index + 1
	for i := range 3 {
		results, err := r.m.Apply(index, 1, data)
		if err != nil || len(results) != map[bool]int{true: 1}[i == 0] {
			t.Errorf("feed %d: %d answers, %v", i+1, len(results), err)
		}
	}
	if got := r.m.View().Index; got != index {
		t.Errorf("applied index %d, want %d", got, index)
	}
}

// TestTimersSurviveASnapshot: what cluster time will end, it ends in the same
// entry on a machine that was restored. Both are led through two hours.
func TestTimersSurviveASnapshot(t *testing.T) {
	r := richRig(t)
	back := New()
	if err := back.Restore(bytes.NewReader(r.bytes())); err != nil {
		t.Fatal(err)
	}
	twin := &rig{TB: t, m: back, now: r.now, term: r.term}
	for range 120 {
		r.pass(time.Minute)
		twin.pass(time.Minute)
		if !bytes.Equal(r.bytes(), twin.bytes()) {
			t.Fatalf("same-state: they differ at %v", time.Duration(r.now))
		}
	}
	if v := r.m.View(); v.Freeze != nil || v.RepairPause != nil || v.RequestCount() != 0 || len(v.Forced) != 0 {
		t.Error("two hours ended nothing")
	}
}
