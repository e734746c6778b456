package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/placement"
)

// agents is a cluster of whole agents on loopback, as users run them, in one
// process.
type agents struct {
	all   []*agent.Agent
	web   *http.Transport // of the callers, who are no nodes
	stop  context.CancelFunc
	ended sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

// newAgents starts so many agents and waits until all of them may be given
// copies. The first founders of them begin the cluster, the others join it.
func newAgents(ctx context.Context, dir string, count, founders int) (*agents, error) {
	running, stop := context.WithCancel(context.Background())
	a := &agents{stop: stop, web: new(http.Transport)}
	seed := "127.0.0.1:1" // nobody is there; the others will come
	for i := range count {
		name := fmt.Sprintf("n%d", i+1)
		cfg := agent.Config{
			Cluster: cluster.Config{
				Node: placement.NodeID(name), DataDir: filepath.Join(dir, name), Cluster: "bench",
				Listen: "127.0.0.1:0", Profile: cluster.ProfileLAN,
			},
			HTTP: "127.0.0.1:0", DiskReserve: 1,
		}
		if i < founders {
			cfg.Cluster.BootstrapExpect = founders
		}
		if i > 0 || founders > 1 {
			cfg.Cluster.Join = []string{seed}
		}
		one, err := agent.New(cfg)
		if err == nil {
			a.run(running, one)
			err = until(ctx, "agent "+name+" binds its port", func() bool { return one.Addr() != "" || a.failed() != nil })
		}
		if err = errors.Join(err, a.failed()); err != nil {
			return nil, errors.Join(err, a.close())
		}
		if i == 0 {
			seed = one.Addr()
		}
		a.all = append(a.all, one)
	}
	if err := until(ctx, fmt.Sprintf("%d agents form a cluster", count), a.formed); err != nil {
		return nil, errors.Join(err, a.failed(), a.close())
	}
	return a, nil
}

func (a *agents) run(ctx context.Context, one *agent.Agent) {
	a.ended.Go(func() {
		if err := one.Run(ctx); err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.errs = append(a.errs, err)
		}
	})
}

// failed returns what ended agents.
func (a *agents) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.errs...)
}

// formed tells whether somebody leads and every node is alive and has reported
// what it holds.
func (a *agents) formed() bool {
	if a.failed() != nil {
		return true // said by the caller
	}
	leader := a.leader()
	if leader == nil {
		return false
	}
	able := 0
	leader.Node().View().Nodes.Ascend("", func(_ placement.NodeID, n *placement.Node) bool {
		if n.State == placement.NodeAlive && n.Inventoried {
			able++
		}
		return true
	})
	return able == len(a.all)
}

// leader returns the agent that leads, or nil.
func (a *agents) leader() *agent.Agent {
	for _, one := range a.all {
		if one.Node().Status().IsLeader {
			return one
		}
	}
	return nil
}

// client returns a client of one agent's API.
func (a *agents) client(of *agent.Agent) (*client.Client, error) {
	return client.New([]string{"http://" + of.HTTPAddr()}, client.WithHTTPClient(&http.Client{Transport: a.web}))
}

// close stops all agents and waits for them.
func (a *agents) close() error {
	a.web.CloseIdleConnections()
	a.stop()
	a.ended.Wait()
	return a.failed()
}
