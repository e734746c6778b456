//go:build linux && (amd64 || arm64)

package powercut

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Scenario is a story of writes that must survive a death at any of its calls.
type Scenario struct {
	Name  string
	Steps int
	// Do takes the first steps of the story, in an empty or missing directory,
	// and calls done after each, when it is acknowledged.
	Do func(dir string, steps int, done func()) error
	// State opens the directory, mending what there is to mend, and says all
	// that is in it. It is the same after the same steps.
	State func(dir string) (string, error)
}

// The environment of a process that plays a scenario.
const (
	scenarioEnv  = "HOLDFAST_SCENARIO"
	directoryEnv = "HOLDFAST_DIRECTORY"
)

// Play makes a process that Sweep began play its scenario, and end. Every other
// process goes on. TestMain calls it after Enter.
func Play(scenarios ...Scenario) {
	what, name, _ := strings.Cut(os.Getenv(scenarioEnv), " ")
	for _, s := range scenarios {
		if s.Name != name || what == "" {
			continue
		}
		var err error
		if what == "do" {
			err = s.Do(os.Getenv(directoryEnv), s.Steps, func() { fmt.Println("done") })
		} else {
			var state string
			state, err = s.State(os.Getenv(directoryEnv))
			fmt.Println(state)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func (s Scenario) command(ctx context.Context, what, dir string) (cmd *exec.Cmd, printed *strings.Builder) {
	cmd = exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), scenarioEnv+"="+what+" "+s.Name, directoryEnv+"="+dir)
	printed = new(strings.Builder)
	cmd.Stdout, cmd.Stderr = printed, printed
	return cmd, printed
}

// Sweep plays the scenario in processes of their own, and kills them at each of
// their syncs, renames and removals in turn. After each death, what kill -9
// leaves and what a power cut leaves must be the state after the steps that
// were acknowledged, or after one more. And what the next process sees of the
// first must be there after a power cut at its end: what is seen is acted on.
// A short test takes every seventh call only.
func (s Scenario) Sweep(t *testing.T) {
	t.Helper()
	states := make([]string, s.Steps+2)
	states[s.Steps+1] = "what no step leads to" // "" may be the state of an empty directory
	for n := range s.Steps + 1 {
		dir := filepath.Join(t.TempDir(), "data")
		err := s.Do(dir, n, func() {})
		if err == nil {
			states[n], err = s.State(dir)
		}
		if err != nil {
			t.Fatalf("%d steps without a fault: %v", n, err)
		}
		if n > 0 && states[n] == states[n-1] {
			t.Fatalf("step %d changes nothing that can be seen", n)
		}
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for at := 0; ; at += step {
		if !s.die(t, at, states) {
			t.Logf("%s: died at one of %d calls, up to number %d", s.Name, step, at)
			return
		}
	}
}

// die kills the program at one call and looks at what is left; false = the
// program ended before that.
func (s Scenario) die(t *testing.T, at int, states []string) bool {
	t.Helper()
	root, images := t.TempDir(), t.TempDir()
	dir := filepath.Join(root, "data")
	platter, err := NewPlatter(root)
	if err != nil {
		t.Fatal(err)
	}
	defer platter.Close()
	cmd, printed := s.command(t.Context(), "do", dir)
	cut, err := Kill(cmd, platter, at, images)
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("not proven: %v", err)
	}
	if err != nil {
		t.Fatalf("call %d: %v: %s", at, err, printed)
	}
	done := strings.Count(printed.String(), "done\n")
	allowed := states[done : done+2]
	look := func(what, dir string) {
		t.Helper()
		got, err := s.State(filepath.Join(dir, "data"))
		if err != nil || got != allowed[0] && got != allowed[1] {
			t.Errorf("%s at call %d (%s), %d steps acknowledged: got\n%s %v\nwant\n%s\nor\n%s", what, at, cut.Call, done, got, err, allowed[0], allowed[1])
		}
	}
	look("power cut", cut.Synced)
	look("power cut that kept names", cut.Named)

	cmd, printed = s.command(t.Context(), "state", dir)
	next, err := Kill(cmd, platter, -1, t.TempDir())
	if err != nil {
		t.Errorf("the next process after call %d (%s): %v: %s", at, cut.Call, err, printed)
		return true
	}
	look("kill -9", root)
	seen := strings.TrimSuffix(printed.String(), "\n")
	if got, err := s.State(filepath.Join(next.Synced, "data")); err != nil || got != seen {
		t.Errorf("death at call %d (%s), then a power cut: got\n%s %v\nthe process between them saw\n%s", at, cut.Call, got, err, seen)
	}
	return cut.Call != ""
}
