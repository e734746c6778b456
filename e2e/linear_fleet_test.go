//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api/client"
)

// fleet is a cluster of real processes that many goroutines use at once, while
// one or two of them do it harm. Its nodes are numbered from 1.
type fleet struct {
	*machines
	wires   *wires // nil: the nodes share the loopback interface
	members []*member
	http    *http.Client
}

// member is the process of a node.
type member struct {
	mu      sync.Mutex
	cmd     *exec.Cmd // nil = none runs
	lives   int       // processes so far
	claimed bool      // by a nemesis
}

// launch starts count nodes and waits until each is ready and one leads.
func launch(t *testing.T, count int, netns bool) *fleet {
	t.Helper()
	f := &fleet{
		machines: &machines{t: t, bin: binary(t), dir: t.TempDir(), count: count},
		members:  make([]*member, count+1),
		http:     &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 5 * time.Second}},
	}
	for i := 1; i <= count; i++ {
		f.members[i] = new(member)
	}
	if netns {
		f.wires = lay(t, count)
	} else {
		f.base = ports(count)
	}
	t.Cleanup(func() {
		f.http.CloseIdleConnections()
		for i := 1; i <= count; i++ {
			f.kill(i)
		}
		if t.Failed() {
			for i := 1; i <= count; i++ {
				log, _ := os.ReadFile(f.log(i))
				t.Logf("--- n%d\n%s", i, log[max(0, len(log)-3000):])
			}
		}
	})
	for i := 1; i <= count; i++ {
		f.start(i)
	}
	f.ready()
	return f
}

func (f *fleet) node(i int) string {
	if f.wires != nil {
		return f.wires.host(i) + ":7400"
	}
	return f.machines.node(i)
}

func (f *fleet) api(i int) string {
	if f.wires != nil {
		return f.wires.host(i) + ":7401"
	}
	return f.machines.http(i)
}

// start runs node i on the data it had before, unless it runs.
func (f *fleet) start(i int) {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd != nil {
		return
	}
	args := []string{
		f.bin, "agent", "--node-id", fmt.Sprintf("n%d", i), "--data-dir", f.data(i), "--listen", f.node(i), "--http", f.api(i),
		"--profile", "local", "--bootstrap-expect", strconv.Itoa(f.count), "--insecure",
	}
	for j := 1; j <= f.count; j++ {
		if j != i {
			args = append(args, "--join", f.node(j))
		}
	}
	if f.wires != nil {
		args = append([]string{"ip", "netns", "exec", f.wires.space(i)}, args...)
	}
	log, err := os.OpenFile(f.log(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Errorf("n%d: %v", i, err)
		return
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "HOST_PROC="+f.idle())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		f.t.Errorf("n%d: %v", i, err)
		return
	}
	m.cmd, m.lives = cmd, m.lives+1
}

// kill is kill -9, and waits until the process is gone.
func (f *fleet) kill(i int) {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
}

// end is SIGTERM, after which a process hands over what it leads and goes. One
// that is still there after a long while is a defect.
func (f *fleet) end(i int) {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	longstop := time.AfterFunc(time.Minute, func() {
		f.t.Errorf("n%d is still there a minute after SIGTERM", i)
		_ = m.cmd.Process.Signal(syscall.SIGABRT) // it prints where it hangs
	})
	if err := m.cmd.Wait(); err != nil {
		f.t.Errorf("n%d ended with %v after SIGTERM", i, err)
	}
	longstop.Stop()
	m.cmd = nil
}

// signal sends SIGSTOP or SIGCONT.
func (f *fleet) signal(i int, s syscall.Signal) {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd != nil {
		_ = m.cmd.Process.Signal(s)
	}
}

// life numbers the process of node i, 0 = none runs.
func (f *fleet) life(i int) int {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return 0
	}
	return m.lives
}

// claim takes a node for one nemesis; it answers false when another has it.
func (f *fleet) claim(i int) bool {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	free := !m.claimed
	m.claimed = true
	return free
}

func (f *fleet) release(i int) {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claimed = false
}

// client talks to the given nodes, in order.
func (f *fleet) client(retry time.Duration, nodes ...int) *client.Client {
	var addrs []string
	for _, i := range nodes {
		addrs = append(addrs, "http://"+f.api(i))
	}
	c, err := client.New(addrs, client.WithRetry(retry), client.WithHTTPClient(f.http))
	if err != nil {
		panic(err) // of addresses made here
	}
	return c
}

// ready waits until all nodes have replayed their logs and know a leader.
func (f *fleet) ready() {
	f.t.Helper()
	for i := 1; i <= f.count; i++ {
		c := f.client(0, i)
		f.eventually(time.Minute, fmt.Sprintf("n%d is ready", i), func() error {
			ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
			defer cancel()
			return c.Ready(ctx, true)
		})
	}
}

// leads returns the node that leads as far as the nodes know, of the newest
// term that one tells of, or 0.
func (f *fleet) leads(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	leader, term := 0, uint64(0)
	for i := 1; i <= f.count; i++ {
		all.Go(func() {
			s, err := f.client(0, i).Status(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && s.Leader != nil && s.Term > term {
				term = s.Term
				_, _ = fmt.Sscanf(s.Leader.Node, "n%d", &leader)
			}
		})
	}
	all.Wait()
	return leader
}
