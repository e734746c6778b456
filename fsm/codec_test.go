package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/placement"
)

// entry encodes anything as the payload of a log entry of level 1.
func entry(t *testing.T, payload any) []byte {
	t.Helper()
	data, err := cbor.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{1}, data...)
}

// TestEntriesAreReadStrictly: what this build does not understand must stop it
// before it changes anything (rule S19). Entries that are damaged, or come
// from a newer build, are applied to a state whose bytes must stay.
func TestEntriesAreReadStrictly(t *testing.T) {
	type m = map[any]any
	op := func(more m) m {
		o := m{1: uint8(opThaw), 2: "actor", 3: "reason", 6: m{}}
		for k, v := range more {
			o[k] = v
		}
		return m{5: []any{o}}
	}
	good, err := EncodeBatch(sampleBatch(&SetWeight{"n1", 5}))
	if err != nil {
		t.Fatal(err)
	}
	higher := bytes.Clone(good)
	higher[0] = Level + 1
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "empty"},
		{"level only", []byte{1}, "cannot be read"},
		{"level 0", append([]byte{0}, good[1:]...), "level 0"},
		{"higher level", higher, "upgrade"},
		{"not a map", entry(t, []int{1, 2}), "cannot be read"},
		{"trailing bytes", append(bytes.Clone(good), 0), "cannot be read"},
		{"unknown field of the entry", entry(t, m{9: 1}), "unknown field"},
		{"field named by text", entry(t, m{"Now": 1}), "unknown field"},
		{"unknown field of the operation", entry(t, op(m{7: 1})), "unknown field"},
		{"unknown field of the body", entry(t, op(m{1: uint8(opSetWeight), 6: m{1: "n1", 2: 5, 3: true}})), "unknown field"},
		{"unknown kind", entry(t, op(m{1: uint8(opSetHeartbeat) + 1})), "does not know"},
		{"kind 0", entry(t, op(m{1: 0})), "does not know"},
		{"kind too large", entry(t, op(m{1: 300})), "cannot be read"},
		{"body of another type", entry(t, op(m{1: uint8(opSetWeight), 6: m{1: 1, 2: "n1"}})), "cannot be read"},
		{"no body", entry(t, m{5: []any{m{1: uint8(opThaw), 2: "", 3: ""}}}), "cannot be read"},
		{"a field twice", []byte{1, 0xa2, 0x01, 0x01, 0x01, 0x02}, "cannot be read"},
		{"indefinite length", []byte{1, 0xbf, 0x01, 0x01, 0xff}, "cannot be read"},
		{"a tag", []byte{1, 0xa1, 0x01, 0xc1, 0x01}, "cannot be read"},
		{"level above this build", entry(t, op(m{1: uint8(opRaiseLevel), 6: m{1: Level + 1}})), "upgrade"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "a")
			before, index := r.bytes(), r.m.View().Index
			results, err := r.m.Apply(index+1, 1, c.data)
			if !errors.Is(err, ErrFatal) || results != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("applied: %v, %v; want a fatal error about %q", results, err, c.want)
			}
			if !bytes.Equal(before, r.bytes()) {
				t.Error("the state has changed")
			}
		})
	}
	for n := range good {
		if _, err := DecodeBatch(good[:n]); !errors.Is(err, ErrFatal) {
			t.Errorf("an entry cut after %d of %d bytes was read: %v", n, len(good), err)
		}
	}
}

// TestEntriesOfALaterLevelStop: a state must not apply entries written at a
// level that it has not been raised to. A state of level 0 stands for an older
// one.
func TestEntriesOfALaterLevelStop(t *testing.T) {
	r := newRig(t)
	r.m.s.level = 0
	data, err := EncodeBatch(Batch{Level: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.Apply(99, 1, data); !errors.Is(err, ErrFatal) {
		t.Errorf("applied an entry of a later level: %v", err)
	}
}

// TestTextThatIsNoUTF8 must not stop a cluster: an entry that is committed and
// cannot be read ends every node, for ever. Such text is put everywhere that
// people or programs can write to.
func TestTextThatIsNoUTF8(t *testing.T) {
	const bad = "a\xff\xfeb"
	r := newRig(t, "a", "b")
	r.chain("c", spec(2), "a")
	r.do(r.assign("c", "b"))
	for _, body := range []Body{
		&Genesis{bad, bad, bad}, r.announce("a", bad, bad), &PutChain{Chain: bad}, &DeleteChain{Chain: bad},
		&SetEligibility{Node: bad, Eligibility: bad}, &PutChain{Chain: "d", Spec: specRecord{Require: []string{"k=" + bad}, Policy: bad}},
		&Report{Node: "a", Lineage: bad}, &SetFreeze{}, &Force{Chain: "c", To: bad},
	} {
		r.batch(Batch{Ops: []Op{{Actor: bad, Reason: bad, Request: Request{bad + kindName(body), bytes.Repeat([]byte{1}, HashBytes)}, Body: body}}})
	}
	// The cut of a long text falls into a character of two bytes.
	long := "x" + strings.Repeat("é", DetailMax)
	r.report("b", false, ReportItem{Chain: "c", Epoch: r.holder("c", "b").Epoch, Phase: ReportFailed, Error: bad + long})
	back := New()
	if err := back.Restore(bytes.NewReader(r.bytes())); err != nil {
		t.Fatal(err)
	}
	if got := viewBytes(t, back.View()); !bytes.Equal(got, r.bytes()) {
		t.Error("a restored snapshot has other bytes")
	}
	if got := back.View().Freeze.Reason; got != bad {
		t.Errorf("reason %q, want %q", got, bad)
	}
}

// TestEncodeRefuses: nothing may enter the log that Apply could not read or
// that breaks its limits. Each limit is passed by one.
func TestEncodeRefuses(t *testing.T) {
	hash := bytes.Repeat([]byte{1}, HashBytes)
	one := func(op Op) Batch { return Batch{Ops: []Op{op}} }
	for _, c := range []struct {
		name string
		b    Batch
	}{
		{"operations", Batch{Ops: make([]Op, BatchOpsMax+1)}},
		{"no body", one(Op{})},
		{"actor", one(Op{Actor: strings.Repeat("x", ActorMax+1), Body: &Thaw{}})},
		{"reason", one(Op{Reason: strings.Repeat("x", ReasonMax+1), Body: &Thaw{}})},
		{"key", one(Op{Request: Request{strings.Repeat("x", KeyMax+1), hash}, Body: &Thaw{}})},
		{"short hash", one(Op{Request: Request{"key", hash[1:]}, Body: &Thaw{}})},
		{"no hash", one(Op{Request: Request{"key", nil}, Body: &Thaw{}})},
		{"level", one(Op{Body: &RaiseLevel{Level + 1}})},
		{"bytes", one(Op{Body: &Leave{Instance: strings.Repeat("x", BatchBytesMax)}})},
	} {
		if _, err := EncodeBatch(c.b); err == nil {
			t.Errorf("%s: encoded", c.name)
		}
	}
	at := one(Op{strings.Repeat("x", ActorMax), strings.Repeat("x", ReasonMax), Request{strings.Repeat("x", KeyMax), hash}, &Thaw{}})
	if _, err := EncodeBatch(at); err != nil {
		t.Errorf("at the limits: %v", err)
	}
}

// TestEncodedSizeIsAnUpperBound: who fills an entry by these sizes must not
// overshoot. The sizes of every sample are added up and compared.
func TestEncodedSizeIsAnUpperBound(t *testing.T) {
	sum := 64 // the entry's own fields
	b := sampleBatch(&Thaw{})
	b.Ops = nil
	for _, body := range samples() {
		op := sampleBatch(body).Ops[0]
		n, err := EncodedSize(op)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
		b.Ops = append(b.Ops, op)
	}
	if data, err := EncodeBatch(b); err != nil || len(data) > sum {
		t.Errorf("the entry has %d bytes, the sizes add up to %d (%v)", len(data), sum, err)
	}
}

// TestSpecsSurviveTheLog: a zero that a user wrote is not "unset", and minus
// zero, infinity and NaN arrive as they are, to be refused there.
func TestSpecsSurviveTheLog(t *testing.T) {
	for _, f := range []float64{0, math.Copysign(0, -1), 1, math.Inf(1), math.Inf(-1), math.NaN(), 1e308, 5e-324} {
		s := placement.Spec{Floor: &f, Gap: &f, Cooldown: ptr(placement.DurationMax * 0), MinReady: 0}
		data, err := EncodeBatch(Batch{Ops: []Op{{Body: NewPutChain("c", s)}}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := DecodeBatch(data)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Ops[0].Body.(*PutChain).Spec.spec()
		if got.Floor == nil || math.Float64bits(*got.Floor) != math.Float64bits(f) && !math.IsNaN(f) || got.Cooldown == nil {
			t.Errorf("%v came back as %v, cooldown %v", f, got.Floor, got.Cooldown)
		}
	}
}

func ptr[T any](x T) *T { return &x }

// TestEmptyListsAreUnset: a list without elements in the log must leave the
// same state as no list, or a node that restarted would differ from one that
// did not. The same spec is put again after a restore.
func TestEmptyListsAreUnset(t *testing.T) {
	data := entry(t, map[any]any{1: 5, 5: []any{map[any]any{1: uint8(opPutChain), 2: "", 3: "", 6: map[any]any{
		1: "c", 2: map[any]any{1: 2, 5: []any{}, 11: []any{}, 12: []any{}, 15: []any{}, 16: []any{}, 17: []any{}},
	}}}})
	r := newRig(t)
	if _, err := r.m.Apply(r.m.View().Index+1, 1, data); err != nil {
		t.Fatal(err)
	}
	got := *r.is("c").Spec
	if diff := cmp.Diff(placement.Spec{Desired: 2, Weight: 1_000_000, Policy: placement.PolicyEager, Spread: placement.SpreadEven}, got); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

// FuzzDecodeBatch: no bytes may crash the reader, and what it reads must be
// written as something that it reads the same.
func FuzzDecodeBatch(f *testing.F) {
	for _, body := range samples() {
		f.Add(readGolden(f, "op-"+kindName(body)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBatch(data)
		if err != nil {
			if !errors.Is(err, ErrFatal) {
				t.Fatalf("not fatal: %v", err)
			}
			return
		}
		m := New()
		if _, err := m.Apply(1, 1, data); err != nil {
			t.Fatalf("decoded, but not applied: %v", err)
		}
		first, err := EncodeBatch(b)
		if err != nil {
			return // beyond what may be proposed
		}
		again, err := DecodeBatch(first)
		if err != nil {
			t.Fatalf("written, but not readable: %v", err)
		}
		if second, err := EncodeBatch(again); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%x is written as %x and then as %x (%v)", data, first, second, err)
		}
	})
}

// FuzzRestore: no bytes may crash the reader of snapshots or change the state
// when they are refused, and what it accepts can be written and read again, and
// be restored as an operator does.
// The checksum is put right, so that what lies behind it is reached.
func FuzzRestore(f *testing.F) {
	for _, seed := range [][]byte{readGolden(f, "snapshot"), viewBytes(f, New().View()), []byte(snapshotMagic)} {
		f.Add(seed[:max(len(seed)-sha256.Size, 0)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		m := New()
		before := viewBytes(t, m.View())
		if err := m.Restore(bytes.NewReader(append(data[:len(data):len(data)], sum[:]...))); err != nil {
			if !errors.Is(err, ErrFatal) || !bytes.Equal(before, viewBytes(t, m.View())) {
				t.Fatalf("refused, but not fatal or not without effect: %v", err)
			}
			return
		}
		written := viewBytes(t, m.View())
		if err := m.Restore(bytes.NewReader(written)); err != nil {
			t.Fatalf("written, but not readable: %v", err)
		}
		if !bytes.Equal(written, viewBytes(t, m.View())) {
			t.Fatal("a restored snapshot has other bytes")
		}
		var rewritten bytes.Buffer
		if err := Rewrite(bytes.NewReader(written), m.View(), m.View().Lineage+"+", &rewritten); err != nil {
			t.Fatalf("readable, but not to be rewritten: %v", err)
		}
		if err := m.Restore(&rewritten); err != nil {
			t.Fatalf("rewritten, but not readable: raft would end every node: %v", err)
		}
	})
}
