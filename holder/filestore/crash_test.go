package filestore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// What a crash or a bad disk can leave is never served, never stops the store
// from opening, and costs no other copy. Each case damages chain x, which has
// one copy of 1,000 bytes beside an untouched chain y.
func TestOpenAfterCrash(t *testing.T) {
	b, c := content(20, 1000)
	intact := is("x", 40, c)
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string, record, blob string) error
		want   string // what is held of x; "" = nothing
		aside  bool   // something is set aside for the operator
	}{
		{"nothing", func(*testing.T, string, string, string) error { return nil }, intact, false},
		{"an upload under way", func(_ *testing.T, dir, _, _ string) error {
			return os.WriteFile(filepath.Join(dir, "put-123.tmp"), b[:10], 0o644)
		}, intact, false},
		{"a record under way", func(_ *testing.T, dir, record, _ string) error {
			return os.WriteFile(record+".77.tmp", []byte("{"), 0o644)
		}, intact, false},
		{"bytes without a record yet", func(_ *testing.T, _, record, _ string) error { return os.Remove(record) }, "", false},
		{"a torn record", func(_ *testing.T, _, record, _ string) error { return os.Truncate(record, 30) }, "", true},
		{"an empty record", func(_ *testing.T, _, record, _ string) error { return os.Truncate(record, 0) }, "", true},
		{"a changed record", func(t *testing.T, _, record, _ string) error {
			t.Helper()
			text, err := os.ReadFile(record)
			return errors.Join(err, os.WriteFile(record, bytes.Replace(text, []byte(`"epoch":40`), []byte(`"epoch":41`), 1), 0o644))
		}, "", true},
		{"a record of another chain", func(_ *testing.T, _, record, _ string) error {
			other, err := record2("z", 40, c).encode()
			return errors.Join(err, os.WriteFile(record, other, 0o644))
		}, "", true},
		{"truncated bytes", func(_ *testing.T, _, _, blob string) error { return os.Truncate(blob, 999) }, "", true},
		{"missing bytes", func(_ *testing.T, _, _, blob string) error { return os.Remove(blob) }, "", true},
		{"a torn id", func(_ *testing.T, dir, _, _ string) error {
			return os.WriteFile(filepath.Join(dir, idName), nil, 0o644)
		}, intact, false},
		{"a missing id", func(_ *testing.T, dir, _, _ string) error { return os.Remove(filepath.Join(dir, idName)) }, intact, false},
		{"a stray file among the chains", func(_ *testing.T, dir, _, _ string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(dir), "lost+found"), nil, 0o644)
		}, intact, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Config{Fetch: &sources{bytes: map[placement.NodeID][]byte{"n2": b}}})
			receive(t, s, Upload{Chain: "x", Epoch: 40}, b)
			receive(t, s, Upload{Chain: "y", Epoch: 41}, b)
			if err := test.damage(t, s.chainDir("x"), s.recordPath(record2("x", 40, c)), s.blobPath("x", c.SHA256)); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, s)
			want := []string{is("y", 41, c)}
			if test.want != "" {
				want = append(want, test.want)
			}
			wantHeld(t, s, want...)
			if _, _, err := s.Open("x", c.SHA256); (err == nil) != (test.want != "") {
				t.Errorf("opening the bytes: %v", err)
			}
			left := files(t, s, "x")
			if got := slices.ContainsFunc(left, func(f string) bool { return strings.Contains(f, badInfix) }); got != test.aside {
				t.Errorf("files left: %v; set aside %v, want %v", left, got, test.aside)
			}
			if slices.ContainsFunc(left, func(f string) bool { return strings.HasSuffix(f, tmpEnding) }) {
				t.Errorf("temporary files are left: %v", left)
			}
			if id, err := os.ReadFile(filepath.Join(s.chainDir("x"), idName)); test.want != "" && string(id) != "x\n" {
				t.Errorf("id file %q, %v", id, err)
			}
			// A repair brings the copy back, whatever is lying about.
			if err := s.Pull(t.Context(), assignment("x", 50, c, "n2")); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, reopen(t, s), "x", c, b)
		})
	}
}

func record2(chain placement.ChainID, epoch placement.Epoch, c *placement.Content) record {
	return record{Chain: chain, Epoch: epoch, SHA256: c.SHA256, Size: c.Size}
}

// What vanishes or changes its size while the store is open is not held from
// the next listing on, and a directory that cannot be read is an error, not
// "nothing held" (S1).
func TestHeldIsWhatIsThere(t *testing.T) {
	b, c := content(21, 1000)
	s := openStore(t, t.TempDir(), Config{})
	for i, chain := range []placement.ChainID{"a", "b", "c", "d"} {
		receive(t, s, Upload{Chain: chain, Epoch: placement.Epoch(i + 1)}, b)
	}
	err := errors.Join(
		os.Truncate(s.blobPath("a", c.SHA256), 10),
		os.Remove(s.blobPath("b", c.SHA256)),
		os.Remove(s.recordPath(record2("c", 3, c))))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantHeld(t, s, is("d", 4, c))
	}
	if err := os.Rename(s.chains, s.chains+"-gone"); err != nil {
		t.Fatal(err)
	}
	if held, err := s.Held(t.Context()); err == nil {
		t.Errorf("without its directory the store holds %v and says nothing", held)
	}
}

// The scrubber finds bytes that rotted in place: they are set aside with every
// record that names them, and a pull brings good ones. Sound bytes stay.
func TestScrub(t *testing.T) {
	b, c := content(22, 100_000)
	s := openStore(t, t.TempDir(), Config{Fetch: &sources{bytes: map[placement.NodeID][]byte{"n2": b}}, ScrubRate: 1 << 40})
	receive(t, s, Upload{Chain: "x", Epoch: 40}, b)
	receive(t, s, Upload{Chain: "y", Epoch: 41}, b)
	if err := s.Pull(t.Context(), assignment("x", 50, c)); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, s, is("x", 40, c), is("x", 50, c), is("y", 41, c))
	rot := bytes.Clone(b)
	rot[77] ^= 8
	if err := os.WriteFile(s.blobPath("x", c.SHA256), rot, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, reopen(t, s), is("y", 41, c))
}

// Unfinished pulls and unnamed bytes go when they are old and nobody writes
// there; copies never.
func TestTidy(t *testing.T) {
	b, c := content(23, 1000)
	s := openStore(t, t.TempDir(), Config{PartKeep: time.Hour})
	receive(t, s, Upload{Chain: "x", Epoch: 40}, b)
	if err := errors.Join(s.makeChainDir("y"), os.WriteFile(s.partPath("y", c.SHA256), b[:10], 0o644),
		os.WriteFile(s.blobPath("x", strings.Repeat("0", 64)), b, 0o644)); err != nil {
		t.Fatal(err)
	}
	tidy := func() {
		t.Helper()
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	age := func() {
		t.Helper()
		old := time.Now().Add(-2 * time.Hour)
		for _, path := range []string{s.partPath("y", c.SHA256), s.blobPath("x", strings.Repeat("0", 64)), s.blobPath("x", c.SHA256)} {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	tidy()
	if got := len(files(t, s, "y")); got != 2 {
		t.Errorf("a young part was taken away: %v", files(t, s, "y"))
	}
	age()
	leave := s.enter("y")
	tidy()
	leave()
	if got := len(files(t, s, "y")); got != 2 {
		t.Errorf("a part that is being written was taken away: %v", files(t, s, "y"))
	}
	tidy()
	if got := files(t, s, "y"); got != nil {
		t.Errorf("of an old part is left: %v", got)
	}
	wantHeld(t, s, is("x", 40, c))
	if got := len(files(t, s, "x")); got != 3 {
		t.Errorf("files of x: %v, want id, record, blob", files(t, s, "x"))
	}
}
