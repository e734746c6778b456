//go:build linux && (amd64 || arm64)

package filestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/internal/powercut"
	"github.com/holdfast-cluster/holdfast/placement"
)

func TestMain(m *testing.M) {
	powercut.Enter()
	powercut.Play(deaths(), failedSync())
	goleak.VerifyTestMain(m)
}

// deaths is a node's life with its content: uploads, pulls, a version that
// follows another, and drops.
func deaths() powercut.Scenario {
	ctx := context.Background()
	a, _ := content(50, 3000)
	b, cb := content(51, 100_000)
	upload := func(s *Store, chain placement.ChainID, epoch placement.Epoch, bytesOf []byte) error {
		_, err := s.Receive(ctx, Upload{Chain: chain, Epoch: epoch, Size: int64(len(bytesOf))}, bytes.NewReader(bytesOf))
		return err
	}
	drop := func(s *Store, chain placement.ChainID, epoch placement.Epoch) error {
		held, err := s.Held(ctx)
		for _, c := range held {
			if c.Chain == chain && c.Epoch == epoch {
				return s.Drop(ctx, c)
			}
		}
		return fmt.Errorf("epoch %d of %s is not held: %w", epoch, chain, err)
	}
	steps := []func(*Store) error{
		func(s *Store) error { return upload(s, "x", 40, a) },
		func(s *Store) error { return s.Pull(ctx, assignment("y", 41, cb, "n2")) },
		func(s *Store) error { return upload(s, "x", 40, b) },
		func(s *Store) error { return drop(s, "y", 41) },
	}
	return powercut.Scenario{
		Name: "content", Steps: len(steps), State: heldIn,
		Do: func(dir string, n int, done func()) error {
			s, err := Open(dir, Config{Accept: accept, Volume: plenty, Fetch: &sources{bytes: map[placement.NodeID][]byte{"n2": b}}})
			if err != nil {
				return err
			}
			defer s.Close()
			for _, step := range steps[:n] {
				if err := step(s); err != nil {
					return err
				}
				done()
			}
			return nil
		},
	}
}

// heldIn opens the store and reads every byte that it holds.
func heldIn(dir string) (string, error) {
	s, err := Open(dir, Config{Volume: plenty})
	if err != nil {
		return "", err
	}
	defer s.Close()
	held, err := s.Held(context.Background())
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, c := range held {
		f, size, err := s.Open(c.Chain, c.SHA256)
		if err != nil {
			return "", err
		}
		content, err := io.ReadAll(f)
		f.Close()
		if err != nil || sumOf(content) != c.SHA256 || size != c.SizeBytes {
			return "", fmt.Errorf("%+v has other bytes, %w", c, err)
		}
		fmt.Fprintf(&b, "%s %d %.8s %d; ", c.Chain, c.Epoch, c.SHA256, size)
	}
	return b.String(), nil
}

// No copy that was acknowledged is lost, and none is half there, whenever the
// process dies or the power fails.
func TestDeathAtEverySync(t *testing.T) { deaths().Sweep(t) }

// failedSync pulls once, and once more when that fails.
func failedSync() powercut.Scenario {
	s := deaths()
	b, c := content(51, 100_000)
	s.Name = "failed sync"
	s.Do = func(dir string, _ int, done func()) error {
		s, err := Open(dir, Config{Volume: plenty, Fetch: &sources{bytes: map[placement.NodeID][]byte{"n2": b}}})
		if err != nil {
			return err
		}
		defer s.Close()
		if err := s.Pull(context.Background(), assignment("x", 40, c, "n2")); err == nil {
			return fmt.Errorf("the sync did not fail")
		}
		done()
		return s.Pull(context.Background(), assignment("x", 40, c, "n2"))
	}
	return s
}

// Bytes whose sync failed are written again: a second sync that succeeds says
// nothing of them. Fail the sync of the pulled part once, as a disk does that
// has lost them.
func TestFailedSyncIsNoSuccessLater(t *testing.T) {
	root := t.TempDir()
	platter, err := powercut.NewPlatter(root)
	if err != nil {
		t.Fatal(err)
	}
	defer platter.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOLDFAST_SCENARIO=do failed sync", "HOLDFAST_DIRECTORY="+filepath.Join(root, "data"))
	var out strings.Builder
	cmd.Stdout = &out
	var mu sync.Mutex // guards what follows: calls are asked about by several goroutines
	var lost uint64   // the part's inode
	var held *os.File
	parts := 0
	program, err := powercut.Start(cmd, func(_ *powercut.Program, c powercut.Call) error {
		if c.File == nil {
			return nil
		}
		name, err := os.Readlink(c.File.Name())
		if err != nil || !strings.HasSuffix(name, partEnding) {
			return platter.Synced(c.File)
		}
		info, err := c.File.Stat()
		if err != nil {
			return err
		}
		inode := info.Sys().(*syscall.Stat_t).Ino
		mu.Lock()
		defer mu.Unlock()
		if parts++; parts == 1 {
			lost = inode
			if held, err = os.Open(c.File.Name()); err != nil { // so that its number is not used again
				return err
			}
			return syscall.EIO
		}
		if inode == lost {
			return nil // as Linux does: its pages count as clean
		}
		return platter.Synced(c.File)
	})
	if err != nil {
		t.Skipf("not proven: %v", err)
	}
	if err := program.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	held.Close()
	image := filepath.Join(t.TempDir(), "after")
	if err := platter.Cut(image, false); err != nil {
		t.Fatal(err)
	}
	if held, err := heldIn(filepath.Join(image, "data")); err != nil || !strings.HasPrefix(held, "x 40 ") {
		t.Errorf("after a power cut the acknowledged copy is not there: held %q, %v", held, err)
	}
}
