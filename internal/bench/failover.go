package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/cluster"
)

// What design section 8 says of failover.
const (
	killMedian    = 350 * time.Millisecond
	killWorst     = 700 * time.Millisecond
	gracefulWorst = 50 * time.Millisecond
	firstDecision = time.Second
)

// Times of a failover run.
const (
	failoverPatience = 2 * time.Minute // until a cluster is whole, or has a leader
	failoverPoll     = 5 * time.Millisecond
)

// FailoverConfig says what [Failover] and [Load] run.
type FailoverConfig struct {
	Runs       int           // failovers of each kind
	Nodes      int           // processes; the largest of 1, 3, 5 that is no more begins the cluster
	Profile    string        // of all agents
	WriteDelay time.Duration // that each write below a data directory takes longer; 0 = none
	Load       time.Duration // how long Load goes on
	Dir        string        // where the temporary directory is made; "" = the system's place
	Start      Starter       // required
	// Progress, if set, is told what is being done.
	Progress func(format string, args ...any)
}

// Bounds of a FailoverConfig.
const (
	RunsMax          = 1000
	FailoverNodesMin = 3
	FailoverNodesMax = 9
	WriteDelayMax    = time.Second
	LoadMax          = 24 * time.Hour
)

// DefaultFailover returns the sizes of the design, section 8.
func DefaultFailover() FailoverConfig {
	return FailoverConfig{Runs: 20, Nodes: 3, Profile: string(cluster.ProfileAuto)}
}

// Validate returns an error that begins with the first field that is out of
// range, spelt as the flag of the command line.
func (c FailoverConfig) Validate() error {
	switch {
	case c.Runs < 1 || c.Runs > RunsMax:
		return fmt.Errorf("runs: %d is not within 1..%d", c.Runs, RunsMax)
	case c.Nodes < FailoverNodesMin || c.Nodes > FailoverNodesMax:
		return fmt.Errorf("nodes: %d is not within %d..%d", c.Nodes, FailoverNodesMin, FailoverNodesMax)
	case c.WriteDelay < 0 || c.WriteDelay > WriteDelayMax:
		return fmt.Errorf("write-delay: %v is not within 0s..%v", c.WriteDelay, WriteDelayMax)
	case c.Load < 0 || c.Load > LoadMax:
		return fmt.Errorf("load: %v is not within 0s..%v", c.Load, LoadMax)
	}
	return nil
}

// cause is a way in which a leader comes to lead no more.
type cause struct {
	key, what   string
	limit       time.Duration // of the worst
	limitMedian time.Duration // 0 = none
	strike      func(ctx context.Context, leader *process) error
	dies        bool // the leader's process ends by it
}

// Failover measures for how long no write is answered when the leader is
// killed, told to stop, or told to hand over: real processes on loopback, and a
// client of each of the others that writes all the time.
func Failover(ctx context.Context, cfg FailoverConfig) (_ *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p, err := startProcesses(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer p.close()
	report := new(Report)
	var decisions []time.Duration
	for _, c := range p.causes() {
		var outages []time.Duration
		for run := range cfg.Runs {
			outage, decided, err := p.failover(ctx, c)
			if problem, ok := errors.AsType[*api.Problem](err); ok && problem.Code == api.Unsupported {
				report.note("%s: not measured, %s", c.what, problem.Detail)
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s, run %d of %d: %w", c.what, run+1, cfg.Runs, err)
			}
			cfg.progress("%s, run %d of %d: no write answered for %v, first pass of the scheduler after %v", c.what, run+1, cfg.Runs, outage.Round(time.Millisecond/10), decided.Round(time.Millisecond/10))
			outages, decisions = append(outages, outage), append(decisions, decided)
		}
		if len(outages) > 0 {
			report.add(c.figures(outages)...)
		}
	}
	slices.Sort(decisions)
	report.add(
		Figure{Key: "first_decision_median_seconds", What: "first scheduling pass after the election, median", Value: at(decisions, 0.5), Unit: Seconds},
		Figure{Key: "first_decision_max_seconds", What: "first scheduling pass after the election, worst", Value: at(decisions, 1), Unit: Seconds, Goal: AtMost, Limit: firstDecision.Seconds()},
	)
	report.add(
		Figure{Key: "heartbeat_seconds", What: "heartbeat in force at the end", Value: p.heartbeat(ctx), Unit: Seconds},
		Figure{Key: "write_delay_seconds", What: "simulated length of a stable write", Value: cfg.WriteDelay.Seconds(), Unit: Seconds},
		Figure{Key: "runs", What: "runs of each kind", Value: float64(cfg.Runs)},
	)
	report.note("Measured is the longest time between two answered writes around the event, over the clients of all nodes but the leader; they write one after another, so a few milliseconds are the writes' own.")
	return report, nil
}

func (c FailoverConfig) progress(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(format, args...)
	}
}

func (p *processes) causes() []cause {
	return []cause{
		{
			key: "kill", what: "leader killed", limit: killWorst, limitMedian: killMedian, dies: true,
			strike: func(_ context.Context, leader *process) error { leader.running.Kill(); return nil },
		},
		{
			key: "stop", what: "leader stopped in good order", limit: gracefulWorst, dies: true,
			strike: func(_ context.Context, leader *process) error { leader.running.Terminate(); return nil },
		},
		{
			key: "transfer", what: "leadership handed over", limit: gracefulWorst,
			strike: func(ctx context.Context, leader *process) error {
				_, err := leader.calls.TransferLeadership(ctx, "", "benchmark")
				return err
			},
		},
	}
}

// figures are the distribution of the outages.
func (c cause) figures(outages []time.Duration) []Figure {
	slices.Sort(outages)
	figure := func(key, what string, share float64) Figure {
		return Figure{Key: c.key + "_" + key + "_seconds", What: c.what + ", " + what, Value: at(outages, share), Unit: Seconds}
	}
	all := []Figure{figure("min", "least", 0), figure("median", "median", 0.5), figure("p90", "90 %", 0.9), figure("max", "worst", 1)}
	if c.limitMedian > 0 {
		all[1].Goal, all[1].Limit = AtMost, c.limitMedian.Seconds()
	}
	all[3].Goal, all[3].Limit = AtMost, c.limit.Seconds()
	return all
}

// at returns the value, in seconds, below which that share of the sorted list
// lies: the nearest that is in the list.
func at(sorted []time.Duration, share float64) float64 {
	return sorted[max(int(math.Ceil(share*float64(len(sorted))))-1, 0)].Seconds()
}

// failover lets one leader go and returns for how long no write was answered,
// and how long the next leader took from its election to its first pass.
func (p *processes) failover(ctx context.Context, c cause) (outage, decided time.Duration, err error) {
	old, err := p.whole(ctx)
	if err != nil {
		return 0, 0, err
	}
	others := slices.DeleteFunc(slices.Clone(p.all), func(one *process) bool { return one == old })
	writing := startPulse(ctx, others)
	defer writing.stop()
	if err := writing.beats(ctx); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := c.strike(ctx, old); err != nil {
		return 0, 0, err
	}
	if c.dies {
		select {
		case <-old.running.Ended():
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
	var next *process
	err = p.until(ctx, "another node leads", func() bool {
		next = p.leaderAmong(ctx, others)
		return next != nil
	})
	if err == nil {
		err = writing.beats(ctx)
	}
	if err != nil {
		return 0, 0, err
	}
	outage = writing.longest(began)
	writing.stop()
	err = p.until(ctx, "the new leader has made its first pass", func() bool {
		seconds := next.metric(ctx, "holdfast_first_decision_seconds")
		decided = time.Duration(seconds * float64(time.Second))
		return !math.IsNaN(seconds)
	})
	if err == nil && c.dies {
		err = p.start(old)
	}
	return outage, decided, err
}

// heartbeat returns the longest heartbeat, in seconds, that a node has in force.
func (p *processes) heartbeat(ctx context.Context) float64 {
	longest := 0.0
	for _, one := range p.all {
		if now := one.metric(ctx, "holdfast_heartbeat_seconds"); !math.IsNaN(now) {
			longest = max(longest, now)
		}
	}
	return longest
}

// whole waits until all nodes are up and known to be, and returns the leader.
func (p *processes) whole(ctx context.Context) (leader *process, err error) {
	err = p.until(ctx, "all nodes are ready and alive", func() bool {
		if leader = p.leaderAmong(ctx, p.all); leader == nil {
			return false
		}
		for _, one := range p.all {
			if one.calls.Ready(ctx, true) != nil {
				return false
			}
		}
		nodes, err := leader.calls.Nodes(ctx)
		alive := 0
		for _, n := range nodes {
			if n.State == "alive" {
				alive++
			}
		}
		return err == nil && alive == len(p.all)
	})
	return leader, err
}

// until waits for a condition.
func (p *processes) until(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, failoverPatience, fmt.Errorf("not within %v: %s", failoverPatience, what))
	defer cancel()
	ticker := time.NewTicker(failoverPoll)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}
