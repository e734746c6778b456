package fsm

import (
	"bytes"
	"reflect"
	"testing"
)

// agree checks what the quick reader makes of a batch against the general one.
func agree(t *testing.T, data []byte) (read bool) {
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

// FuzzQuick: whatever the bytes, what the quick reader reads the general one
// must read the same.
func FuzzQuick(f *testing.F) {
	for _, body := range samples() {
		f.Add(readGolden(f, "op-"+kindName(body))[1:])
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
