//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// nextBinary is the same program one feature level ahead (build tag nextlevel).
func nextBinary(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("HOLDFAST_NEXT_BIN")
	if bin == "" {
		t.Skip("HOLDFAST_NEXT_BIN is not set: run `make e2e`")
	}
	return bin
}

// replace stops node i in good order and starts it again as another build.
func (m *machines) replace(i int, bin string) {
	m.t.Helper()
	if err := m.procs[i].Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	_ = m.procs[i].Wait()
	delete(m.procs, i)
	m.bins[i] = bin
	m.start(i)
	m.eventually(time.Minute, fmt.Sprintf("n%d is ready again", i), func() error { return m.client(i).Ready(m.t.Context(), true) })
	m.eventually(time.Minute, "all are alive", func() error {
		s, err := m.client(i).Status(m.t.Context(), client.At(api.FromLeader))
		if err == nil && s.Nodes.Alive != m.count {
			err = fmt.Errorf("%+v", s.Nodes)
		}
		return err
	})
}

func (m *machines) level() int {
	m.t.Helper()
	level := 0
	m.eventually(time.Minute, "status", func() error {
		s, err := m.any().Status(m.t.Context(), client.At(api.FromLeader))
		if err == nil {
			level = s.Cluster.FeatureLevel
		}
		return err
	})
	return level
}

// writer creates chains, twenty a second, until it is stopped, and returns those
// that were acknowledged.
func (m *machines) writer(prefix string) (stop func() []string) {
	ctx, cancel := context.WithCancel(m.t.Context())
	c := m.any()
	var acked []string
	var writing sync.WaitGroup
	writing.Go(func() {
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-pace.C
			id := fmt.Sprintf("%s-%04d", prefix, n)
			if _, err := c.PutChain(ctx, id, api.Spec{}); err == nil {
				acked = append(acked, id)
			}
		}
	})
	return func() []string {
		cancel()
		writing.Wait()
		return acked
	}
}

// TestRollingUpgrade: three nodes are replaced one by one by a build that is a
// feature level ahead, while chains are written. The level stays until the last
// is upgraded, and going back before that works; then it rises. From then on
// the old build stops before it applies anything: on a data directory of the new
// level, when it joins, and when it reads a snapshot. No acknowledged write is lost.
func TestRollingUpgrade(t *testing.T) {
	next := nextBinary(t)
	m := boot(t, 3)
	m.bins = map[int]string{}
	files := []file{newFile("file", 300_000, 1)}
	m.put(m.any(), files[0], 3)
	stop := m.writer("written")

	m.replace(1, next)
	m.replace(2, next)
	m.replace(1, m.bin) // downgrade before the raise
	m.replace(1, next)
	if level := m.level(); level != 1 {
		t.Fatalf("feature level %d with one node of the old build", level)
	}
	m.replace(3, next)
	m.eventually(time.Minute, "the feature level is 2", func() error {
		if level := m.level(); level != 2 {
			return fmt.Errorf("it is %d", level)
		}
		return nil
	})
	acked := stop()
	if len(acked) == 0 {
		t.Error("nothing was written during the upgrade")
	}
	t.Logf("%d chains written during the upgrade", len(acked))
	known := map[string]bool{}
	for c, err := range m.any().AllChains(t.Context(), "written-") {
		if err != nil {
			t.Fatal(err)
		}
		known[c.ID] = true
	}
	for _, id := range acked {
		if !known[id] {
			t.Errorf("chain %s was acknowledged and is gone", id)
		}
	}
	m.served(files)

	saved := filepath.Join(t.TempDir(), "level2.snap")
	out, err := m.holdfast("snapshot", "save", saved) // m.bin: the old build
	if err == nil || !strings.Contains(err.Error(), "feature level 2") || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("the old build saved a snapshot of level 2: %s, %v", out, err)
	}
	m.kill(3)
	m.bins[3] = m.bin
	m.start(3)
	if log := m.ends(3); !strings.Contains(log, "feature level 2, ") || !strings.Contains(log, "upgrade") {
		t.Errorf("the old build on a new data directory ended with\n%s", log[max(0, len(log)-2000):])
	}
	m.bins[3] = next
	m.start(3)
	m.count = 4
	m.start(4) // the old build
	if log := m.ends(4); !strings.Contains(log, "the cluster is at feature level 2, node n4 supports up to 1; upgrade it") {
		t.Errorf("the old build that joins ended with\n%s", log[max(0, len(log)-2000):])
	}
	m.count = 3
	m.eventually(time.Minute, "n3 is back", func() error { return m.client(3).Ready(t.Context(), true) })
	m.served(files)
}
