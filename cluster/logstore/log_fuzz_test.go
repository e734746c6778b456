package logstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/internal/appetite"
)

// Any entry comes back from the log as it was stored, and one of which a bit
// has changed, wherever, is not taken for it.
func FuzzSeal(f *testing.F) {
	f.Add(uint64(7), uint64(2), uint8(raft.LogCommand), []byte("data"), []byte("ext"), uint(3))
	f.Add(uint64(7), uint64(2), uint8(raft.LogNoop), []byte(nil), []byte(sealMark+"1234"), uint(200))
	f.Fuzz(func(t *testing.T, index, term uint64, kind uint8, data, extensions []byte, bit uint) {
		entry := &raft.Log{Index: index, Term: term, Type: raft.LogType(kind), Data: data, Extensions: extensions}
		stored := *sealEntries([]*raft.Log{entry})[0]
		read := stored
		if err := unsealEntry(index, &read); err != nil || !bytes.Equal(read.Extensions, extensions) || !bytes.Equal(read.Data, data) {
			t.Errorf("%+v comes back as %+v, %v", entry, read, err)
		}
		if err := unsealEntry(index+1, new(stored)); err == nil {
			t.Error("it is taken for another entry")
		}
		bad := stored
		bad.Data, bad.Extensions = bytes.Clone(stored.Data), bytes.Clone(stored.Extensions)
		all := uint(len(bad.Data)+len(bad.Extensions)) * 8
		bit %= all
		if at := bit / 8; at < uint(len(bad.Data)) {
			bad.Data[at] ^= 1 << (bit % 8)
		} else {
			bad.Extensions[at-uint(len(bad.Data))] ^= 1 << (bit % 8)
		}
		if err := unsealEntry(index, &bad); err == nil && (!bytes.Equal(bad.Data, data) || bytes.Equal(bad.Extensions, extensions)) {
			t.Errorf("bit %d of %+v has changed: it is taken as %+v", bit, entry, bad)
		}
	})
}

// A log file of which some bytes have changed, or that was cut short, is
// refused and left as it is, or gives no entry and no term but those that were
// stored. It asks for little memory.
func FuzzLogFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "raft.db")
	s, err := Open(Config{Path: path, WriteLimit: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	var stored []*raft.Log
	for i := range uint64(40) {
		stored = append(stored, &raft.Log{Index: i + 1, Term: 1 + i/20, Data: bytes.Repeat([]byte{byte(i)}, 200)})
	}
	for _, err := range []error{s.StoreLogs(stored), s.SetUint64([]byte("CurrentTerm"), 7), s.Set([]byte("LastVoteCand"), []byte("i1")), s.Close()} {
		if err != nil {
			f.Fatal(err)
		}
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	at := bytes.Index(sound, stored[20].Data)
	f.Add(uint32(at), []byte{1}, uint32(0))
	f.Add(uint32(0), []byte{0xff}, uint32(0))
	f.Add(uint32(os.Getpagesize()+metaAt+metaSum), []byte{1}, uint32(0))
	f.Add(uint32(2*os.Getpagesize()+8), []byte{0, 0, 1}, uint32(0))
	f.Add(uint32(0), []byte(nil), uint32(os.Getpagesize()))
	f.Fuzz(func(t *testing.T, at uint32, change []byte, cut uint32) {
		damaged := bytes.Clone(sound)
		for i, b := range change {
			damaged[(int(at)+i)%len(damaged)] ^= b
		}
		damaged = damaged[:len(damaged)-int(cut)%len(damaged)]
		path := filepath.Join(filepath.Dir(path), "damaged.db")
		writeAnew(t, path, damaged)
		config := Config{Path: path, MustExist: true, WriteLimit: time.Minute}
		var s *Store
		var err error
		if asked := appetite.Of(func() { s, err = Open(config) }); asked > 4<<20 {
			t.Errorf("%d bytes of memory are asked for %d", asked, len(damaged))
		}
		if err != nil {
			isRefusal(t, err, path, damaged)
			return
		}
		defer s.Close()
		for _, want := range stored {
			var got raft.Log
			if s.GetLog(want.Index, &got) == nil && (got.Term != want.Term || !cmp.Equal(got.Data, want.Data)) {
				t.Errorf("entry %d comes back as %+v", want.Index, got)
			}
		}
		if term, err := s.GetUint64([]byte("CurrentTerm")); err == nil && term != 7 {
			t.Errorf("the term is %d", term)
		}
	})
}

// writeAnew writes a file that nobody has locked: bolt does not let go of one
// on which it has panicked.
func writeAnew(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// isRefusal looks at what an error of Open says, and at the file that it leaves.
func isRefusal(t *testing.T, err error, path string, damaged []byte) {
	t.Helper()
	if strings.Contains(err.Error(), "in use") {
		t.Errorf("damage is called %v", err)
	}
	if left, readErr := os.ReadFile(path); readErr != nil || !bytes.Equal(left, damaged) {
		t.Errorf("refused with %v, and the file is not left as it is: %v", err, readErr)
	}
}
