package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-cluster/holdfast/agent"
)

func (p *program) agentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run one node of a cluster until interrupted",
		Long: `Runs one node. Each flag may also be given as HOLDFAST_<FLAG> in the environment (such as
HOLDFAST_DATA_DIR; lists with commas) and as a key of the file that --config names. A flag goes
before the environment, the environment before the file, the file before the default.

The first interrupt (Ctrl-C, SIGTERM) stops the node in good order: a leader hands over first.
The second stops it at once. When its disk fails the node ends: let a supervisor start it again.`,
		Example: `  holdfast agent --data-dir /var/lib/holdfast --bootstrap-expect 1
  holdfast agent --data-dir /var/lib/holdfast --node-id n2 --bootstrap-expect 3 \
    --listen 10.0.0.2:7400 --http 10.0.0.2:7401 --join 10.0.0.1:7400 --join 10.0.0.3:7400 \
    --tls-ca ca.pem --tls-cert n2.pem --tls-key n2-key.pem --gossip-key-file gossip.keys --auth-file tokens.yaml
  holdfast agent --config /etc/holdfast.yaml`,
		Args: takes(),
	}
	v := newAgentFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.settle(cmd.Flags()); err != nil {
			return err
		}
		cfg, err := p.agentConfig(v)
		if err != nil {
			return err
		}
		if cfg.Cluster.Logger, err = p.logger(v); err != nil {
			return err
		}
		a, err := agent.New(cfg)
		if err != nil {
			return usage("%s", inFlags(err, cmd.Flags()))
		}
		cfg.Cluster.Logger.Info("holdfast "+version, effective(cmd.Flags())...)
		return p.runAgent(cmd.Context(), a)
	}
	return cmd
}

// inFlags makes a flag of the field that an error of the configuration begins
// with: fields are spelt as flags there.
func inFlags(err error, flags *pflag.FlagSet) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "agent: "), "cluster: ")
	if field, _, _ := strings.Cut(text, ": "); flags.Lookup(field) != nil {
		return "--" + text
	}
	return text
}

// runAgent runs a node until it ends or the second interrupt kills it.
func (p *program) runAgent(ctx context.Context, a *agent.Agent) error {
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-p.now:
			a.Kill()
		case <-ended:
		}
	}()
	err := a.Run(ctx)
	close(ended)
	<-watched
	return err
}

// logger returns what the node logs with.
func (p *program) logger(v *agentFlags) (hclog.Logger, error) {
	level := hclog.LevelFromString(v.logLevel)
	if level == hclog.NoLevel {
		return nil, usage("--log-level: %q is none of trace, debug, info, warn, error", v.logLevel)
	}
	if v.logFormat != "text" && v.logFormat != "json" {
		return nil, usage("--log-format: %q is neither text nor json", v.logFormat)
	}
	return hclog.New(&hclog.LoggerOptions{
		Name: "holdfast", Level: level, Output: p.stderr, JSONFormat: v.logFormat == "json",
	}), nil
}

// effective lists the settings in force, for the first line of the log.
// Secrets are left out.
func effective(flags *pflag.FlagSet) []any {
	var pairs []any
	flags.VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		if l, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(l.GetSlice(), ",")
		}
		switch {
		case f.Name == "help":
			return
		case f.Name == "gossip-key" && value != "":
			value = fmt.Sprintf("(%d characters)", len(value))
		}
		pairs = append(pairs, f.Name, value)
	})
	return pairs
}
