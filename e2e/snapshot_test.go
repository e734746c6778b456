//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// TestSnapshotRestore: the state is saved, chains are deleted and written, and
// it is restored while one node is down. What had changed is gone, what was kept
// is served, nothing is repaired until the missing node has told or is given
// up, and damaged, foreign and unconfirmed restores change nothing.
func TestSnapshotRestore(t *testing.T) {
	m := boot(t, 3)
	m.set(map[string]any{"repair_delay": "2s"})
	kept := newFile("kept", 200_000, 1)
	m.put(m.any(), kept, 2)
	m.eventually(time.Minute, "all chains are healthy", m.healthy)
	saved := filepath.Join(t.TempDir(), "a.snap")
	t.Log(m.must("snapshot", "save", saved) + m.must("snapshot", "inspect", saved))
	before := m.led()
	if _, err := m.any().PutChain(t.Context(), "later", api.Spec{}); err != nil {
		t.Fatal(err)
	}

	data, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.snap")
	if err := os.WriteFile(damaged, append(data[:len(data)-1:len(data)-1], data[len(data)-1]^1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, refused := range [][]string{
		{"snapshot", "restore", saved},
		{"snapshot", "restore", saved, "--confirm", "another"},
		{"snapshot", "restore", damaged, "--confirm", before.Cluster.ID},
	} {
		if out, err := m.holdfast(refused...); err == nil {
			t.Errorf("holdfast %s: %s", strings.Join(refused, " "), out)
		}
	}
	other := boot(t, 1)
	if out, err := other.holdfast("snapshot", "restore", saved, "--confirm", other.clusterID()); err == nil || !strings.Contains(err.Error(), "of another cluster") {
		t.Errorf("a foreign snapshot: %s, %v", out, err)
	}
	t.Log(other.must("snapshot", "restore", saved, "--confirm", other.clusterID(), "--foreign", "--reason", "the old one is lost"))
	if got := other.clusterID(); got == before.Cluster.ID {
		t.Error("the foreign snapshot brought its cluster id")
	}

	down := 1 + m.leader()%3
	m.kill(down)
	t.Log(m.must("snapshot", "restore", saved, "--confirm", before.Cluster.ID, "--reason", "a test"))
	m.eventually(time.Minute, "the guard waits for the node that is down alone", func() error {
		s, err := m.any().Status(t.Context(), client.At(api.FromLeader))
		switch {
		case err != nil:
			return err
		case s.Cluster.Lineage == before.Cluster.Lineage || s.Cluster.ID != before.Cluster.ID:
			t.Fatalf("cluster %+v, was %+v", s.Cluster, before.Cluster)
		case s.RestoreGuard == nil || fmt.Sprint(s.RestoreGuard.Missing) != fmt.Sprintf("[n%d]", down):
			return fmt.Errorf("guard %+v", s.RestoreGuard)
		}
		return nil
	})
	if _, err := m.any().Chain(t.Context(), "later"); err == nil {
		t.Error("what was written after the snapshot is there")
	}
	m.served([]file{kept})
	t.Log(m.must("snapshot", "release", "--reason", "it does not come back soon"))
	m.start(down)
	m.eventually(2*time.Minute, "all chains are healthy", m.healthy)
	restored := m.lineage()

	for _, i := range m.alive() {
		m.kill(i)
	}
	for i := 1; i <= m.count; i++ {
		m.start(i)
	}
	m.eventually(time.Minute, "all chains are healthy after a restart of all", m.healthy)
	if got := m.lineage(); got != restored {
		t.Errorf("lineage %s after the restart, before it %s", got, restored)
	}
	m.served([]file{kept})
}

func (m *machines) lineage() string   { m.t.Helper(); return m.led().Cluster.Lineage }
func (m *machines) clusterID() string { m.t.Helper(); return m.led().Cluster.ID }

// led is the status as the leader sees it: another node's may be of before.
func (m *machines) led() *api.ClusterStatus {
	m.t.Helper()
	s, err := m.any().Status(m.t.Context(), client.At(api.FromLeader))
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// TestAllLogsLost: the logs of all nodes are lost, or of a build that cannot be
// gone back from, but a snapshot and the contents are left. A new node founds a
// cluster, the old ones join it under their names, and the snapshot makes their
// contents known again.
func TestAllLogsLost(t *testing.T) {
	m := boot(t, 3)
	var files []file
	for i := range 3 {
		f := newFile(fmt.Sprintf("file-%d", i), 100_000, uint64(i+1))
		m.put(m.any(), f, 3)
		files = append(files, f)
	}
	m.eventually(time.Minute, "all chains are healthy", m.healthy)
	saved := filepath.Join(t.TempDir(), "a.snap")
	m.must("snapshot", "save", saved)
	old := m.clusterID()
	for _, i := range m.alive() {
		m.kill(i)
	}
	for i := 1; i <= 3; i++ {
		if err := os.RemoveAll(filepath.Join(m.data(i), "raft")); err != nil {
			t.Fatal(err)
		}
		m.must("raft", "recover", "--rejoin", "--data-dir", m.data(i), "--confirm", old)
	}

	m.count, m.founder = 4, 4
	m.extra = []string{"--bootstrap-expect", "1"}
	m.start(4)
	m.eventually(time.Minute, "the new node leads", func() error { return m.client(4).Ready(t.Context(), true) })
	m.extra = []string{"--join", m.node(4)}
	for i := 1; i <= 3; i++ {
		m.start(i)
	}
	m.eventually(time.Minute, "all have joined it", func() error {
		s, err := m.client(4).Status(t.Context())
		if err == nil && s.Nodes.Alive != 4 {
			err = fmt.Errorf("%+v", s.Nodes)
		}
		return err
	})
	t.Log(m.must("snapshot", "restore", saved, "--foreign", "--confirm", m.clusterID(), "--reason", "the logs are lost"))
	m.eventually(time.Minute, "all chains are healthy", m.healthy)
	m.served(files)
}
