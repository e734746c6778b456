package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

func (p *program) chainCommand() *cobra.Command {
	cmd := group("chain", "Create, show, explain, move and delete chains", "  holdfast chain create web --desired 2\n  holdfast chain explain web")
	a := p.accessTo(cmd)
	cmd.AddCommand(
		chainListCommand(a), chainShowCommand(a), chainExplainCommand(a),
		chainCreateCommand(a), chainUpdateCommand(a), chainDeleteCommand(a),
		chainMoveCommand(a), chainPinCommand(a), chainUnpinCommand(a),
	)
	return cmd
}

// paging is the flags of a command that lists.
type paging struct {
	after string
	limit int
}

func (g *paging) flags(cmd *cobra.Command, limit int) {
	cmd.Flags().StringVar(&g.after, "after", "", "go on where the page before ended")
	cmd.Flags().IntVar(&g.limit, "limit", limit, fmt.Sprintf("how many to list, 1 to %d", api.LimitMax))
}

func (g *paging) check() error {
	if g.limit < 1 || g.limit > api.LimitMax {
		return usage("--limit: %d is not within 1..%d", g.limit, api.LimitMax)
	}
	return nil
}

// more says how to see what comes after a page.
func (s *session) more(next api.NullString) {
	if next != "" {
		s.hint("there are more: --after %s", next)
	}
}

func chainListCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the chains",
		Example: "  holdfast chain list\n  holdfast chain list --prefix tenant- --limit 20",
		Args:    takes(),
	}
	var page paging
	page.flags(cmd, api.LimitMax)
	prefix := cmd.Flags().String("prefix", "", "only chains whose id begins with this")
	at := level(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, _ []string) error {
		if err := page.check(); err != nil {
			return err
		}
		l, err := s.Chains(cmd.Context(), client.Page{Prefix: *prefix, After: page.after, Limit: page.limit}, at())
		if err != nil {
			return err
		}
		defer s.more(l.Next)
		return s.print(func(w io.Writer) { writeChains(w, l.Chains) })
	})
	return cmd
}

func chainShowCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show CHAIN",
		Short:   "Show one chain: its spec, its holders, its open moves",
		Example: "  holdfast chain show web",
		Args:    takes("CHAIN"),
	}
	at := level(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		c, err := s.Chain(cmd.Context(), args[0], at())
		if err != nil {
			return err
		}
		return s.print(func(w io.Writer) { writeChain(w, c) })
	})
	return cmd
}

func chainExplainCommand(a *access) *cobra.Command {
	return &cobra.Command{
		Use:     "explain CHAIN",
		Short:   "Say what the scheduler would do with a chain now, and why nothing else",
		Example: "  holdfast chain explain web",
		Args:    takes("CHAIN"),
		RunE: a.run(func(s *session, cmd *cobra.Command, args []string) error {
			e, err := s.Explain(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return s.print(func(w io.Writer) { writeExplanation(w, e) })
		}),
	}
}

func chainCreateCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create {CHAIN | --file FILE}",
		Short: "Create a chain, or many from a file",
		Long:  bulkHelp,
		Example: "  holdfast chain create web\n  holdfast chain create tenant-7 --desired 2 --size 20GiB --require disk=ssd --require 'memory_bytes>=16GiB'\n" +
			"  holdfast chain create db-a --label db=orders --anti-affinity db=orders --max-per-zone 1 --near zone=a\n" +
			"  holdfast chain create --file chains.jsonl --desired 2\n  seq -f tenant-%.0f 100000 | holdfast chain create --file -",
	}
	why := reason(cmd)
	spec := specFlags(cmd)
	file := cmd.Flags().String("file", "", "a file with one chain a line; - is the standard input")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if *file != "" {
			return takes()(cmd, args)
		}
		return takes("CHAIN")(cmd, args)
	}
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if *file != "" {
			return s.createMany(cmd, *file, *why, spec)
		}
		var wanted api.Spec
		if err := spec.change(cmd, &wanted); err != nil {
			return err
		}
		c, err := s.PutChain(cmd.Context(), args[0], wanted, client.CreateOnly(), client.Because(*why))
		if err != nil {
			return err
		}
		return s.say("chain %s is created: %s wanted", c.ID, copies(c.Spec.Desired))
	})
	return cmd
}

func chainUpdateCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update CHAIN",
		Short: "Change the spec of a chain; what is not named stays",
		Long: `Changes the spec of a chain; what is not named stays. --reset SPEC-KEY goes back to the
cluster's value. Somebody else's change meanwhile is not overwritten: the command is refused.`,
		Example: "  holdfast chain update web --desired 3 --cooldown 10m\n  holdfast chain update web --spread none --colocate chain=cache --reset cooldown",
		Args:    takes("CHAIN"),
	}
	why := reason(cmd)
	spec := specFlags(cmd)
	reset := cmd.Flags().StringSlice("reset", nil, "keys of the spec that go back to the cluster's value (repeatable)")
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		return s.updateSpec(cmd, args[0], *why, func(wanted *api.Spec) error {
			if err := resetSpec(wanted, *reset); err != nil {
				return err
			}
			return spec.change(cmd, wanted)
		})
	})
	return cmd
}

// updateSpec changes what the present spec of a chain says and puts it back,
// unless the spec was changed meanwhile.
func (s *session) updateSpec(cmd *cobra.Command, id, why string, change func(*api.Spec) error) error {
	c, err := s.Chain(cmd.Context(), id)
	if err != nil {
		return err
	}
	if err := change(&c.Spec); err != nil {
		return err
	}
	c, err = s.PutChain(cmd.Context(), id, c.Spec, client.IfGeneration(c.Generation), client.Because(why))
	if err != nil {
		return err
	}
	return s.print(func(w io.Writer) { writeChain(w, c) })
}

func chainDeleteCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete CHAIN",
		Short:   "Delete a chain and all its copies",
		Example: "  holdfast chain delete web --reason \"tenant left\"",
		Args:    takes("CHAIN"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if *why == "" {
			return usage("--reason is missing: deleting a chain deletes its copies, say why")
		}
		if _, err := s.DeleteChain(cmd.Context(), args[0], *why); err != nil {
			return err
		}
		return s.say("chain %s is deleted", args[0])
	})
	return cmd
}

func chainMoveCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "move CHAIN",
		Short: "Move one copy of a chain by hand",
		Long: `Queues a move that goes before everything else. Without --from the scheduler takes the
holder with the lowest score, without --to the best node.`,
		Example: "  holdfast chain move web --from n1 --to n4 --reason \"n1 is slow\"",
		Args:    takes("CHAIN"),
	}
	why := reason(cmd)
	from := cmd.Flags().String("from", "", "the node that loses its copy")
	to := cmd.Flags().String("to", "", "the node that gets one")
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if _, err := s.Move(cmd.Context(), args[0], *from, *to, *why); err != nil {
			return err
		}
		defer s.hint("see how it goes: holdfast moves; holdfast decisions --chain %s", args[0])
		return s.say("the move of %s is queued", args[0])
	})
	return cmd
}

func chainPinCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pin CHAIN",
		Short:   "Keep balance from moving a chain",
		Example: "  holdfast chain pin web --reason \"release week\"",
		Args:    takes("CHAIN"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		return s.setPolicy(cmd, args[0], "pinned", *why)
	})
	return cmd
}

func chainUnpinCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "unpin CHAIN",
		Short:   "Let balance move a chain again",
		Example: "  holdfast chain unpin web --reason \"release done\"",
		Args:    takes("CHAIN"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		return s.setPolicy(cmd, args[0], "eager", *why)
	})
	return cmd
}

// setPolicy changes nothing but the policy. A change by somebody else in
// between does not matter to it, so it tries again.
func (s *session) setPolicy(cmd *cobra.Command, id string, policy api.NullString, why string) error {
	for {
		c, err := s.Chain(cmd.Context(), id)
		if err != nil {
			return err
		}
		c.Spec.Policy = policy
		c, err = s.PutChain(cmd.Context(), id, c.Spec, client.IfGeneration(c.Generation), client.Because(why))
		if isCode(err, api.StaleGeneration) {
			continue
		}
		if err != nil {
			return err
		}
		return s.say("chain %s is %s", id, c.Spec.Policy)
	}
}

// isCode tells whether err is the cluster's answer with that code.
func isCode(err error, code api.Code) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Code == code
}

func copies(n *int) string {
	switch {
	case n == nil:
		return "the cluster's number of copies"
	case *n == 1:
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", *n)
}
