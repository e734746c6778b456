package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

func (p *program) nodeCommand() *cobra.Command {
	cmd := group("node", "List, cordon, weigh and remove nodes", "  holdfast node list\n  holdfast node cordon n2 --reason \"new disk\"")
	a := p.accessTo(cmd)
	cmd.AddCommand(
		nodeListCommand(a, "list"), nodeShowCommand(a),
		nodeCordonCommand(a), nodeUncordonCommand(a), nodeWeightCommand(a),
		nodeRemoveCommand(a), nodeOrphansCommand(a),
	)
	return cmd
}

// nodesCommand is node list under a shorter name.
func (p *program) nodesCommand() *cobra.Command {
	a := &access{p: p}
	cmd := nodeListCommand(a, "nodes")
	a.flags(cmd)
	return cmd
}

func nodeListCommand(a *access, use string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     use,
		Short:   "List the nodes",
		Example: "  holdfast nodes\n  holdfast node list -o json",
		Args:    takes(),
	}
	at := level(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, _ []string) error {
		nodes, err := s.Nodes(cmd.Context(), at())
		if err != nil {
			return err
		}
		return s.print(func(w io.Writer) { writeNodes(w, nodes) })
	})
	return cmd
}

func writeNodes(w io.Writer, nodes []api.Node) {
	fmt.Fprintln(w, "NODE\tSTATE\tELIGIBILITY\tROLE\tZONE\tREADY\tPULLING\tDROPPING\tUSED\tCAPACITY\tWEIGHT\tADDRESS\tHTTP")
	for i := range nodes {
		n := &nodes[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n",
			n.ID, n.State, eligibility(n), raftRole(n), dash(n.Zone), n.Holders.Ready, n.Holders.Pulling, n.Holders.Dropping,
			formatBytes(n.UsedBytes), capacity(n), strconv.FormatFloat(n.Weight, 'g', 4, 64), dash(n.Addresses.Node), dash(n.Addresses.HTTP))
	}
}

// raftRole is what a node is in raft.
func raftRole(n *api.Node) string {
	switch {
	case n.Leader:
		return "leader"
	case n.Voter:
		return "voter"
	case n.Role == "server":
		return "standby"
	}
	return n.Role
}

func eligibility(n *api.Node) string {
	if n.NoSpace {
		return n.Eligibility + ", disk full"
	}
	return n.Eligibility
}

func capacity(n *api.Node) string {
	if n.CapacityBytes == 0 {
		return "unlimited"
	}
	return formatBytes(n.CapacityBytes)
}

func nodeShowCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NODE",
		Short:   "Show one node",
		Example: "  holdfast node show n1",
		Args:    takes("NODE"),
	}
	at := level(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		n, err := s.Node(cmd.Context(), args[0], at())
		if err != nil {
			return err
		}
		return s.print(func(w io.Writer) { writeNode(w, n) })
	})
	return cmd
}

func writeNode(w io.Writer, n *api.Node) {
	fmt.Fprintf(w, "node\t%s, %s, %s\n", n.ID, n.State, eligibility(n))
	fmt.Fprintf(w, "raft\t%s\n", raftRole(n))
	fmt.Fprintf(w, "zone\t%s\n", dash(n.Zone))
	fmt.Fprintf(w, "labels\t%s\n", labels(n.Labels))
	fmt.Fprintf(w, "addresses\tnode %s, http %s, service %s\n", n.Addresses.Node, n.Addresses.HTTP, dash(n.Addresses.Service))
	fmt.Fprintf(w, "copies\t%d ready, %d pulling, %d dropping\n", n.Holders.Ready, n.Holders.Pulling, n.Holders.Dropping)
	fmt.Fprintf(w, "bytes\t%s used, capacity %s\n", formatBytes(n.UsedBytes), capacity(n))
	fmt.Fprintf(w, "weight\t%g\n", n.Weight)
	writeCapabilities(w, n.Capabilities)
	fmt.Fprintf(w, "now\t%s\n", strings.Join(nowWords(n), ", "))
	fmt.Fprintf(w, "instance\t%s, incarnation %d, version %s\n", n.Instance, n.Incarnation, dash(n.Version))
	if n.DrainDeadline != 0 {
		fmt.Fprintf(w, "drain deadline\tcluster time %s\n", formatTime(n.DrainDeadline))
	}
}

// writeCapabilities prints what a node has, one line a capability; what counts
// bytes is printed as people read it, and as expressions compare it.
func writeCapabilities(w io.Writer, m map[string]any) {
	title := "capabilities"
	if len(m) == 0 {
		fmt.Fprintf(w, "%s\t-\n", title)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		value := fmt.Sprint(m[k])
		if n, ok := m[k].(float64); ok {
			value = strconv.FormatFloat(n, 'f', -1, 64)
			if strings.HasSuffix(k, "_bytes") && math.Abs(n) < math.MaxInt64 {
				value += " (" + formatBytes(int64(n)) + ")"
			}
		}
		fmt.Fprintf(w, "%s\t%s=%s\n", title, k, value)
		title = ""
	}
}

// nowWords says what was last heard of a node.
func nowWords(n *api.Node) []string {
	var words []string
	if n.Load != nil {
		words = append(words, fmt.Sprintf("load %.2f per core", *n.Load))
	}
	if n.FreeBytes != nil {
		words = append(words, formatBytes(*n.FreeBytes)+" of disk free")
	}
	if n.MemoryFreeBytes != nil {
		words = append(words, formatBytes(*n.MemoryFreeBytes)+" of memory free")
	}
	if words == nil {
		words = append(words, "nothing heard of late")
	}
	return words
}

// labels prints labels in the order of their keys.
func labels(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return dash(strings.Join(parts, ", "))
}

func nodeCordonCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cordon NODE",
		Short:   "Give a node no new copies; those it has stay",
		Example: "  holdfast node cordon n2 --reason \"disk makes noises\"",
		Args:    takes("NODE"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if _, err := s.Cordon(cmd.Context(), args[0], *why); err != nil {
			return err
		}
		return s.say("node %s gets no new copies", args[0])
	})
	return cmd
}

func nodeUncordonCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "uncordon NODE",
		Short:   "Let a node have new copies again",
		Example: "  holdfast node uncordon n2 --reason \"disk replaced\"",
		Args:    takes("NODE"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if _, err := s.Uncordon(cmd.Context(), args[0], *why); err != nil {
			return err
		}
		return s.say("node %s may have new copies", args[0])
	})
	return cmd
}

func nodeWeightCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "weight NODE WEIGHT",
		Short:   "Set the share of copies that a node should take, from 0 to 1",
		Example: "  holdfast node weight n2 0.5 --reason \"half the memory\"",
		Args:    takes("NODE", "WEIGHT"),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		weight, err := strconv.ParseFloat(args[1], 64)
		if err != nil || !(weight >= 0 && weight <= 1) {
			return usage("WEIGHT: %q is not a number from 0 to 1", args[1])
		}
		if _, err := s.SetWeight(cmd.Context(), args[0], weight, *why); err != nil {
			return err
		}
		return s.say("node %s has weight %g", args[0], weight)
	})
	return cmd
}

func nodeRemoveCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Forget a node that is dead or has left",
		Long: `Forgets a node that is dead or has left. It is refused while the node has the last copy of
a chain, lost ones counted; --allow-data-loss gives such copies up for good.`,
		Example: "  holdfast node remove n2 --reason \"machine scrapped\"",
		Args:    takes("NODE"),
	}
	why := reason(cmd)
	lossy := cmd.Flags().Bool("allow-data-loss", false, "give up the last copies that the node has; needs --reason")
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if *lossy && *why == "" {
			return usage("--allow-data-loss needs --reason: it goes into the history")
		}
		if _, err := s.RemoveNode(cmd.Context(), args[0], api.NodeRemoval{AllowDataLoss: *lossy, Reason: api.NullString(*why)}); err != nil {
			return err
		}
		return s.say("node %s is forgotten", args[0])
	})
	return cmd
}

func nodeOrphansCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "orphans NODE",
		Short: "List, or purge, a node's copies of chains that the cluster does not know",
		Long: `Lists the copies on a node of chains that the cluster does not know. They are kept until
--purge CHAIN --reason TEXT lets the node delete one.`,
		Example: "  holdfast node orphans n1\n  holdfast node orphans n1 --purge old-chain --reason \"checked, not needed\"",
		Args:    takes("NODE"),
	}
	why := reason(cmd)
	purge := cmd.Flags().String("purge", "", "the chain whose copy the node may delete; needs --reason")
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if *purge == "" {
			return listOrphans(s, cmd, args[0])
		}
		if *why == "" {
			return usage("--purge needs --reason: it goes into the history")
		}
		if _, err := s.PurgeOrphan(cmd.Context(), args[0], *purge, *why); err != nil {
			return err
		}
		return s.say("node %s deletes its copy of %s", args[0], *purge)
	})
	return cmd
}

func listOrphans(s *session, cmd *cobra.Command, node string) error {
	l, err := s.Orphans(cmd.Context(), node, client.Page{Limit: api.LimitMax})
	if err != nil {
		return err
	}
	return s.print(func(w io.Writer) {
		fmt.Fprintln(w, "CHAIN\tEPOCH\tSIZE\tSHA256")
		for _, o := range l.Orphans {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", o.Chain, o.Epoch, formatBytes(o.SizeBytes), dash(o.SHA256))
		}
	})
}
