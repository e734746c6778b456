package datadir

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func reopen(t *testing.T, d *Dir) *Dir {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return open(t, d.Path())
}

// InUse must tell a directory that is open from one that is not, and leave
// both as they are: ask before, while and after it is open.
func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n1")
	ask := func(want bool) {
		t.Helper()
		if used, err := InUse(path); err != nil || used != want {
			t.Errorf("got %t, %v; want %t", used, err, want)
		}
	}
	ask(false)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("asking made the directory: %v", err)
	}
	d := open(t, path)
	ask(true)
	ask(true)
	d = reopen(t, d) // asking has not kept the lock
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	ask(false)
}

// content is every file below path, to show that a refusal changes nothing.
func content(t *testing.T, path string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(path, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(data)
	}
	return files
}

// What was bound and kept must be there after a reopen: set all, close, open.
func TestFactsSurviveReopen(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "deep", "n1"))
	if info, err := os.Stat(d.Path()); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("mode of the directory: %v, %v", info.Mode(), err)
	}
	if !d.Fresh() {
		t.Fatal("a new directory is not fresh")
	}
	instance := d.Instance()
	for _, err := range []error{
		d.BindNode("n1"), d.BindName("blue"), d.SetClusterID("c-1"),
		d.SetPledge(json.RawMessage("{\"number\":\n \"x\"}")), d.SetWithdrawn([]string{"a", "b"}),
		d.SetHeartbeat(300 * time.Millisecond), d.Probe(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d = reopen(t, d)
	if d.Instance() != instance || d.NodeID() != "n1" || d.Fresh() {
		t.Fatalf("got instance %s, node %s, fresh %v", d.Instance(), d.NodeID(), d.Fresh())
	}
	if diff := cmp.Diff(Cluster{Name: "blue", ID: "c-1"}, d.Cluster()); diff != "" {
		t.Fatal(diff)
	}
	if record, ok, err := d.Pledge(); string(record) != `{"number":"x"}` || !ok || err != nil {
		t.Fatalf("pledge: %s, %v, %v", record, ok, err)
	}
	if numbers, err := d.Withdrawn(); !cmp.Equal(numbers, []string{"a", "b"}) || err != nil {
		t.Fatalf("withdrawn: %v, %v", numbers, err)
	}
	if heartbeat, err := d.Heartbeat(); heartbeat != 300*time.Millisecond || err != nil {
		t.Fatalf("heartbeat: %v, %v", heartbeat, err)
	}
	if err := d.ClearPledge(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := d.Pledge(); ok || err != nil {
		t.Fatalf("pledge after clear: %v, %v", ok, err)
	}
}

// A directory belongs to one node, one name and one cluster: bind others.
func TestForeignIsRefused(t *testing.T) {
	d := open(t, t.TempDir())
	for _, err := range []error{d.BindNode("n1"), d.BindName("blue"), d.SetClusterID("c-1")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := content(t, d.Path())
	for _, tc := range []struct {
		err  error
		want string
	}{
		{d.BindNode("n2"), `belongs to node "n1", not to "n2"`},
		{d.BindName("red"), `belongs to cluster "blue", not to "red"`},
		{d.SetClusterID("c-2"), "belongs to cluster id c-1, not to c-2"},
	} {
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) {
			t.Errorf("got %v, want %q", tc.err, tc.want)
		}
	}
	if diff := cmp.Diff(before, content(t, d.Path())); diff != "" {
		t.Errorf("the directory changed: %s", diff)
	}
}

// A second opener is refused while the first lives, and only so long; the
// lock also goes with a killed process, shown by a child that is killed.
func TestLock(t *testing.T) {
	if path := os.Getenv("HOLD_LOCK"); path != "" {
		open(t, path)
		os.Stdout.WriteString("locked\n")
		select {}
	}
	path := t.TempDir()
	d := open(t, path)
	if _, err := Open(path, Options{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path+" is in use by another process") {
		t.Fatalf("second open: %v", err)
	}
	d.Close()

	child := exec.Command(os.Args[0], "-test.run=^TestLock$")
	child.Env = append(os.Environ(), "HOLD_LOCK="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrInUse) {
		t.Fatalf("open while the child lives: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	open(t, path)
}

// A damaged, foreign or newer directory is refused, naming what is wrong, and
// is left byte for byte as it was: damage each file in turn.
func TestRefusedUnchanged(t *testing.T) {
	cases := []struct{ file, data, want string }{
		{"format", string(seal(formatPrefix + "2")), "has format 2, this version of holdfast knows formats up to 1"},
		{"format", "rubbish", "format is damaged"},
		{"format", string(seal("rubbish")), "format is damaged: it names no format"},
		{"instance", "", "instance is damaged"},
		{"instance", string(seal("x")), "instance is damaged: it holds no instance id"},
		{"node-id", "n1\n", "node-id is damaged: its checksum"},
		{"cluster", string(seal("{")), "cluster is damaged"},
		{"pledge", "{}\ncrc32c 00000000\n", "pledge is damaged"},
		{"withdrawn", string(seal("{}")), "withdrawn is damaged"},
		{"heartbeat", string(seal("fast")), "heartbeat is damaged"},
	}
	for _, tc := range cases {
		d := open(t, t.TempDir())
		if err := d.BindNode("n1"); err != nil {
			t.Fatal(err)
		}
		d.Close()
		if err := os.WriteFile(filepath.Join(d.Path(), tc.file), []byte(tc.data), 0o600); err != nil {
			t.Fatal(err)
		}
		before := content(t, d.Path())
		_, err := Open(d.Path(), Options{})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %q: got %v, want %q", tc.file, tc.data, err, tc.want)
		}
		if diff := cmp.Diff(before, content(t, d.Path())); diff != "" {
			t.Errorf("%s: the directory changed: %s", tc.file, diff)
		}
	}
}

// A missing instance file is damage, not a new node (S14), and a directory
// full of something else is not taken: remove the file, point at other files.
func TestMissingFiles(t *testing.T) {
	d := open(t, t.TempDir())
	d.Close()
	os.Remove(filepath.Join(d.Path(), "instance"))
	var damage *DamageError
	if _, err := Open(d.Path(), Options{}); !errors.As(err, &damage) {
		t.Errorf("without instance: %v", err)
	}

	other := t.TempDir()
	os.WriteFile(filepath.Join(other, "photo.jpg"), nil, 0o600)
	if _, err := Open(other, Options{}); err == nil || !strings.Contains(err.Error(), `it has "photo.jpg"`) {
		t.Errorf("foreign directory: %v", err)
	}
	if files := content(t, other); len(files) != 1 {
		t.Errorf("the foreign directory changed: %v", files)
	}
}

// A crash while the directory is made must leave one that opens: fail at
// each write of the making in turn.
func TestInterruptedMaking(t *testing.T) {
	for _, step := range []string{instanceFile, formatFile} {
		path := t.TempDir()
		broken := errors.New("power lost")
		_, err := Open(path, Options{Gate: func(what string) error {
			if what == step {
				return broken
			}
			return nil
		}})
		if !errors.Is(err, broken) {
			t.Fatalf("%s: %v", step, err)
		}
		if d := open(t, path); d.Instance() == "" || !d.Fresh() {
			t.Errorf("%s: opened as %q", step, d.Instance())
		}
	}
}

// A write that fails must leave the old content, and Probe must tell a broken
// disk: break the gate.
func TestBrokenDisk(t *testing.T) {
	var broken error
	d, err := Open(t.TempDir(), Options{Gate: func(string) error { return broken }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.SetWithdrawn([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	broken = errors.New("input/output error")
	if err := d.SetWithdrawn([]string{"a", "b"}); !errors.Is(err, broken) {
		t.Errorf("write: %v", err)
	}
	if err := d.Probe(); !errors.Is(err, broken) {
		t.Errorf("probe: %v", err)
	}
	if err := d.BindNode("n1"); !errors.Is(err, broken) || d.NodeID() != "" {
		t.Errorf("bind: %v, node id %q", err, d.NodeID())
	}
	if numbers, _ := d.Withdrawn(); !cmp.Equal(numbers, []string{"a"}) {
		t.Errorf("withdrawn: %v", numbers)
	}
	broken = nil
	os.RemoveAll(d.Path())
	if err := d.Probe(); err == nil {
		t.Error("probe of a removed directory succeeded")
	}
}
