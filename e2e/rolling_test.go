//go:build e2e

package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// TestRollingRestart: all of three processes are restarted by SIGTERM, one by
// one, the leader among them, while chains are written. Each ends without an
// error, every write that was acknowledged stays, and all files are served
// whole while one node is away and when all are back.
func TestRollingRestart(t *testing.T) {
	m := boot(t, 3)
	files := m.files()
	m.eventually(time.Minute, "all chains are healthy", m.healthy)
	m.eventually(time.Minute, "three vote", func() error { return m.voters(3) })
	stop := m.writer("rolling")
	for i := 1; i <= 3; i++ {
		leads := m.leader() == i
		m.terminate(i)
		m.served(files[:3])
		m.start(i)
		m.eventually(time.Minute, fmt.Sprintf("n%d is ready", i), func() error { return m.client(i).Ready(t.Context(), true) })
		m.eventually(time.Minute, "its copies are confirmed", func() error { return m.live(files, 3) })
		t.Logf("n%d restarted, it led: %t", i, leads)
	}
	acked := stop()
	if len(acked) == 0 {
		t.Error("nothing was written meanwhile")
	}
	for _, id := range acked {
		if _, err := m.any().Chain(t.Context(), id, client.At(api.Linearizable)); err != nil {
			t.Errorf("chain %s was acknowledged: %v", id, err)
		}
	}
	m.served(files)
	t.Log(len(acked), "chains written meanwhile")
}

// terminate ends a process by SIGTERM, as a supervisor does. It must say that
// all is well.
func (m *machines) terminate(i int) {
	m.t.Helper()
	cmd := m.procs[i]
	delete(m.procs, i)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if late.Stop(); err != nil {
		m.t.Errorf("n%d ended with %v", i, err)
	}
}

// live checks that the chains of all files are healthy, so that the next node
// may go.
func (m *machines) live(files []file, copies int) error {
	for _, f := range files {
		got, err := m.any().Chain(m.t.Context(), f.id, client.At(api.FromLeader))
		if err != nil {
			return err
		}
		if got.Health != "healthy" || len(got.Holders) < copies {
			return fmt.Errorf("chain %s is %s with %d holders", f.id, got.Health, len(got.Holders))
		}
	}
	return nil
}
