package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, now, stop := interrupts(context.Background())
	p := &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		environ: os.Environ(), now: now, executable: os.Executable, hostname: os.Hostname,
	}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// program is what a command touches outside of its own code.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string        // KEY=value
	now            <-chan struct{} // closes when an orderly stop must become an immediate one
	executable     func() (string, error)
	hostname       func() (string, error)
}

// run executes one command line and returns its exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.rootCommand()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return p.exit(root.ExecuteContext(ctx))
}

// env returns the value of an environment variable; empty counts as not set.
func (p *program) env(name string) (string, bool) {
	for _, kv := range p.environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value, value != ""
		}
	}
	return "", false
}

// interrupts returns a context that the first interrupt ends, and a channel
// that the second closes. stop gives the signals back.
func interrupts(parent context.Context) (ctx context.Context, now <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	second, ended, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for count := range 2 {
			select {
			case <-signals:
			case <-ended:
				return
			}
			if cancel(); count == 1 {
				close(second)
			}
		}
	}()
	return ctx, second, func() {
		signal.Stop(signals)
		close(ended)
		<-done
		cancel()
	}
}
