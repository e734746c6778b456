package fsm

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/holdfast-cluster/holdfast/internal/appetite"
	"github.com/holdfast-cluster/holdfast/placement"
)

// What reading a snapshot may ask for: its buffers, and some for each byte.
const (
	readBase  = 2 << 20
	readTimes = 2048
)

// present is a cluster into which a snapshot is restored: three nodes and a
// chain.
func present(t testing.TB) *rig {
	r := newRig(t, "n1", "n2", "n3")
	r.do(&PutChain{Chain: "c1", Spec: specToRecord(placement.Spec{Desired: 1})})
	return r
}

// Whatever an operator restores, no bytes crash the leader that rewrites them:
// what is refused leaves nothing behind that raft could install; what is taken
// has the present cluster's ids and nodes, no counter that goes back and no copy
// on a node that is not there, and the log can go on behind it. Reading asks for
// memory in proportion. The checksum is put right.
func FuzzRewrite(f *testing.F) {
	grown := present(f)
	for _, seed := range [][]byte{readGolden(f, "snapshot"), viewBytes(f, grown.m.View()), viewBytes(f, New().View())} {
		f.Add(seed[:len(seed)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		saved := slices.Concat(data, sum[:])
		now := present(t)
		view := now.m.View()
		before := viewBytes(t, view)
		var out bytes.Buffer
		var err error
		if asked := appetite.Of(func() { _, err = ReadSnapshot(bytes.NewReader(saved)) }); asked > readBase+readTimes*uint64(len(saved)) {
			t.Errorf("reading %d bytes asked for %d of memory", len(saved), asked)
		}
		rewritten := Rewrite(bytes.NewReader(saved), view, "lineage-2", &out)
		if !bytes.Equal(before, viewBytes(t, now.m.View())) {
			t.Fatal("to rewrite a snapshot has changed the present state")
		}
		if rewritten != nil {
			if out.Len() > 0 {
				t.Errorf("refused (%v), but %d bytes were written", rewritten, out.Len())
			}
			return
		}
		if err != nil {
			t.Fatalf("it cannot be read (%v), but was rewritten", err)
		}
		if err := now.m.Restore(&out); err != nil {
			t.Fatalf("rewritten, but not readable: raft would end every node: %v", err)
		}
		checkRestored(t, view, now.m.View())
		now.now = now.m.View().Now
		now.try(now.announce("n1", "disk-n1", "run-2"))
		now.try(&PutChain{Chain: "c1", Spec: specToRecord(placement.Spec{Desired: 2})})
	})
}

// checkRestored compares the state after a restore with that before.
func checkRestored(t *testing.T, before, after *View) {
	t.Helper()
	if after.ClusterID != before.ClusterID || after.ClusterName != before.ClusterName || after.Lineage != "lineage-2" {
		t.Errorf("the cluster has become %s %s of lineage %s", after.ClusterID, after.ClusterName, after.Lineage)
	}
	if after.Revision <= before.Revision || after.Now < before.Now || after.FeatureLevel != before.FeatureLevel {
		t.Errorf("revision %d → %d, time %d → %d, level %d → %d", before.Revision, after.Revision, before.Now, after.Now, before.FeatureLevel, after.FeatureLevel)
	}
	after.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		if len(c.Moves) > 0 || c.Revision <= before.Revision {
			t.Errorf("chain %q is at revision %d and has moves %v", id, c.Revision, c.Moves)
		}
		for _, h := range c.Holders {
			if before.Node(h.Node) == nil || !h.Unconfirmed {
				t.Errorf("chain %q has a copy on %q, unconfirmed %t", id, h.Node, h.Unconfirmed)
			}
		}
		return true
	})
}
