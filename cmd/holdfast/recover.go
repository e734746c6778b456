package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/cluster/datadir"
)

// recoverFlags are those of raft recover.
type recoverFlags struct {
	dataDir, confirm string
	rejoin, force    bool
}

func (p *program) raftRecoverCommand() *cobra.Command {
	v := new(recoverFlags)
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Go on with one survivor after a majority of the voters is lost for good",
		Long: `Works on the data directory of a node that is stopped. Without --confirm it only says what
the directory holds and what would be done.

When a majority of the voters is lost for good, stop all survivors, look at each with this
command, and recover the one whose last entry has the highest term, then index. It becomes the
only server of the cluster, under a new cluster id and lineage. What it did not know is lost;
nothing is moved, repaired or deleted until every node has said what it holds (restore guard).

Start it, then let the other survivors in again with --rejoin: they keep their name and their
content. Servers that were lost and come back are turned away until that is done for them too.`,
		Example: `  holdfast raft recover --data-dir /var/lib/holdfast
  holdfast raft recover --data-dir /var/lib/holdfast --confirm 0d9c4e5e-5f7f-4a43-8d0b-1a2b3c4d5e6f
  holdfast raft recover --data-dir /var/lib/holdfast --rejoin --confirm 0d9c4e5e-5f7f-4a43-8d0b-1a2b3c4d5e6f`,
		Args: takes(),
	}
	f := cmd.Flags()
	f.StringVar(&v.dataDir, "data-dir", "", "the data directory of the node (HOLDFAST_DATA_DIR)")
	f.StringVar(&v.confirm, "confirm", "", "the cluster id that the directory has, to do it")
	f.BoolVar(&v.rejoin, "rejoin", false, "let this node join a cluster that was recovered on another one")
	f.BoolVar(&v.force, "force", false, "recover although something answers where another server was: if that is one, it will end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if dir, ok := p.env("HOLDFAST_DATA_DIR"); ok && v.dataDir == "" {
			v.dataDir = dir
		}
		switch {
		case v.dataDir == "":
			return usage("--data-dir: name the data directory of the node that is stopped")
		case v.rejoin:
			return p.rejoin(v)
		}
		return p.recover(cmd.Context(), v)
	}
	return cmd
}

// recover looks at a data directory, and recovers the cluster from it if that
// is confirmed.
func (p *program) recover(ctx context.Context, v *recoverFlags) (err error) {
	o, err := cluster.OpenOffline(v.dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	found, running := o.Found(), o.Running(ctx)
	if v.confirm == "" {
		w := tabwriter.NewWriter(p.stdout, 0, 0, 3, ' ', 0)
		writeFound(w, &found)
		if err := w.Flush(); err != nil {
			return err
		}
		for _, s := range running {
			fmt.Fprintf(p.stdout, "Something answers at %s, where node %s was: stop it first.\n", s.Address, dash(string(s.Node)))
		}
		fmt.Fprintf(p.stdout, "With --confirm %s node %s goes on as the only server, under a new cluster id and lineage.\n", found.ClusterID, found.Node)
		return nil
	}
	switch {
	case v.confirm != found.ClusterID:
		return usage("--confirm: the directory is of cluster id %s, not %s", found.ClusterID, v.confirm)
	case len(running) > 0 && !v.force:
		return usage("something answers at %s, where node %s was: stop all other servers, or say --force if it is none of them", running[0].Address, dash(string(running[0].Node)))
	}
	id, err := o.Recover()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Node %s is the only server of cluster id %s now. Start it, then let the other survivors in again, each stopped, with\n  holdfast raft recover --rejoin --data-dir … --confirm %s\n", found.Node, id, found.ClusterID)
	return nil
}

func writeFound(w io.Writer, f *cluster.Found) {
	fmt.Fprintf(w, "node\t%s, instance %s\n", f.Node, f.Instance)
	fmt.Fprintf(w, "cluster\t%s, id %s, lineage %s\n", f.View.ClusterName, f.ClusterID, f.View.Lineage)
	fmt.Fprintf(w, "last entry\tterm %d, index %d\n", f.Term, f.Index)
	fmt.Fprintf(w, "state\trevision %d, %d chains, %d nodes\n", f.View.Revision, f.View.Chains.Len(), f.View.Nodes.Len())
	for i, s := range f.Servers {
		head, role := "", "standby"
		if i == 0 {
			head = "servers"
		}
		if s.Voter {
			role = "voter"
		}
		fmt.Fprintf(w, "%s\t%s, %s, at %s\n", head, dash(string(s.Node)), role, s.Address)
	}
}

// rejoin makes a node one that has yet to join, if that is confirmed.
func (p *program) rejoin(v *recoverFlags) (err error) {
	dir, err := datadir.Open(v.dataDir, datadir.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	id := dir.Cluster().ID
	switch {
	case id == "":
		return usage("--data-dir: %s is of no member: start the node with --join", v.dataDir)
	case v.confirm == "":
		fmt.Fprintf(p.stdout, "With --confirm %s node %s forgets its log and its cluster and joins again under its name, with the content that it has.\n", id, dir.NodeID())
		return nil
	case v.confirm != id:
		return usage("--confirm: the directory is of cluster id %s, not %s", id, v.confirm)
	}
	aside, err := dir.Reset()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Node %s joins again when it is started with --join. What raft kept is in %s; delete it when all is well.\n", dir.NodeID(), aside)
	return nil
}
