package fsm

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
)

// fataler is a test or a property.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// agree checks what the quick reader makes of a batch against the general one.
func agree(t fataler, data []byte) (read bool) {
	t.Helper()
	got, ok := quickBatch(data)
	if !ok {
		return false
	}
	want, err := decodeBatch(data)
	if err != nil {
		t.Fatalf("%x was read, but the general reader says: %v", data, err)
	}
	same := reflect.DeepEqual(got, want)
	if !same { // a NaN does not equal itself
		a, errA := EncodeBatch(got)
		b, errB := EncodeBatch(want)
		same = errA == nil && errB == nil && bytes.Equal(a, b)
	}
	if !same {
		t.Fatalf("%x was read as\n%+v, by the general reader as\n%+v", data, got, want)
	}
	return true
}

// TestQuickReadsWhatIsWritten: the quick reader must know every entry that this
// build writes and read it as the general reader does. Each byte of each sample
// is then cut off or changed in some ways, where it may also know nothing.
func TestQuickReadsWhatIsWritten(t *testing.T) {
	for _, body := range samples() {
		data, err := EncodeBatch(sampleBatch(body))
		if err != nil {
			t.Fatal(err)
		}
		data = data[1:]
		if !agree(t, data) {
			t.Errorf("%s is not read", kindName(body))
		}
		for i := range data {
			agree(t, data[:i])
			for _, other := range []byte{data[i] + 1, data[i] - 1, data[i] ^ 0x20, data[i] ^ 0x80, data[i] ^ 0xe0, data[i] | 0x1f, 0xf6} {
				changed := bytes.Clone(data)
				changed[i] = other
				agree(t, changed)
			}
		}
	}
}

// TestDecisionsAreWrittenAsAllElse: the quick writer of decisions must write
// what the general encoder does. Drawn decisions go to both, among them empty
// and long words, and numbers of every length and sign.
func TestDecisionsAreWrittenAsAllElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return strings.Repeat("é", rapid.SampledFrom([]int{0, 0, 1, 5, 11, 12, 127, 128, 300}).Draw(t, name))
		}
		number := func(name string) int64 {
			n := int64(1)<<rapid.IntRange(0, 63).Draw(t, name+" bits") + rapid.Int64Range(-1, 1).Draw(t, name)
			return n * rapid.SampledFrom([]int64{-1, 0, 1}).Draw(t, name+" sign")
		}
		op := Op{Actor: text("actor"), Reason: text("reason"), Body: NewDecide(placement.Decision{
			Kind: placement.Kind(text("kind")), Cause: placement.Cause(text("cause")), Chain: placement.ChainID(text("chain")),
			ChainRevision: placement.Revision(number("revision")), Move: placement.MoveID(number("move")), //nolint:gosec // any bits
			From: placement.NodeID(text("from")), To: placement.NodeID(text("to")), Source: placement.NodeID(text("source")),
			Mode: placement.SwapMode(text("mode")), ScoreFrom: placement.Score(number("score from")), ScoreTo: placement.Score(number("score to")),
			Forced: placement.Revision(number("forced")), //nolint:gosec // any bits
			Reason: placement.Reason{Name: placement.ReasonName(text("name")), Detail: text("detail")},
		})}
		if rapid.Bool().Draw(t, "request") {
			op.Request = Request{"key", bytes.Repeat([]byte{1}, HashBytes)}
		}
		if len(op.Actor) > ActorMax {
			op.Actor = ""
		}
		got, err := op.Encode()
		want, wrong := op.encode()
		if err != nil || wrong != nil || !bytes.Equal(got.record, want) {
			t.Fatalf("written as %x (%v), by the general encoder as %x (%v)", got.record, err, want, wrong)
		}
		if data, err := EncodeEntry(Batch{Now: 1}, []Encoded{got, got}); err != nil || !agree(t, data[1:]) {
			t.Fatalf("%x is not read (%v)", data, err)
		}
	})
}

// FuzzQuick: whatever the bytes, what the quick reader reads the general one
// must read the same.
func FuzzQuick(f *testing.F) {
	for _, body := range samples() {
		f.Add(readGolden(f, "op-"+kindName(body))[1:])
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
