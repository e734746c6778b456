package cluster

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-hclog"
)

// crew is what a node has started: parts that run and things that are open, in
// the order in which they came. Its owner is one goroutine.
type crew struct {
	log    hclog.Logger
	stops  []stopper
	failed chan error // the first part that ended by itself
}

type stopper struct {
	name string
	stop func()
}

func newCrew(log hclog.Logger) *crew { return &crew{log: log, failed: make(chan error, 1)} }

// opened notes how to close what was opened.
func (c *crew) opened(name string, stop func()) {
	c.stops = append(c.stops, stopper{name, stop})
}

// run starts a part. It runs until it is stopped; one that returns an error
// before that ends the node.
func (c *crew) run(name string, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil && ctx.Err() == nil {
			select {
			case c.failed <- fmt.Errorf("%s: %w", name, err):
			default: // another part was first
			}
		}
	}()
	c.opened(name, func() {
		cancel()
		<-done
	})
}

// stop stops everything, the last first, and returns when all has ended.
func (c *crew) stop() {
	for i := len(c.stops) - 1; i >= 0; i-- {
		c.log.Debug("stopping", "part", c.stops[i].name)
		c.stops[i].stop()
	}
	c.stops = nil
}
