//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api/client"
)

// TestNewNodeFills: three nodes hold sixty files in three copies each, sixty
// on every node. A fourth node joins: by itself it comes to hold its share of
// 45 within the band of 20 %, the others too, no chain is moved twice inside
// its cooldown, and then nothing is decided any more for three cooldowns.
func TestNewNodeFills(t *testing.T) {
	const (
		cooldown = 10 * time.Second
		share    = 45 // 180 copies on four nodes
		band     = 9
	)
	m := boot(t, 3)
	m.set(map[string]any{"cooldown": cooldown.String()})
	var files []file
	for i := range 60 {
		f := newFile(fmt.Sprintf("file-%02d", i), 20_000+i*1_000, uint64(i+1))
		m.put(m.any(), f, 3)
		files = append(files, f)
	}
	m.eventually(time.Minute, "all chains are healthy", m.healthy)

	m.count = 4
	m.start(4)
	took := m.eventually(time.Minute, "the fourth node has its share", func() error {
		nodes, err := m.any().Nodes(t.Context())
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if h := n.Holders; h.Ready < share-band || h.Ready > share+band || h.Pulling+h.Dropping > 0 {
				return fmt.Errorf("%s holds %+v, want %d ± %d and nothing on the way", n.ID, h, share, band)
			}
		}
		if len(nodes) != 4 {
			return fmt.Errorf("%d nodes are known", len(nodes))
		}
		return m.healthy()
	})

	quiet := m.eventually(time.Minute, "nothing is decided for three cooldowns", m.quietFor(3*cooldown))
	t.Logf("the new node had its share after %v, and nothing was decided in the last %v of %v more", took, 3*cooldown, quiet)

	moves := 0
	last := map[string]time.Duration{}
	for _, d := range m.decisions(client.DecisionFilter{Cause: "balance"}) {
		if d.Kind != "open-move" || d.Verdict != "accepted" {
			continue
		}
		moves++
		at := time.Duration(d.ClusterTime)
		if later, ok := last[d.Chain]; ok && later-at < cooldown {
			t.Errorf("chain %s was moved at %v and %v of cluster time; its cooldown is %v", d.Chain, at, later, cooldown)
		}
		last[d.Chain] = at
	}
	t.Logf("%d moves; the least that brings %d copies to the new node is %d", moves, share-band, share-band)
	for _, f := range files {
		if err := m.readable(4, f); err != nil {
			t.Fatal(err)
		}
	}
}

// quietFor answers nil once the newest decision has been the same for a while.
func (m *machines) quietFor(span time.Duration) func() error {
	newest, since := uint64(0), time.Now()
	return func() error {
		list, err := m.any().Decisions(m.t.Context(), client.DecisionFilter{Limit: 1})
		if err != nil {
			return err
		}
		if len(list.Decisions) > 0 && list.Decisions[0].Revision != newest {
			newest, since = list.Decisions[0].Revision, time.Now()
		}
		if left := span - time.Since(since); left > 0 {
			return fmt.Errorf("%v is still to go since decision %d", left, newest)
		}
		return nil
	}
}
