package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Times of a pulse.
const (
	pulsePause  = time.Millisecond // between two writes of a client
	pulseTime   = 30 * time.Second // for one write, which waits for a leader that long at most
	pulseChains = 4                // of each client
)

// pulse is a client of each of some nodes that writes all the time, one write
// after another, and again what was not answered.
type pulse struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu     sync.Mutex
	writes []answered
	news   chan struct{} // closed and made anew with each of them
}

// answered is a write that was acknowledged.
type answered struct{ asked, done time.Time }

func startPulse(ctx context.Context, through []*process) *pulse {
	ctx, cancel := context.WithCancel(ctx)
	p := &pulse{cancel: cancel, news: make(chan struct{})}
	for _, one := range through {
		p.ended.Go(func() { p.write(ctx, one) })
	}
	return p
}

// stop ends the clients and waits for them. It may be called often.
func (p *pulse) stop() {
	p.cancel()
	p.ended.Wait()
}

func (p *pulse) write(ctx context.Context, through *process) {
	for n := 0; ctx.Err() == nil; n++ {
		asked := time.Now()
		if putLabel(ctx, through, n) == nil {
			p.mu.Lock()
			p.writes = append(p.writes, answered{asked, time.Now()})
			close(p.news)
			p.news = make(chan struct{})
			p.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pulsePause):
		}
	}
}

// putLabel makes one write: it gives a chain another label.
func putLabel(ctx context.Context, through *process, n int) error {
	ctx, cancel := context.WithTimeout(ctx, pulseTime)
	defer cancel()
	url := fmt.Sprintf("http://%s/v1/chains/pulse-%s-%d", through.http, through.name, n%pulseChains)
	body := strings.NewReader(fmt.Sprintf(`{"spec":{"desired":1,"labels":{"n":"%d"}}}`, n))
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := through.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("a write was answered %s: %s", resp.Status, text)
	}
	return err
}

// beats waits for the answer to a write that begins from now on.
func (p *pulse) beats(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, failoverPatience, fmt.Errorf("no write was answered within %v", failoverPatience))
	defer cancel()
	since := time.Now()
	for {
		p.mu.Lock()
		news := p.news
		found := slices.ContainsFunc(p.writes, func(w answered) bool { return w.asked.After(since) })
		p.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// longest returns the longest time between two answers of which the later came
// after that moment.
func (p *pulse) longest(after time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var longest time.Duration
	for i := 1; i < len(p.writes); i++ {
		if p.writes[i].done.After(after) {
			longest = max(longest, p.writes[i].done.Sub(p.writes[i-1].done))
		}
	}
	return longest
}
