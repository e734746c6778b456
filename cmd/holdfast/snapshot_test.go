package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// exampleSnapshot is the state of a young cluster with one chain.
func exampleSnapshot(t *testing.T) []byte {
	t.Helper()
	m := fsm.New()
	data, err := fsm.EncodeBatch(fsm.Batch{Now: placement.Time(3725 * time.Second), Ops: []fsm.Op{
		{Body: &fsm.Genesis{ClusterID: "c-1", Name: "holdfast", Lineage: "l-1"}},
		{Body: fsm.NewPutChain("web", placement.Spec{Desired: 1, Weight: 1e6, Policy: placement.PolicyEager})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(1, 1, data); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := m.View().WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A snapshot is saved under a new name only, whole or not at all; it says what
// it holds without any cluster; and it is restored only by somebody who names
// the cluster, to the lineage that he has seen.
func TestSnapshot(t *testing.T) {
	answers := exampleAnswers()
	saved := exampleSnapshot(t)
	status := answers["GET /v1/status"].(api.ClusterStatus)
	status.Cluster.Lineage, status.Cluster.FeatureLevel = "l-2", 1
	answers["GET /v1/status"] = status
	answers["GET /v1/snapshot"] = saved
	answers["PUT /v1/snapshot"] = api.Restored{Lineage: "l-3", Revision: 99, Missing: []string{"n1", "n2"}}
	c := newCluster(t, answers)
	name := filepath.Join(t.TempDir(), "a.snap")
	run := func(want int, words string, args ...string) {
		t.Helper()
		if r := execute(t, c.environ(), "", args...); r.code != want || !strings.Contains(r.out+r.err, words) {
			t.Errorf("holdfast %s: exit %d, want %d with %q:\n%s%s", strings.Join(args, " "), r.code, want, words, r.out, r.err)
		}
	}
	run(exitDone, "chains: 1, nodes: 0", "snapshot", "save", name)
	run(exitUsage, "exists; choose another name", "snapshot", "save", name)
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, saved) {
		t.Errorf("saved %d bytes, %v", len(got), err)
	}
	nobody := c.environ()
	nobody[0] = "HOLDFAST_ADDR=http://127.0.0.1:1"
	for _, args := range [][]string{{"snapshot", "inspect", name}, {"snapshot", "inspect", name, "-o", "json"}} {
		if r := execute(t, nobody, "", args...); r.code != exitDone || !strings.Contains(r.out, "l-1") || !strings.Contains(r.out, "c-1") {
			t.Errorf("inspect: exit %d, %s%s", r.code, r.out, r.err)
		}
	}
	run(exitUsage, "--confirm: give c-1 to do it", "snapshot", "restore", name)
	run(exitUsage, "c-2 is not the id of this cluster, c-1", "snapshot", "restore", name, "--confirm", "c-2")
	c.asked = nil
	run(exitDone, "waits for the inventory of n1, n2", "snapshot", "restore", name, "--confirm", "c-1", "--reason", "why")
	if got := c.asked[1]; !strings.HasPrefix(got, "PUT /v1/snapshot?reason=why HOLDFAST-STATE") {
		t.Errorf("asked %.60q", got)
	}

	c.answers["GET /v1/snapshot"] = saved[:len(saved)-1]
	part := filepath.Join(t.TempDir(), "part.snap")
	run(exitFailed, "ends early", "snapshot", "save", part)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(part), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(part, saved[:len(saved)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	c.asked = nil
	run(exitFailed, "ends early", "snapshot", "inspect", part)
	run(exitFailed, "ends early", "snapshot", "restore", part, "--confirm", "c-1")
	if c.asked != nil {
		t.Errorf("the cluster was asked %q", c.asked)
	}
}

// raft recover works on the directory of a member only, and changes nothing
// else; it wants the cluster's id.
func TestRaftRecoverRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		code  int
		words string
		args  []string
	}{
		{exitUsage, "--data-dir: name", nil},
		{exitFailed, "is not the data directory of a node", []string{"--data-dir", dir}},
		{exitFailed, "is not the data directory of a node", []string{"--data-dir", filepath.Join(dir, "none"), "--rejoin"}},
	} {
		r := execute(t, nil, "", append([]string{"raft", "recover"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.err, c.words) {
			t.Errorf("raft recover %v: exit %d, %s; want %d, %q", c.args, r.code, r.err, c.code, c.words)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
