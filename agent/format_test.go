package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/fsm"
)

// Formats are kept for ever: when a release changes what is on disk, write
// the next file (-write-format testdata/format2.tar.gz) and leave the old ones.
var writeFormat = flag.String("write-format", "", "write the data directory of this build to that file")

// alone makes a machine a cluster of its own that writes raft's snapshots soon.
func alone(c *Config) {
	c.Cluster.BootstrapExpect, c.Cluster.Join = 1, nil
	c.Cluster.Snapshots = cluster.Snapshots{Entries: 8, Every: 5 * time.Second, Trailing: 4}
}

// TestWriteFormat makes what TestFormats opens: one node's directory with a
// snapshot of raft, entries after it, content, and a saved snapshot.
func TestWriteFormat(t *testing.T) {
	if *writeFormat == "" {
		t.Skip("writes a file only if -write-format names one")
	}
	inBubble(t, func(t *testing.T, w *world) {
		m := w.start(1, alone)
		<-m.Ready()
		c := w.client("n1")
		one := 1
		spec := api.Spec{Desired: &one, Labels: map[string]string{"team": "a"}, Prefer: []string{"zone=b"}, Near: []string{"zone=c"}}
		for _, id := range []string{"web", "gone", "empty"} {
			if _, err := c.PutChain(t.Context(), id, spec, client.Because("a sample")); err != nil {
				t.Fatal(err)
			}
		}
		w.until("the node takes a content", func() bool {
			_, err := c.PutContent(t.Context(), "web", bytes.NewReader(text(5000)), 5000)
			return err == nil
		})
		if _, err := c.PatchConfig(t.Context(), map[string]any{"cooldown": "7m"}); err != nil {
			t.Fatal(err)
		}
		saved, err := c.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(saved)
		if err := errors.Join(err, saved.Close(), os.WriteFile(filepath.Join(w.root, "saved.snap"), data, 0o600)); err != nil {
			t.Fatal(err)
		}
		w.until("raft has a snapshot", func() bool {
			found, err := filepath.Glob(filepath.Join(w.root, "n1", "raft", "snapshots", "*", "state.bin"))
			return err == nil && len(found) > 0
		})
		if _, err := c.DeleteChain(t.Context(), "gone", "a sample"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Freeze(t.Context(), 0, "a sample"); err != nil {
			t.Fatal(err)
		}
		m.cancel()
		<-m.done
		if err := pack(*writeFormat, w.root); err != nil {
			t.Fatal(err)
		}
	})
}

// A data directory and a snapshot that any earlier build wrote open in this
// one with everything that was in them, and the node goes on from there.
func TestFormats(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "format*.tar.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no formats: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { openFormat(t, file) })
	}
}

func openFormat(t *testing.T, file string) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := unpack(file, w.root); err != nil {
			t.Fatal(err)
		}
		m := w.start(1, alone)
		select {
		case <-m.Ready():
		case <-m.done:
			t.Fatalf("the node ended: %v", m.err)
		}
		w.until("the content is served", func() bool {
			got, err := w.get("n1", "web")
			return err == nil && bytes.Equal(got, text(5000))
		})
		c := w.client("n1")
		web, err := c.Chain(t.Context(), "web")
		if err != nil || web.Spec.Labels["team"] != "a" || web.Spec.Prefer[0] != "zone=b" || web.Spec.Near[0] != "zone=c" {
			t.Errorf("chain web: %+v, %v", web, err)
		}
		if _, err := c.Chain(t.Context(), "gone"); err == nil {
			t.Error("the chain that was deleted is there")
		}
		cfg, err := c.Config(t.Context())
		if err != nil || cfg.Cooldown != api.Duration(7*time.Minute) {
			t.Errorf("config %+v, %v", cfg, err)
		}
		status, err := c.Status(t.Context())
		if err != nil || status.Freeze == nil || status.Freeze.Reason != "a sample" || status.Orphans != 0 {
			t.Fatalf("status %+v, %v", status, err)
		}
		data, err := os.ReadFile(filepath.Join(w.root, "saved.snap"))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := fsm.ReadSnapshot(bytes.NewReader(data)); err != nil || v.ClusterID != status.Cluster.ID || v.Chain("gone") == nil {
			t.Fatalf("the saved snapshot: %v", err)
		}
		done, err := c.Restore(t.Context(), status.Cluster.ID, bytes.NewReader(data), int64(len(data)))
		if err != nil || done.Lineage == status.Cluster.Lineage {
			t.Fatalf("restored %+v, %v", done, err)
		}
		w.until("what was restored is served", func() bool {
			got, err := w.get("n1", "web")
			return err == nil && bytes.Equal(got, text(5000))
		})
	})
}

// pack writes a directory into a compressed archive.
func pack(file, dir string) error {
	var buf bytes.Buffer
	squeeze, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(squeeze)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), squeeze.Close()); err != nil {
		return err
	}
	return os.WriteFile(file, buf.Bytes(), 0o644)
}

// unpack is its reverse.
func unpack(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	loose, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(loose); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Join(dir, head.Name)
		if head.FileInfo().IsDir() {
			err = os.MkdirAll(name, 0o700)
		} else {
			var data []byte
			data, err = io.ReadAll(r)
			err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o700))
			err = errors.Join(err, os.WriteFile(name, data, head.FileInfo().Mode().Perm()))
		}
		if err != nil {
			return err
		}
	}
}
