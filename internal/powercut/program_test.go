//go:build linux && (amd64 || arm64)

package powercut

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Enter()
	if dir := os.Getenv("WRITE_IN"); dir != "" {
		if err := writeIn(dir); err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// writeIn writes a file, renames it and makes its name durable, and then one
// that it forgets to sync.
func writeIn(dir string) error {
	file, err := os.Create(filepath.Join(dir, "new"))
	if err != nil {
		return err
	}
	defer file.Close()
	parent, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer parent.Close()
	for _, step := range []func() error{
		func() error { _, err := file.WriteString("whole"); return err },
		file.Sync,
		func() error { return os.Rename(file.Name(), filepath.Join(dir, "kept")) },
		parent.Sync,
		func() error { return os.WriteFile(filepath.Join(dir, "forgotten"), []byte("bytes"), 0o600) },
		func() error { return os.Remove(filepath.Join(dir, "old")) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		bytes, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(bytes)
	}
	return files
}

// Each call of the program is seen before it happens, and what is there when
// the program dies at it, when the power fails, and when only names survive,
// are three things: die at each call.
func TestCuts(t *testing.T) {
	old := map[string]string{"old": "old"}
	for at, want := range []struct {
		call                   string
		killed, cut, withNames map[string]string
	}{
		{"fsync", map[string]string{"new": "whole", "old": "old"}, old, map[string]string{"new": "", "old": "old"}},
		{"rename", map[string]string{"new": "whole", "old": "old"}, old, map[string]string{"new": "whole", "old": "old"}},
		{"fsync", map[string]string{"kept": "whole", "old": "old"}, old, map[string]string{"kept": "whole", "old": "old"}},
		{"unlink", map[string]string{"kept": "whole", "old": "old", "forgotten": "bytes"}, map[string]string{"kept": "whole", "old": "old"}, map[string]string{"kept": "whole", "old": "old", "forgotten": ""}},
	} {
		dir, images := t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		cut, err := Kill(program(dir), platterOf(t, dir), at, images)
		if errors.Is(err, ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if cut.Call != want.call {
			t.Errorf("call %d is %s, want %s", at, cut.Call, want.call)
		}
		for what, diff := range map[string]string{
			"killed":     cmp.Diff(want.killed, content(t, dir)),
			"cut":        cmp.Diff(want.cut, content(t, cut.Synced)),
			"with names": cmp.Diff(want.withNames, content(t, cut.Named)),
		} {
			if diff != "" {
				t.Errorf("call %d, %s: %s", at, what, diff)
			}
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if cut, err := Kill(program(dir), platterOf(t, dir), 4, t.TempDir()); err != nil || cut.Call != "" {
		t.Errorf("a call that never comes: %+v, %v", cut, err)
	}
}

func platterOf(t *testing.T, dir string) *Platter {
	t.Helper()
	platter, err := NewPlatter(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platter.Close)
	return platter
}

func program(dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WRITE_IN="+dir)
	return cmd
}

// A program gets the error that its watcher says, and one that is held up can
// be killed: do both.
func TestErrorAndHang(t *testing.T) {
	cmd := program(t.TempDir())
	var out strings.Builder
	cmd.Stdout = &out
	p, err := Start(cmd, func(_ *Program, c Call) error {
		if c.Name == "rename" {
			return syscall.ENOSPC
		}
		return nil
	})
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err == nil || !strings.Contains(out.String(), "no space left on device") {
		t.Errorf("got %v, %s", err, out.String())
	}

	held := make(chan struct{})
	var once sync.Once
	p, err = Start(program(t.TempDir()), func(p *Program, _ Call) error { once.Do(func() { close(held) }); <-p.Ended(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	<-held
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err == nil {
		t.Error("the killed program ended well")
	}
}
