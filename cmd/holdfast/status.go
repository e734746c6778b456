package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

func (p *program) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the cluster is doing",
		Long: `Shows the cluster as its leader sees it. Without a leader it shows what one node knows,
which may be out of date, and says so.`,
		Example: "  holdfast status\n  holdfast status -o json",
		Args:    takes(),
	}
	cmd.RunE = p.accessTo(cmd).run(func(s *session, cmd *cobra.Command, _ []string) error {
		status, err := s.Status(cmd.Context())
		var problem *api.Problem
		if errors.As(err, &problem) && problem.Code == api.NoLeader {
			s.hint("no node leads at the moment; this is what one node knows")
			status, err = s.Status(cmd.Context(), client.At(api.Stale))
		}
		if err != nil {
			return err
		}
		return s.print(func(w io.Writer) { writeStatus(w, status) })
	})
	return cmd
}

func writeStatus(w io.Writer, s *api.ClusterStatus) {
	leader := "none"
	if s.Leader != nil {
		leader = fmt.Sprintf("%s at %s, term %d", s.Leader.Node, s.Leader.HTTP, s.Term)
	}
	fmt.Fprintf(w, "cluster\t%s, id %s\n", s.Cluster.Name, dash(s.Cluster.ID))
	fmt.Fprintf(w, "leader\t%s\n", leader)
	fmt.Fprintf(w, "asked\t%s, version %s, revision %d, cluster time %s\n", s.Node, s.Version, s.Revision, formatTime(s.ClusterTime))
	fmt.Fprintf(w, "nodes\t%s\n", counts([]count{
		{s.Nodes.Alive, "alive"}, {s.Nodes.Suspect, "suspect"}, {s.Nodes.Sick, "sick"}, {s.Nodes.Dead, "dead"},
	}))
	fmt.Fprintf(w, "voters\t%s\n", list(s.Voters))
	if h := s.Heartbeat; h != nil {
		fmt.Fprintf(w, "heartbeat\t%s (%s)\n", h.Timeout, h.Reason)
	}
	c := s.Chains
	fmt.Fprintf(w, "chains\t%d: %s\n", c.Total, counts([]count{
		{c.Healthy, "healthy"},
		{c.Under, "under"},
		{c.Over, "over"},
		{c.Unavailable, "unavailable"},
		{c.Unplaceable, "unplaceable"},
		{c.Quarantined, "quarantined"},
	}))
	fmt.Fprintf(w, "moves\t%d open\n", s.MovesOpen)
	if s.Orphans > 0 {
		fmt.Fprintf(w, "orphans\t%s; see holdfast node orphans NODE\n", orphanCount(s.Orphans))
	}
	if f := s.Freeze; f != nil {
		until := "until thawed"
		if f.Until != 0 {
			until = "until cluster time " + formatTime(f.Until)
		}
		fmt.Fprintf(w, "frozen\t%s, by %s, %s\n", quoted(f.Reason), dash(f.Actor), until)
	}
	if r := s.RepairPause; r != nil {
		fmt.Fprintf(w, "repair paused\tsince %s vanished at once; until half are back, cluster time %s, or holdfast repair resume\n",
			list(r.Nodes), formatTime(r.Until))
	}
	if g := s.RestoreGuard; g != nil {
		fmt.Fprintf(w, "restore guard\twaits for the inventory of %s\n", list(g.Missing))
	}
}

type count struct {
	n    int
	name string
}

// counts prints the numbers that are not 0.
func counts(all []count) string {
	var parts []string
	for _, c := range all {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.name))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// quoted prints a reason.
func quoted(reason string) string {
	if reason == "" {
		return "no reason given"
	}
	return fmt.Sprintf("%q", reason)
}

func orphanCount(n int) string {
	if n == 1 {
		return "1 copy of a chain that is not known"
	}
	return fmt.Sprintf("%d copies of chains that are not known", n)
}
