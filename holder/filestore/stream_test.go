package filestore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// What is written to a file is what is in it, in whatever lengths, from
// whatever place in memory it comes, and wherever the file was continued.
func TestSteady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	rapid.Check(t, func(t *rapid.T) {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		out := steady{file: f, past: rapid.Bool().Draw(t, "past")}
		var want []byte
		for i, size := range rapid.SliceOfN(rapid.SampledFrom([]int{1, 511, blockBytes, blockBytes + 1, 3 * blockBytes, bufferBytes}), 1, 6).Draw(t, "sizes") {
			skip := rapid.SampledFrom([]int{0, 0, 1, 512}).Draw(t, "skip")
			b := alignedBuffer()[min(skip, bufferBytes-size):][:size]
			for j := range b {
				b[j] = byte(i + j/7)
			}
			if n, err := out.Write(b); n != size || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, size, err)
			}
			want = append(want, b...)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes are in the file (%v), want the %d that were written", len(got), err, len(want))
		}
	})
}

// The buffers that content is read into are aligned, so that a file system
// that writes past the page cache takes them.
func TestAlignedBuffer(t *testing.T) {
	for range 16 {
		if b := alignedBuffer(); !aligned(b) || len(b) != bufferBytes || aligned(b[1:]) || aligned(b[:511]) {
			t.Fatalf("a buffer of %d bytes, aligned: %t", len(b), aligned(b))
		}
	}
}
