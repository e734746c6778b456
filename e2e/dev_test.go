//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output collects what a program prints, line by line.
type output struct {
	mu    sync.Mutex
	lines []string
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

// find returns the first match of a pattern in what was printed so far.
func (o *output) find(pattern string) ([]string, error) {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(o.text()); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("no line matches %q in:\n%s", pattern, o.text())
}

// TestDev: `holdfast dev` starts three processes and prints how to use, kill
// and restart them; it survives the death of the leader; the printed command
// brings the node back; Ctrl-C ends all of it and leaves nothing behind.
func TestDev(t *testing.T) {
	base, tmp := ports(4), t.TempDir()
	m := &machines{t: t, bin: binary(t), base: base, count: 3, procs: map[int]*exec.Cmd{}}
	cmd := exec.Command(m.bin, "dev", "--nodes", "3", "--base-port", strconv.Itoa(base))
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out, read := &output{}, make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			out.mu.Lock()
			out.lines = append(out.lines, s.Text())
			out.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	var kill []string
	m.eventually(time.Minute, "dev says how to kill the leader", func() (err error) {
		kill, err = out.find(`kill -9 (\d+)`)
		return err
	})
	if _, err := out.find(fmt.Sprintf(`export HOLDFAST_ADDR=http://127\.0\.0\.1:%d,`, base+1)); err != nil {
		t.Error(err)
	}
	var pids []int
	for _, match := range regexp.MustCompile(`(?m)^n\d+\s+(\d+)\s`).FindAllStringSubmatch(out.text(), -1) {
		pid, _ := strconv.Atoi(match[1])
		pids = append(pids, pid)
	}
	if len(pids) != 3 {
		t.Fatalf("dev lists processes %v, want three:\n%s", pids, out.text())
	}
	pid, _ := strconv.Atoi(kill[1])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var restart []string
	m.eventually(30*time.Second, "dev says how to start the dead node again", func() (err error) {
		restart, err = out.find(`(?m)^\s*(\S+ agent --node-id n\d .*)$`)
		return err
	})
	m.procs = map[int]*exec.Cmd{1: nil, 2: nil, 3: nil}
	m.eventually(30*time.Second, "a write is accepted by the rest", func() error {
		_, err := m.clients(1, 2, 3).PutChain(t.Context(), "after", chainSpec(3))
		return err
	})
	again := exec.Command("sh", "-c", "exec "+restart[1])
	again.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	m.eventually(time.Minute, "the chain has three live copies again", func() error {
		c, err := m.clients(1, 2, 3).Chain(t.Context(), "after")
		if err == nil && c.Health != "healthy" {
			err = fmt.Errorf("chain after is %s", c.Health)
		}
		return err
	})
	_ = again.Process.Kill()
	_ = again.Wait()

	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-read
	if err := cmd.Wait(); err != nil {
		t.Errorf("dev ended with %v after Ctrl-C:\n%s", err, out.text())
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("process %d is still there after dev has ended", pid)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("dev left %v behind", left)
	}
}

// refused runs the binary and expects it to end at once, with that exit code
// and one line on stderr that has the given words.
func refused(t *testing.T, code int, words string, args ...string) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		<-done
		t.Fatalf("%v: still running after 20 s:\n%s", args, stderr.String())
	}
	last := strings.TrimSpace(stderr.String())
	last = last[strings.LastIndexByte(last, '\n')+1:]
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(last, words) {
		t.Errorf("%v: exit %d with %q, want exit %d and the words %q", args, got, last, code, words)
	}
}

// TestBadStarts: an agent that cannot start says which flag, port or file is
// the matter, in one line, and leaves what it found as it was.
func TestBadStarts(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()
	free := fmt.Sprintf("127.0.0.1:%d", ports(1))

	refused(t, 2, "--bootstrap-expect", "agent", "--data-dir", filepath.Join(dir, "a"))
	refused(t, 2, "--data-dir", "agent", "--bootstrap-expect", "1")
	refused(t, 2, "--bootstrap-expect", "agent", "--data-dir", filepath.Join(dir, "a"), "--bootstrap-expect", "2")
	refused(t, 2, "--node-id", "agent", "--data-dir", filepath.Join(dir, "a"), "--bootstrap-expect", "1", "--node-id", "a/b")
	refused(t, 2, "--listen", "agent", "--data-dir", filepath.Join(dir, "a"), "--bootstrap-expect", "1", "--listen", "10.1.2.3:7400")
	refused(t, 2, "--role", "agent", "--data-dir", filepath.Join(dir, "a"), "--bootstrap-expect", "1", "--role", "client")
	refused(t, 1, port, "agent", "--node-id", "a", "--data-dir", filepath.Join(dir, "a"), "--bootstrap-expect", "1", "--listen", port, "--http", free)
	refused(t, 1, port, "agent", "--node-id", "a", "--data-dir", filepath.Join(dir, "b"), "--bootstrap-expect", "1", "--listen", free, "--http", port)
}

// TestDamagedDirectory: a data directory whose files are damaged stops the
// start with the file's name, and is left as it is.
func TestDamagedDirectory(t *testing.T) {
	m := boot(t, 1)
	m.put(m.client(1), newFile("a", 1000, 1), 1)
	m.kill(1)
	for _, name := range []string{"instance", "cluster", "log.db"} {
		path := m.find(name)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := append([]byte("garbage"), before[min(7, len(before)):]...)
		if len(damaged) > 8192 {
			damaged = append(bytes.Repeat([]byte("garbage!"), 1024), before[8192:]...)
		}
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, 1, path, "agent", "--node-id", "n1", "--data-dir", m.data(1), "--listen", m.node(1), "--http", m.http(1))
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("the damaged %s was changed (%v)", path, err)
		}
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.start(1)
	m.eventually(time.Minute, "the repaired directory serves again", func() error {
		return m.client(1).Ready(t.Context(), true)
	})
}

// find returns the path of the file of that name below node 1's directory.
func (m *machines) find(name string) string {
	m.t.Helper()
	var found string
	err := filepath.WalkDir(m.data(1), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name && !d.IsDir() {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		m.t.Fatalf("no file %s below %s (%v)", name, m.data(1), err)
	}
	return found
}
