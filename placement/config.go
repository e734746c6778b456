package placement

import (
	"fmt"
	"math"
	"time"
)

// Config is the part of the configuration that is replicated and changes at
// run time. A chain may override floor, gap, cooldown and repair delay.
type Config struct {
	// ScoreFloor flags a holder whose score is below it. 0..1, default 0.5.
	ScoreFloor float64
	// LazyFloor stands in for ScoreFloor for chains of policy lazy. 0..1, default 0.25.
	LazyFloor float64
	// HysteresisGap is what an alternative's score must exceed the victim's
	// by, strictly. 0..1, default 0.2.
	HysteresisGap float64
	// Cooldown is how long balance leaves a chain alone after a rebalance.
	// Default 5 min; 0 = none.
	Cooldown time.Duration
	// ConstraintCooldown is the same between two constraint moves of one
	// chain. Default 60 s (rule S9).
	ConstraintCooldown time.Duration
	// TickInterval is how often the leader looks without being woken.
	// 100 ms..10 s, default 500 ms.
	TickInterval time.Duration
	// RepairDelay is how long a copy may be unreachable before it counts as
	// lost. Default 60 s.
	RepairDelay time.Duration
	// RepairPauseMax ends a repair pause at the latest. Default 30 min.
	RepairPauseMax time.Duration
	// SickAfter is how long the probe of a node that still gossips may fail
	// before the node is sick. Default 10 s (rule S18).
	SickAfter time.Duration
	// SwapMode is what comes first in a move. Default place-first.
	SwapMode SwapMode
	// MovesMax bounds the open moves of the cluster, repairs included.
	// Default 64. Balance and drain have their shares of it, 16 and 32.
	MovesMax, BalanceMovesMax, DrainMovesMax int
	// NodeMovesInMax and NodeMovesOutMax bound the open moves with a victim
	// per node. Defaults 2 and 4.
	NodeMovesInMax, NodeMovesOutMax int
	// RepairMovesInMax bounds the open repairs into a node, on top of
	// NodeMovesInMax. Default 4.
	RepairMovesInMax int
	// MoveDeadline calls off a pull that reports no progress for so long.
	// Default 10 min.
	MoveDeadline time.Duration
	// QuarantineAfter is how many targets of a chain may fail in a row before
	// it is held back. Default 5.
	QuarantineAfter int
	// BackoffMin and BackoffMax bound the doubling wait after a failed target.
	// Defaults 1 min and 1 h.
	BackoffMin, BackoffMax time.Duration
	// DropGrace is how long a dropping holder goes on serving. Default 5 s.
	DropGrace time.Duration
	// RequestTTL is how long the answer to a write is remembered, in cluster
	// time. Default 60 s (rule S20).
	RequestTTL time.Duration
	// TombstoneTTL is how long a deleted chain is remembered. Default 168 h.
	TombstoneTTL time.Duration
	// ForcedTTL is how long a forced operation waits to be opened. Default 1 h.
	ForcedTTL time.Duration
	// MaxVoters bounds the raft voters. 1, 3, 5, 7 or 9; default 5.
	MaxVoters int
	// DeadServerTimeout removes a dead voter that nothing replaces, if the
	// floor of rule S16 still holds. Default 24 h.
	DeadServerTimeout time.Duration
	// WriteCopies is how many disks acknowledge content. 0 (default) means
	// ⌊desired/2⌋+1; more than desired means desired.
	WriteCopies int
	// ContentSizeMax bounds one content in bytes. Default 64 GiB.
	ContentSizeMax int64
	// MoveBandwidth is the bytes per second that a balance move is reckoned to
	// get. Above 0, its cost gate counts: the time that the copy takes, as a
	// share of MoveHorizon, is added to the gap. Default 0, moves cost nothing.
	MoveBandwidth int64
	// MoveHorizon is how long a better place is reckoned to stay better, for
	// the cost gate. 1 min..DurationMax, default 1 h.
	MoveHorizon time.Duration
}

// DefaultConfig returns the configuration a new cluster starts with.
func DefaultConfig() Config {
	return Config{
		ScoreFloor: 0.5, LazyFloor: 0.25, HysteresisGap: 0.2,
		Cooldown: 5 * time.Minute, ConstraintCooldown: time.Minute, TickInterval: 500 * time.Millisecond,
		RepairDelay: time.Minute, RepairPauseMax: 30 * time.Minute, SickAfter: 10 * time.Second,
		SwapMode: PlaceFirst,
		MovesMax: 64, BalanceMovesMax: 16, DrainMovesMax: 32,
		NodeMovesInMax: 2, NodeMovesOutMax: 4, RepairMovesInMax: 4,
		MoveDeadline: 10 * time.Minute, QuarantineAfter: 5,
		BackoffMin: time.Minute, BackoffMax: time.Hour,
		DropGrace: 5 * time.Second, RequestTTL: time.Minute, TombstoneTTL: 168 * time.Hour, ForcedTTL: time.Hour,
		MaxVoters: 5, DeadServerTimeout: 24 * time.Hour,
		ContentSizeMax: 64 << 30, MoveHorizon: time.Hour,
	}
}

// Validate returns an error that begins with the name of the first field
// that is out of its range or contradicts another.
func (c Config) Validate() error {
	for _, f := range []struct {
		name string
		v    float64
	}{{"score_floor", c.ScoreFloor}, {"lazy_floor", c.LazyFloor}, {"hysteresis_gap", c.HysteresisGap}} {
		if math.IsNaN(f.v) || f.v < 0 || f.v > 1 {
			return fmt.Errorf("%s: %v is not within 0..1", f.name, f.v)
		}
	}
	for _, f := range []struct {
		name    string
		v       time.Duration
		at, end time.Duration
	}{
		{"cooldown", c.Cooldown, 0, DurationMax},
		{"constraint_cooldown", c.ConstraintCooldown, 0, DurationMax},
		{"tick_interval", c.TickInterval, 100 * time.Millisecond, 10 * time.Second},
		{"repair_delay", c.RepairDelay, 0, DurationMax},
		{"repair_pause_max", c.RepairPauseMax, time.Second, DurationMax},
		{"sick_after", c.SickAfter, time.Second, time.Hour},
		{"move_deadline", c.MoveDeadline, time.Second, DurationMax},
		{"backoff_max", c.BackoffMax, time.Second, DurationMax},
		{"backoff_min", c.BackoffMin, time.Second, c.BackoffMax},
		{"move_horizon", c.MoveHorizon, time.Minute, DurationMax},
		{"drop_grace", c.DropGrace, 0, time.Hour},
		{"request_ttl", c.RequestTTL, 10 * time.Second, time.Hour},
		{"tombstone_ttl", c.TombstoneTTL, time.Hour, DurationMax},
		{"forced_ttl", c.ForcedTTL, time.Second, DurationMax},
		{"dead_server_timeout", c.DeadServerTimeout, time.Minute, DurationMax},
	} {
		if f.v < f.at || f.v > f.end {
			return fmt.Errorf("%s: %v is not within %v..%v", f.name, f.v, f.at, f.end)
		}
	}
	if c.SwapMode != PlaceFirst && c.SwapMode != EvictFirst {
		return fmt.Errorf("swap_mode: %q is neither place-first nor evict-first", c.SwapMode)
	}
	return c.validateCounts()
}

func (c Config) validateCounts() error {
	for _, f := range []struct {
		name       string
		v, at, end int64
	}{
		{"moves_max", int64(c.MovesMax), 1, 1 << 20},
		{"balance_moves_max", int64(c.BalanceMovesMax), 0, int64(c.MovesMax)},
		{"drain_moves_max", int64(c.DrainMovesMax), 0, int64(c.MovesMax)},
		{"node_moves_in_max", int64(c.NodeMovesInMax), 1, 1 << 20},
		{"node_moves_out_max", int64(c.NodeMovesOutMax), 1, 1 << 20},
		{"repair_moves_in_max", int64(c.RepairMovesInMax), 1, 1 << 20},
		{"quarantine_after", int64(c.QuarantineAfter), 1, 1000},
		{"max_voters", int64(c.MaxVoters), 1, 9},
		{"write_copies", int64(c.WriteCopies), 0, DesiredMax},
		{"content_size_max", c.ContentSizeMax, 1, SizeBytesMax},
		{"move_bandwidth", c.MoveBandwidth, 0, SizeBytesMax},
	} {
		if f.v < f.at || f.v > f.end {
			return fmt.Errorf("%s: %d is not within %d..%d", f.name, f.v, f.at, f.end)
		}
	}
	if c.MaxVoters%2 == 0 {
		return fmt.Errorf("max_voters: %d is even; give 1, 3, 5, 7 or 9", c.MaxVoters)
	}
	return nil
}

// FloorFor returns the score floor in force for a chain.
func (c Config) FloorFor(s *Spec) Score {
	f := c.ScoreFloor
	if s.Policy == PolicyLazy {
		f = c.LazyFloor
	}
	if s.Floor != nil {
		f = *s.Floor
	}
	score, _ := ScoreOf(f)
	return score
}

// GapFor returns the hysteresis gap in force for a chain.
func (c Config) GapFor(s *Spec) Score {
	f := c.HysteresisGap
	if s.Gap != nil {
		f = *s.Gap
	}
	score, _ := ScoreOf(f)
	return score
}

// CooldownFor returns the balance cooldown in force for a chain.
func (c Config) CooldownFor(s *Spec) time.Duration {
	if s.Cooldown != nil {
		return *s.Cooldown
	}
	return c.Cooldown
}

// RepairDelayFor returns the repair delay in force for a chain.
func (c Config) RepairDelayFor(s *Spec) time.Duration {
	if s.RepairDelay != nil {
		return *s.RepairDelay
	}
	return c.RepairDelay
}

// WriteCopiesFor returns how many disks acknowledge the chain's content:
// 1..desired (rule S3).
func (c Config) WriteCopiesFor(s *Spec) int {
	if c.WriteCopies == 0 {
		return s.Desired/2 + 1
	}
	return min(c.WriteCopies, s.Desired)
}

// BackoffFor returns how long a target is left alone after its nth failure in
// a row: BackoffMin, doubling, at most BackoffMax.
func (c Config) BackoffFor(failures int) time.Duration {
	d := c.BackoffMin
	for range min(failures, 64) - 1 {
		if d *= 2; d >= c.BackoffMax {
			return c.BackoffMax
		}
	}
	return d
}
