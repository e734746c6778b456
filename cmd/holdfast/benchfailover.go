package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/internal/bench"
)

// failoverFlags is the command line of bench failover.
type failoverFlags struct {
	p      *program
	cfg    bench.FailoverConfig
	output string
}

func (p *program) failoverCommand() *cobra.Command {
	b := &failoverFlags{p: p, cfg: bench.DefaultFailover()}
	cmd := &cobra.Command{
		Use:   "failover",
		Short: "How long no write is answered when the leader is killed, stopped, or hands over",
		Long: `Starts a cluster of processes of this program on loopback and, again and again, kills its leader,
stops it in good order, and lets it hand over, while clients write through the other nodes.
With --load it harms nobody: it keeps all processors busy for so long, with writes, contents and
snapshots beside, and counts elections, of which there should be none.`,
		Example: "  holdfast bench failover --runs 20\n  holdfast bench failover --write-delay 50ms --runs 5\n  holdfast bench failover --load 10m",
		Args:    takes(),
	}
	f := cmd.Flags()
	f.IntVar(&b.cfg.Runs, "runs", b.cfg.Runs, "failovers of each kind")
	f.IntVar(&b.cfg.Nodes, "nodes", b.cfg.Nodes, "agents, each a process")
	f.StringVar(&b.cfg.Profile, "profile", b.cfg.Profile, "profile of the agents: auto, local, lan, wan")
	f.DurationVar(&b.cfg.WriteDelay, "write-delay", 0, "let each write below a data directory take so much longer, as on a slow disk")
	f.DurationVar(&b.cfg.Load, "load", 0, "let nothing fail, but keep all processors busy for so long")
	f.StringVar(&b.cfg.Dir, "dir", "", "make the temporary directory here, to measure that disk (default: where the system keeps such)")
	f.StringVarP(&b.output, "output", "o", "table", "table, or json: one flat object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context()) }
	return cmd
}

func (b *failoverFlags) run(ctx context.Context) error {
	if b.output != "table" && b.output != "json" {
		return usage("--output: %q is neither table nor json", b.output)
	}
	if err := b.cfg.Validate(); err != nil {
		return usage("--%w", err)
	}
	exe, err := b.p.executable()
	if err != nil {
		return fmt.Errorf("finding this program to run it again: %w", err)
	}
	spawner := newSpawner()
	defer spawner.close()
	environ := b.p.childEnviron()
	b.cfg.Start = func(args []string, log string) (bench.Process, error) {
		c, err := spawner.start(childConfig{exe: exe, args: args, log: log, environ: environ})
		if err != nil {
			return nil, err
		}
		return process{c}, nil
	}
	if b.output == "table" {
		b.cfg.Progress = func(format string, args ...any) { fmt.Fprintf(b.p.stderr, format+"\n", args...) }
	}
	measure := bench.Failover
	if b.cfg.Load > 0 {
		measure = bench.Load
	}
	report, err := measure(ctx, b.cfg)
	return b.p.writeReport(ctx, report, err, b.output)
}

// process is a child as a benchmark sees it.
type process struct{ child *child }

// Terminate implements bench.Process.
func (p process) Terminate() { p.child.terminate() }

// Kill implements bench.Process.
func (p process) Kill() { p.child.kill() }

// Ended implements bench.Process.
func (p process) Ended() <-chan struct{} { return p.child.ended }
