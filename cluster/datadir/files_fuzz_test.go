package datadir

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// facts is all that a node learns from its directory.
type facts struct {
	Instance, Node string
	Cluster        Cluster
	Pledge         string
	Withdrawn      []string
	Heartbeat      time.Duration
}

func factsOf(t *testing.T, d *Dir) facts {
	t.Helper()
	f := facts{Instance: d.Instance(), Node: d.NodeID(), Cluster: d.Cluster()}
	pledge, _, err := d.Pledge()
	if err != nil {
		t.Fatal(err)
	}
	f.Pledge = string(pledge)
	if f.Withdrawn, err = d.Withdrawn(); err != nil {
		t.Fatal(err)
	}
	if f.Heartbeat, err = d.Heartbeat(); err != nil {
		t.Fatal(err)
	}
	return f
}

// Whatever stands in one of the files that a node reads at its start: it is
// refused by name, with nothing changed, or it has the right checksum and is
// taken, the same at every start, and can be written and read again. Once as it
// is, once with the checksum put right.
func FuzzFiles(f *testing.F) {
	names := []string{formatFile, instanceFile, nodeFile, clusterFile, pledgeFile, withdrawnFile, heartbeatFile}
	for i, line := range []string{
		formatPrefix + "1", "0d9c4e5e-5f7f-4a43-8d0b-1a2b3c4d5e6f", "n1", `{"name":"blue","id":"c-1","former":["c-0"]}`,
		`{"proposal":{"number":"1"}}`, `["1","2"]`, "300ms",
	} {
		f.Add(uint8(i), []byte(line), true)
		f.Add(uint8(i), seal(line), false)
		f.Add(uint8(i), bytes.Replace(seal(line), []byte("crc32c "), []byte("crc32c 0"), 1), false)
	}
	f.Add(uint8(4), []byte("null"), true)
	for i := range names {
		f.Add(uint8(i), []byte("rubbish"), true)
	}
	path := filepath.Join(f.TempDir(), "n1")
	f.Fuzz(func(t *testing.T, which uint8, text []byte, sealed bool) {
		defer os.RemoveAll(path)
		d, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.BindNode("n1"), d.BindName("blue"), d.Close()); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(path, names[int(which)%len(names)])
		if sealed {
			text = seal(string(text))
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		before := content(t, path)
		d, err = Open(path, Options{})
		if err != nil {
			if damage, ok := errors.AsType[*DamageError](err); ok && damage.File != file {
				t.Errorf("%s has %q, and %v", file, text, err)
			}
			if diff := gocmp.Diff(before, content(t, path)); diff != "" {
				t.Errorf("%v, and the directory has changed: %s", err, diff)
			}
			return
		}
		if line, _, _ := strings.Cut(string(text), "\n"); !bytes.Equal(text, seal(line)) {
			t.Errorf("%q was taken with a checksum that does not fit", text)
		}
		first := factsOf(t, d)
		if err := errors.Join(d.SetPledge(json.RawMessage(cmp.Or(first.Pledge, "{}"))), d.SetWithdrawn(first.Withdrawn), d.Succeed("c-2"), d.Close()); err != nil {
			t.Fatalf("%q was taken, and cannot be written: %v", text, err)
		}
		d, err = Open(path, Options{})
		if err != nil {
			t.Fatalf("%q was taken, and the node does not start again: %v", text, err)
		}
		defer d.Close()
		second := factsOf(t, d)
		if first.Pledge == "" {
			second.Pledge = ""
		}
		second.Cluster.ID, second.Cluster.Former = first.Cluster.ID, first.Cluster.Former
		if a, b := compact(t, first), compact(t, second); a != b {
			t.Errorf("%q is %s at first and %s at the next start", text, a, b)
		}
	})
}

// compact is the facts as JSON, in which a pledge has no blanks.
func compact(t *testing.T, f facts) string {
	t.Helper()
	b, err := json.Marshal(struct {
		facts
		Pledge json.RawMessage
	}{f, json.RawMessage(cmp.Or(f.Pledge, "{}"))})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
