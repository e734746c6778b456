//go:build linux && (amd64 || arm64)

package powercut

import (
	"errors"
	"os/exec"
	"path/filepath"
	"sync"
)

// A Cut is what is left of a program that died at one of its calls.
type Cut struct {
	Call   string // the call that did not happen; "" = there was none, the program ended
	Synced string // directory with only what was synced
	Named  string // the same bytes, with all names of that moment
}

// Kill runs a program that writes below the platter's directory until it is
// about to make its call number at, counted from 0, and kills it there; with
// at < 0, or fewer calls, the program ends by itself. Behind it, the directory has
// what kill -9 leaves, and two others below images what a power cut would.
func Kill(cmd *exec.Cmd, platter *Platter, at int, images string) (Cut, error) {
	cut := Cut{Synced: filepath.Join(images, "synced"), Named: filepath.Join(images, "named")}
	image := func() error {
		return errors.Join(platter.Cut(cut.Synced, false), platter.Cut(cut.Named, true))
	}
	var (
		mu      sync.Mutex
		calls   int
		failure error
	)
	program, err := Start(cmd, func(program *Program, c Call) error {
		mu.Lock()
		defer mu.Unlock()
		if calls == at {
			cut.Call = c.Name
			failure = errors.Join(failure, image(), program.Kill())
		} else if c.File != nil && (at < 0 || calls < at) {
			failure = errors.Join(failure, platter.Synced(c.File))
		}
		calls++
		if at >= 0 && calls > at {
			mu.Unlock()
			<-program.Ended() // nothing more happens
			mu.Lock()
		}
		return nil
	})
	if err != nil {
		return Cut{}, err
	}
	err = program.Wait()
	if cut.Call != "" {
		return cut, failure
	}
	return cut, errors.Join(failure, err, image())
}
