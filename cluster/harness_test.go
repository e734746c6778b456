package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

// world is a cluster of real nodes in one bubble, on a simulated network.
type world struct {
	t       *testing.T
	net     *simnet.Net
	root    string
	members map[string]*member
	logs    *lockedLog
}

// member is one machine: its data directory outlives its processes.
type member struct {
	w      *world
	name   string
	cfg    Config
	node   *Node
	runner *memoryRunner
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned err
	err    error
}

type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// inBubble runs a scenario in a bubble and ends everything that it started.
func inBubble(t *testing.T, scenario func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: simnet.New(1), root: t.TempDir(), members: map[string]*member{}, logs: new(lockedLog)}
		defer func() {
			for _, m := range w.members {
				m.kill()
			}
			w.net.Close()
			time.Sleep(time.Minute) // timers of libraries run out
			if t.Failed() {
				w.logs.mu.Lock()
				t.Log(w.logs.text.String())
				w.logs.mu.Unlock()
			}
		}()
		scenario(t, w)
	})
}

// start starts the i-th machine (from 1), on the directory it had before.
func (w *world) start(i, expect int, change ...func(*Config)) *member {
	w.t.Helper()
	name := fmt.Sprintf("n%d", i)
	m := w.members[name]
	if m == nil {
		m = &member{w: w, name: name, runner: newMemoryRunner()}
		w.members[name] = m
	}
	level := hclog.Info
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		level = hclog.Debug
	}
	m.cfg = Config{
		Node: placement.NodeID(name), DataDir: filepath.Join(w.root, name), Cluster: "test",
		BootstrapExpect: expect, Network: w.net.Host(name, fmt.Sprintf("10.0.0.%d", i)),
		Listen: fmt.Sprintf("10.0.0.%d:7400", i), HTTP: fmt.Sprintf("10.0.0.%d:7401", i),
		Insecure: true, Runner: m.runner,
		Logger: hclog.New(&hclog.LoggerOptions{Output: io.Writer(w.logs), Level: level}),
	}
	for j := 1; j <= 3; j++ {
		if j != i && expect != 1 {
			m.cfg.Join = append(m.cfg.Join, fmt.Sprintf("10.0.0.%d:7400", j))
		}
	}
	for _, f := range change {
		f(&m.cfg)
	}
	node, err := New(m.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.node, m.cancel, m.done = node, cancel, make(chan struct{})
	go func() {
		defer close(m.done)
		m.err = node.Run(ctx)
	}()
	return m
}

// startAll starts machines 1 to count.
func (w *world) startAll(count, expect int, change ...func(*Config)) {
	w.t.Helper()
	for i := 1; i <= count; i++ {
		w.start(i, expect, change...)
	}
}

// stop ends a process in good order.
func (m *member) stop() {
	m.cancel()
	<-m.done
}

// kill ends a process as a crash would, as far as others can tell.
func (m *member) kill() {
	m.w.net.Kill(m.name)
	m.node.Kill()
	<-m.done
	m.cancel()
	m.w.net.Revive(m.name)
}

func (m *member) running() bool {
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

// until waits for a condition; the longstop is in fake time.
func (w *world) until(what string, longstop time.Duration, ok func() bool) {
	w.t.Helper()
	for began := time.Now(); !ok(); {
		if time.Since(began) > longstop {
			w.t.Fatalf("not within %v: %s\n%s", longstop, what, w.describe())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *world) describe() string {
	var b strings.Builder
	for _, m := range w.members {
		s := m.node.Status()
		fmt.Fprintf(&b, "%s running=%v leader=%v is=%v term=%d index=%d commit=%d voters=%v servers=%d ready=%v inc=%d member=%q\n",
			m.name, m.running(), s.Leader, s.IsLeader, s.Term, s.Index, s.CommitIndex, s.Voters, len(s.Servers), s.Ready, s.Incarnation, s.ClusterID)
		m.node.View().Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
			fmt.Fprintf(&b, "    %s %s inc=%d inventoried=%v\n", id, n.State, n.Incarnation, n.Inventoried)
			return true
		})
	}
	return b.String()
}

// leader returns the running node that leads, past its barrier, or nil. Two in
// one term end the test.
func (w *world) leader() *member {
	w.t.Helper()
	var found *member
	terms := map[uint64]string{}
	for _, m := range w.members {
		s := m.node.Status()
		if !m.running() || !s.IsLeader {
			continue
		}
		if other, ok := terms[s.Term]; ok {
			w.t.Fatalf("%s and %s both lead in term %d", other, m.name, s.Term)
		}
		terms[s.Term] = m.name
		if found == nil || found.node.Status().Term < s.Term {
			found = m
		}
	}
	return found
}

// settle waits until one node leads and the state knows count nodes as alive,
// with their inventory, on all running nodes.
func (w *world) settle(count int) *member {
	w.t.Helper()
	w.until(fmt.Sprintf("%d nodes alive everywhere", count), 2*time.Minute, func() bool {
		if w.leader() == nil {
			return false
		}
		for _, m := range w.members {
			if m.running() && w.alive(m) != count {
				return false
			}
		}
		return true
	})
	return w.leader()
}

// alive counts the nodes that are alive and inventoried in m's view.
func (w *world) alive(m *member) int {
	n := 0
	m.node.View().Nodes.Ascend("", func(_ placement.NodeID, node *placement.Node) bool {
		if node.State == placement.NodeAlive && node.Inventoried {
			n++
		}
		return true
	})
	return n
}

func (w *world) voters(m *member) []placement.NodeID { return m.node.Status().Voters }

// write creates a chain through the leader, retrying for a while.
func (w *world) write(id placement.ChainID) {
	w.t.Helper()
	w.until(fmt.Sprintf("chain %s is written", id), time.Minute, func() bool {
		m := w.leader()
		return m != nil && w.writeBy(m, id) == nil
	})
}

func (w *world) writeBy(m *member, id placement.ChainID) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	results, err := m.node.Propose(ctx, fsm.Op{Actor: "test", Reason: "test", Body: fsm.NewPutChain(id, placement.Spec{Desired: 1, Weight: 1e6, Policy: placement.PolicyEager})})
	if err != nil {
		return err
	}
	if !results[0].OK() {
		return errors.New(results[0].Detail)
	}
	return nil
}

func (m *member) nodeRecord(of string) *placement.Node {
	return m.node.View().Node(placement.NodeID(of))
}

// memoryRunner keeps copies in memory; they outlive the process, as on a disk.
type memoryRunner struct {
	mu     sync.Mutex
	copies map[placement.ChainID]holder.Copy
}

func newMemoryRunner() *memoryRunner {
	return &memoryRunner{copies: map[placement.ChainID]holder.Copy{}}
}

func (r *memoryRunner) Pull(_ context.Context, a holder.Assignment) error {
	time.Sleep(10 * time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.copies[a.Chain] = holder.Copy{Chain: a.Chain, Epoch: a.Epoch, SHA256: a.SHA256()}
	return nil
}

func (r *memoryRunner) Drop(_ context.Context, c holder.Copy) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copies[c.Chain].Epoch == c.Epoch {
		delete(r.copies, c.Chain)
	}
	return nil
}

func (r *memoryRunner) Held(context.Context) ([]holder.Copy, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []holder.Copy
	for _, c := range r.copies {
		all = append(all, c)
	}
	return all, nil
}

func (r *memoryRunner) wipe() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.copies)
}

// pausedClock makes the monotonic clock of nodes jump, as it does for a
// process that was stopped.
type pausedClock struct{ jumped atomic.Int64 }

// on is a change for start.
func (p *pausedClock) on(c *Config) {
	began := time.Now()
	c.Elapsed = func() time.Duration { return time.Since(began) + time.Duration(p.jumped.Load()) }
}

func (p *pausedClock) add(d time.Duration) { p.jumped.Add(int64(d)) }

// advance lets fake time pass: the scenarios run in bubbles.
func advance(d time.Duration) { time.Sleep(d) }
