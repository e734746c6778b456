package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
)

// The nodes that begin the cluster are the largest of 1, 3 and 5; they name
// each other, the others join them, and flags after -- reach all.
func TestDevAgents(t *testing.T) {
	for _, c := range []struct {
		nodes, node int
		want        string
	}{
		{1, 1, "--bootstrap-expect 1"},
		{2, 1, "--bootstrap-expect 1"},
		{2, 2, "--join 127.0.0.1:7400"},
		{3, 2, "--bootstrap-expect 3 --join 127.0.0.1:7400 --join 127.0.0.1:7404"},
		{4, 3, "--bootstrap-expect 3 --join 127.0.0.1:7400 --join 127.0.0.1:7402"},
		{4, 4, "--join 127.0.0.1:7400 --join 127.0.0.1:7402 --join 127.0.0.1:7404"},
		{6, 5, "--bootstrap-expect 5 --join 127.0.0.1:7400 --join 127.0.0.1:7402 --join 127.0.0.1:7404 --join 127.0.0.1:7406"},
	} {
		d := &dev{nodes: c.nodes, basePort: 7400, dir: "/d", extra: []string{"--zone", "z{i}"}}
		i := strconv.Itoa(c.node)
		listen, http := strconv.Itoa(7398+2*c.node), strconv.Itoa(7399+2*c.node)
		want := "agent --node-id n" + i + " --data-dir /d/n" + i + "/data --listen 127.0.0.1:" + listen + " --http 127.0.0.1:" + http +
			" --profile local " + c.want + " --zone z" + i
		if diff := cmp.Diff(want, strings.Join(d.agentArgs(c.node), " ")); diff != "" {
			t.Errorf("node %d of %d (-want +got):\n%s", c.node, c.nodes, diff)
		}
	}
}

// A port that somebody has is named before any node is started.
func TestDevPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	r := execute(t, nil, "", "dev", "--nodes", "1", "--base-port", port)
	if r.code != exitFailed || !strings.Contains(r.err, "port "+port+" is not free") {
		t.Errorf("exit %d, %q", r.code, r.err)
	}
}

// A child runs until it is told to stop, its words are in its file, and its
// end is heard with the way it ended: this test's own binary is the child.
func TestSpawner(t *testing.T) {
	s := newSpawner()
	defer s.close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	c, err := s.start(childConfig{name: "n1", exe: exe, args: []string{"it's", "a b", ""}, log: log, environ: []string{"HOLD_STILL=1"}})
	if err != nil {
		t.Fatal(err)
	}
	for { // its first word
		if text, err := os.ReadFile(log); err != nil || strings.Contains(string(text), "here") {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if c.isEnded() {
		t.Fatal("it has ended by itself")
	}
	heard := s.heard()
	c.terminate()
	<-heard
	if !c.isEnded() || c.state != "signal: terminated" {
		t.Errorf("ended %t, %q; want terminated", c.isEnded(), c.state)
	}
	c.terminate() // of one that is gone does nothing
	if got, want := c.commandLine(), exe+` 'it'\''s' 'a b' ''`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := s.start(childConfig{exe: "/does/not/exist", log: log}); err == nil {
		t.Error("a program that is not there starts")
	}
}

// Units read and write as people do.
func TestUnits(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1KiB": 1024, "1.5 GiB": 3 << 29, "2kb": 2000, "500G": 500e9, "3B": 3, "1tib": 1 << 40,
	} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "GiB", "1XB", "1KiX", "nan", "9EiB9", "100EiB"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("%q reads as %d", text, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 500 << 30: "500 GiB", 1 << 60: "1.0 EiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// The temporary directory stays while a process that is not dev's has a node's
// data open, which is said with the node and the path; once nobody has it, it
// is removed. This test is that process.
func TestDevKeepsWhatIsUsed(t *testing.T) {
	var said bytes.Buffer
	d := &dev{p: &program{stderr: &said}, nodes: 2, basePort: 7400}
	remove, err := d.openDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(d.dir)
	used, err := datadir.Open(d.dataDir(2), datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := os.Stat(filepath.Join(d.dataDir(2), "instance")); err != nil {
		t.Errorf("the data of a running node is gone: %v", err)
	}
	for _, want := range []string{"node n2 (http://127.0.0.1:7403)", "rm -r " + d.dir} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("said %q; want %q in it", said.String(), want)
		}
	}
	if err := used.Close(); err != nil {
		t.Fatal(err)
	}
	said.Reset()
	remove()
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) || said.Len() > 0 {
		t.Errorf("not removed: %v, %q", err, said.String())
	}
}
