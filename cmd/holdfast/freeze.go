package main

import (
	"time"

	"github.com/spf13/cobra"
)

func (p *program) freezeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "freeze",
		Short: "Stop the opening of moves, repair included; open moves finish",
		Long: `Stops the opening of moves, repair included, except those that an operator forces. Open
moves finish. It lasts until holdfast thaw, or as long as --for says.`,
		Example: "  holdfast freeze --for 1h --reason \"network maintenance\"",
		Args:    takes(),
	}
	why := reason(cmd)
	span := cmd.Flags().Duration("for", 0, "thaw by itself after so long (default: until thawed)")
	cmd.RunE = p.accessTo(cmd).run(func(s *session, cmd *cobra.Command, _ []string) error {
		if *span < 0 {
			return usage("--for: %v is negative", *span)
		}
		if _, err := s.Freeze(cmd.Context(), *span, *why); err != nil {
			return err
		}
		if *span > 0 {
			return s.say("frozen for %v; holdfast thaw ends it earlier", span.Round(time.Second))
		}
		return s.say("frozen until holdfast thaw")
	})
	return cmd
}

func (p *program) thawCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "thaw",
		Short:   "Let moves be opened again",
		Example: "  holdfast thaw --reason \"maintenance is over\"",
		Args:    takes(),
	}
	why := reason(cmd)
	cmd.RunE = p.accessTo(cmd).run(func(s *session, cmd *cobra.Command, _ []string) error {
		if _, err := s.Thaw(cmd.Context(), *why); err != nil {
			return err
		}
		return s.say("thawed")
	})
	return cmd
}

func (p *program) repairCommand() *cobra.Command {
	cmd := group("repair", "Resume repair after too much vanished at once", "  holdfast repair resume --reason \"the zone is gone for good\"")
	a := p.accessTo(cmd)
	resume := &cobra.Command{
		Use:     "resume",
		Short:   "End the repair pause now",
		Example: "  holdfast repair resume --reason \"the zone is gone for good\"",
		Args:    takes(),
	}
	why := reason(resume)
	resume.RunE = a.run(func(s *session, cmd *cobra.Command, _ []string) error {
		if _, err := s.ResumeRepair(cmd.Context(), *why); err != nil {
			return err
		}
		return s.say("repair goes on")
	})
	cmd.AddCommand(resume)
	return cmd
}
