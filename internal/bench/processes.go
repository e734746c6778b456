package bench

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/api/client"
)

// Process is a running agent of this program.
type Process interface {
	Terminate()             // asks it to stop in good order
	Kill()                  // ends it at once
	Ended() <-chan struct{} // closed when it has ended
}

// Starter starts this program again with these arguments. What it writes goes
// to the file log.
type Starter func(args []string, log string) (Process, error)

// Ports of the agents: below those that systems give to connections, so that
// an agent finds its port free when it starts again.
const (
	portsFrom  = 17400
	portsUntil = 30000
)

// processes is a cluster of agents, each a process of its own, on loopback.
type processes struct {
	cfg    FailoverConfig
	dir    string
	all    []*process
	web    *http.Transport
	remove func()
}

// process is one agent; it is started again after it was killed.
type process struct {
	name    string
	http    string // address of its API
	args    []string
	log     string
	calls   *client.Client
	web     *http.Client
	running Process
}

// startProcesses starts the agents and waits until they are a whole cluster.
func startProcesses(ctx context.Context, cfg FailoverConfig) (*processes, error) {
	dir, remove, err := Config{Dir: cfg.Dir}.directory()
	if err != nil {
		return nil, err
	}
	p := &processes{cfg: cfg, dir: dir, web: &http.Transport{MaxIdleConnsPerHost: 16}, remove: remove}
	base, err := freePorts(2 * cfg.Nodes)
	if err != nil {
		remove()
		return nil, err
	}
	cfg.progress("starting %d agents, profile %s", cfg.Nodes, cfg.Profile)
	for i := range cfg.Nodes {
		one := p.process(i, base)
		if one.calls, err = client.New([]string{"http://" + one.http}, client.WithHTTPClient(one.web), client.WithRetry(0)); err == nil {
			err = p.start(one)
		}
		if err != nil {
			p.close()
			return nil, err
		}
		p.all = append(p.all, one)
	}
	if _, err := p.whole(ctx); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// freePorts returns the first of so many ports in a row of which all are free.
func freePorts(count int) (base int, err error) {
	for base = portsFrom; base+count < portsUntil; base += count {
		free := true
		for port := base; free && port < base+count; port++ {
			ln, err := net.Listen("tcp", local(port))
			if free = err == nil; free {
				ln.Close()
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no %d ports in a row are free from %d to %d", count, portsFrom, portsUntil)
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// process describes the agent number i. Those that begin the cluster name
// each other, the rest join them.
func (p *processes) process(i, base int) *process {
	name := fmt.Sprintf("n%d", i+1)
	one := &process{
		name: name, http: local(base + 2*i + 1), log: filepath.Join(p.dir, name+".log"),
		web: &http.Client{Transport: p.web},
		args: []string{
			"agent", "--node-id", name, "--data-dir", filepath.Join(p.dir, name), "--cluster", "bench",
			"--listen", local(base + 2*i), "--http", local(base + 2*i + 1), "--profile", p.cfg.Profile,
		},
	}
	if p.cfg.WriteDelay > 0 {
		one.args = append(one.args, "--test-write-delay", p.cfg.WriteDelay.String())
	}
	founders := 3
	if p.cfg.Nodes >= 5 {
		founders = 5
	}
	if i < founders {
		one.args = append(one.args, "--bootstrap-expect", strconv.Itoa(founders))
	}
	for j := range founders {
		if j != i {
			one.args = append(one.args, "--join", local(base+2*j))
		}
	}
	return one
}

func (p *processes) start(one *process) (err error) {
	if one.running, err = p.cfg.Start(one.args, one.log); err != nil {
		return fmt.Errorf("starting agent %s: %w", one.name, err)
	}
	return nil
}

// close stops all agents and waits for them.
func (p *processes) close() {
	p.web.CloseIdleConnections()
	for _, one := range p.all {
		one.running.Kill()
		<-one.running.Ended()
	}
	p.remove()
}

// leaderAmong returns the one that leads and answers as such, or nil.
func (p *processes) leaderAmong(ctx context.Context, some []*process) *process {
	for _, one := range some {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		status, err := one.calls.Status(asking, client.At("stale"))
		cancel()
		if err == nil && status.Leader != nil && status.Leader.Node == one.name {
			return one
		}
	}
	return nil
}

// metric returns what a node's /metrics says of one name without labels, NaN
// if it says nothing.
func (one *process) metric(ctx context.Context, name string) float64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+one.http+"/metrics", http.NoBody)
	if err != nil {
		return math.NaN()
	}
	resp, err := one.web.Do(req)
	if err != nil {
		return math.NaN()
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if value, err := strconv.ParseFloat(text, 64); err == nil {
				return value
			}
		}
	}
	return math.NaN()
}
