//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// watcher follows all chains during a run, across whatever happens.
type watcher struct {
	*world
	done chan struct{} // closed when the watch has ended
	stop context.CancelFunc

	mu     sync.Mutex
	chains map[string]api.Chain
	at     uint64 // revision up to which all is known
	resets int
}

// watch starts a watcher. It ends with ctx or when [watcher.all] has seen enough.
func (w *world) watch(ctx context.Context) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	s := &watcher{world: w, done: make(chan struct{}), stop: cancel, chains: map[string]api.Chain{}}
	go func() {
		defer close(s.done)
		for update, err := range w.f.client(keyPatience, w.f.all()...).Watch(ctx, "", client.Position{}) {
			if err != nil {
				if ctx.Err() == nil {
					w.broken("watch: ended with %v", err)
				}
				return
			}
			s.take(&update)
		}
	}()
	return s
}

// take applies an update. A chain never goes back to an older spec, and nothing
// but the beginning is a reset: no node was restored, and few changes are made.
func (s *watcher) take(u *client.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.Reset {
		if s.resets++; s.resets > 1 {
			s.broken("watch: reset at revision %d, after revision %d", u.Position.Revision, s.at)
		}
		clear(s.chains)
	}
	for _, c := range u.Chains {
		if old, ok := s.chains[c.ID]; ok && c.Revision < old.Revision {
			s.broken("watch: chain %s went back from revision %d to %d", c.ID, old.Revision, c.Revision)
		}
		s.chains[c.ID] = c
	}
	for _, id := range u.Deleted {
		delete(s.chains, id)
	}
	s.at = max(s.at, u.Position.Revision)
}

// all waits until the watcher has seen what a linearizable list shows, and
// ends it.
func (s *watcher) all() {
	s.f.t.Helper()
	c := s.f.client(keyPatience, s.f.all()...)
	s.f.eventually(time.Minute, "the watcher has seen all", func() error {
		list, err := c.Chains(s.f.t.Context(), client.Page{Limit: api.LimitMax}, client.At(api.Linearizable))
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(list.Chains) != len(s.chains) {
			return fmt.Errorf("at revision %d it knows %d chains, there are %d", s.at, len(s.chains), len(list.Chains))
		}
		for _, want := range list.Chains {
			if got := s.chains[want.ID]; got.Revision != want.Revision || got.Generation != want.Generation {
				return fmt.Errorf("at revision %d it knows chain %s at revision %d, it is at %d", s.at, want.ID, got.Revision, want.Revision)
			}
		}
		return nil
	})
	s.stop()
	<-s.done
}

// compare asks all nodes again and again where they are, until ctx ends: at the
// same index of the log, all have the same revision, whenever they get there.
func (w *world) compare(ctx context.Context) (done <-chan struct{}) {
	type state struct {
		node     int
		revision uint64
	}
	var mu sync.Mutex
	seen := map[uint64]state{}
	var all sync.WaitGroup
	for i := 1; i <= w.f.count; i++ {
		c := w.f.client(0, i)
		all.Go(func() {
			for ctx.Err() == nil {
				asking, cancel := context.WithTimeout(ctx, time.Second)
				s, err := c.Status(asking)
				if err == nil {
					mu.Lock()
					first, ok := seen[s.Index]
					if seen[s.Index] = (state{i, s.Revision}); ok && first.revision != s.Revision {
						w.broken("same-state: at index %d, n%d is at revision %d and n%d at %d", s.Index, i, s.Revision, first.node, first.revision)
					}
					mu.Unlock()
				}
				cancel()
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		all.Wait()
	}()
	return ended
}
