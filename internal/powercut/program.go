//go:build linux && (amd64 || arm64)

package powercut

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// ErrUnsupported is wrapped when this system cannot hold up a program's calls.
var ErrUnsupported = errors.New("this system cannot hold up the calls of a program")

// A Call is what the program is about to do to the disk.
type Call struct {
	Name string   // fsync, fdatasync, rename, unlink
	File *os.File // what is to be synced, open for reading; nil for names
}

// programEnv tells a process that it is the way into a program, and which.
const programEnv = "HOLDFAST_POWERCUT"

// Program is a process under watch.
type Program struct {
	cmd   *exec.Cmd
	calls *os.File // the kernel's notifications
	done  chan struct{}
	ended chan struct{} // closed when the process is gone
}

// Start runs a program with its arguments, and asks watch before each call:
// nil lets it pass, an error of the system (syscall.EIO) is what the program
// gets instead. watch may wait for as long as it likes; a program that is killed
// meanwhile dies. The command's Path and Args are the program's; its process is
// this executable, which must call Enter first thing.
func Start(cmd *exec.Cmd, watch func(*Program, Call) error) (*Program, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	defer theirs.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := json.Marshal(append([]string{cmd.Path}, cmd.Args...))
	if err != nil {
		return nil, err
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, programEnv+"="+string(program))
	cmd.Path, cmd.Args = self, []string{self}
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	theirs.Close() // so that its end is heard
	calls, err := receiveFile(ours)
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), ignore(cmd.Wait()))
	}
	p := &Program{cmd: cmd, calls: calls, done: make(chan struct{}), ended: make(chan struct{})}
	go p.answer(watch) // until the process is gone; Wait waits for it
	return p, nil
}

func ignore(error) error { return nil }

// Kill is kill -9.
func (p *Program) Kill() error { return p.cmd.Process.Kill() }

// Ended is closed when the process is gone.
func (p *Program) Ended() <-chan struct{} { return p.ended }

// Wait waits until the program has ended and its last call is answered.
func (p *Program) Wait() error {
	err := p.cmd.Wait()
	<-p.done
	return err
}

// answer takes the program's calls from the kernel until it is gone.
func (p *Program) answer(watch func(*Program, Call) error) {
	defer close(p.done)
	defer p.calls.Close()
	var flying sync.WaitGroup
	defer flying.Wait()
	for {
		n, err := receive(p.calls)
		if err != nil {
			close(p.ended)
			return
		}
		flying.Go(func() { reply(p.calls, n, p.ask(n, watch)) })
	}
}

func (p *Program) ask(n notification, watch func(*Program, Call) error) error {
	call := Call{Name: callNames()[n.Nr]}
	if call.Name == "fsync" || call.Name == "fdatasync" {
		file, err := os.Open(fmt.Sprintf("/proc/%d/fd/%d", n.Pid, n.Args[0]))
		if err != nil {
			return nil // killed meanwhile, or not a file: the kernel will say
		}
		defer file.Close()
		call.File = file
	}
	return watch(p, call)
}

// Enter makes a process that Start began into its program, and does not return
// in it. Every other process goes on. TestMain calls it first.
func Enter() {
	line := os.Getenv(programEnv)
	if line == "" {
		return
	}
	err := enter(line)
	fmt.Fprintln(os.Stderr, "powercut:", err)
	os.Exit(1)
}

func enter(line string) error {
	var program []string
	if err := json.Unmarshal([]byte(line), &program); err != nil {
		return err
	}
	if err := os.Unsetenv(programEnv); err != nil {
		return err
	}
	calls, err := holdUpCalls() // of this thread, and of what it executes
	if err != nil {
		return err
	}
	const parent = 3 // the first of ExtraFiles
	if err := syscall.Sendmsg(parent, []byte{0}, syscall.UnixRights(calls), nil, 0); err != nil {
		return err
	}
	syscall.CloseOnExec(calls)
	syscall.CloseOnExec(parent)
	return syscall.Exec(program[0], program[1:], os.Environ())
}
