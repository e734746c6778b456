package bench

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Config says how large a benchmark is.
type Config struct {
	Chains  int           // of the states that plan and state build
	Nodes   int           // of the same states, at least 4
	Clients int           // of write
	Size    int64         // bytes that copy copies
	Length  time.Duration // of each measurement that goes on for a time
	Dir     string        // where the temporary directory is made; "" = the system's place
	// Progress, if set, is told what is being done.
	Progress func(format string, args ...any)
}

// Bounds of a Config.
const (
	ChainsMax  = 10_000_000
	NodesMax   = 10_000
	ClientsMax = 10_000
	SizeMax    = 64 << 30
	LengthMax  = 10 * time.Minute
)

// nodesMin leaves a node to repair on when one of them is lost.
const nodesMin = copies + 1

// DefaultConfig returns the sizes of the design, section 8.
func DefaultConfig() Config {
	return Config{Chains: 1_000_000, Nodes: 1_000, Clients: 256, Size: 1 << 30, Length: 5 * time.Second}
}

// Validate returns an error that begins with the first field that is out of
// range, spelt as the flag of the command line.
func (c Config) Validate() error {
	for _, f := range []struct {
		name       string
		v, at, end int64
	}{
		{"chains", int64(c.Chains), 1, ChainsMax},
		{"nodes", int64(c.Nodes), nodesMin, NodesMax},
		{"clients", int64(c.Clients), 1, ClientsMax},
		{"size", c.Size, 1, SizeMax},
	} {
		if f.v < f.at || f.v > f.end {
			return fmt.Errorf("%s: %d is not within %d..%d", f.name, f.v, f.at, f.end)
		}
	}
	if c.Length <= 0 || c.Length > LengthMax {
		return fmt.Errorf("seconds: %v is not within 0s..%v", c.Length, LengthMax)
	}
	return nil
}

func (c Config) progress(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(format, args...)
	}
}

// directory makes the directory for everything that a benchmark writes.
func (c Config) directory() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(c.Dir, "holdfast-bench-")
	if err != nil {
		return "", nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// rounds splits a measurement of several rivals: each gets its share of the
// time twice, in turn, so that a machine that changes its pace meanwhile does
// so to all of them.
const rounds = 2

// inTurn calls each of the rivals with its share of the time, in turn.
func inTurn(ctx context.Context, length time.Duration, rivals ...func(context.Context, time.Duration) error) error {
	for range rounds {
		for _, measure := range rivals {
			if err := measure(ctx, length/rounds); err != nil {
				return err
			}
		}
	}
	return nil
}
