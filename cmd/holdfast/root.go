package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// rootCommand returns the whole tree of commands.
func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Keep every chain held where it is held best, and remember what was moved",
		Long: `Holdfast keeps R live copies of each of your chains (shards, tenants, files: whatever you
have in many pieces) on good machines, and remembers what it moved and why.

Try it: "holdfast dev" starts a cluster of three on this machine and says what to do next.`,
		Example: `  holdfast dev
  holdfast status
  holdfast chain create web --desired 2
  holdfast chain explain web`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if value := badValue(err); value != nil {
			return usage("--%s: %w", value.GetFlag().Name, inWords(err))
		}
		return usage("%w; %q lists the flags", err, cmd.CommandPath()+" --help")
	})
	root.AddCommand(
		p.devCommand(), p.agentCommand(),
		p.statusCommand(), p.nodeCommand(), p.nodesCommand(), p.chainCommand(), p.contentCommand(), p.configCommand(),
		p.movesCommand(), p.decisionsCommand(), p.eventsCommand(),
		p.freezeCommand(), p.thawCommand(), p.repairCommand(),
		p.snapshotCommand(), p.raftCommand(),
		p.tokenCommand(), p.tlsCommand(), p.simCommand(), p.benchCommand(),
		p.versionCommand(),
	)
	addCompletion(root)
	return root
}

// group returns a command that only has commands below it.
func group(use, short, example string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: unknownCommand}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return usage("say what to do: %s %s", cmd.CommandPath(), strings.Join(childNames(cmd), "|"))
	}
	return cmd
}

// unknownCommand refuses an argument that is no command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage("%q is no command of %q: there are %s", args[0], cmd.CommandPath(), strings.Join(childNames(cmd), ", "))
}

func childNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	return names
}

// addCompletion adds the command that prints completion scripts, with an
// example like every other.
func addCompletion(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Example = "  holdfast help chain explain"
		case "completion":
			c.Example = "  source <(holdfast completion bash)"
			c.Args, c.RunE = unknownCommand, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			for _, shell := range c.Commands() {
				shell.Example = "  holdfast completion " + shell.Name()
				shell.Args = takes()
			}
		}
	}
}
