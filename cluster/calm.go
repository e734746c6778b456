package cluster

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Limits of what is said again and again.
const (
	seldomEvery  = time.Minute
	seldomMax    = 256              // texts remembered; more than that are not said
	formPatience = 10 * time.Second // what is expected while a cluster forms is no warning for so long
)

// seldom lets a text pass once a minute, so that what goes on for hours does
// not fill the log. The zero value is ready; it is safe for many goroutines.
type seldom struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// now tells whether the text is to be said now.
func (s *seldom) now(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if at, ok := s.said[text]; ok && now.Sub(at) < seldomEvery {
		return false
	}
	if len(s.said) >= seldomMax {
		for old, at := range s.said {
			if now.Sub(at) >= seldomEvery {
				delete(s.said, old)
			}
		}
		if len(s.said) >= seldomMax {
			return false
		}
	}
	if s.said == nil {
		s.said = map[string]time.Time{}
	}
	s.said[text] = now
	return true
}

// calmLog is raft's logger. What raft repeats about one peer, such as each
// heartbeat that a dead one misses, passes once a minute, the rest goes to
// debug. While the cluster forms raft's warnings are information.
type calmLog struct {
	hclog.Logger
	node *Node
}

// Warn implements hclog.Logger.
func (c calmLog) Warn(msg string, args ...any) {
	switch {
	case c.repeats(msg, args):
		c.Debug(msg, args...)
	case c.node.forming():
		c.Info(msg, args...)
	default:
		c.Logger.Warn(msg, args...)
	}
}

// Error implements hclog.Logger.
func (c calmLog) Error(msg string, args ...any) {
	if c.repeats(msg, args) {
		c.Debug(msg, args...)
		return
	}
	c.Logger.Error(msg, args...)
}

// repeats tells whether the same was said of the same peer a short time ago.
func (c calmLog) repeats(msg string, args []any) bool {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "server-id", "target", "candidate":
			return !c.node.seldom.now(fmt.Sprint(msg, " ", args[i+1]))
		}
	}
	return false
}

// forming tells whether this node has started, or become a member, just now.
func (n *Node) forming() bool {
	return n.cfg.Elapsed()-time.Duration(n.entered.Load()) < formPatience
}
