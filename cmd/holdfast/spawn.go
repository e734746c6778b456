package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
)

// spawner starts child processes that die with this one, however it ends.
// Linux ties a child to the thread that started it, so one goroutine starts
// them all and keeps its thread until the spawner is closed.
type spawner struct {
	starts  chan func()
	done    chan struct{}
	waiters sync.WaitGroup

	mu    sync.Mutex
	ended chan struct{} // closed and made anew whenever a child ends
}

func newSpawner() *spawner {
	s := &spawner{starts: make(chan func()), done: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // the thread ends with the goroutine
		for start := range s.starts {
			start()
		}
	}()
	return s
}

// close waits for the children and gives the thread back.
func (s *spawner) close() {
	s.waiters.Wait()
	close(s.starts)
	<-s.done
}

// heard returns a channel that closes when a child ends.
func (s *spawner) heard() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *spawner) ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ended)
	s.ended = make(chan struct{})
}

type childConfig struct {
	name    string
	exe     string
	args    []string
	log     string // path of the file for what it writes
	environ []string
}

// child is a process that a spawner has started.
type child struct {
	childConfig
	pid   int
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	state string        // how it ended, once it has
	told  bool          // the user knows
}

// start starts a process in a group of its own, so that Ctrl-C in the terminal
// does not reach it before this program has decided in which order to stop.
func (s *spawner) start(cfg childConfig) (*child, error) {
	log, err := os.OpenFile(cfg.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	cmd := exec.CommandContext(context.Background(), cfg.exe, cfg.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = cfg.environ, log, log, childAttributes()
	result := make(chan error)
	s.starts <- func() { result <- cmd.Start() }
	if err := <-result; err != nil {
		return nil, err
	}
	c := &child{childConfig: cfg, pid: cmd.Process.Pid, cmd: cmd, ended: make(chan struct{})}
	s.waiters.Go(func() {
		_ = cmd.Wait() // how it ended is in its state
		c.state = cmd.ProcessState.String()
		close(c.ended)
		s.ring()
	})
	return c, nil
}

func (c *child) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// terminate asks the process to stop. One that has ended is not hit, nor
// another that has its number now.
func (c *child) terminate() { _ = c.cmd.Process.Signal(terminateSignal) }

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// commandLine is what starts the process again, for a shell.
func (c *child) commandLine() string {
	words := []string{shellWord(c.exe)}
	for _, arg := range c.args {
		words = append(words, shellWord(arg))
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word for a shell if it needs that.
func shellWord(word string) string {
	plain := strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+") == ""
	if plain && word != "" {
		return word
	}
	return fmt.Sprintf("'%s'", strings.ReplaceAll(word, "'", `'\''`))
}
