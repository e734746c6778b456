package logstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

var errDisk = errors.New("input/output error")

func entries(from, to uint64) []*raft.Log {
	var list []*raft.Log
	for i := from; i <= to; i++ {
		list = append(list, &raft.Log{Index: i, Term: 1, Data: []byte("x")})
	}
	return list
}

func open(t *testing.T, config Config) *Store {
	t.Helper()
	if config.Path == "" {
		config.Path = filepath.Join(t.TempDir(), "raft.db")
	}
	if config.WriteLimit == 0 {
		config.WriteLimit = 10 * time.Second
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What was written must be read back by the next process: write, close, open
// with MustExist.
func TestReopen(t *testing.T) {
	s := open(t, Config{})
	for _, err := range []error{
		s.StoreLogs(entries(1, 9)), s.StoreLog(entries(10, 10)[0]), s.DeleteRange(1, 3),
		s.Set([]byte("name"), []byte("value")), s.SetUint64([]byte("term"), 7), s.Close(), s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Set([]byte("name"), nil); err == nil {
		t.Error("a closed store took a write")
	}
	s = open(t, Config{Path: s.path, MustExist: true})
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	value, _ := s.Get([]byte("name"))
	term, _ := s.GetUint64([]byte("term"))
	var entry raft.Log
	err := s.GetLog(4, &entry)
	if first != 4 || last != 10 || string(value) != "value" || term != 7 || entry.Index != 4 || err != nil {
		t.Errorf("got %d..%d, %q, %d, %d, %v", first, last, value, term, entry.Index, err)
	}
	if err := s.GetLog(3, &entry); !errors.Is(err, raft.ErrLogNotFound) || s.Err() != nil {
		t.Errorf("entry that is not there: %v, %v", err, s.Err())
	}
}

// A write that has been answered holds nothing open: close the store straight
// after one, many times.
func TestCloseAfterWrite(t *testing.T) {
	for range 2000 {
		s := newStore(Config{WriteLimit: time.Second}, &brokenDisk{InmemStore: raft.NewInmemStore(), gate: func(string) error { return nil }})
		if err := s.SetUint64([]byte("term"), 7); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A log that cannot be trusted is refused by name and left as it is: give it
// rubbish, a cut file, an emptied one and none.
func TestDamagedFile(t *testing.T) {
	good := open(t, Config{})
	if err := good.StoreLogs(entries(1, 2000)); err != nil {
		t.Fatal(err)
	}
	good.Close()
	whole, err := os.ReadFile(good.path)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, data, want string }{
		{"rubbish", strings.Repeat("rubbish ", 8192), "cannot be read: invalid database"},
		{"cut to one page", string(whole[:4096]), "cannot be read"},
		{"cut in the middle", string(whole[:len(whole)/2]), "cannot be read"},
		{"emptied", "", "is missing or empty, but this node is a member"},
		{"missing", "-", "is missing or empty, but this node is a member"},
	}
	for _, tc := range cases {
		path := filepath.Join(t.TempDir(), "raft.db")
		if tc.data != "-" {
			if err := os.WriteFile(path, []byte(tc.data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(Config{Path: path, MustExist: true, WriteLimit: time.Second})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
		after, err := os.ReadFile(path)
		if tc.data == "-" != errors.Is(err, os.ErrNotExist) || tc.data != "-" && !cmp.Equal(string(after), tc.data) {
			t.Errorf("%s: the file changed", tc.name)
		}
	}
}

// A log in use is refused after a second, not waited for: open it twice.
func TestLocked(t *testing.T) {
	s := open(t, Config{})
	if _, err := Open(Config{Path: s.path, WriteLimit: time.Second}); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("got %v", err)
	}
}

// The first failed write of any kind must be the last thing the store does:
// break the disk once, for each kind, and mend it.
func TestFirstErrorIsLatched(t *testing.T) {
	writes := map[string]func(*Store) error{
		"StoreLogs":   func(s *Store) error { return s.StoreLogs(entries(2, 3)) },
		"DeleteRange": func(s *Store) error { return s.DeleteRange(1, 1) },
		"Set":         func(s *Store) error { return s.Set([]byte("k"), []byte("v")) },
		"SetUint64":   func(s *Store) error { return s.SetUint64([]byte("k"), 1) },
	}
	for name, write := range writes {
		var broken error
		s := open(t, Config{Gate: func(string) error { return broken }})
		if err := s.StoreLogs(entries(1, 1)); err != nil {
			t.Fatal(err)
		}
		broken = errDisk
		if err := write(s); !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "check the disk") {
			t.Errorf("%s: %v", name, err)
		}
		broken = nil
		select {
		case <-s.Failed():
		default:
			t.Errorf("%s: Failed is not closed", name)
		}
		for later, write := range writes {
			if err := write(s); !errors.Is(err, errDisk) {
				t.Errorf("%s after %s: %v", later, name, err)
			}
		}
		_, err1 := s.FirstIndex()
		_, err2 := s.LastIndex()
		_, err3 := s.Get([]byte("k"))
		_, err4 := s.GetUint64([]byte("k"))
		for _, err := range []error{err1, err2, err3, err4, s.GetLog(1, &raft.Log{}), s.Err()} {
			if !errors.Is(err, errDisk) {
				t.Errorf("read after %s: %v", name, err)
			}
		}
	}
}

// A write that outlasts its limit fails the store, a slow one does not, and
// what hangs is let go once the disk answers: hang the gate in fake time.
func TestHangingWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delay := 9 * time.Second
		mended := make(chan struct{})
		s := open(t, Config{Gate: func(string) error {
			select {
			case <-time.After(delay):
			case <-mended:
			}
			return nil
		}})
		if err := s.StoreLogs(entries(1, 1)); err != nil {
			t.Fatal(err)
		}
		if got := s.WorstWrite(); got != delay {
			t.Errorf("worst write: got %v, want %v", got, delay)
		}
		delay = time.Hour
		began := time.Now()
		err := s.StoreLogs(entries(2, 2))
		if took := time.Since(began); took != 10*time.Second || err == nil || !strings.Contains(err.Error(), "no answer from the disk for 10s") {
			t.Errorf("after %v: %v", took, err)
		}
		if err := s.Close(); err == nil || !strings.Contains(err.Error(), "still hangs") {
			t.Errorf("close: %v", err)
		}
		close(mended)
		synctest.Wait()
		s = open(t, Config{Path: s.path}) // the late writer has closed the file
		time.Sleep(3 * time.Minute)
		if got := s.WorstWrite(); got != 0 {
			t.Errorf("worst write minutes later: %v", got)
		}
	})
}

// Where raft would panic its goroutine must end instead, and Guard must say
// why: fail inside Guard in each way.
func TestGuard(t *testing.T) {
	var broken error
	s := open(t, Config{Gate: func(string) error { return broken }})
	log, stable := s.ForRaft()
	if err := s.Guard(func() error { return log.StoreLogs(entries(1, 5)) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Guard(func() error { return errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("an error: %v", err)
	}
	if err := s.Guard(func() error { panic("no entry 7") }); err == nil || !strings.Contains(err.Error(), "no entry 7") {
		t.Errorf("a panic: %v", err)
	}
	broken = errDisk
	for _, f := range []func(){
		func() { stable.SetUint64([]byte("term"), 2) }, // fails the store
		func() { stable.SetUint64([]byte("term"), 3) },
		func() { log.GetLog(1, &raft.Log{}) }, // cached
	} {
		err := s.Guard(func() error { f(); t.Error("raft ran on"); return nil })
		if !errors.Is(err, errDisk) {
			t.Errorf("got %v", err)
		}
	}
}

// A log that does not continue its newest sound snapshot must be refused, and a
// damaged snapshot is moved away only if the log has all that it had: cut the
// log's head, and damage snapshots, with their like in the log and without.
func TestCheckJoint(t *testing.T) {
	s := open(t, Config{})
	dir := t.TempDir()
	snapshots, err := OpenSnapshots(dir, nil, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) (damaged []string) {
		t.Helper()
		damaged, err := CheckJoint(s, snapshots, dir)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir)) {
			t.Errorf("got %v, want %q", err, want)
		}
		return damaged
	}
	take := func(index, term uint64) (path string) {
		t.Helper()
		sink, err := snapshots.Create(raft.SnapshotVersionMax, index, term, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(ignoreCount(sink.Write([]byte("state"))), sink.Close()); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, snapshotsDir, sink.ID())
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("")
	if err := s.StoreLogs(entries(1, 40)); err != nil {
		t.Fatal(err)
	}
	check("")
	if err := s.DeleteRange(1, 10); err != nil {
		t.Fatal(err)
	}
	check("begins with entry 11, the newest readable snapshot ends with 0")
	take(9, 1)
	check("begins with entry 11, the newest readable snapshot ends with 9")
	take(10, 1)
	check("")

	// Taken from this log: the one before it will do.
	damage := map[string]string{"state.bin": "stata", "meta.json": `{"Version":`}
	for file, text := range damage {
		path := take(20, 1)
		write(filepath.Join(path, file), text)
		if damaged := check(""); !cmp.Equal(damaged, []string{filepath.Base(path)}) {
			t.Errorf("set aside: %v, want %s", damaged, path)
		}
		if _, err := os.Stat(filepath.Join(dir, damagedDir, filepath.Base(path))); err != nil {
			t.Error(err)
		}
		if list, err := snapshots.List(); err != nil || len(list) == 0 || list[0].Index != 10 {
			t.Errorf("left: %+v, %v", list, err)
		}
	}
	// Sent by the leader, to replace what is in this log, or is not in it.
	for file, text := range damage {
		for _, at := range []struct{ index, term uint64 }{{30, 2}, {50, 2}} {
			path := take(at.index, at.term)
			write(filepath.Join(path, file), text)
			check("snapshot " + filepath.Base(path) + " cannot be read")
			check("cannot be read") // and stays where it is
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	// None is sound, and the log does not begin with the first entry.
	list, err := snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range list {
		write(filepath.Join(dir, snapshotsDir, meta.ID, "state.bin"), "")
	}
	check("cannot be read")

	file := filepath.Join(dir, "file")
	write(file, "")
	if _, err := OpenSnapshots(file, nil, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as directory: %v", err)
	}
}

func ignoreCount(_ int, err error) error { return err }

// What a crash left of a snapshot under way goes when the store is opened.
// The name of the directory may mean something to a shell.
func TestUnfinishedSnapshotGoes(t *testing.T) {
	for _, name := range []string{"plain", "[1]", "a["} {
		t.Run(name, func(t *testing.T) { unfinishedSnapshotGoes(t, filepath.Join(t.TempDir(), name)) })
	}
}

func unfinishedSnapshotGoes(t *testing.T, dir string) {
	snapshots, err := OpenSnapshots(dir, nil, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snapshots.Create(raft.SnapshotVersionMax, 7, 1, raft.Configuration{}, 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSnapshots(dir, nil, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, snapshotsDir)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
