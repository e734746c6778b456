package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// What a Load does beside keeping the processors busy.
const (
	loadContents = 4                // chains whose content is put again and again
	loadSize     = 8 << 20          // bytes of each
	loadPause    = 2 * time.Second  // between two of them
	loadSay      = 30 * time.Second // between two words about the progress
)

// Load keeps all processors busy for cfg.Load, beside a cluster of real
// processes that takes writes and copies contents, and counts the elections.
// Nothing fails: an election that nobody asked for is a false one.
func Load(ctx context.Context, cfg FailoverConfig) (_ *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p, err := startProcesses(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer p.close()
	for n := range loadContents {
		if _, err := p.all[0].calls.PutChain(ctx, loadChain(n), api.Spec{}); err != nil {
			return nil, err
		}
	}
	before := p.tally(ctx)
	loaded, stop := context.WithTimeout(ctx, cfg.Load)
	defer stop()
	var working sync.WaitGroup
	defer working.Wait()
	for range runtime.NumCPU() {
		working.Go(func() { keepBusy(loaded) })
	}
	puts := 0
	var refused error
	working.Go(func() { puts, refused = p.putContents(loaded) })
	writing := startPulse(loaded, p.all)
	worst := p.watch(loaded, before)
	writing.stop()
	stop()
	working.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if puts == 0 && refused != nil {
		return nil, fmt.Errorf("no content could be put meanwhile: %w", refused)
	}
	after := p.tally(ctx)
	return loadReport(cfg, before, after, max(worst, after.lag), len(writing.writes), puts), nil
}

func loadReport(cfg FailoverConfig, before, after tally, lag float64, writes, puts int) *Report {
	r := new(Report)
	elections, handed := after.elections-before.elections, after.handed-before.handed
	r.add(
		Figure{Key: "load_seconds", What: "all processors busy for", Value: cfg.Load.Seconds(), Unit: Seconds},
		Figure{Key: "false_elections", What: "elections that nobody asked for", Value: max(elections-handed, 0)},
		Figure{Key: "elections", What: "elections", Value: elections},
		Figure{Key: "hand_overs", What: "leadership handed over, for a new heartbeat", Value: handed},
		Figure{Key: "terms", What: "terms that went by", Value: after.term - before.term},
		Figure{Key: "heartbeat_before_seconds", What: "heartbeat at the start", Value: before.heartbeat, Unit: Seconds},
		Figure{Key: "heartbeat_seconds", What: "heartbeat at the end", Value: after.heartbeat, Unit: Seconds},
		Figure{Key: "worst_lag_seconds", What: "latest that a timer fired", Value: lag, Unit: Seconds},
		Figure{Key: "worst_write_seconds", What: "longest stable write, lately", Value: after.write, Unit: Seconds},
		Figure{Key: "writes", What: "writes answered meanwhile", Value: float64(writes)},
		Figure{Key: "contents", What: "contents put meanwhile", Value: float64(puts)},
		Figure{Key: "write_delay_seconds", What: "simulated length of a stable write", Value: cfg.WriteDelay.Seconds(), Unit: Seconds},
	)
	r.note("As many threads as there are processors spin at normal priority beside the agents. There should be no election that nobody asked for.")
	return r
}

// keepBusy keeps one thread busy until ctx ends.
func keepBusy(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for n := 0; ; n++ {
		if n%(1<<20) == 0 && ctx.Err() != nil {
			return
		}
	}
}

// tally is what all nodes say together.
type tally struct {
	elections, handed float64 // sums
	term              float64 // the highest
	heartbeat         float64 // the longest in force, in seconds
	lag, write        float64 // the worst, in seconds
}

func (p *processes) tally(ctx context.Context) tally {
	var t tally
	for _, one := range p.all {
		number := func(name string) float64 {
			if v := one.metric(ctx, "holdfast_"+name); !math.IsNaN(v) {
				return v
			}
			return 0
		}
		t.elections += number("elections_won_total")
		t.handed += number("hand_overs_total")
		t.term = max(t.term, number("raft_term"))
		t.heartbeat = max(t.heartbeat, number("heartbeat_seconds"))
		t.lag = max(t.lag, number("worst_lag_seconds"))
		t.write = max(t.write, number("worst_write_seconds"))
	}
	return t
}

// watch tells how it goes until ctx ends, and returns the worst lag that it saw.
func (p *processes) watch(ctx context.Context, before tally) (worst float64) {
	ticker := time.NewTicker(loadSay)
	defer ticker.Stop()
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return worst
		case <-ticker.C:
		}
		now := p.tally(ctx)
		if ctx.Err() != nil {
			return worst // in the middle of asking
		}
		worst = max(worst, now.lag)
		p.cfg.progress("after %v: %v elections, %v of them asked for, heartbeat %v, worst lag %v", time.Since(began).Round(time.Second),
			now.elections-before.elections, now.handed-before.handed, Seconds.format(now.heartbeat), Seconds.format(worst))
	}
}

// putContents puts contents one after another, and takes a snapshot after each,
// until ctx ends. What fails for want of time under load is put again; the last
// error that was not for the end of ctx is returned, too.
func (p *processes) putContents(ctx context.Context) (puts int, refused error) {
	data := make([]byte, loadSize)
	for n := 0; ctx.Err() == nil; n++ {
		data[0], data[1] = byte(n), byte(n>>8)
		through := p.all[n%len(p.all)].calls
		_, err := through.PutContent(ctx, loadChain(n%loadContents), bytes.NewReader(data), loadSize, client.Because("benchmark"))
		switch {
		case err == nil:
			puts++
		case ctx.Err() == nil:
			refused = err
		}
		if saved, err := through.Snapshot(ctx); err == nil {
			_, _ = io.Copy(io.Discard, saved) // it is the work that counts
			saved.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(loadPause):
		}
	}
	return puts, refused
}

func loadChain(n int) string { return fmt.Sprintf("load-%d", n) }
