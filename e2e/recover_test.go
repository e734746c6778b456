//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// holdfast runs one command against the nodes that live, as a user would.
func (m *machines) holdfast(args ...string) (string, error) {
	var addrs []string
	for _, i := range m.alive() {
		addrs = append(addrs, "http://"+m.http(i))
	}
	cmd := exec.Command(m.bin, args...)
	cmd.Env = append(os.Environ(), "HOLDFAST_ADDR="+strings.Join(addrs, ","))
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("holdfast %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// must is holdfast with a command that works.
func (m *machines) must(args ...string) string {
	m.t.Helper()
	out, err := m.holdfast(args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// ends waits until a process has ended by itself, and returns what it logged.
func (m *machines) ends(i int) string {
	m.t.Helper()
	cmd := m.procs[i]
	delete(m.procs, i)
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	if !late.Stop() {
		m.t.Fatalf("n%d did not end by itself", i)
	}
	log, err := os.ReadFile(m.log(i))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(log)
}

// lastEntry reads what raft recover says of a node that is stopped.
type lastEntry struct {
	node, term, index int
	cluster           string
}

func (m *machines) lastEntry(i int) lastEntry {
	m.t.Helper()
	out := m.must("raft", "recover", "--data-dir", m.data(i))
	found := regexp.MustCompile(`(?s)id ([0-9a-f-]+), lineage.*last entry +term (\d+), index (\d+)`).FindStringSubmatch(out)
	if found == nil {
		m.t.Fatalf("raft recover of n%d says:\n%s", i, out)
	}
	term, _ := strconv.Atoi(found[2])
	index, _ := strconv.Atoi(found[3])
	return lastEntry{i, term, index, found[1]}
}

// TestQuorumLost: three of five voters are gone for good. As OPERATIONS.md
// says, the survivors are stopped, the one that knows most goes on alone, the
// other is let in again, the dead are removed and a new node joins. All content
// that was acknowledged is read back, the chains are repaired, and the three, a
// majority of the old configuration, end themselves when they come back after
// all, until they are let in again too.
func TestQuorumLost(t *testing.T) {
	m := boot(t, 5)
	m.set(map[string]any{"repair_delay": "2s"})
	var files []file
	for i := range 6 {
		f := newFile(fmt.Sprintf("file-%d", i), 100_000+i*10_000, uint64(i+1))
		m.put(m.any(), f, 4) // of five: one copy at least is with the survivors
		files = append(files, f)
	}
	m.eventually(time.Minute, "all chains are healthy", m.healthy)
	m.eventually(time.Minute, "five vote", func() error { return m.voters(5) })
	if _, err := m.holdfast("raft", "recover", "--data-dir", m.data(1)); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("raft recover of a node that runs: %v", err)
	}

	for _, i := range []int{3, 4, 5} {
		m.kill(i)
	}
	survivors := []lastEntry{}
	m.kill(2)
	found := m.lastEntry(2)
	if out, err := m.holdfast("raft", "recover", "--data-dir", m.data(2), "--confirm", found.cluster); err == nil || !strings.Contains(err.Error(), "something answers at "+m.node(1)) {
		t.Errorf("raft recover while n1 runs: %s, %v", out, err)
	}
	m.kill(1)
	survivors = append(survivors, m.lastEntry(1), m.lastEntry(2))
	best := slices.MaxFunc(survivors, func(a, b lastEntry) int { return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.index, b.index)) })
	other := 3 - best.node
	if _, err := m.holdfast("raft", "recover", "--data-dir", m.data(best.node), "--confirm", "wrong"); err == nil {
		t.Error("raft recover with a wrong --confirm went through")
	}
	t.Log(m.must("raft", "recover", "--data-dir", m.data(best.node), "--confirm", best.cluster))
	m.start(best.node)
	m.eventually(time.Minute, "the survivor leads alone, guarded", func() error {
		s, err := m.client(best.node).Status(t.Context())
		switch {
		case err != nil:
			return err
		case s.Leader == nil || s.RestoreGuard == nil || s.Cluster.ID == best.cluster:
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	t.Log(m.must("raft", "recover", "--rejoin", "--data-dir", m.data(other), "--confirm", best.cluster))
	m.start(other)
	m.eventually(2*time.Minute, "the other survivor votes again", func() error { return m.voters(2) })
	for _, i := range []int{3, 4, 5} {
		m.eventually(time.Minute, fmt.Sprintf("n%d is removed", i), func() error {
			_, err := m.holdfast("node", "remove", fmt.Sprintf("n%d", i), "--reason", "it burnt down")
			return err
		})
	}
	m.count = 6
	m.start(6)
	m.eventually(time.Minute, "the guard is over", func() error {
		s, err := m.any().Status(t.Context())
		if err == nil && s.RestoreGuard != nil {
			err = fmt.Errorf("it waits for %v", s.RestoreGuard.Missing)
		}
		return err
	})
	m.served(files)

	for _, i := range []int{3, 4, 5} {
		m.start(i)
	}
	for _, i := range []int{3, 4, 5} {
		if log := m.ends(i); !strings.Contains(log, "recovered under another id") {
			t.Errorf("n%d ended with\n%s", i, log[max(0, len(log)-2000):])
		}
	}
	m.must("raft", "recover", "--rejoin", "--data-dir", m.data(3), "--confirm", best.cluster)
	m.start(3)
	m.eventually(2*time.Minute, "all chains are healthy on four nodes", m.healthy)
	m.served(files)
	t.Log(m.must("raft", "peers") + m.must("nodes") + m.must("status"))
}

// served checks that every node that lives serves all files as they were
// written.
func (m *machines) served(files []file) {
	m.t.Helper()
	for _, f := range files {
		for _, i := range m.alive() {
			m.eventually(time.Minute, f.id+" is served", func() error { return m.readable(i, f) })
		}
	}
}

// voters checks how many servers vote.
func (m *machines) voters(want int) error {
	state, err := m.any().Raft(m.t.Context(), client.At(api.FromLeader))
	if err != nil {
		return err
	}
	votes := slices.DeleteFunc(state.Servers, func(s api.RaftServer) bool { return !s.Voter })
	if len(votes) != want {
		return fmt.Errorf("%d servers vote: %+v", len(votes), state.Servers)
	}
	return nil
}
