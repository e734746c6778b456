package testcluster

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

// Cluster is a cluster in a bubble. Make one with [Start].
type Cluster struct {
	t     testing.TB
	opts  Options
	net   *simnet.Net
	rng   *rand.Rand
	root  string
	logs  *logs
	audit *audit // nil with NoChecks
	end   chan struct{}
	parts sync.WaitGroup

	mu      sync.Mutex // never held while anything is waited for
	members []*member
	group   map[int]int // of a partition; nil = all are together
	oneWay  [][2]int    // from, to
	https   []*http.Transport
}

// Start starts a cluster in the bubble that t belongs to, and waits until it
// has formed: a node leads, and the state knows every node as alive. The test's
// cleanup ends it.
func Start(t testing.TB, opts Options) *Cluster {
	t.Helper()
	opts.Nodes = cmp.Or(opts.Nodes, 3)
	if opts.Nodes < 1 || opts.Nodes > nodesMax {
		t.Fatalf("testcluster: Nodes: %d is not within 1..%d", opts.Nodes, nodesMax)
	}
	c := &Cluster{
		t: t, opts: opts, net: simnet.New(opts.Seed), rng: rand.New(rand.NewPCG(uint64(opts.Seed), 1)),
		root: t.TempDir(), logs: new(logs), end: make(chan struct{}),
	}
	if !opts.NoChecks {
		c.audit = newAudit(func(err error) { t.Errorf("after %v: %v", c.age(), err) })
		c.parts.Go(c.watch)
	}
	t.Cleanup(c.close)
	for range opts.Nodes {
		c.newMember()
	}
	for _, m := range c.all() {
		c.launch(m)
	}
	c.Settle()
	if opts.Replicated != nil {
		c.replicate()
		c.Settle()
	}
	return c
}

// replicate puts the replicated configuration that the options ask for.
func (c *Cluster) replicate() {
	c.t.Helper()
	cfg := placement.DefaultConfig()
	c.opts.Replicated(&cfg)
	node := c.Node(c.WaitLeader()).Node()
	results, err := node.Propose(c.t.Context(), fsm.Op{Actor: "testcluster", Reason: "the test's options", Body: fsm.NewPutConfig(cfg)})
	if err != nil {
		c.t.Fatalf("testcluster: Replicated: %v", err)
	}
	if r := results[0]; !r.OK() {
		c.t.Fatalf("testcluster: Replicated: %s: %s", r.Code, r.Detail)
	}
}

// close ends everything that the cluster has started.
func (c *Cluster) close() {
	c.CheckSame()
	c.checkEnds()
	state := c.describe()
	close(c.end)
	c.parts.Wait()
	for _, m := range c.all() {
		c.kill(m)
	}
	for _, tr := range c.https {
		tr.CloseIdleConnections()
	}
	c.net.Close()
	time.Sleep(time.Minute) // the last timers of libraries run out
	if c.t.Failed() {
		c.t.Logf("seed %d, at the end %sthe nodes' logs:\n%s", c.opts.Seed, state, c.logs)
	}
}

// watch looks who claims to lead, until the cluster ends.
func (c *Cluster) watch() {
	const every = 200 * time.Millisecond // a third of the shortest reign
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for seen := newReigns(); ; {
		select {
		case <-c.end:
			return
		case <-ticker.C:
		}
		claims := map[string]uint64{}
		for _, m := range c.all() {
			if s, ok := m.status(); ok && s.IsLeader {
				claims[m.name] = s.Term
			}
		}
		if err := seen.look(claims); err != nil {
			c.t.Errorf("after %v: %v", c.age(), err)
			return
		}
	}
}

// age is how long the bubble has lived: its clock starts with the year 2000.
func (c *Cluster) age() time.Duration {
	return time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
}

// Len returns how many nodes there are, running or not.
func (c *Cluster) Len() int { return len(c.all()) }

// Nodes returns the numbers of all nodes, running or not.
func (c *Cluster) Nodes() []int {
	var all []int
	for _, m := range c.all() {
		all = append(all, m.number)
	}
	return all
}

// Running tells whether node i runs.
func (c *Cluster) Running(i int) bool { return c.member(i).running() }

// ID returns the name of node i.
func (c *Cluster) ID(i int) placement.NodeID { return placement.NodeID(c.member(i).name) }

// Number returns the number of the node of that name.
func (c *Cluster) Number(id placement.NodeID) int {
	c.t.Helper()
	for _, m := range c.all() {
		if m.name == string(id) {
			return m.number
		}
	}
	c.t.Fatalf("testcluster: there is no node %s", id)
	return 0
}

// Node returns the agent of node i, of its present or last run.
func (c *Cluster) Node(i int) *agent.Agent { return c.member(i).present() }

// View returns the state as node i has it, or had it when it stopped.
func (c *Cluster) View(i int) *fsm.View { return c.member(i).view() }

// Leader returns the running node that says that it leads, or 0. Of several
// it is the one of the highest term.
func (c *Cluster) Leader() int {
	leader, term := 0, uint64(0)
	for _, m := range c.all() {
		if s, ok := m.status(); ok && s.IsLeader && s.Term > term {
			leader, term = m.number, s.Term
		}
	}
	return leader
}

// Decisions returns the history of decisions, the oldest first, of the node
// that has applied the most.
func (c *Cluster) Decisions() []placement.Record {
	v := c.newest()
	all := make([]placement.Record, 0, 64)
	v.Decisions(0, func(r *placement.Record) bool {
		all = append(all, *r)
		return true
	})
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// newest returns the view that has gone farthest.
func (c *Cluster) newest() *fsm.View {
	newest := fsm.New().View()
	for _, m := range c.all() {
		if v := m.view(); v.Index > newest.Index {
			newest = v
		}
	}
	return newest
}

// all returns the nodes in the order of their numbers.
func (c *Cluster) all() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[:len(c.members):len(c.members)]
}

// member returns node i; there must be one.
func (c *Cluster) member(i int) *member {
	c.t.Helper()
	all := c.all()
	if i < 1 || i > len(all) {
		c.t.Fatalf("testcluster: there is no node %d: nodes are numbered from 1 to %d", i, len(all))
	}
	return all[i-1]
}

// together tells whether no partition lies between two nodes, and neither stands
// still.
func (c *Cluster) together(i, j int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group[i] == c.group[j] && !c.members[i-1].still && !c.members[j-1].still
}

// addresses of node i, and of the host from which its clients call.
func nodeIP(i int) string   { return fmt.Sprintf("10.0.0.%d", i) }
func clientIP(i int) string { return fmt.Sprintf("10.0.1.%d", i) }

// ports of every node.
const (
	nodePort = ":7400"
	httpPort = ":7401"
)

// status returns what the node knows, if it runs.
func (m *member) status() (cluster.Status, bool) {
	a := m.present()
	if a == nil || a.Node() == nil || !m.running() {
		return cluster.Status{}, false
	}
	return a.Node().Status(), true
}
