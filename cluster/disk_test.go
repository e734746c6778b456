package cluster

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// brokenDisk is a gate below a data directory: it lets everything pass, fails
// or hangs what is written to names that match.
type brokenDisk struct {
	mu   sync.Mutex
	what string
	err  error
	hang chan struct{}
}

func (d *brokenDisk) on(c *Config) { c.Gate = d.gate }

func (d *brokenDisk) set(what string, err error, hang chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.what, d.err, d.hang = what, err, hang
}

func (d *brokenDisk) gate(what string) error {
	d.mu.Lock()
	matches, err, hang := d.what != "" && strings.Contains(what, d.what), d.err, d.hang
	d.mu.Unlock()
	if !matches {
		return nil
	}
	if hang != nil {
		<-hang
	}
	return err
}

// A leader whose log cannot be written ends with an error that says so, and
// the others elect a new one.
func TestLogFailureEndsNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk := new(brokenDisk)
		w.start(1, 3, disk.on)
		w.start(2, 3)
		w.start(3, 3)
		w.settle(3)
		leader := w.members["n1"]
		w.makeLeader(leader)
		disk.set("append", errors.New("input/output error"), nil)
		w.write("a") // by whoever leads then
		w.until("the node with the broken disk has ended", 30*time.Second, func() bool { return !leader.running() })
		if leader.err == nil || !strings.Contains(leader.err.Error(), "input/output error") || !strings.Contains(leader.err.Error(), "raft log") {
			t.Errorf("Run returned %v", leader.err)
		}
	})
}

// A leader whose log hangs ends within the write limit: it would keep its lead
// for ever otherwise, because heartbeats need no disk.
func TestLogHangEndsNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk, release := new(brokenDisk), make(chan struct{})
		w.start(1, 3, disk.on)
		w.start(2, 3)
		w.start(3, 3)
		w.settle(3)
		leader := w.members["n1"]
		w.makeLeader(leader)
		disk.set("append", nil, release)
		_ = w.writeBy(leader, "a") // its fate is not known
		w.until("the node with the hanging disk has ended", 30*time.Second, func() bool { return !leader.running() })
		w.write("b")
		close(release)
		if leader.err == nil || !strings.Contains(leader.err.Error(), "no answer from the disk") {
			t.Errorf("Run returned %v", leader.err)
		}
	})
}

// A leader whose disk hangs while it writes a snapshot is replaced, and says at
// once why it stops: it cannot end before the disk lets go of the snapshot.
func TestSnapshotHangSaysWhy(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk, hang := new(brokenDisk), make(chan struct{})
		release := sync.OnceFunc(func() { close(hang) })
		defer release()
		w.start(1, 3, disk.on, func(c *Config) { c.Snapshots = Snapshots{Entries: 1, Every: time.Second} })
		w.start(2, 3)
		w.start(3, 3)
		w.settle(3)
		leader := w.members["n1"]
		w.makeLeader(leader)
		disk.set("n", nil, hang) // append, snapshot, and what else there is
		_ = w.writeBy(leader, "a")
		w.until("another leads", 30*time.Second, func() bool { l := w.leader(); return l != nil && l != leader })
		w.write("b")
		w.until("it says why it stops", 30*time.Second, func() bool {
			w.logs.mu.Lock()
			defer w.logs.mu.Unlock()
			return strings.Contains(w.logs.text.String(), "stopping: the node has failed")
		})
		release()
		w.until("it has ended", 30*time.Second, func() bool { return !leader.running() })
	})
}

// A leader whose disk hangs in the middle of a restore, when it writes nothing to
// its log, is replaced all the same.
func TestRestoreHangEndsLead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disk, hang := new(brokenDisk), make(chan struct{})
		release := sync.OnceFunc(func() { close(hang) })
		defer release()
		w.start(1, 3, disk.on)
		w.start(2, 3)
		w.start(3, 3)
		w.settle(3)
		leader := w.members["n1"]
		w.makeLeader(leader)
		w.until("a restore may begin", time.Minute, func() bool { return leader.node.reign.Load() != nil })
		var saved bytes.Buffer
		if _, err := leader.node.View().WriteTo(&saved); err != nil {
			t.Fatal(err)
		}
		disk.set("n", nil, hang) // append, snapshot, and what else there is
		restored := make(chan error, 1)
		go func() { restored <- leader.node.Restore(context.Background(), &saved, Restoration{}) }()
		w.until("another leads", time.Minute, func() bool { l := w.leader(); return l != nil && l != leader })
		w.write("b")
		release()
		w.until("it has ended", time.Minute, func() bool { return !leader.running() })
		if err := <-restored; err == nil {
			t.Error("the restore is told to have succeeded")
		}
	})
}

// A node whose disk hangs while it enters a cluster ends within the write limit:
// provoked by a hanging write of its pledge, and of the cluster's id.
func TestHangWhileEnteringEndsNode(t *testing.T) {
	for _, file := range []string{"pledge", "cluster"} {
		t.Run(file, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				release := make(chan struct{})
				defer close(release)
				disk := new(brokenDisk)
				stuck := w.start(1, 3, disk.on)
				<-stuck.node.Bound()
				disk.set(file, nil, release)
				w.start(2, 3)
				w.start(3, 3)
				w.until("the node with the hanging disk has ended", 30*time.Second, func() bool { return !stuck.running() })
				if stuck.err == nil || !strings.Contains(stuck.err.Error(), "no answer from the disk") {
					t.Errorf("Run returned %v", stuck.err)
				}
			})
		})
	}
}

// A node that gossips but whose data directory hangs is suspect at once and
// sick after sick_after; its copies are not live; when the disk works again it
// takes three good probes (rule S18).
func TestSickNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		disks := map[string]*brokenDisk{}
		for i := 1; i <= 3; i++ {
			d := new(brokenDisk)
			disks[w.start(i, 3, d.on).name] = d
		}
		leader := w.settle(3)
		sick := w.follower(leader)
		state := func() placement.NodeState { return leader.nodeRecord(sick.name).State }
		release := make(chan struct{})
		began := time.Now()
		disks[sick.name].set("probe", nil, release)
		w.until("it is suspect", 5*time.Second, func() bool { return state() == placement.NodeSuspect })
		w.until("it is sick", 20*time.Second, func() bool { return state() == placement.NodeSick })
		if took := time.Since(began); took < leader.node.View().Config.SickAfter {
			t.Errorf("sick after %v already", took)
		}
		disks[sick.name].set("", nil, nil)
		close(release)
		healed := time.Now()
		w.until("it is alive", 20*time.Second, func() bool { return state() == placement.NodeAlive })
		if took := time.Since(healed); took < 2*probeEvery {
			t.Errorf("alive again after %v: fewer than three probes", took)
		}
		w.settle(3)
	})
}

// A content volume that hangs makes its node sick and holds up nothing else: raft
// takes another heartbeat there meanwhile, and the node ends when it is told to.
func TestHangOfContentsHoldsUpNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var hangs atomic.Bool
		hang := make(chan struct{})
		defer close(hang)
		w.start(1, 3, func(c *Config) {
			c.CheckContent = func() error {
				if hangs.Load() {
					<-hang
				}
				return nil
			}
		})
		w.start(2, 3)
		w.start(3, 3)
		w.settle(3)
		sick := w.members["n1"]
		hangs.Store(true)
		w.until("the others see it", 30*time.Second, func() bool {
			l := w.leader()
			return l != nil && l.nodeRecord("n1").State != placement.NodeAlive
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := sick.node.retime(ctx, 2*pace.Shortest, "the test wants it"); err != nil {
			t.Errorf("another heartbeat while the contents hang: %v", err)
		}
		sick.stop()
	})
}

// An entry that this build cannot read ends the node before anything is
// applied after it.
func TestUnknownEntryEndsNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(1, 1)
		m := w.settle(1)
		w.write("a")
		r := m.node.live.Load().raft()
		tick, err := fsm.EncodeBatch(fsm.Batch{Level: 1})
		if err != nil {
			t.Fatal(err)
		}
		f := r.ApplyLog(raft.Log{Data: []byte{99, 1, 2, 3}}, time.Second)
		after := r.Apply(tick, time.Second)
		if err := errors.Join(f.Error(), after.Error()); err != nil {
			t.Fatal(err)
		}
		w.until("the node has ended", 10*time.Second, func() bool { return !m.running() })
		if m.err == nil || !strings.Contains(m.err.Error(), "feature level 99") {
			t.Errorf("Run returned %v", m.err)
		}
		before := m.node.View().Index
		if before >= f.Index() {
			t.Errorf("the state is at %d, the unknown entry was %d", before, f.Index())
		}
		w.start(1, 1)
		m = w.members["n1"]
		w.until("it ends again", 30*time.Second, func() bool { return !m.running() })
	})
}

// What cannot work is refused at the start, with the field or the file that is
// wrong, and leaves nothing running.
func TestRefusedStarts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			change func(*Config)
			want   string
		}{
			"no way in":        {func(c *Config) { c.BootstrapExpect, c.Join = 0, nil }, "join"},
			"other node id":    {func(c *Config) { c.DataDir = w.bound("n7", "n8") }, `"n7"`},
			"missing log":      {func(c *Config) { c.DataDir = w.memberWithout("raft/log.db") }, "missing"},
			"missing cluster":  {func(c *Config) { c.DataDir = w.memberWithout("cluster") }, "its file cluster is missing"},
			"missing node id":  {func(c *Config) { c.DataDir = w.memberWithout("node-id") }, "node-id is damaged: it is missing"},
			"address in use":   {func(c *Config) { w.occupy(c) }, "in use"},
			"foreign datadir":  {func(c *Config) { c.DataDir = w.foreign() }, "not a data directory"},
			"exposed, no keys": {func(c *Config) { c.Insecure = false }, "listen:"},
			"even expect":      {func(c *Config) { c.BootstrapExpect = 2 }, "bootstrap-expect:"},
			"no node id":       {func(c *Config) { c.Node = "" }, "node-id:"},
			"expect, no seeds": {func(c *Config) { c.BootstrapExpect, c.Join = 3, nil }, "join:"},
		} {
			cfg := Config{
				Node: "n8", DataDir: filepath.Join(w.root, name), Cluster: "test", BootstrapExpect: 1,
				Network: w.net.Host("n8", "10.0.0.8"), Listen: "10.0.0.8:7400", Insecure: true,
			}
			c.change(&cfg)
			err := runOnce(cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want something about %s", name, err, c.want)
			}
		}
	})
}

func runOnce(cfg Config) error {
	n, err := New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.Run(ctx)
}

// bound returns a data directory that was made for the node owner.
func (w *world) bound(owner, host string) string {
	dir := filepath.Join(w.root, "of-"+owner)
	err := runOnce(Config{
		Node: placement.NodeID(owner), DataDir: dir, Cluster: "test", BootstrapExpect: 1,
		Network: w.net.Host(host, "10.0.0.8"), Listen: "10.0.0.8:7400", Insecure: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// memberWithout returns a member's data directory that has lost a file.
func (w *world) memberWithout(file string) string {
	dir := w.bound("n8", "n8")
	if err := os.Rename(filepath.Join(dir, file), filepath.Join(w.root, "lost")); err != nil {
		w.t.Fatal(err)
	}
	lost := filepath.Join(w.root, "without-"+filepath.Base(file))
	if err := os.Rename(dir, lost); err != nil {
		w.t.Fatal(err)
	}
	return lost
}

func (w *world) occupy(c *Config) {
	l, err := c.Network.Listen("10.0.0.8:7999")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	c.Listen = l.Addr().String()
}

func (w *world) foreign() string {
	dir := filepath.Join(w.root, "foreign")
	if err := os.MkdirAll(filepath.Join(dir, "precious"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// makeLeader hands leadership on until m has it.
func (w *world) makeLeader(m *member) {
	w.until(m.name+" leads", 2*time.Minute, func() bool {
		l := w.leader()
		if l == nil || l == m {
			return l == m
		}
		r := l.node.live.Load().raft()
		_ = r.LeadershipTransferToServer(raft.ServerID(m.node.instance()), raft.ServerAddress(m.node.Address())).Error()
		return false
	})
}

// Without a Runner the node serves an external one: it has no holder loop, is
// probed all the same, and takes reports that come as proposals.
func TestExternalRunner(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		m := w.start(1, 1, func(c *Config) { c.Runner = nil })
		w.until("it is alive", time.Minute, func() bool { n := m.nodeRecord("n1"); return n != nil && n.State == placement.NodeAlive })
		advance(10 * time.Second)
		if n := m.nodeRecord("n1"); n.State != placement.NodeAlive || n.Inventoried {
			t.Errorf("got %s, inventoried %v", n.State, n.Inventoried)
		}
	})
}
