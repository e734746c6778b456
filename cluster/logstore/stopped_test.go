//go:build unix

package logstore

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// stoppedEnv names the log of the process that stops itself.
const stoppedEnv = "HOLDFAST_TEST_STOPPED_LOG"

// A process that is stopped in the middle of a write has no slow disk: a virtual
// machine that was moved must not slow the elections of its cluster for an hour.
// Provoked with a process that stops itself there, and is woken two seconds later.
func TestStoppedProcessIsNoSlowDisk(t *testing.T) {
	if path := os.Getenv(stoppedEnv); path != "" {
		stopInWrite(t, path)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestStoppedProcessIsNoSlowDisk$", "-test.v")
	child.Env = append(os.Environ(), stoppedEnv+"="+filepath.Join(t.TempDir(), "log.db"))
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // who minds this process's group must not see one of it stop
	var said strings.Builder
	child.Stdout, child.Stderr = &said, &said
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	_, err := syscall.Wait4(child.Process.Pid, &status, syscall.WUNTRACED, nil)
	for errors.Is(err, syscall.EINTR) {
		_, err = syscall.Wait4(child.Process.Pid, &status, syscall.WUNTRACED, nil)
	}
	if err != nil || !status.Stopped() {
		t.Fatalf("the process did not stop: %v, %v\n%s", status, err, said.String())
	}
	<-time.After(2 * time.Second) // that it stands still
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil || !strings.Contains(said.String(), "worst write: 0s") {
		t.Errorf("%v: %s", err, said.String())
	}
}

func stopInWrite(t *testing.T, path string) {
	s, err := Open(Config{Path: path, WriteLimit: WriteLimit(0), Gate: func(string) error {
		err := syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-time.After(time.Second) // this thread may run on for a moment; the write must not end before the process stands still
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.StoreLog(&raft.Log{Index: 1, Term: 1}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("worst write:", s.WorstWrite())
}
