package testcluster

import (
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// logLinesMax is how many lines are kept: what led to a failure is at the end.
const logLinesMax = 4000

// logs keeps the last lines that all nodes have logged, in one sequence.
type logs struct {
	mu    sync.Mutex
	lines []string // a ring once it is full
	next  int
}

// Write implements io.Writer; hclog writes whole lines.
func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < logLinesMax {
		l.lines = append(l.lines, string(line))
		return len(line), nil
	}
	l.lines[l.next] = string(line)
	l.next = (l.next + 1) % logLinesMax
	return len(line), nil
}

// String returns the lines, the oldest first.
func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(slices.Concat(l.lines[l.next:], l.lines[:l.next]), "")
}

// logger returns the logger of one node. HOLDFAST_TEST_LOG names another level
// than info.
func (l *logs) logger(node string) hclog.Logger {
	level := hclog.LevelFromString(os.Getenv("HOLDFAST_TEST_LOG"))
	if level == hclog.NoLevel {
		level = hclog.Info
	}
	return hclog.New(&hclog.LoggerOptions{Name: node, Output: l, Level: level, TimeFormat: "15:04:05.000"})
}
