//go:build e2e && linux && (amd64 || arm64)

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/internal/powercut"
)

func TestMain(m *testing.M) {
	powercut.Enter()
	os.Exit(m.Run())
}

// A disk is what a test does to the syncs of one process.
type disk struct {
	fault   atomic.Pointer[syscall.Errno]
	hanging atomic.Bool
}

func (d *disk) watch(p *powercut.Program, c powercut.Call) error {
	if c.File == nil {
		return nil
	}
	if d.hanging.Load() {
		<-p.Ended()
	}
	if errno := d.fault.Load(); errno != nil {
		return *errno
	}
	return nil
}

func (d *disk) fail(errno syscall.Errno) { d.fault.Store(&errno) }

// restartOn runs node i again, on a disk that obeys the test.
func (m *machines) restartOn(i int, d *disk) {
	m.t.Helper()
	m.kill(i)
	cmd := m.command(i)
	_, err := powercut.Start(cmd, d.watch)
	if errors.Is(err, powercut.ErrUnsupported) {
		m.t.Skipf("not proven: %v", err)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.procs[i] = cmd
	m.eventually(time.Minute, fmt.Sprintf("n%d is ready again", i), func() error { return m.client(i).Ready(m.t.Context(), true) })
}

// mount puts a small file system of its own on the directory.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
		t.Skipf("not proven: a file system of %s cannot be mounted: %v", size, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// ended waits until node i has ended by itself, and checks that its last word is
// one line of log with these texts, and that it says so by its exit code.
func (m *machines) ended(i int, longstop time.Duration, texts ...string) {
	m.t.Helper()
	cmd := m.procs[i]
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err == nil {
			m.t.Errorf("n%d ended with exit code 0", i)
		}
	case <-time.After(longstop):
		m.t.Fatalf("n%d still runs after %v", i, longstop)
	}
	delete(m.procs, i)
	log, err := os.ReadFile(m.log(i))
	if err != nil {
		m.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	last := lines[len(lines)-1]
	m.t.Logf("n%d: %s", i, last)
	for _, text := range texts {
		if !strings.Contains(last, text) {
			m.t.Errorf("n%d ended with %q, which does not say %q", i, last, text)
		}
	}
	if strings.Contains(string(log), "goroutine ") {
		m.t.Errorf("n%d panicked", i)
	}
}

// write creates a chain through one of the nodes.
func (m *machines) write(nodes []int, id string) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Second)
	defer cancel()
	_, err := m.clients(nodes...).PutChain(ctx, id, api.Spec{})
	return err
}

// others lists the nodes that run, without one.
func (m *machines) others(i int) []int {
	var list []int
	for _, j := range m.alive() {
		if j != i {
			list = append(list, j)
		}
	}
	return list
}

// lead makes node i the leader.
func (m *machines) lead(i int) {
	m.t.Helper()
	m.eventually(time.Minute, fmt.Sprintf("n%d leads", i), func() error {
		if m.leader() == i {
			return nil
		}
		_, err := m.any().TransferLeadership(m.t.Context(), fmt.Sprintf("n%d", i), "the test says so")
		return errors.Join(err, errors.New("another node leads"))
	})
}

// A leader whose disk hangs is replaced: its syncs never return from now on.
// Another node takes writes after the write limit and an election, and the old
// leader's process ends and says why. Started on a sound disk it has what the
// others have.
func TestLeaderWithHangingDisk(t *testing.T) {
	m := boot(t, 3)
	d := new(disk)
	m.restartOn(1, d)
	m.lead(1)
	if err := m.write([]int{1}, "before"); err != nil {
		t.Fatal(err)
	}
	d.hanging.Store(true)
	began := time.Now()
	lost := m.write([]int{1}, "in-between") // begins the hanging write, if nothing else has
	if lost == nil {
		t.Error("a write that is on no disk was acknowledged")
	}
	m.eventually(time.Minute, "another node takes writes", func() error { return m.write(m.others(1), "after") })
	t.Logf("a write is accepted %v after the disk of the leader began to hang", time.Since(began))
	m.ended(1, time.Minute, "raft log", "no answer from the disk for 10s", "check the disk")
	m.start(1)
	m.eventually(time.Minute, "n1 is back", func() error { return m.client(1).Ready(t.Context(), true) })
	for _, id := range []string{"before", "after"} {
		if _, err := m.client(1).Chain(t.Context(), id); err != nil {
			t.Errorf("chain %s, acknowledged: %v", id, err)
		}
	}
}

// A leader whose disk fails, turns read-only or is full under the log ends at
// once and says why; another takes over, and nothing acknowledged is lost.
func TestLeaderWithBrokenDisk(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.ENOSPC} {
		t.Run(errno.Error(), func(t *testing.T) {
			m := boot(t, 3)
			d := new(disk)
			m.restartOn(1, d)
			m.lead(1)
			if err := m.write([]int{1}, "before"); err != nil {
				t.Fatal(err)
			}
			d.fail(errno)
			m.eventually(time.Minute, "another node takes writes", func() error { return m.write(m.others(1), "after") })
			m.ended(1, time.Minute, "raft log", m.data(1), errno.Error(), "check the disk")
			m.start(1)
			m.eventually(time.Minute, "n1 is back", func() error { return m.client(1).Ready(t.Context(), true) })
			for _, id := range []string{"before", "after"} {
				if _, err := m.client(1).Chain(t.Context(), id); err != nil {
					t.Errorf("chain %s, acknowledged: %v", id, err)
				}
			}
		})
	}
}

// A node whose disk is full ends when its log cannot be written, a leader too;
// the others go on, and with room again it comes back and has all. Its data
// directory lies on a small file system that a ballast fills.
func TestFullDiskUnderTheLog(t *testing.T) {
	for name, leads := range map[string]bool{"follower": false, "leader": true} {
		t.Run(name, func(t *testing.T) { fullDiskUnderTheLog(t, leads) })
	}
}

func fullDiskUnderTheLog(t *testing.T, leads bool) {
	t.Helper()
	m := &machines{t: t, dir: t.TempDir()}
	mount(t, m.data(2), "64m")
	m = bootIn(t, m.dir, 3)
	victim := 2
	if leads {
		m.lead(victim)
	} else {
		m.lead(1)
	}
	ballast := filepath.Join(m.data(victim), "ballast")
	fill(t, ballast)
	began := time.Now()
	var acked []string
	m.eventually(time.Minute, "the full disk is felt", func() error {
		id := fmt.Sprintf("chain-%03d", len(acked))
		if err := m.write(m.others(victim), id); err != nil {
			return err
		}
		acked = append(acked, id)
		if err := m.procs[victim].Process.Signal(syscall.Signal(0)); err == nil && !m.said(victim, "the node has stopped") {
			return errors.New("it still runs")
		}
		return nil
	})
	m.ended(victim, time.Minute, "raft log", m.data(victim), "no space left on device")
	t.Logf("%d writes were acknowledged in the %v until it had ended", len(acked), time.Since(began))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	m.start(victim)
	m.eventually(time.Minute, "it is back", func() error { return m.client(victim).Ready(t.Context(), true) })
	for _, id := range acked {
		if _, err := m.client(victim).Chain(t.Context(), id); err != nil {
			t.Errorf("chain %s, acknowledged: %v", id, err)
		}
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}

// said tells whether node i has logged the text.
func (m *machines) said(i int, text string) bool {
	log, err := os.ReadFile(m.log(i))
	return err == nil && bytes.Contains(log, []byte(text))
}

// Content that finds no room above the disk reserve is refused with no-space.
// The nodes go on serving, voting and taking other writes, and content is taken
// again when there is room.
func TestFullDiskUnderContent(t *testing.T) {
	m := boot(t, 3, "--disk-reserve", "4MiB")
	for i := 1; i <= 3; i++ {
		m.kill(i)
		mount(t, filepath.Join(m.data(i), "content"), "16m")
		m.start(i)
		m.eventually(time.Minute, "it is ready", func() error { return m.client(i).Ready(t.Context(), true) })
	}
	var kept []file
	refused := file{}
	for n := range 8 {
		f := newFile(fmt.Sprintf("file-%d", n), 3<<20, uint64(n+1))
		desired := 3
		if _, err := m.any().PutChain(t.Context(), f.id, api.Spec{Desired: &desired}); err != nil {
			t.Fatal(err)
		}
		_, err := m.any().PutContent(t.Context(), f.id, bytes.NewReader(f.data), int64(len(f.data)))
		if err != nil {
			if !strings.Contains(err.Error(), string(api.NoSpace)) {
				t.Errorf("refused with %v, want %s", err, api.NoSpace)
			}
			t.Logf("after %d files: %v", n, err)
			refused = f
			break
		}
		kept = append(kept, f)
	}
	if refused.id == "" || len(kept) == 0 {
		t.Fatalf("%d files of 3 MiB were taken on 12 MiB, and refused was %q", len(kept), refused.id)
	}
	for i := 1; i <= 3; i++ {
		var volume syscall.Statfs_t
		if err := syscall.Statfs(filepath.Join(m.data(i), "content"), &volume); err != nil {
			t.Fatal(err)
		}
		if free := int64(volume.Bavail) * volume.Bsize; free < 4<<20 {
			t.Errorf("content has left %d bytes of n%d, and the reserve is 4 MiB", free, i)
		}
	}
	if err := m.write(m.alive(), "another"); err != nil {
		t.Errorf("a write without content: %v", err)
	}
	for _, i := range m.alive() {
		if err := m.client(i).Ready(t.Context(), true); err != nil {
			t.Errorf("n%d: %v", i, err)
		}
		for _, f := range kept {
			m.eventually(time.Minute, "what was taken is served", func() error { return m.readable(i, f) })
		}
	}
	if _, err := m.any().DeleteChain(t.Context(), kept[0].id, "room is needed"); err != nil {
		t.Fatal(err)
	}
	m.eventually(time.Minute, "there is room again", func() error {
		_, err := m.any().PutContent(t.Context(), refused.id, bytes.NewReader(refused.data), int64(len(refused.data)))
		return err
	})
	for _, i := range m.alive() {
		m.eventually(time.Minute, "the content is served", func() error { return m.readable(i, refused) })
	}
}

// Content for which the disks fill up while it is written, though there was
// room when it began, is refused with no-space: nothing half stays, the nodes go
// on, and the same content is taken when there is room. A ballast fills all
// three volumes in the middle of an upload.
func TestDiskFillsUnderContent(t *testing.T) {
	m := boot(t, 3, "--disk-reserve", "64KiB")
	content := func(i int) string { return filepath.Join(m.data(i), "content") }
	for i := 1; i <= 3; i++ {
		m.kill(i)
		mount(t, content(i), "32m")
		m.start(i)
		m.eventually(time.Minute, "it is ready", func() error { return m.client(i).Ready(t.Context(), true) })
	}
	f := newFile("file", 16<<20, 1)
	desired := 3
	if _, err := m.any().PutChain(t.Context(), f.id, api.Spec{Desired: &desired}); err != nil {
		t.Fatal(err)
	}
	ballast := func(i int) string { return filepath.Join(content(i), "ballast") }
	half := len(f.data) / 2
	filled := false
	full := readerFunc(func([]byte) (int, error) {
		if !filled {
			filled = true
			for i := 1; i <= 3; i++ {
				fill(t, ballast(i))
			}
		}
		return 0, io.EOF
	})
	body := io.MultiReader(bytes.NewReader(f.data[:half]), full, bytes.NewReader(f.data[half:]))
	_, err := m.any().PutContent(t.Context(), f.id, body, int64(len(f.data)))
	if err == nil || !strings.Contains(err.Error(), string(api.NoSpace)) || !filled {
		t.Fatalf("got %v, want %s; the disks were filled: %t", err, api.NoSpace, filled)
	}
	t.Log(err)
	m.eventually(time.Minute, "nothing half stays", func() error {
		for i := 1; i <= 3; i++ {
			for _, ending := range []string{"*.tmp", "*.part", "*.blob"} {
				if left, err := filepath.Glob(filepath.Join(content(i), "chains", "*", ending)); err != nil || len(left) > 0 {
					return fmt.Errorf("%v: %w", left, err)
				}
			}
		}
		return nil
	})
	if err := m.write(m.alive(), "another"); err != nil {
		t.Errorf("a write without content: %v", err)
	}
	for i := 1; i <= 3; i++ {
		if err := os.Remove(ballast(i)); err != nil {
			t.Fatal(err)
		}
	}
	m.eventually(time.Minute, "there is room again", func() error {
		_, err := m.any().PutContent(t.Context(), f.id, bytes.NewReader(f.data), int64(len(f.data)))
		return err
	})
	for i := 1; i <= 3; i++ {
		m.eventually(time.Minute, "the content is served", func() error { return m.readable(i, f) })
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A node whose content volume turns read-only while it runs goes on serving and
// voting; new content goes to the others' disks, the node is found sick, and
// well again when the volume can be written. A read-only mount is laid over it.
func TestContentTurnsReadOnly(t *testing.T) {
	m := boot(t, 3)
	desired := 2
	put := func(f file) error {
		_, err := m.clients(2, 3).PutContent(t.Context(), f.id, bytes.NewReader(f.data), int64(len(f.data)))
		return err
	}
	create := func(f file) {
		t.Helper()
		if _, err := m.any().PutChain(t.Context(), f.id, api.Spec{Desired: &desired}); err != nil {
			t.Fatal(err)
		}
	}
	before, after := newFile("before", 1<<20, 1), newFile("after", 1<<20, 2)
	create(before)
	m.eventually(time.Minute, "content is taken", func() error { return put(before) })

	dir := filepath.Join(m.data(1), "content")
	err := syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
	if err == nil {
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		err = syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	}
	if err != nil {
		t.Skipf("not proven: no read-only mount: %v", err)
	}
	is := func(want string) func() error {
		return func() error {
			n, err := m.client(2).Node(t.Context(), "n1")
			if err == nil && n.State != want {
				err = fmt.Errorf("it is %s", n.State)
			}
			return err
		}
	}
	m.eventually(time.Minute, "n1 is sick", is("sick"))
	create(after)
	took := m.eventually(time.Minute, "content is taken by the others", func() error { return put(after) })
	t.Logf("content was taken %v after its chain was made", took)
	for i := 1; i <= 3; i++ {
		if err := m.client(i).Ready(t.Context(), true); err != nil {
			t.Errorf("n%d: %v", i, err)
		}
		for _, f := range []file{before, after} {
			m.eventually(time.Minute, "it is served", func() error { return m.readable(i, f) })
		}
	}
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	m.eventually(time.Minute, "n1 is well", is("alive"))
}

// A node whose data directory cannot be written does not start, and says which
// and why: it lies on a file system that is mounted read-only.
func TestReadOnlyDisk(t *testing.T) {
	m := &machines{t: t, dir: t.TempDir()}
	mount(t, m.data(1), "64m")
	m = bootIn(t, m.dir, 1)
	m.kill(1)
	if err := syscall.Mount("", m.data(1), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("not proven: no remount: %v", err)
	}
	m.start(1)
	m.ended(1, time.Minute, m.data(1), "read-only file system", "mount it writable")
}

// A saved snapshot and a fetched content are there after a power cut, under their
// names and whole, once the command has said so. The commands run on a disk that
// forgets what was not synced, and on one that forgets the bytes only.
func TestSavedFilesSurvivePowerCut(t *testing.T) {
	m := boot(t, 1)
	f := newFile("file", 100_000, 1)
	m.put(m.any(), f, 1)
	root := t.TempDir()
	platter, err := powercut.NewPlatter(root)
	if err != nil {
		t.Fatal(err)
	}
	defer platter.Close()
	save := func(name string, args ...string) powercut.Cut {
		t.Helper()
		cmd := exec.Command(m.bin, append(args, filepath.Join(root, name))...)
		cmd.Env = append(os.Environ(), "HOLDFAST_ADDR=http://"+m.http(1))
		cut, err := powercut.Kill(cmd, platter, -1, t.TempDir())
		if errors.Is(err, powercut.ErrUnsupported) {
			t.Skipf("not proven: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return cut
	}
	cut := save("a.snap", "snapshot", "save")
	t.Log(m.must("snapshot", "inspect", filepath.Join(cut.Synced, "a.snap")))
	cut = save("file", "content", "get", f.id)
	for _, dir := range []string{cut.Synced, cut.Named} {
		if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || !bytes.Equal(got, f.data) {
			t.Errorf("%d bytes are left of the content, %v", len(got), err)
		}
	}
}
