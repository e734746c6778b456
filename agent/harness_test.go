package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/cluster/telemetry"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster of agents in one bubble, on a simulated network.
type world struct {
	t      *testing.T
	net    *simnet.Net
	root   string
	agents map[string]*member
	logs   *lockedBuffer
	web    *http.Transport // of somebody who is no node
}

// member is one machine: its directories outlive its processes.
type member struct {
	*Agent
	w      *world
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned err
	err    error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inBubble runs a scenario in a bubble and ends everything that it started.
func inBubble(t *testing.T, scenario func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: simnet.New(1), root: t.TempDir(), agents: map[string]*member{}, logs: new(lockedBuffer)}
		browser := w.net.Host("browser", "10.0.9.9")
		w.web = &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return browser.Dial(ctx, addr) },
			// A node that was killed without a word must not hold the test up.
			ResponseHeaderTimeout: time.Minute,
		}
		defer func() {
			for _, m := range w.agents {
				m.Kill()
				<-m.done
				m.cancel()
			}
			w.web.CloseIdleConnections()
			w.net.Close()
			time.Sleep(time.Minute) // timers of libraries run out
			if t.Failed() {
				t.Log(w.logs.String())
			}
		}()
		scenario(t, w)
	})
}

func nodeIP(i int) string { return fmt.Sprintf("10.0.0.%d", i) }

// start starts the i-th of three machines, on the directory it had before.
func (w *world) start(i int, change ...func(*Config)) *member {
	w.t.Helper()
	name := fmt.Sprintf("n%d", i)
	cfg := Config{
		Cluster: cluster.Config{
			Node: placement.NodeID(name), DataDir: filepath.Join(w.root, name), Cluster: "test",
			BootstrapExpect: 3, Network: w.net.Host(name, nodeIP(i)), Listen: nodeIP(i) + ":7400", Insecure: true,
			Logger: hclog.New(&hclog.LoggerOptions{Output: w.logs, Level: hclog.Info}),
		},
		HTTP:   nodeIP(i) + ":7401",
		Volume: func() (int64, int64, error) { return 90 << 30, 100 << 30, nil },
		Machine: Machine{
			Has: func() placement.Capabilities {
				return placement.Capabilities{{Key: "cores", Number: 8, IsNumber: true}}
			},
			Reads: telemetry.Unknown,
		},
	}
	for j := 1; j <= 3; j++ {
		if j != i {
			cfg.Cluster.Join = append(cfg.Cluster.Join, nodeIP(j)+":7400")
		}
	}
	for _, f := range change {
		f(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Agent: a, w: w, name: name, cancel: cancel, done: make(chan struct{})}
	w.agents[name] = m
	go func() {
		defer close(m.done)
		m.err = a.Run(ctx)
	}()
	return m
}

// startAll starts three machines and waits until all of them are ready and
// have reported what they hold.
func (w *world) startAll(change ...func(*Config)) {
	w.t.Helper()
	for i := 1; i <= 3; i++ {
		w.start(i, change...)
	}
	for i := 1; i <= 3; i++ {
		<-w.agents[fmt.Sprintf("n%d", i)].Ready()
	}
	w.until("three nodes can take copies", func() bool {
		n := 0
		w.agents["n1"].Node().View().Nodes.Ascend("", func(_ placement.NodeID, node *placement.Node) bool {
			if node.Inventoried && node.State == placement.NodeAlive {
				n++
			}
			return true
		})
		return n == 3
	})
}

// until waits, at most two minutes, for something to become true.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for range 1200 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("never: %s", what)
}

// pass lets fake time go by.
func (w *world) pass(d time.Duration) { time.Sleep(d) }

// client returns a client of these nodes, or of all.
func (w *world) client(names ...string) *client.Client {
	w.t.Helper()
	if names == nil {
		names = []string{"n1", "n2", "n3"}
	}
	var addrs []string
	for _, name := range names {
		if addr := w.agents[name].HTTPAddr(); addr != "" {
			addrs = append(addrs, "http://"+addr)
		}
	}
	c, err := client.New(addrs, client.WithHTTPClient(&http.Client{Transport: w.web}))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// leader returns the machine that leads.
func (w *world) leader() *member {
	w.t.Helper()
	var found *member
	w.until("a node leads", func() bool {
		for _, m := range w.agents {
			if m.Node() != nil && m.Node().Status().IsLeader {
				found = m
			}
		}
		return found != nil
	})
	return found
}

// chain creates a chain and waits until it has all its copies.
func (w *world) chain(id string, desired int) *api.Chain {
	w.t.Helper()
	c := w.client()
	if _, err := c.PutChain(w.t.Context(), id, api.Spec{Desired: &desired}); err != nil {
		w.t.Fatal(err)
	}
	return w.healthy(id)
}

func (w *world) healthy(id string) *api.Chain {
	w.t.Helper()
	var chain *api.Chain
	w.until("chain "+id+" is healthy", func() bool {
		var err error
		chain, err = w.client().Chain(w.t.Context(), id)
		return err == nil && chain.Health == "healthy"
	})
	return chain
}

// text returns size bytes that differ from place to place.
func text(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i/251)
	}
	return b
}

// get reads the content of a chain through one node.
func (w *world) get(name, id string, opts ...client.CallOption) ([]byte, error) {
	c, err := w.client(name).Content(w.t.Context(), id, opts...)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return io.ReadAll(c)
}
