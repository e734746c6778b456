package cluster

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/logstore"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// The feature level rises to what every server of the raft configuration has
// announced, voter or not, and not at all while one of them is away or unknown.
func TestCommonLevel(t *testing.T) {
	for name, c := range map[string]struct {
		levels map[string]int // of the nodes that the state knows; the instance is the name
		away   string
		want   int
	}{
		"all":               {map[string]int{"a": 2, "b": 2, "c": 2}, "", 2},
		"more than own":     {map[string]int{"a": 3, "b": 9, "c": 9}, "", 3},
		"one is behind":     {map[string]int{"a": 2, "b": 1, "c": 2}, "", 1},
		"one is away":       {map[string]int{"a": 2, "b": 2, "c": 2}, "c", 0},
		"one is unknown":    {map[string]int{"a": 2, "b": 2}, "", 0},
		"others may be old": {map[string]int{"a": 2, "b": 2, "c": 2, "d": 1}, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			m := fsm.New()
			ops := []fsm.Op{{Body: &fsm.Genesis{ClusterID: "c", Name: "n", Lineage: "l"}}}
			for id, level := range c.levels {
				ops = append(ops, fsm.Op{Body: &fsm.Announce{Node: placement.NodeID(id), Instance: id, Process: "p", Role: placement.RoleServer, FeatureLevel: level}})
			}
			apply(t, m, 1, ops...)
			if n := m.View().Node(placement.NodeID(c.away)); n != nil {
				apply(t, m, 2, fsm.Op{Body: &fsm.Observe{Node: n.ID, Incarnation: n.Incarnation, State: placement.NodeDead}})
			}
			servers := []raft.Server{{ID: "a"}, {ID: "b"}, {ID: "c", Suffrage: raft.Nonvoter}}
			if got := commonLevel(3, m.View(), servers); got != c.want {
				t.Errorf("level %d, want %d", got, c.want)
			}
		})
	}
}

func apply(t *testing.T, m *fsm.Machine, index uint64, ops ...fsm.Op) {
	t.Helper()
	data, err := fsm.EncodeBatch(fsm.Batch{Now: placement.Time(time.Second), Ops: ops})
	if err != nil {
		t.Fatal(err)
	}
	results, err := m.Apply(index, 1, data)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.OK() {
			t.Fatalf("refused: %s %s", r.Code, r.Detail)
		}
	}
}

// A node whose newest snapshot is of a level that its build does not know
// stops and says so, and touches nothing.
func TestSnapshotOfTheNextLevel(t *testing.T) {
	if fsm.Level > 1 {
		t.Skip("this build knows that level")
	}
	inBubble(t, func(t *testing.T, w *world) {
		w.start(1, 1)
		m := w.settle(1)
		index, term := m.node.View().Index, m.node.View().Term
		m.stop()
		text, err := os.ReadFile(filepath.Join("..", "fsm", "testdata", "golden", "next-snapshot.hex"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		snaps, err := logstore.OpenSnapshots(filepath.Join(m.cfg.DataDir, "raft"), nil, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		alone := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(m.node.instance()), Address: raft.ServerAddress(m.node.Address())}}}
		_, names := raft.NewInmemTransport("")
		sink, err := snaps.Create(raft.SnapshotVersionMax, index, term, alone, 1, names)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		w.start(1, 1)
		<-m.done
		if m.err == nil || !strings.Contains(m.err.Error(), "feature level 2, this build knows up to 1; upgrade this node") {
			t.Errorf("it ended with %v", m.err)
		}
	})
}
