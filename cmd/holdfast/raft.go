package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

func (p *program) raftCommand() *cobra.Command {
	cmd := group("raft", "Look at the servers that take part in consensus, hand leadership over, recover", "  holdfast raft peers\n  holdfast raft transfer --to n2")
	a := p.accessTo(cmd)
	cmd.AddCommand(raftPeersCommand(a), raftTransferCommand(a), p.raftRecoverCommand())
	return cmd
}

func raftPeersCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List the servers of the raft configuration",
		Long: `Lists the servers of the raft configuration as the leader knows them, with the last entry of
each log when the leader last heard of it. Without a leader it shows what one node knows.`,
		Example: "  holdfast raft peers\n  holdfast raft peers -o json",
		Args:    takes(),
	}
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, _ []string) error {
		state, err := s.Raft(cmd.Context(), client.At(api.FromLeader))
		var problem *api.Problem
		if errors.As(err, &problem) && problem.Code == api.NoLeader {
			s.hint("no node leads at the moment; this is what one node knows")
			state, err = s.Raft(cmd.Context(), client.At(api.Stale))
		}
		if err != nil {
			return err
		}
		return s.print(func(w io.Writer) { writePeers(w, state) })
	})
	return cmd
}

func writePeers(w io.Writer, state *api.RaftState) {
	fmt.Fprintln(w, "NODE\tRAFT\tADDRESS\tLAST ENTRY\tANSWERED\tINSTANCE")
	for i := range state.Servers {
		p := &state.Servers[i]
		role, match, answered := "standby", "-", "-"
		switch {
		case p.Leader:
			role = "leader"
		case p.Voter:
			role = "voter"
		}
		if p.Match != nil {
			match = strconv.FormatUint(*p.Match, 10)
		}
		if p.LastContact != nil {
			answered = time.Duration(*p.LastContact).Round(100*time.Millisecond).String() + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", dash(string(p.Node)), role, p.Address, match, answered, p.Instance)
	}
}

func raftTransferCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "transfer",
		Short:   "Hand leadership to another voter",
		Example: "  holdfast raft transfer --reason \"n1 is to be rebooted\"\n  holdfast raft transfer --to n2",
		Args:    takes(),
	}
	why := reason(cmd)
	to := cmd.Flags().String("to", "", "the voter that shall lead (default: one that is up to date)")
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, _ []string) error {
		if _, err := s.TransferLeadership(cmd.Context(), *to, *why); err != nil {
			return err
		}
		return s.say("leadership is handed over")
	})
	return cmd
}
