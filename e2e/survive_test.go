//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// files writes twelve files of 0.2 to 1 MB with three copies each.
func (m *machines) files() []file {
	m.t.Helper()
	var list []file
	for i := range 12 {
		f := newFile(fmt.Sprintf("file-%02d", i), 200_000+i*72_727, uint64(i+1))
		m.put(m.any(), f, 3)
		list = append(list, f)
	}
	return list
}

func (m *machines) set(keys map[string]any) {
	m.t.Helper()
	if _, err := m.any().PatchConfig(m.t.Context(), keys); err != nil {
		m.t.Fatal(err)
	}
}

// TestLeaderAndHolderKilled: five processes hold twelve files in three copies.
// The leader is killed with SIGKILL, then a holder. Writes go on, every chain
// gets back to three live copies, and every file reads back whole through
// every node that lives.
func TestLeaderAndHolderKilled(t *testing.T) {
	m := boot(t, 5)
	m.set(map[string]any{"repair_delay": "2s"})
	files := m.files()
	m.eventually(time.Minute, "all chains are healthy", m.healthy)

	leader := m.leader()
	m.kill(leader)
	wrote := m.eventually(30*time.Second, "a write is accepted again", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := m.any().PutChain(ctx, "after-the-kill", api.Spec{})
		return err
	})
	healed := m.eventually(2*time.Minute, "all chains are healthy again", m.healthy)
	t.Logf("leader n%d killed: next write accepted after %v, all chains healthy %v later", leader, wrote, healed)
	for _, f := range files {
		for _, i := range m.alive() {
			if err := m.readable(i, f); err != nil {
				t.Fatal(err)
			}
		}
	}

	// A second death within the window would be a mass loss, in which repair
	// pauses on purpose: the operator resumes it.
	victim := m.alive()[0]
	m.kill(victim)
	m.eventually(30*time.Second, "the pause is ended", func() error {
		_, err := m.any().ResumeRepair(t.Context(), "both deaths were ours")
		return err
	})
	m.eventually(2*time.Minute, "all chains are healthy on three nodes", func() error {
		s, err := m.any().Status(t.Context())
		if err == nil && s.RepairPause != nil {
			_, err = m.any().ResumeRepair(t.Context(), "both deaths were ours")
		}
		if err != nil {
			return err
		}
		return m.healthy()
	})
	for _, f := range files {
		for _, i := range m.alive() {
			if err := m.readable(i, f); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCooldownSurvivesFailover: a node's weight falls to 0.2, so its chains
// leave it, each with its new copy first; the leader is killed in the middle.
// No chain ever has fewer live copies than desired, and none is moved twice by
// balance inside its cooldown.
func TestCooldownSurvivesFailover(t *testing.T) {
	const cooldown = 20 * time.Second
	m := boot(t, 5)
	m.set(map[string]any{"repair_delay": "3s", "cooldown": cooldown.String()})
	m.files()
	m.eventually(time.Minute, "all chains are healthy", m.healthy)

	leader := m.leader()
	slow := 1 + leader%5 // not the leader
	if _, err := m.any().SetWeight(t.Context(), fmt.Sprintf("n%d", slow), 0.2, "slow disk"); err != nil {
		t.Fatal(err)
	}
	m.eventually(time.Minute, "balance moves off the slow node", func() error {
		if n := len(m.balanceMoves(slow)); n == 0 {
			return fmt.Errorf("no balance move from n%d yet", slow)
		}
		return nil
	})
	m.kill(leader)
	m.eventually(30*time.Second, "another node leads", func() error {
		_, err := m.any().PutChain(t.Context(), "after-the-kill", api.Spec{})
		return err
	})
	m.start(leader)
	m.eventually(3*time.Minute, "the slow node is empty", func() error {
		n, err := m.any().Node(t.Context(), fmt.Sprintf("n%d", slow))
		if err == nil && n.Holders.Ready+n.Holders.Pulling+n.Holders.Dropping > 0 {
			err = fmt.Errorf("n%d still holds %+v", slow, n.Holders)
		}
		return err
	})
	m.eventually(2*time.Minute, "all chains are healthy", m.healthy)

	moved := map[string]time.Duration{}
	for _, d := range m.decisions(client.DecisionFilter{Cause: "balance"}) {
		if d.Kind != "open-move" || d.Verdict != "accepted" {
			continue
		}
		at := time.Duration(d.ClusterTime)
		if last, ok := moved[d.Chain]; ok && last-at < cooldown {
			t.Errorf("chain %s was moved by balance at %v and %v; its cooldown is %v", d.Chain, at, last, cooldown)
		}
		moved[d.Chain] = at
	}
	if len(moved) == 0 {
		t.Error("balance has moved nothing")
	}
}

// decisions lists the history, newest first.
func (m *machines) decisions(f client.DecisionFilter) []api.Decision {
	m.t.Helper()
	f.Limit = 1000
	list, err := m.any().Decisions(m.t.Context(), f)
	if err != nil {
		m.t.Fatal(err)
	}
	return list.Decisions
}

func (m *machines) balanceMoves(from int) []api.Decision {
	m.t.Helper()
	return slices.DeleteFunc(m.decisions(client.DecisionFilter{Cause: "balance"}), func(d api.Decision) bool {
		return d.Kind != "open-move" || string(d.From) != fmt.Sprintf("n%d", from)
	})
}

// TestWipedDisk: a node's data directory is deleted while it is down. Started
// again it serves nothing that it does not have, nothing is lost, and its
// copies are made anew.
func TestWipedDisk(t *testing.T) {
	m := boot(t, 3)
	m.set(map[string]any{"repair_delay": "2s"})
	files := m.files()
	m.eventually(time.Minute, "all chains are healthy", m.healthy)

	wiped := 1 + m.leader()%3
	m.kill(wiped)
	if err := os.RemoveAll(m.data(wiped)); err != nil {
		t.Fatal(err)
	}
	m.start(wiped)
	m.eventually(2*time.Minute, "the wiped node is back and all chains are healthy", func() error {
		if err := m.client(wiped).Ready(t.Context(), true); err != nil {
			return err
		}
		return m.healthy()
	})
	for _, f := range files {
		for _, i := range m.alive() {
			if err := m.readable(i, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for c, err := range m.any().AllChains(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(c.Holders, func(h api.Holder) bool { return h.Node == fmt.Sprintf("n%d", wiped) && h.Live }) {
			t.Errorf("chain %s has no live copy on n%d, one of three nodes", c.ID, wiped)
		}
	}
}

// TestRestartOfAll: all nodes are killed at once and started again. What was
// acknowledged is there.
func TestRestartOfAll(t *testing.T) {
	m := boot(t, 3)
	files := m.files()
	for _, i := range m.alive() {
		m.kill(i)
	}
	for i := 1; i <= m.count; i++ {
		m.start(i)
	}
	m.eventually(time.Minute, "all chains are healthy", m.healthy)
	for _, f := range files {
		for _, i := range m.alive() {
			m.eventually(30*time.Second, "the file is served", func() error { return m.readable(i, f) })
		}
	}
}
