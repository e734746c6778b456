package testcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/cluster/telemetry"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// member is one machine: its disk and its place on the network outlive its
// processes.
type member struct {
	number int
	name   string
	client string // the host from which its clients call
	dir    string
	zone   string
	expect int // servers that begin the cluster with it; 0 = it joins

	external bool // its runner is the test's business, and so is its inventory

	disk  disk
	watch watch
	still bool // paused; guarded by Cluster.mu

	mu  sync.Mutex
	run *process // the present or last one; nil before the first
}

// process is one run of an agent.
type process struct {
	agent  *agent.Agent
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned err
	err    error
	told   bool // to end; otherwise its end is a failure, until Ended takes it
}

// newMember adds a machine, with nothing running on it.
func (c *Cluster) newMember() *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.members) + 1
	m := &member{number: i, name: fmt.Sprintf("n%d", i), client: fmt.Sprintf("c%d", i)}
	m.dir = filepath.Join(c.root, m.name)
	if len(c.opts.Zones) > 0 {
		m.zone = c.opts.Zones[(i-1)%len(c.opts.Zones)]
	}
	if n := expect(c.opts.Nodes); i <= n {
		m.expect = n
	}
	c.net.Host(m.name, nodeIP(i))
	c.net.Host(m.client, clientIP(i))
	for _, other := range c.members {
		delay := 500*time.Microsecond + time.Duration(c.rng.Int64N(int64(2*time.Millisecond)))
		c.net.Delay(m.name, other.name, delay)
	}
	c.members = append(c.members, m)
	return m
}

// config returns the configuration of a member's next run.
func (c *Cluster) config(m *member) agent.Config {
	cfg := agent.Config{
		Cluster: cluster.Config{
			Node: c.ID(m.number), DataDir: m.dir, Cluster: "test", BootstrapExpect: m.expect,
			Network: c.net.Host(m.name, nodeIP(m.number)), Listen: nodeIP(m.number) + nodePort,
			Insecure: true, // nobody else is on this network
			Zone:     m.zone, Logger: c.logs.logger(m.name),
		},
		HTTP:   nodeIP(m.number) + httpPort,
		Volume: func() (freeBytes, totalBytes int64, err error) { return volumeBytes, volumeBytes, nil },
		Machine: agent.Machine{
			Has: func() placement.Capabilities {
				return placement.Capabilities{{Key: placement.CapabilityCores, Number: 8, IsNumber: true}}
			},
			Reads: telemetry.Unknown,
		},
	}
	for _, other := range c.all() {
		alone := m.expect == 1 && m.present() == nil // it begins the cluster by itself
		if other != m && !alone {
			cfg.Cluster.Join = append(cfg.Cluster.Join, nodeIP(other.number)+nodePort)
		}
	}
	if c.opts.Config != nil {
		c.opts.Config(m.number, &cfg)
	}
	m.external = cfg.Runner == agent.External
	m.equip(&cfg.Cluster)
	if c.audit != nil {
		observe, users := c.audit.observer(m.name, m.view), cfg.Cluster.OnApply
		cfg.Cluster.OnApply = func(index, term uint64, data []byte) {
			observe(index, term, data)
			if users != nil {
				users(index, term, data)
			}
		}
	}
	return cfg
}

// equip gives a process the machine's disk and clocks.
func (m *member) equip(cfg *cluster.Config) {
	m.disk.resume(nil) // one that hung has been replaced
	cfg.Elapsed, cfg.Wall = m.watch.elapsed, m.watch.wall
	users := cfg.Gate
	cfg.Gate = func(what string) error {
		if users != nil {
			if err := users(what); err != nil {
				return err
			}
		}
		return m.disk.gate()
	}
}

// volumeBytes is the size of every node's content volume, all of it free: how
// full and how busy this machine is must not matter.
const volumeBytes = 1 << 40

// launch starts a process on a member.
func (c *Cluster) launch(m *member) {
	c.t.Helper()
	a, err := agent.New(c.config(m))
	if err != nil {
		c.t.Fatalf("testcluster: node %s: %v", m.name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{agent: a, cancel: cancel, done: make(chan struct{})}
	m.mu.Lock()
	m.run = p
	m.mu.Unlock()
	go func() { // close, Kill or Stop waits for done
		defer close(p.done)
		p.err = a.Run(ctx)
	}()
}

// process returns the present or last process, nil before the first.
func (m *member) process() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run
}

// present returns the agent of the present or last process, nil before the first.
func (m *member) present() *agent.Agent {
	if p := m.process(); p != nil {
		return p.agent
	}
	return nil
}

func (m *member) running() bool {
	p := m.process()
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// view returns the state as the member has it.
func (m *member) view() *fsm.View {
	if a := m.present(); a != nil && a.Node() != nil {
		return a.Node().View()
	}
	return fsm.New().View()
}

// end notes that the process is told to end.
func (m *member) end() *process {
	p := m.process()
	if m.running() {
		p.told = true
	}
	return p
}

// kill ends a member's process, if it runs, as a crash does as far as others
// can tell.
func (c *Cluster) kill(m *member) {
	if !m.running() {
		return
	}
	p := m.end()
	c.net.Kill(m.name)
	p.agent.Kill()
	m.disk.resume(errPowerOff)
	<-p.done // what it says of its end is no more than that its network is gone
	p.cancel()
	c.net.Revive(m.name)
}

// Kill ends node i like kill -9: no goodbye, no hand-over, its connections are
// reset. Its disk stays as it is.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	m := c.member(i)
	if !m.running() {
		c.t.Fatalf("testcluster: Kill: node %s does not run", m.name)
	}
	c.kill(m)
}

// Stop ends node i in good order, as SIGTERM does, and returns when it has
// ended. A leader hands over first.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	m := c.member(i)
	if !m.running() {
		c.t.Fatalf("testcluster: Stop: node %s does not run", m.name)
	}
	p := m.end()
	p.cancel()
	<-p.done
	if p.err != nil {
		c.t.Errorf("node %s, told to stop: %v", m.name, p.err)
	}
}

// Restart starts node i again, after Kill, Stop, Wipe or its own end, on the
// disk that it left. It does not wait until the node is back.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	m := c.member(i)
	if m.running() {
		c.t.Fatalf("testcluster: Restart: node %s runs: Kill or Stop it first", m.name)
	}
	c.checkEnd(m)
	c.launch(m)
}

// Wipe kills node i, if it runs, and empties its disk, as when the machine is
// replaced by a new one of the same name and address.
func (c *Cluster) Wipe(i int) {
	c.t.Helper()
	m := c.member(i)
	c.kill(m)
	if err := os.RemoveAll(m.dir); err != nil {
		c.t.Fatalf("testcluster: Wipe: %v", err)
	}
}

// Add starts a further node, which joins through the others, and returns its
// number. It does not wait until the node is a member.
func (c *Cluster) Add() int {
	c.t.Helper()
	if c.Len() == nodesMax {
		c.t.Fatalf("testcluster: Add: there are %d nodes already", nodesMax)
	}
	m := c.newMember()
	c.launch(m)
	return m.number
}

// Ended waits until node i ends by itself, and returns why. An end that no
// test asks about is a failure.
func (c *Cluster) Ended(i int) error {
	p := c.member(i).process()
	<-p.done
	p.told = true
	return p.err
}

// checkEnds fails the test if a node has ended by itself.
func (c *Cluster) checkEnds() {
	c.t.Helper()
	for _, m := range c.all() {
		c.checkEnd(m)
	}
}

func (c *Cluster) checkEnd(m *member) {
	c.t.Helper()
	if p := m.process(); p != nil && !m.running() && !p.told {
		p.told = true
		c.t.Errorf("node %s has ended by itself: %v", m.name, p.err)
	}
}
