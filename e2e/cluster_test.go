//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// firstPort is below the range that Linux takes ports of connections from.
const firstPort = 21400

// usedPorts hands each cluster of this run ports of its own.
var usedPorts atomic.Int32

// machines is a cluster of real processes.
type machines struct {
	t     *testing.T
	bin   string
	dir   string
	base  int
	count int
	procs map[int]*exec.Cmd
	extra []string
	// founder is a node that asks nobody whether there is a cluster; 0 = none.
	founder int
	bins    map[int]string // of the nodes that run another build
	tls     *closed        // nil: the ports are open to all
}

func binary(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("HOLDFAST_BIN")
	if bin == "" {
		t.Fatal("HOLDFAST_BIN is not set: run `make e2e`")
	}
	return bin
}

// ports reserves the ports of n nodes. HOLDFAST_E2E_PORT moves all of them, so
// that two checkouts can be tested at once on one machine.
func ports(n int) int {
	first, err := strconv.Atoi(os.Getenv("HOLDFAST_E2E_PORT"))
	if err != nil {
		first = firstPort
	}
	return first + int(usedPorts.Add(int32(2*n))) - 2*n
}

// boot starts count nodes and waits until they are ready and one leads.
func boot(t *testing.T, count int, extra ...string) *machines {
	t.Helper()
	return bootIn(t, t.TempDir(), count, extra...)
}

// bootIn is boot in a directory that was prepared.
func bootIn(t *testing.T, dir string, count int, extra ...string) *machines {
	t.Helper()
	m := prepare(t, dir, count, extra...)
	m.startAll()
	return m
}

// prepare makes a cluster of which nothing runs yet.
func prepare(t *testing.T, dir string, count int, extra ...string) *machines {
	t.Helper()
	m := &machines{t: t, bin: binary(t), dir: dir, base: ports(count + 2), count: count, procs: map[int]*exec.Cmd{}, extra: extra}
	t.Cleanup(func() {
		for i := range m.procs {
			m.kill(i)
		}
		if t.Failed() {
			for i := 1; i <= count; i++ {
				log, _ := os.ReadFile(m.log(i))
				t.Logf("--- n%d\n%s", i, log[max(0, len(log)-6000):])
			}
		}
	})
	return m
}

// startAll starts all nodes and waits until they are ready and one leads.
func (m *machines) startAll() {
	m.t.Helper()
	for i := 1; i <= m.count; i++ {
		m.start(i)
	}
	for i := 1; i <= m.count; i++ {
		m.eventually(time.Minute, fmt.Sprintf("n%d is ready", i), func() error { return m.client(i).Ready(m.t.Context(), true) })
	}
}

func (m *machines) node(i int) string { return fmt.Sprintf("127.0.0.1:%d", m.base+2*(i-1)) }
func (m *machines) http(i int) string { return fmt.Sprintf("127.0.0.1:%d", m.base+2*(i-1)+1) }
func (m *machines) data(i int) string { return filepath.Join(m.dir, fmt.Sprintf("n%d", i)) }
func (m *machines) log(i int) string  { return m.data(i) + ".log" }

// start runs node i on the data it had before.
func (m *machines) start(i int) {
	m.t.Helper()
	cmd := m.command(i)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.procs[i] = cmd
}

// command is what runs node i.
func (m *machines) command(i int) *exec.Cmd {
	m.t.Helper()
	args := []string{"agent", "--node-id", fmt.Sprintf("n%d", i), "--data-dir", m.data(i), "--listen", m.node(i), "--http", m.http(i), "--profile", "local"}
	expect := 1
	if m.count >= 3 {
		expect = 3
	}
	if m.count >= 5 {
		expect = 5
	}
	if i <= expect {
		args = append(args, "--bootstrap-expect", strconv.Itoa(expect))
	}
	for j := 1; j <= expect; j++ {
		if j != i && i != m.founder {
			args = append(args, "--join", m.node(j))
		}
	}
	args = append(args, m.tls.flags(i)...)
	log, err := os.OpenFile(m.log(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { log.Close() })
	bin := m.bin
	if other := m.bins[i]; other != "" {
		bin = other
	}
	cmd := exec.Command(bin, append(args, m.extra...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "HOST_PROC="+m.idle())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// idle returns a folder in which the nodes read that their machine has nothing
// to do. They share one machine with the tests and whatever else runs there, and what
// is busy everywhere would hold down the score of every node.
func (m *machines) idle() string {
	m.t.Helper()
	dir := filepath.Join(m.dir, "proc")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	load := filepath.Join(dir, "loadavg")
	if _, err := os.Stat(load); err != nil { // written once: the other nodes are reading it, and must not find it empty
		if err := os.WriteFile(load, []byte("0.10 0.10 0.10 1/100 1000\n"), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := os.Symlink("/proc/meminfo", filepath.Join(dir, "meminfo")); err != nil && !os.IsExist(err) {
		m.t.Fatal(err)
	}
	return dir
}

// kill is kill -9, and waits until the process is gone.
func (m *machines) kill(i int) {
	cmd := m.procs[i]
	if cmd == nil {
		return
	}
	delete(m.procs, i)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// client talks to node i alone.
func (m *machines) client(i int) *client.Client { return m.clients(i) }

// clients tries the given nodes in order.
func (m *machines) clients(nodes ...int) *client.Client {
	m.t.Helper()
	var addrs []string
	for _, i := range nodes {
		addrs = append(addrs, m.tls.scheme()+"://"+m.http(i))
	}
	c, err := client.New(addrs, m.tls.options()...)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.Close)
	return c
}

// alive lists the nodes that run.
func (m *machines) alive() []int {
	var list []int
	for i := 1; i <= m.count; i++ {
		if m.procs[i] != nil {
			list = append(list, i)
		}
	}
	return list
}

// any talks to whichever node runs.
func (m *machines) any() *client.Client { return m.clients(m.alive()...) }

// leader returns the number of the node that leads.
func (m *machines) leader() int {
	m.t.Helper()
	leader := 0
	m.eventually(30*time.Second, "a leader is known", func() error {
		s, err := m.any().Status(m.t.Context())
		if err != nil {
			return err
		}
		if s.Leader == nil {
			return fmt.Errorf("status names no leader")
		}
		_, err = fmt.Sscanf(s.Leader.Node, "n%d", &leader)
		if err == nil && m.procs[leader] == nil {
			err = fmt.Errorf("n%d is named leader and is dead", leader)
		}
		return err
	})
	return leader
}

// eventually asks again until it holds; the longstop is generous, as nothing
// here is about speed.
func (m *machines) eventually(longstop time.Duration, what string, check func() error) time.Duration {
	m.t.Helper()
	began := time.Now()
	for {
		err := check()
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > longstop {
			m.t.Fatalf("%s: not within %v: %v", what, longstop, err)
		}
		select {
		case <-m.t.Context().Done():
			m.t.Fatalf("%s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// file is content with its hash.
type file struct {
	id   string
	data []byte
	sha  string
}

func newFile(id string, size int, seed uint64) file {
	rng := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	sum := sha256.Sum256(data)
	return file{id, data, hex.EncodeToString(sum[:])}
}

// put creates the chain with its desired number of copies and stores the file.
func (m *machines) put(c *client.Client, f file, desired int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	if _, err := c.PutChain(ctx, f.id, api.Spec{Desired: &desired}); err != nil {
		m.t.Fatalf("create chain %s: %v", f.id, err)
	}
	m.eventually(time.Minute, "the content of "+f.id+" is accepted", func() error {
		put, err := c.PutContent(ctx, f.id, bytes.NewReader(f.data), int64(len(f.data)))
		if err == nil && put.SHA256 != f.sha {
			m.t.Fatalf("content of %s: stored sha256 %s, sent %s", f.id, put.SHA256, f.sha)
		}
		return err
	})
}

// readable checks that node i serves the file as it was written.
func (m *machines) readable(i int, f file) error {
	content, err := m.client(i).Content(m.t.Context(), f.id)
	if err != nil {
		return fmt.Errorf("read %s through n%d: %w", f.id, i, err)
	}
	defer content.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return fmt.Errorf("read %s through n%d: %w", f.id, i, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.sha {
		m.t.Fatalf("read %s through n%d: sha256 %s, written %s", f.id, i, got, f.sha)
	}
	return nil
}

// healthy checks that every chain has its desired live copies and no open move.
func (m *machines) healthy() error {
	for c, err := range m.any().AllChains(m.t.Context(), "") {
		if err != nil {
			return err
		}
		if c.Health != "healthy" || len(c.Moves) > 0 {
			return fmt.Errorf("chain %s is %s with %d open moves: %+v", c.ID, c.Health, len(c.Moves), c.Holders)
		}
	}
	return nil
}
