package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// samples is how many places of a file are tried, and how many of those that
// matter most, in a short test few. With HOLDFAST_EVERY_BIT set all are, which
// takes long.
func samples() int {
	if testing.Short() {
		return 6
	}
	return 60
}

// damages calls try with the name of a damage and the damaged bytes: each bit of
// the bytes at must, some others, and files cut at and beside each page.
func damages(whole []byte, must []int, try func(name string, damaged []byte)) {
	random := rand.New(rand.NewPCG(1, 2))
	flip := func(bit int) {
		damaged := bytes.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		try(fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), damaged)
	}
	if os.Getenv("HOLDFAST_EVERY_BIT") != "" {
		for bit := range 8 * len(whole) {
			flip(bit)
		}
	} else {
		for _, i := range random.Perm(len(must))[:min(len(must), samples())] {
			flip(8*must[i] + random.IntN(8))
		}
		for range samples() {
			flip(random.IntN(8 * len(whole)))
		}
	}
	page := os.Getpagesize()
	for size := 0; size < len(whole); size += max(page, len(whole)/page/8*page) {
		for _, size := range []int{size - 1, size, size + 1 + random.IntN(page-1)} {
			if size >= 0 && size < len(whole) {
				try(fmt.Sprintf("cut to %d bytes", size), bytes.Clone(whole[:size]))
			}
		}
	}
}

// memory returns a directory whose syncs cost nothing, where there is one.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-") //nolint:usetesting // that lies on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// logShapes are logs with every kind of page. Each is made by writes as raft
// makes them.
func logShapes() map[string]func(*Store) error {
	sized := func(from, to uint64, bytes int) []*raft.Log {
		list := entries(from, to)
		for _, entry := range list {
			entry.Data = []byte(strings.Repeat(fmt.Sprint(entry.Index, " "), bytes/4+int(entry.Index)%7))
		}
		return list
	}
	vote := func(s *Store) error {
		return errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.SetUint64([]byte("LastVoteTerm"), 7),
			s.Set([]byte("LastVoteCand"), []byte("10.0.0.1:7400")))
	}
	return map[string]func(*Store) error{
		"small": func(s *Store) error { return errors.Join(vote(s), s.StoreLogs(entries(1, 3))) },
		"one leaf": func(s *Store) error {
			return errors.Join(vote(s), s.StoreLogs(entries(1, 30)))
		},
		"branches, large entries and free pages": func(s *Store) error {
			err := errors.Join(vote(s), s.StoreLogs(sized(1, 500, 100)), s.StoreLogs(sized(501, 504, 9000)))
			for i := uint64(505); i < 540; i++ {
				err = errors.Join(err, s.StoreLogs(sized(i, i, 50)))
			}
			return errors.Join(err, s.DeleteRange(1, 220), s.DeleteRange(531, 539), s.StoreLogs(sized(531, 560, 60)))
		},
		"a gap behind a snapshot": func(s *Store) error {
			return errors.Join(vote(s), s.StoreLogs(entries(1, 40)), s.StoreLogs(entries(100, 140)))
		},
	}
}

// dump is all that a log holds.
func dump(s *Store) (string, error) {
	var b strings.Builder
	for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"} {
		value, err := s.Get([]byte(key))
		fmt.Fprintf(&b, "%s %x %v\n", key, value, err)
	}
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	fmt.Fprintln(&b, first, last)
	for i := first; i <= last && last > 0; i++ {
		var entry raft.Log
		if err := s.GetLog(i, &entry); !errors.Is(err, raft.ErrLogNotFound) {
			fmt.Fprintln(&b, entry.Index, entry.Term, entry.Type, string(entry.Data), string(entry.Extensions), err)
		}
	}
	return b.String(), errors.Join(err1, err2, s.Err())
}

// must are the bytes of a bolt file where a flipped bit does the most: the heads
// of pages and of their first elements, and the metas.
func must(file []byte) (places []int) {
	page := os.Getpagesize()
	for at := 0; at < len(file); at += page {
		for i := range 16 + 2*16 {
			places = append(places, at+i)
		}
		if id := binary.NativeEndian.Uint64(file[at:]); id < 2 && at < 2*page {
			for i := 48; i < metaAt+metaEnd; i++ {
				places = append(places, at+i)
			}
		}
	}
	return places
}

// A log with a flipped bit, or cut short, is refused, with its name and what to
// do, or has all that it had and takes more: open it with each damage, compare,
// append, open again.
func TestDamagedLog(t *testing.T) {
	for name, write := range logShapes() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(memory(t), "log.db")
			s := open(t, Config{Path: path})
			if err := write(s); err != nil {
				t.Fatal(err)
			}
			want, err := dump(s)
			if err != nil {
				t.Fatal(err)
			}
			last, _ := s.LastIndex()
			s.Close()
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			more := entries(last+1, last+20)
			wantMore, err := openDamaged(path, whole, more)
			if err != nil {
				t.Fatal(err)
			}
			refused, sound := 0, 0
			damages(whole, must(whole), func(damage string, bytes []byte) {
				got, err := openDamaged(path, bytes, nil)
				switch {
				case err != nil && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove the node and start it with an empty data directory")):
					t.Errorf("%s: refused with %v", damage, err)
				case err != nil:
					refused++
					return
				case got != want:
					t.Errorf("%s: opened without a word, and has\n%.300s\nwant\n%.300s", damage, got, want)
					return
				}
				sound++
				if _, err := openDamaged(path, nil, more); err != nil {
					t.Errorf("%s: opened, and fails later: %v", damage, err)
				} else if got, err := openDamaged(path, nil, nil); err != nil || got != wantMore {
					t.Errorf("%s: opened, and lost what was appended: %v", damage, err)
				}
			})
			t.Logf("%d pages: %d damages refused, %d harmless", len(whole)/os.Getpagesize(), refused, sound)
		})
	}
}

// A page whose count of keys is wrong hides entries, or shows what is none: it is
// always found. Flip each bit of the count of each page.
func TestDamagedCounts(t *testing.T) {
	path := filepath.Join(memory(t), "log.db")
	s := open(t, Config{Path: path})
	if err := logShapes()["a gap behind a snapshot"](s); err != nil {
		t.Fatal(err)
	}
	want, err := dump(s)
	s.Close()
	whole, readErr := os.ReadFile(path)
	if err := errors.Join(err, readErr); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := 2 * os.Getpagesize(); at < len(whole); at += os.Getpagesize() {
		for bit := range 16 {
			damaged := bytes.Clone(whole)
			damaged[at+10+bit/8] ^= 1 << (bit % 8)
			got, err := openDamaged(path, damaged, nil)
			if err == nil && got != want {
				t.Errorf("page at %d, bit %d: opened without a word, and has %d bytes of %d", at, bit, len(got), len(want))
			} else if err != nil {
				refused++
			}
		}
	}
	if refused < 3*16 { // the root, the log and the list of free pages
		t.Errorf("only %d damages were refused", refused)
	}
}

// openDamaged opens a log, first written if bytes are given, appends, and dumps it.
func openDamaged(path string, bytes []byte, more []*raft.Log) (string, error) {
	if bytes != nil {
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			return "", err
		}
	}
	s, err := Open(Config{Path: path, MustExist: true, WriteLimit: time.Minute})
	if err != nil {
		return "", err
	}
	defer s.Close()
	if more != nil {
		if err := s.StoreLogs(more); err != nil {
			return "", err
		}
	}
	return dump(s)
}

// A sound log is never refused, whatever its history: write, delete and reopen
// at random.
func TestSoundLogOpens(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 7))
		s := open(t, Config{Path: filepath.Join(memory(t), "log.db")})
		first, last := uint64(1), uint64(0)
		for range 60 {
			var err error
			switch random.IntN(6) {
			case 0, 1, 2:
				list := entries(last+1, last+1+uint64(random.IntN(200)))
				for _, entry := range list {
					entry.Data = make([]byte, random.IntN(1+random.IntN(3000)))
				}
				last = list[len(list)-1].Index
				err = s.StoreLogs(list)
			case 3:
				err = s.Set([]byte(fmt.Sprint("key ", random.IntN(40))), make([]byte, random.IntN(200)))
			case 4:
				if to := first + uint64(random.IntN(300)); to <= last {
					err = s.DeleteRange(first, to)
					first = to + 1
				}
			case 5:
				if from := last - min(last, uint64(random.IntN(100))); from >= first {
					err = s.DeleteRange(from, last)
					last = from - 1
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if random.IntN(3) == 0 {
				s.Close()
				s = open(t, Config{Path: s.path, MustExist: true})
				got, err := s.LastIndex()
				if want := last; err != nil || got != want && first <= last {
					t.Fatalf("seed %d: last entry %d, %v, want %d", seed, got, err, want)
				}
			}
		}
		s.Close()
	}
}

// A snapshot with a flipped bit, or cut short, is noticed: with the log that it
// was taken from it is set aside and the older one counts, without it the node is
// refused. Damage each file of the newest of two snapshots.
func TestDamagedSnapshots(t *testing.T) {
	peers := raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: "10.0.0.1:7400"}, {ID: "n2", Address: "10.0.0.2:7400"}}}
	_, transport := raft.NewInmemTransport("")
	for _, whole := range []bool{true, false} { // the log has all, or begins behind the snapshot
		origin, dir := memory(t), filepath.Join(memory(t), "raft")
		s, snapshots, err := openBoth(origin)
		if err != nil {
			t.Fatal(err)
		}
		err = s.StoreLogs(entries(1, 40))
		for _, index := range []uint64{10, 20} {
			sink, createErr := snapshots.Create(raft.SnapshotVersionMax, index, 1, peers, 1, transport)
			if createErr != nil {
				t.Fatal(createErr)
			}
			_, writeErr := fmt.Fprint(sink, strings.Repeat("state ", 50), index)
			err = errors.Join(err, writeErr, sink.Close())
		}
		if !whole {
			err = errors.Join(err, s.DeleteRange(1, 20))
		}
		s.Close()
		list, listErr := snapshots.List()
		if err := errors.Join(err, listErr); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{metaFile, "state.bin", sumFile} {
			name := filepath.Join(snapshotsDir, list[0].ID, file)
			sound, err := os.ReadFile(filepath.Join(origin, name))
			if err != nil {
				t.Fatal(err)
			}
			damages(sound, nil, func(damage string, bytes []byte) {
				err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(origin)), os.WriteFile(filepath.Join(dir, name), bytes, 0o600))
				if err != nil {
					t.Fatal(err)
				}
				got, err := newest(dir)
				switch {
				case !whole && (err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "restore the snapshots")):
					t.Errorf("%s, %s, and no log: opened with %v, %v", file, damage, got, err)
				case whole && (err != nil || got != 10):
					t.Errorf("%s, %s: opened with snapshot %d, %v", file, damage, got, err)
				}
			})
		}
	}
}

// newest opens what is in dir, and returns where the newest snapshot ends that
// raft will see.
func newest(dir string) (uint64, error) {
	s, snapshots, err := openBoth(dir)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	list, err := snapshots.List()
	if err != nil || len(list) == 0 {
		return 0, err
	}
	_, state, err := snapshots.Open(list[0].ID)
	if err != nil {
		return 0, err
	}
	defer state.Close()
	_, err = io.Copy(io.Discard, state)
	return list[0].Index, err
}

// BenchmarkOpen shows what the checks cost when a log is opened.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log.db")
	s, err := Open(Config{Path: path, WriteLimit: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	list := make([]*raft.Log, 0, 1000)
	for i := range uint64(100) {
		list = list[:0]
		for _, entry := range entries(1000*i+1, 1000*i+1000) {
			entry.Data = make([]byte, 1000)
			list = append(list, entry)
		}
		if err := s.StoreLogs(list); err != nil {
			b.Fatal(err)
		}
	}
	s.Close()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.Run("pages", func(b *testing.B) {
		b.SetBytes(info.Size())
		for b.Loop() {
			if _, err := checkFile(path); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		b.SetBytes(info.Size())
		for b.Loop() {
			s, err := Open(Config{Path: path, WriteLimit: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
}
