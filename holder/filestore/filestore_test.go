package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// content makes n bytes from a seed and says what they are.
func content(seed uint64, n int) ([]byte, *placement.Content) {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b, &placement.Content{Version: placement.Revision(seed), SHA256: sumOf(b), Size: int64(n)}
}

// sources is a Fetcher over bytes in memory; a node without bytes refuses.
type sources struct {
	bytes   map[placement.NodeID][]byte
	breakAt int64 // the body fails after so many bytes of the whole, 0 = never
	asked   []string
}

func (f *sources) Fetch(_ context.Context, src holder.Source, _ placement.ChainID, _ string, offset int64) (io.ReadCloser, int64, error) {
	f.asked = append(f.asked, fmt.Sprintf("%s@%d", src.Node, offset))
	b, ok := f.bytes[src.Node]
	if !ok {
		return nil, 0, errors.New("connection refused")
	}
	if f.breakAt > offset {
		cut := io.MultiReader(bytes.NewReader(b[offset:f.breakAt]), errReader{})
		f.breakAt = 0
		return io.NopCloser(cut), int64(len(b)), nil
	}
	return io.NopCloser(bytes.NewReader(b[offset:])), int64(len(b)), nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// accept lets every upload in.
func accept(placement.ChainID, placement.Epoch) (placement.Incarnation, error) { return 7, nil }

func plenty() (int64, int64, error) { return 1 << 40, 1 << 41, nil }

func openStore(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	if cfg.Volume == nil {
		cfg.Volume = plenty
	}
	if cfg.Accept == nil {
		cfg.Accept = accept
	}
	s, err := Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openStore(t, s.dir, s.cfg)
}

func assignment(chain placement.ChainID, epoch placement.Epoch, c *placement.Content, nodes ...placement.NodeID) holder.Assignment {
	a := holder.Assignment{Chain: chain, Epoch: epoch, Content: c}
	for _, n := range nodes {
		a.Sources = append(a.Sources, holder.Source{Node: n, Address: string(n) + ":7400"})
	}
	return a
}

func receive(t testing.TB, s *Store, u Upload, b []byte) Stored {
	t.Helper()
	u.Size = int64(len(b))
	stored, err := s.Receive(t.Context(), u, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// wantHeld compares what is held, as "chain epoch hash-prefix size".
func wantHeld(t testing.TB, s *Store, want ...string) []holder.Copy {
	t.Helper()
	held, err := s.Held(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range held {
		got = append(got, line(c.Chain, c.Epoch, c.SHA256, c.SizeBytes))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("held (-want +got):\n%s", diff)
	}
	return held
}

func line(chain placement.ChainID, epoch placement.Epoch, sha string, size int64) string {
	return fmt.Sprintf("%s %d %.8s %d", chain, epoch, sha, size)
}

func is(chain placement.ChainID, epoch placement.Epoch, c *placement.Content) string {
	if c == nil {
		return line(chain, epoch, "", 0)
	}
	return line(chain, epoch, c.SHA256, c.Size)
}

func wantBytes(t testing.TB, s *Store, chain placement.ChainID, c *placement.Content, want []byte) {
	t.Helper()
	f, size, err := s.Open(chain, c.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || size != c.Size || !bytes.Equal(got, want) {
		t.Fatalf("content of %s: %d bytes of %d (%v), or others than stored", chain, len(got), size, err)
	}
}

// files lists a chain's directory.
func files(t testing.TB, s *Store, chain placement.ChainID) []string {
	t.Helper()
	entries, err := os.ReadDir(s.chainDir(chain))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A pulled copy is held under its epoch, has the right bytes, survives a
// reopening, and pulling it again asks nobody.
func TestPull(t *testing.T) {
	b, c := content(1, 3<<20)
	src := &sources{bytes: map[placement.NodeID][]byte{"n2": b}}
	s := openStore(t, t.TempDir(), Config{Fetch: src})
	var done, total atomic.Int64
	a := assignment("x", 40, c, "n2")
	a.Progress = func(d, n int64) { done.Store(d); total.Store(n) }
	for range 2 {
		if err := s.Pull(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if done.Load() != c.Size || total.Load() != c.Size {
		t.Errorf("progress %d of %d, want all %d", done.Load(), total.Load(), c.Size)
	}
	s = reopen(t, s)
	wantHeld(t, s, is("x", 40, c))
	wantBytes(t, s, "x", c, b)
	if diff := cmp.Diff([]string{"n2@0"}, src.asked); diff != "" {
		t.Errorf("sources asked (-want +got):\n%s", diff)
	}
}

// S1: a copy of no content is made for the first copy of a chain, from a
// source, or from one that is here; never from nothing.
func TestPullEmpty(t *testing.T) {
	s := openStore(t, t.TempDir(), Config{})
	if err := s.Pull(t.Context(), assignment("x", 40, nil)); err == nil {
		t.Error("a copy was made from nothing")
	}
	first := assignment("x", 41, nil)
	first.First = true
	for _, a := range []holder.Assignment{first, assignment("x", 42, nil), assignment("y", 43, nil, "n2")} {
		if err := s.Pull(t.Context(), a); err != nil {
			t.Errorf("pull of epoch %d: %v", a.Epoch, err)
		}
	}
	wantHeld(t, reopen(t, s), is("x", 41, nil), is("x", 42, nil), is("y", 43, nil))
}

// A pull that breaks goes on where it was, from the next source and after a
// restart, and the bytes are right in the end.
func TestPullResumes(t *testing.T) {
	b, c := content(2, 5<<20)
	src := &sources{bytes: map[placement.NodeID][]byte{"n2": b}, breakAt: 2 << 20}
	s := openStore(t, t.TempDir(), Config{Fetch: src})
	if err := s.Pull(t.Context(), assignment("x", 40, c, "n9", "n2")); err == nil {
		t.Fatal("the pull succeeded though both sources failed")
	}
	wantHeld(t, s)
	s = reopen(t, s)
	src.breakAt = 4 << 20
	if err := s.Pull(t.Context(), assignment("x", 40, c, "n2", "n2")); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, s, "x", c, b)
	want := []string{"n9@0", "n2@0", "n2@2097152", "n2@4194304"}
	if diff := cmp.Diff(want, src.asked); diff != "" {
		t.Errorf("sources asked (-want +got):\n%s", diff)
	}
}

// Wrong bytes are never held: the source that lies costs the part, and the
// next one is asked from the start. A part that was damaged on disk costs the same.
func TestPullWrongBytes(t *testing.T) {
	b, c := content(3, 1<<20)
	lie := bytes.Clone(b)
	lie[12345] ^= 1
	src := &sources{bytes: map[placement.NodeID][]byte{"liar": lie, "short": b[:100], "n2": b}}
	s := openStore(t, t.TempDir(), Config{Fetch: src})
	if err := s.Pull(t.Context(), assignment("x", 40, c, "liar", "short")); err == nil {
		t.Fatal("wrong bytes were taken")
	}
	wantHeld(t, s)
	if err := s.Pull(t.Context(), assignment("x", 40, c, "liar", "n2")); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, s, "x", c, b)
	part := s.partPath("y", c.SHA256)
	for _, damaged := range [][]byte{lie[:500_000], lie, append(bytes.Clone(b), 1)} {
		if err := errors.Join(s.makeChainDir("y"), os.WriteFile(part, damaged, 0o644)); err != nil {
			t.Fatal(err)
		}
		if err := s.Pull(t.Context(), assignment("y", 41, c, "n2", "n2")); err != nil {
			t.Fatal(err)
		}
		for _, held := range wantHeld(t, s, is("x", 40, c), is("y", 41, c)) {
			if held.Chain == "y" {
				wantBytes(t, s, "y", c, b)
				if err := s.Drop(t.Context(), held); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// S4: a drop removes the copy that Held listed and no other: not one of a newer
// epoch with the same bytes, and not one that was stored again since.
func TestDropIsExact(t *testing.T) {
	b, c := content(4, 1000)
	s := openStore(t, t.TempDir(), Config{Fetch: &sources{bytes: map[placement.NodeID][]byte{"n2": b}}})
	if err := s.Pull(t.Context(), assignment("x", 40, c, "n2")); err != nil {
		t.Fatal(err)
	}
	old := wantHeld(t, s, is("x", 40, c))[0]
	if err := s.Pull(t.Context(), assignment("x", 41, c)); err != nil {
		t.Fatal(err) // the bytes are here: no source is needed
	}
	if err := s.Drop(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, s, is("x", 41, c))
	wantBytes(t, s, "x", c, b)

	old = wantHeld(t, s, is("x", 41, c))[0]
	receive(t, s, Upload{Chain: "x", Epoch: 41, Base: 6}, b)
	receive(t, s, Upload{Chain: "x", Epoch: 41, Base: 9}, b) // the same bytes come back as a new version
	if err := s.Drop(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	receive(t, s, Upload{Chain: "x", Epoch: 41, Base: 8}, b) // a slower upload on an older version changes nothing
	now := wantHeld(t, s, is("x", 41, c))[0]
	if !now.Staged || now.Base != 9 {
		t.Errorf("the copy is %+v, want it staged on version 9", now)
	}
	for range 2 {
		if err := s.Drop(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, reopen(t, s), "x"); got != nil {
		t.Errorf("after the last drop %v is left", got)
	}
}

// S3: an upload lies beside the old version, durable, under its own hash; two
// uploads at once do not touch each other; a refused one takes back only what
// nobody else stored.
func TestReceive(t *testing.T) {
	b1, v1 := content(5, 1000)
	b2, v2 := content(6, 2000)
	b3, v3 := content(7, 3000)
	s := openStore(t, t.TempDir(), Config{Fetch: &sources{bytes: map[placement.NodeID][]byte{"n2": b1}}})
	if err := s.Pull(t.Context(), assignment("x", 40, v1, "n2")); err != nil {
		t.Fatal(err)
	}
	results := make(chan Stored)
	for _, b := range [][]byte{b2, b3} {
		go func() {
			stored, err := s.Receive(context.Background(), Upload{Chain: "x", Epoch: 40, Base: 5, Size: int64(len(b))}, bytes.NewReader(b))
			if err != nil {
				t.Error(err)
			}
			results <- stored
		}()
	}
	stored := map[string]Stored{}
	for range 2 {
		r := <-results
		stored[r.SHA256] = r
	}
	wantHeld(t, s, is("x", 40, v1), is("x", 40, v2), is("x", 40, v3))
	wantBytes(t, s, "x", v1, b1)
	wantBytes(t, s, "x", v2, b2)
	if r := stored[v2.SHA256]; r.Incarnation != 7 || r.Epoch != 40 || r.Size != 2000 {
		t.Errorf("the answer is %+v", r)
	}

	again := receive(t, s, Upload{Chain: "x", Epoch: 40, Base: 5}, b2)
	abandon := func(r Stored) {
		t.Helper()
		if err := s.Abandon(t.Context(), "x", 40, r.SHA256, r.Ticket); err != nil {
			t.Fatal(err)
		}
	}
	abandon(stored[v2.SHA256])
	abandon(stored[v2.SHA256])
	wantHeld(t, s, is("x", 40, v1), is("x", 40, v2), is("x", 40, v3))
	abandon(again)
	wantHeld(t, s, is("x", 40, v1), is("x", 40, v3))
	abandon(receive(t, s, Upload{Chain: "x", Epoch: 40, Base: 5}, b1)) // what was here before stays
	s = reopen(t, s)
	abandon(stored[v3.SHA256]) // an earlier process's ticket: it may have been committed
	wantHeld(t, s, is("x", 40, v1), is("x", 40, v3))
}

// An upload that is not what it announced, or comes for an epoch that is not
// this node's, leaves nothing.
func TestReceiveRefuses(t *testing.T) {
	b, c := content(8, 1000)
	n := 0
	s := openStore(t, t.TempDir(), Config{Accept: func(_ placement.ChainID, e placement.Epoch) (placement.Incarnation, error) {
		if n++; e == 41 || e == 42 && n > 1 {
			return 0, errors.New("the epoch is 43")
		}
		return 7, nil
	}})
	for _, test := range []struct {
		name string
		u    Upload
		body io.Reader
		want error
	}{
		{"too short", Upload{Chain: "x", Epoch: 40, Size: 1001}, bytes.NewReader(b), ErrMismatch},
		{"too long", Upload{Chain: "x", Epoch: 40, Size: 999}, bytes.NewReader(b), ErrMismatch},
		{"broken off", Upload{Chain: "x", Epoch: 40, Size: 1001}, io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.ErrUnexpectedEOF)), ErrMismatch},
		{"other hash", Upload{Chain: "x", Epoch: 40, Size: 1000, SHA256: strings.Repeat("0", 64)}, bytes.NewReader(b), ErrMismatch},
		{"not the holder", Upload{Chain: "x", Epoch: 41, Size: 1000}, bytes.NewReader(b), ErrNotHolder},
		{"not the holder any more", Upload{Chain: "x", Epoch: 42, Size: 1000}, bytes.NewReader(b), ErrNotHolder},
	} {
		n = 0
		if _, err := s.Receive(t.Context(), test.u, test.body); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if got := files(t, s, "x"); !slices.Equal(got, []string{idName}) {
		t.Errorf("left behind: %v", got)
	}
	receive(t, s, Upload{Chain: "x", Epoch: 40, SHA256: c.SHA256}, b)
}

// S6: ids that differ in case, look like flags or paths, and hashes that are
// paths, stay inside the directory and apart from each other.
func TestIDsAreNoPaths(t *testing.T) {
	b, c := content(9, 10)
	s := openStore(t, t.TempDir(), Config{})
	seen := map[string]bool{}
	for i, id := range []placement.ChainID{"Model", "model", "a..b", "a.blob", "0-x"} {
		receive(t, s, Upload{Chain: id, Epoch: placement.Epoch(i + 1)}, b)
		base := filepath.Base(s.chainDir(id))
		if len(base) != 52 || base != strings.ToLower(base) || seen[base] {
			t.Errorf("directory of %s is %s, which is another's or no lower-case base32", id, base)
		}
		seen[base] = true
		if name, err := os.ReadFile(filepath.Join(s.chainDir(id), idName)); string(name) != string(id)+"\n" {
			t.Errorf("id file of %s: %q, %v", id, name, err)
		}
		wantBytes(t, s, id, c, b)
	}
	if got := len(wantHeld(t, reopen(t, s), is("Model", 1, c), is("model", 2, c), is("a..b", 3, c), is("a.blob", 4, c), is("0-x", 5, c))); got != 5 {
		t.Errorf("%d copies", got)
	}
	for _, id := range []placement.ChainID{"..", ".", "-x", "a/b", ""} {
		if err := s.Pull(t.Context(), assignment(id, 1, nil, "n2")); err == nil {
			t.Errorf("pulled chain %q", id)
		}
		if _, err := s.Receive(t.Context(), Upload{Chain: id, Epoch: 1}, bytes.NewReader(nil)); err == nil {
			t.Errorf("stored chain %q", id)
		}
	}
	for _, sha := range []string{"", "../../id", strings.Repeat("A", 64), strings.Repeat("0", 63)} {
		if err := s.Pull(t.Context(), assignment("x", 1, &placement.Content{SHA256: sha, Size: 1}, "n2")); err == nil {
			t.Errorf("pulled hash %q", sha)
		}
	}
}

// Below the reserve nothing is pulled or stored, writers at once do not count
// on the same space, and what the disk refuses while writing is given back.
func TestNoSpace(t *testing.T) {
	b, c := content(10, 1000)
	free := int64(1500)
	src := &sources{bytes: map[placement.NodeID][]byte{"n2": b}}
	s := openStore(t, t.TempDir(), Config{Fetch: src, Reserve: 600, Volume: func() (int64, int64, error) { return free, 1 << 40, nil }})
	if err := s.Pull(t.Context(), assignment("x", 40, c, "n2")); !errors.Is(err, holder.ErrNoSpace) {
		t.Errorf("pull into the reserve: %v", err)
	}
	if _, err := s.Receive(t.Context(), Upload{Chain: "x", Epoch: 40, Size: 1000}, bytes.NewReader(b)); !errors.Is(err, holder.ErrNoSpace) {
		t.Errorf("upload into the reserve: %v", err)
	}
	free = 2000
	first, err := s.book(1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pull(t.Context(), assignment("x", 40, c, "n2")); !errors.Is(err, holder.ErrNoSpace) {
		t.Errorf("pull into space that another writer has booked: %v", err)
	}
	first.release()
	if err := s.Pull(t.Context(), assignment("x", 40, c, "n2")); err != nil {
		t.Error(err)
	}
	if s.booked != 0 {
		t.Errorf("%d bytes are still booked", s.booked)
	}
}

// A source that stops sending is given up after StallAfter, and the next one
// goes on.
func TestPullStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := content(11, 3000)
		s := openStore(t, t.TempDir(), Config{Fetch: stalling{b}})
		err := s.Pull(t.Context(), assignment("x", 40, c, "n2"))
		if err == nil || !strings.Contains(err.Error(), "no byte came for 30s") {
			t.Fatalf("pull from a source that stops: %v", err)
		}
		if err := s.Pull(t.Context(), assignment("x", 40, c, "n2", "n2")); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, s, "x", c, b)
	})
}

// stalling gives 1000 bytes a request and then nothing until ctx ends.
type stalling struct{ b []byte }

func (f stalling) Fetch(ctx context.Context, _ holder.Source, _ placement.ChainID, _ string, offset int64) (io.ReadCloser, int64, error) {
	end := min(offset+1000, int64(len(f.b)))
	body := io.Reader(bytes.NewReader(f.b[offset:end]))
	if end < int64(len(f.b)) {
		body = io.MultiReader(body, untilDone{ctx})
	}
	return io.NopCloser(body), int64(len(f.b)), nil
}

type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

// The check of the disk must write into the file that is there, without cutting
// it, for a cut has some file systems flush it at close; and a volume without
// room for it must be no fault: the file is /dev/full there.
func TestCheckDisk(t *testing.T) {
	s := openStore(t, t.TempDir(), Config{})
	path := filepath.Join(s.dir, "probe")
	long := strings.Repeat("x", 4096)
	if err := os.WriteFile(path, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckDisk(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || len(got) != len(long) || string(got) == long {
		t.Errorf("the file has %d bytes, %v; want others of %d", len(got), err, len(long))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckDisk(); err == nil || !strings.Contains(err.Error(), s.dir) {
		t.Errorf("a disk that cannot be written: %v", err)
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckDisk(); err != nil {
		t.Errorf("a full volume: %v", err)
	}
}

// A second process cannot open the same directory.
func TestOpenLocks(t *testing.T) {
	s := openStore(t, t.TempDir(), Config{})
	if _, err := Open(s.dir, Config{}); err == nil || !strings.Contains(err.Error(), "--content-dir") {
		t.Errorf("second open: %v", err)
	}
	if err := s.CheckDisk(); err != nil {
		t.Error(err)
	}
}
