package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A member's directory can be made one that has yet to join, under its node id
// and with everything but raft's files; whatever write fails on the way, it is
// no directory that could vote with an old log, and the next try succeeds.
func TestReset(t *testing.T) {
	for fails := range 4 {
		writes, watched := 0, false // the making is not what fails
		broken := errors.New("input/output error")
		d, err := Open(t.TempDir(), Options{Gate: func(string) error {
			if watched {
				writes++
			}
			if watched && writes == fails {
				return broken
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		raft, err := d.Sub("raft")
		if err == nil {
			err = errors.Join(d.BindNode("n1"), d.BindName("test"), d.SetClusterID("first"), d.Succeed("second"),
				os.WriteFile(filepath.Join(raft, "log.db"), []byte("log"), 0o600), os.WriteFile(filepath.Join(d.Path(), "content"), nil, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		old := d.Instance()
		watched = true
		_, err = d.Reset()
		if (fails > 0 && fails < 3) != errors.Is(err, broken) {
			t.Errorf("write %d fails: %v", fails, err)
		}
		if _, left := os.Stat(filepath.Join(raft, "log.db")); left == nil {
			t.Errorf("write %d fails: the old log is in its place", fails)
		}
		if err != nil {
			if d.Fresh() {
				t.Errorf("write %d fails: the directory may join already", fails)
			}
			if _, err := d.Reset(); err != nil {
				t.Errorf("write %d failed: the next try: %v", fails, err)
			}
		}
		d.Close()
		again, err := Open(d.Path(), Options{MustExist: true})
		if err != nil {
			t.Fatal(err)
		}
		if !again.Fresh() || again.Instance() == old || again.NodeID() != "n1" || !slices.Equal(again.Cluster().Former, []string{"first", "second"}) {
			t.Errorf("write %d failed: node %q, instance %s was %s, %+v", fails, again.NodeID(), again.Instance(), old, again.Cluster())
		}
		if log, err := os.ReadFile(filepath.Join(d.Path(), "raft-of-"+old, "log.db")); err != nil || string(log) != "log" {
			t.Errorf("the old log: %q, %v", log, err)
		}
		again.Close()
	}
}

// A Reset that was broken off can be repeated after a start of the node, which is
// refused but makes an empty directory for raft; and a pledge of long ago does not
// let the servers of then speak to the new instance, or keep it from joining.
func TestResetAfterStart(t *testing.T) {
	d, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	raft, err := d.Sub("raft")
	if err == nil {
		err = errors.Join(d.BindNode("n1"), d.BindName("test"), d.SetPledge([]byte(`{"proposal":{}}`)), d.SetClusterID("first"),
			os.WriteFile(filepath.Join(raft, "log.db"), []byte("log"), 0o600))
	}
	if err == nil {
		err = os.Rename(raft, d.file("raft-of-"+d.Instance())) // as far as the first try came
	}
	if err == nil {
		_, err = d.Sub("raft") // the start
	}
	if err != nil {
		t.Fatal(err)
	}
	aside, err := d.Reset()
	if err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(aside, "log.db")); err != nil || string(log) != "log" {
		t.Errorf("the old log: %q, %v", log, err)
	}
	if _, pledged, err := d.Pledge(); pledged || err != nil {
		t.Errorf("pledged: %t, %v", pledged, err)
	}
}

// With MustExist nothing is made where nothing is.
func TestMustExist(t *testing.T) {
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if _, err := Open(path, Options{MustExist: true}); err == nil {
			t.Errorf("%s was opened", path)
		}
		if left, _ := filepath.Glob(filepath.Join(path, "*")); len(left) > 0 {
			t.Errorf("made %v", left)
		}
	}
}
