package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
)

// Limits and times of dev.
const (
	devNodesMax = 99
	devReadyIn  = 60 * time.Second // until all nodes are ready and one leads
	devPoll     = 50 * time.Millisecond
	devPatience = 15 * time.Second // until a node that was told to stop has stopped
)

// dev is a cluster of processes on this machine.
type dev struct {
	p        *program
	nodes    int
	basePort int
	dir      string
	extra    []string // flags for every agent
	exe      string
	spawner  *spawner
	children []*child
}

func (p *program) devCommand() *cobra.Command {
	d := &dev{p: p}
	cmd := &cobra.Command{
		Use:   "dev [-- AGENT-FLAGS]",
		Short: "Run a whole cluster on this machine, to try things out",
		Long: `Runs a cluster of real processes on this machine until interrupted: node i is n<i>, its node
port is base-port+2(i-1), its API one port above. Flags after -- go to every agent; {i} in them
stands for the node's number. When a node dies, dev says so and how to start it again, and the
others go on. Ctrl-C stops them all; without --data-dir nothing is left behind.`,
		Example: `  holdfast dev
  holdfast dev --nodes 5 --base-port 8400 --data-dir ./try
  holdfast dev --nodes 3 -- --zone z{i} --log-level debug`,
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); len(args) > 0 && n != 0 {
				return usage("%q is no flag of dev: flags for the agents come after --", args[0])
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&d.nodes, "nodes", 3, "how many nodes")
	cmd.Flags().IntVar(&d.basePort, "base-port", 7400, "node port of the first node")
	cmd.Flags().StringVar(&d.dir, "data-dir", "", "keep the data here (default: a temporary directory, removed at the end)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d.extra = args
		return d.run(cmd.Context())
	}
	return cmd
}

// run starts the cluster, watches over it until ctx ends, and stops it.
func (d *dev) run(ctx context.Context) (err error) {
	if err := d.check(); err != nil {
		return err
	}
	if d.exe, err = d.p.executable(); err != nil {
		return fmt.Errorf("finding this program to run it again: %w", err)
	}
	remove, err := d.openDir()
	if err != nil {
		return err
	}
	defer remove()
	d.spawner = newSpawner()
	defer d.spawner.close()
	defer d.stop()
	for i := 1; i <= d.nodes; i++ {
		if err := d.start(i); err != nil {
			return err
		}
	}
	if err := d.wait(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it was up
		}
		return err
	}
	if err := d.welcome(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	d.watch(ctx)
	return nil
}

// check refuses numbers that cannot work, and ports that are taken.
func (d *dev) check() error {
	last := d.basePort + 2*d.nodes - 1
	switch {
	case d.nodes < 1 || d.nodes > devNodesMax:
		return usage("--nodes: %d is not within 1..%d", d.nodes, devNodesMax)
	case d.basePort < 1 || last > 65535:
		return usage("--base-port: %s take the ports %d to %d, which are not all within 1..65535", plural(d.nodes, "node"), d.basePort, last)
	}
	for port := d.basePort; port <= last; port++ {
		addr := local(port)
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("port %d is not free (%w): stop what has it, or choose another --base-port", port, errors.Unwrap(err))
		}
		ln.Close()
	}
	return nil
}

// openDir makes the directory for everything, and returns what removes it if
// it is a temporary one.
func (d *dev) openDir() (remove func(), err error) {
	if d.dir != "" {
		if d.dir, err = filepath.Abs(d.dir); err == nil {
			err = os.MkdirAll(d.dir, 0o755)
		}
		if err != nil {
			return nil, usage("--data-dir: %w", err)
		}
		return func() {}, nil
	}
	if d.dir, err = os.MkdirTemp("", "holdfast-dev-"); err != nil {
		return nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	return d.remove, nil
}

// remove removes the temporary directory, unless a node that somebody else
// started still uses it.
func (d *dev) remove() {
	users, err := d.users()
	if len(users) > 0 {
		fmt.Fprintf(d.p.stderr, "holdfast: the temporary directory stays, still used by %s, which dev did not start: stop that, then: rm -r %s\n",
			strings.Join(users, ", "), shellWord(d.dir))
		return
	}
	if err == nil {
		err = os.RemoveAll(d.dir)
	}
	if err != nil {
		fmt.Fprintf(d.p.stderr, "holdfast: the temporary directory %s is still there: %v\n", d.dir, err)
	}
}

// users lists the nodes whose data a process has open. It is asked when all
// children have ended.
func (d *dev) users() ([]string, error) {
	var users []string
	for i := 1; i <= d.nodes; i++ {
		used, err := datadir.InUse(d.dataDir(i))
		if err != nil {
			return users, err
		}
		if used {
			users = append(users, fmt.Sprintf("node n%d (http://%s)", i, d.httpAddr(i)))
		}
	}
	return users, nil
}

// expect is how many nodes begin the cluster: the largest of 1, 3 and 5 that
// there are.
func (d *dev) expect() int {
	switch {
	case d.nodes >= 5:
		return 5
	case d.nodes >= 3:
		return 3
	}
	return 1
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (d *dev) nodeAddr(i int) string { return local(d.basePort + 2*(i-1)) }
func (d *dev) httpAddr(i int) string { return local(d.basePort + 2*(i-1) + 1) }
func (d *dev) nodeDir(i int) string  { return filepath.Join(d.dir, fmt.Sprintf("n%d", i)) }
func (d *dev) dataDir(i int) string  { return filepath.Join(d.nodeDir(i), "data") }
func (d *dev) logFile(i int) string  { return filepath.Join(d.nodeDir(i), "agent.log") }

// agentArgs is the command line of node i. Those that begin the cluster name
// each other, the others join them.
func (d *dev) agentArgs(i int) []string {
	args := []string{
		"agent", "--node-id", fmt.Sprintf("n%d", i), "--data-dir", d.dataDir(i),
		"--listen", d.nodeAddr(i), "--http", d.httpAddr(i), "--profile", "local",
	}
	expect := d.expect()
	if i <= expect {
		args = append(args, "--bootstrap-expect", strconv.Itoa(expect))
	}
	for j := 1; j <= expect; j++ {
		if j != i {
			args = append(args, "--join", d.nodeAddr(j))
		}
	}
	for _, word := range d.extra {
		args = append(args, strings.ReplaceAll(word, "{i}", strconv.Itoa(i)))
	}
	return args
}

// start starts node i. Its log is a file beside its data.
func (d *dev) start(i int) error {
	if err := os.MkdirAll(d.nodeDir(i), 0o755); err != nil {
		return fmt.Errorf("making the directory of node n%d: %w", i, err)
	}
	c, err := d.spawner.start(childConfig{
		name: fmt.Sprintf("n%d", i), exe: d.exe, args: d.agentArgs(i), log: d.logFile(i), environ: d.p.childEnviron(),
	})
	if err != nil {
		return fmt.Errorf("starting node n%d: %w", i, err)
	}
	d.children = append(d.children, c)
	return nil
}

// childEnviron is the environment without settings meant for one agent: they
// would reach them all.
func (p *program) childEnviron() []string {
	var kept []string
	for _, kv := range p.environ {
		if !strings.HasPrefix(kv, "HOLDFAST_") {
			kept = append(kept, kv)
		}
	}
	return kept
}
