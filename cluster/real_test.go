package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/placement"
)

// realNode is a node on real sockets.
type realNode struct {
	cfg    Config
	node   *Node
	cancel context.CancelFunc
	done   chan error
}

func startReal(t *testing.T, cfg Config) *realNode {
	t.Helper()
	node, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &realNode{cfg, node, cancel, make(chan error, 1)}
	go func() { r.done <- node.Run(ctx) }()
	select {
	case <-node.Bound():
	case err := <-r.done:
		t.Fatal(err)
	}
	return r
}

// eventually asks again and again until ok, for a minute of real time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	longstop := time.After(time.Minute)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-longstop:
			t.Fatalf("not within a minute: %s", what)
		case <-ticker.C:
		}
	}
}

// leavesNothing waits until no goroutine is left: those of memberlist end
// with the probe that they are in.
func leavesNothing(t *testing.T, before goleak.Option) {
	t.Helper()
	var left error
	defer func() {
		if left != nil {
			t.Error(left)
		}
	}()
	eventually(t, "all goroutines have ended", func() bool {
		left = goleak.Find(before)
		return left == nil
	})
}

// Three nodes on real sockets found a cluster, survive the end of their leader
// and all of them stopping, serve HTTP over the node port, and leave no
// goroutine behind.
func TestRealSockets(t *testing.T) {
	defer leavesNothing(t, goleak.IgnoreCurrent())
	root := t.TempDir()
	var nodes []*realNode
	seed := "127.0.0.1:1" // nobody there; the others will come
	for i := range 3 {
		id := fmt.Sprintf("n%d", i+1)
		r := startReal(t, Config{
			Node: placement.NodeID(id), DataDir: filepath.Join(root, id), BootstrapExpect: 3, Join: []string{seed},
			Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", Profile: ProfileLocal, Runner: newMemoryRunner(),
		})
		if i == 0 {
			seed = r.node.Address()
		}
		nodes = append(nodes, r)
	}
	leader := writeReal(t, nodes, "a")
	greet(t, nodes, leader)
	leader.cancel() // hands over
	if err := <-leader.done; err != nil {
		t.Error(err)
	}
	rest := withoutNode(nodes, leader)
	second := writeReal(t, rest, "b")
	second.node.Kill()
	if err := <-second.done; err != nil {
		t.Error(err)
	}
	again := startReal(t, restarted(leader)) // two of three must live
	rest = append(withoutNode(rest, second), again)
	writeReal(t, rest, "c")
	for _, id := range []placement.ChainID{"a", "b", "c"} {
		eventually(t, "chain "+string(id)+" is on the restarted node", func() bool { return again.node.View().Chain(id) != nil })
	}
	for _, r := range rest {
		r.cancel()
	}
	for _, r := range rest {
		if err := <-r.done; err != nil {
			t.Error(err)
		}
	}
}

// restarted is the config of a node that comes back where it was.
func restarted(r *realNode) Config {
	cfg := r.cfg
	cfg.Listen, cfg.Runner = r.node.Address(), newMemoryRunner()
	return cfg
}

func withoutNode(nodes []*realNode, gone *realNode) []*realNode {
	var rest []*realNode
	for _, r := range nodes {
		if r != gone {
			rest = append(rest, r)
		}
	}
	return rest
}

// writeReal writes a chain by whichever node leads, and returns that node.
func writeReal(t *testing.T, nodes []*realNode, id string) *realNode {
	t.Helper()
	var by *realNode
	eventually(t, "chain "+id+" is written", func() bool {
		for _, r := range nodes {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			results, err := r.node.Propose(ctx, put(id))
			cancel()
			if err == nil && results[0].OK() {
				by = r
				return true
			}
		}
		return false
	})
	return by
}

// greet sends an HTTP request over the node port to the leader.
func greet(t *testing.T, nodes []*realNode, leader *realNode) {
	t.Helper()
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }),
		ReadHeaderTimeout: time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(leader.node.HTTPListener()) }()
	for _, r := range nodes {
		eventually(t, "the leader is known", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			l, err := r.node.WaitLeader(ctx)
			return err == nil && l.Address == leader.node.Address()
		})
		client := &http.Client{Transport: r.node.NodeTransport(), Timeout: 5 * time.Second}
		resp, err := client.Get("http://" + leader.node.Address() + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// A single node on real sockets takes a thousand writes of 16 callers, and has
// them all after a restart.
func TestRealSingle(t *testing.T) {
	defer leavesNothing(t, goleak.IgnoreCurrent())
	cfg := Config{Node: "n1", DataDir: t.TempDir(), BootstrapExpect: 1, Listen: "127.0.0.1:0", Profile: ProfileLocal}
	r := startReal(t, cfg)
	writeReal(t, []*realNode{r}, "first")
	errs := make(chan error, 16)
	for caller := range 16 {
		go func() {
			var err error
			for i := range 64 {
				_, e := r.node.Propose(context.Background(), put(fmt.Sprintf("c%d-%d", caller, i)))
				err = errors.Join(err, e)
			}
			errs <- err
		}()
	}
	for range 16 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	r.node.Kill()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r = startReal(t, cfg)
	writeReal(t, []*realNode{r}, "last")
	view, err := r.node.Read(t.Context(), Linearizable)
	if err != nil || view.Chains.Len() != 16*64+2 {
		t.Errorf("%d chains after the restart, %v", view.Chains.Len(), err)
	}
	r.cancel()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
