package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/internal/bench"
)

// benchFlags is the command line of one benchmark.
type benchFlags struct {
	p       *program
	cfg     bench.Config
	seconds float64
	size    string
	output  string
}

func (p *program) benchCommand() *cobra.Command {
	cmd := group("bench", "Measure this machine against the limits and rivals of the design", "  holdfast bench plan\n  holdfast bench apply -o json")
	cmd.Long = `Measures this machine, with the parts that a cluster is made of, and prints each figure as a
ratio beside its limit, or beside a rival measured in the same run. It asks no cluster and
touches none; everything happens on loopback and in a temporary directory.`
	cmd.AddCommand(
		p.benchOf("plan", "Plans for a large cluster: cold, idle, after a change, after a node's loss",
			"holdfast bench plan --chains 100000 --nodes 100", bench.Plan, "chains", "nodes"),
		p.benchOf("state", "The replicated state: memory, snapshot, restore, stalls of Apply",
			"holdfast bench state --chains 100000 --nodes 100", bench.State, "chains", "nodes"),
		p.benchOf("apply", "Decisions committed per second, beside bare raft",
			"holdfast bench apply --seconds 10 --dir /var/tmp", bench.Apply),
		p.benchOf("write", "Single writes over HTTP from many clients",
			"holdfast bench write --clients 64", bench.Write, "clients"),
		p.failoverCommand(),
		p.benchOf("copy", "Content copied between two nodes, beside one TCP stream and SHA-256",
			"holdfast bench copy --size 256MiB", bench.Copy, "size"),
	)
	return cmd
}

// benchOf is the command of one benchmark, with the flags that it heeds.
func (p *program) benchOf(
	name, short, example string, run func(context.Context, bench.Config) (*bench.Report, error), flags ...string,
) *cobra.Command {
	b := &benchFlags{p: p, cfg: bench.DefaultConfig()}
	cmd := &cobra.Command{Use: name, Short: short, Example: "  " + example, Args: takes()}
	f := cmd.Flags()
	for _, flag := range flags {
		switch flag {
		case "chains":
			f.IntVar(&b.cfg.Chains, flag, b.cfg.Chains, "chains of the state, three copies each")
		case "nodes":
			f.IntVar(&b.cfg.Nodes, flag, b.cfg.Nodes, "nodes that hold them")
		case "clients":
			f.IntVar(&b.cfg.Clients, flag, b.cfg.Clients, "clients that write at once")
		case "size":
			f.StringVar(&b.size, flag, "1GiB", "size of the content")
		}
	}
	f.Float64Var(&b.seconds, "seconds", b.cfg.Length.Seconds(), "how long each measurement that takes as long as one likes goes on")
	f.StringVar(&b.cfg.Dir, "dir", "", "make the temporary directory here, to measure that disk (default: where the system keeps such)")
	f.StringVarP(&b.output, "output", "o", "table", "table, or json: one flat object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), run) }
	return cmd
}

func (b *benchFlags) run(ctx context.Context, run func(context.Context, bench.Config) (*bench.Report, error)) error {
	if b.output != "table" && b.output != "json" {
		return usage("--output: %q is neither table nor json", b.output)
	}
	b.cfg.Length = time.Duration(b.seconds * float64(time.Second))
	if b.size != "" {
		var err error
		if b.cfg.Size, err = parseBytes(b.size); err != nil {
			return usage("--size: %w", err)
		}
	}
	if err := b.cfg.Validate(); err != nil {
		return usage("--%w", err)
	}
	if b.output == "table" {
		b.cfg.Progress = func(format string, args ...any) { fmt.Fprintf(b.p.stderr, format+" …\n", args...) }
	}
	report, err := run(ctx, b.cfg)
	return b.p.writeReport(ctx, report, err, b.output)
}

// writeReport prints what a benchmark found, or returns why it found nothing.
func (p *program) writeReport(ctx context.Context, report *bench.Report, err error, output string) error {
	if err != nil {
		return cmp.Or(context.Cause(ctx), err) // what an interrupt broke is of no interest
	}
	if output == "table" {
		return report.WriteTable(p.stdout)
	}
	data, err := report.JSON()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", data)
	return err
}
