package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/fsm"
)

func (p *program) snapshotCommand() *cobra.Command {
	cmd := group("snapshot", "Save, inspect and restore the state of the cluster", "  holdfast snapshot save monday.snap\n  holdfast snapshot inspect monday.snap")
	a := p.accessTo(cmd)
	cmd.AddCommand(snapshotSaveCommand(a), snapshotInspectCommand(a), snapshotRestoreCommand(a), snapshotReleaseCommand(a))
	return cmd
}

func snapshotSaveCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "Save the state of the cluster in a new file",
		Long: `Saves the state (chains, nodes, configuration, history; not the contents) in a file that does
not exist yet. It appears under its name only when all of it has arrived and its checksum is
right.`,
		Example: "  holdfast snapshot save monday.snap",
		Args:    takes("FILE"),
	}
	at := level(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		if _, err := os.Lstat(args[0]); err == nil {
			return usage("FILE: %s exists; choose another name", args[0])
		}
		saved, err := s.Snapshot(cmd.Context(), at())
		if err != nil {
			return err
		}
		defer saved.Close()
		view, size, err := saveSnapshot(args[0], saved)
		if err != nil {
			return err
		}
		s.hint("%s is the state at revision %d of lineage %s: %s; chains: %d, nodes: %d", args[0], view.Revision, view.Lineage, formatBytes(size), view.Chains.Len(), view.Nodes.Len())
		return nil
	})
	return cmd
}

// saveSnapshot writes a snapshot to a new file, which gets its name when it is
// whole and on disk.
func saveSnapshot(name string, saved io.Reader) (*fsm.View, int64, error) {
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"."+rand.Text())
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, 0, usage("FILE: %w", err)
	}
	defer os.Remove(part)
	defer f.Close()
	size, err := io.Copy(f, saved)
	if err != nil {
		return nil, 0, fmt.Errorf("the snapshot broke off after %s: %w; try again", formatBytes(size), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, 0, err
	}
	view, err := fsm.ReadSnapshot(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Link(part, name) // unlike a rename it replaces nothing
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if errors.Is(err, os.ErrExist) {
		err = usage("FILE: %s exists; choose another name", name)
	}
	return view, size, err
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func snapshotInspectCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "inspect FILE",
		Short:   "Say what a saved snapshot holds, and whether it is whole; asks no cluster",
		Example: "  holdfast snapshot inspect monday.snap",
		Args:    takes("FILE"),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		f, view, err := openSnapshot(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		info := snapshotInfo{
			Cluster:  api.Cluster{ID: view.ClusterID, Name: view.ClusterName, Lineage: view.Lineage, FeatureLevel: view.FeatureLevel},
			Revision: uint64(view.Revision), ClusterTime: api.ClusterTime(view.Now),
			Chains: view.Chains.Len(), Nodes: view.Nodes.Len(),
		}
		if a.output == "json" {
			return json.NewEncoder(a.p.stdout).Encode(info)
		}
		w := tabwriter.NewWriter(a.p.stdout, 0, 0, 3, ' ', 0)
		info.write(w)
		return w.Flush()
	}
	return cmd
}

// snapshotInfo is what there is to say of a snapshot that is whole.
type snapshotInfo struct {
	Cluster     api.Cluster     `json:"cluster"`
	Revision    uint64          `json:"revision"`
	ClusterTime api.ClusterTime `json:"cluster_time"`
	Chains      int             `json:"chains"`
	Nodes       int             `json:"nodes"`
}

func (i *snapshotInfo) write(w io.Writer) {
	fmt.Fprintf(w, "cluster\t%s, id %s\n", i.Cluster.Name, i.Cluster.ID)
	fmt.Fprintf(w, "lineage\t%s\n", i.Cluster.Lineage)
	fmt.Fprintf(w, "revision\t%d, cluster time %s\n", i.Revision, formatTime(i.ClusterTime))
	fmt.Fprintf(w, "feature level\t%d\n", i.Cluster.FeatureLevel)
	fmt.Fprintf(w, "chains\t%d\n", i.Chains)
	fmt.Fprintf(w, "nodes\t%d\n", i.Nodes)
	fmt.Fprintf(w, "checksum\tright\n")
}

// openSnapshot opens a saved snapshot, checks all of it, and goes back to its
// beginning.
func openSnapshot(name string) (*os.File, *fsm.View, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, usage("FILE: %w", err)
	}
	view, err := fsm.ReadSnapshot(f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, view, nil
}

func snapshotRestoreCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the state of the cluster by a saved one, under a new lineage",
		Long: `Replaces the state of the cluster by a saved one: what was written after it was saved is lost,
and answers to retried requests are forgotten. The nodes stay those of the cluster. Nothing is
moved, repaired or deleted until every node has said what it really holds (restore guard).

Without --confirm it only says what it would do.`,
		Example: "  holdfast snapshot restore monday.snap\n  holdfast snapshot restore monday.snap --confirm 0d9c4e5e-5f7f-4a43-8d0b-1a2b3c4d5e6f --reason \"a script deleted all chains\"",
		Args:    takes("FILE"),
	}
	why := reason(cmd)
	confirm := cmd.Flags().String("confirm", "", "the id of the cluster whose state is replaced")
	foreign := cmd.Flags().Bool("foreign", false, "the snapshot may be of another cluster, such as one that is lost")
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, args []string) error {
		f, saved, err := openSnapshot(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		now, err := s.Status(cmd.Context(), client.At(api.FromLeader))
		if err != nil {
			return err
		}
		if *confirm == "" {
			s.hint("%s", restorePlan(args[0], saved, now))
			return usage("--confirm: give %s to do it", now.Cluster.ID)
		}
		if *confirm != now.Cluster.ID {
			return usage("--confirm: %s is not the id of this cluster, %s", *confirm, now.Cluster.ID)
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		opts := []client.CallOption{client.OfLineage(now.Cluster.Lineage), client.Because(*why)}
		if *foreign {
			opts = append(opts, client.Foreign())
		}
		done, err := s.Restore(cmd.Context(), *confirm, f, info.Size(), opts...)
		if err != nil {
			return err
		}
		return s.print(func(w io.Writer) {
			fmt.Fprintf(w, "restored\trevision %d, new lineage %s\n", done.Revision, done.Lineage)
			fmt.Fprintf(w, "restore guard\twaits for the inventory of %s; holdfast snapshot release ends it at once\n", list(done.Missing))
		})
	})
	return cmd
}

// restorePlan says what a restore would do.
func restorePlan(name string, saved *fsm.View, now *api.ClusterStatus) string {
	text := fmt.Sprintf("The state of cluster %s (%d chains, revision %d) would be replaced by that of %s (%d chains, revision %d).",
		now.Cluster.Name, now.Chains.Total, now.Revision, name, saved.Chains.Len(), saved.Revision)
	if saved.ClusterID != now.Cluster.ID {
		text += fmt.Sprintf("\nIt is of another cluster, %s with id %s: that needs --foreign.", saved.ClusterName, saved.ClusterID)
	}
	if saved.FeatureLevel > now.Cluster.FeatureLevel {
		text += fmt.Sprintf("\nIt is of feature level %d, the cluster is at %d: upgrade every server first.", saved.FeatureLevel, now.Cluster.FeatureLevel)
	}
	return text + "\nEvery node would then have to say what it holds before anything is moved, repaired or deleted."
}

func snapshotReleaseCommand(a *access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "End the restore guard without the nodes that it still waits for",
		Long: `Ends the restore guard. Copies on nodes that have not said what they hold count as lost after
repair_delay, and are made anew elsewhere if another copy is live.`,
		Example: "  holdfast snapshot release --reason \"n3 burnt down\"",
		Args:    takes(),
	}
	why := reason(cmd)
	cmd.RunE = a.run(func(s *session, cmd *cobra.Command, _ []string) error {
		if _, err := s.ReleaseSnapshot(cmd.Context(), *why); err != nil {
			return err
		}
		return s.say("the restore guard is released")
	})
	return cmd
}
