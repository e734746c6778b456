package placement

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestConfigValidate: every field has a range, both ends of which are
// accepted, and what lies beyond is refused by the field's name.
func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	type change = func(*Config)
	span := func(f func(*Config) *time.Duration, lo, hi time.Duration) (good, bad []change) {
		set := func(d time.Duration) change { return func(c *Config) { *f(c) = d } }
		return []change{set(lo), set(hi)}, []change{set(lo - 1), set(hi + 1), set(-1), set(math.MaxInt64), set(math.MinInt64)}
	}
	count := func(f func(*Config) *int, lo, hi int) (good, bad []change) {
		set := func(n int) change { return func(c *Config) { *f(c) = n } }
		return []change{set(lo), set(hi)}, []change{set(lo - 1), set(hi + 1), set(math.MaxInt64), set(math.MinInt64)}
	}
	unit := func(f func(*Config) *float64) (good, bad []change) {
		set := func(x float64) change { return func(c *Config) { *f(c) = x } }
		return []change{set(0), set(1), set(math.Copysign(0, -1))},
			[]change{set(-1e-9), set(1 + 1e-9), set(math.NaN()), set(math.Inf(1)), set(math.Inf(-1)), set(1e308)}
	}
	type limits struct{ good, bad []change }
	of := func(good, bad []change) limits { return limits{good, bad} }
	fields := map[string]limits{
		"score_floor":         of(unit(func(c *Config) *float64 { return &c.ScoreFloor })),
		"lazy_floor":          of(unit(func(c *Config) *float64 { return &c.LazyFloor })),
		"hysteresis_gap":      of(unit(func(c *Config) *float64 { return &c.HysteresisGap })),
		"cooldown":            of(span(func(c *Config) *time.Duration { return &c.Cooldown }, 0, DurationMax)),
		"constraint_cooldown": of(span(func(c *Config) *time.Duration { return &c.ConstraintCooldown }, 0, DurationMax)),
		"tick_interval":       of(span(func(c *Config) *time.Duration { return &c.TickInterval }, 100*time.Millisecond, 10*time.Second)),
		"repair_delay":        of(span(func(c *Config) *time.Duration { return &c.RepairDelay }, 0, DurationMax)),
		"repair_pause_max":    of(span(func(c *Config) *time.Duration { return &c.RepairPauseMax }, time.Second, DurationMax)),
		"sick_after":          of(span(func(c *Config) *time.Duration { return &c.SickAfter }, time.Second, time.Hour)),
		"move_deadline":       of(span(func(c *Config) *time.Duration { return &c.MoveDeadline }, time.Second, DurationMax)),
		"backoff_min":         of(span(func(c *Config) *time.Duration { return &c.BackoffMin }, time.Second, DefaultConfig().BackoffMax)),
		"backoff_max":         of(span(func(c *Config) *time.Duration { c.BackoffMin = time.Second; return &c.BackoffMax }, time.Second, DurationMax)),
		"drop_grace":          of(span(func(c *Config) *time.Duration { return &c.DropGrace }, 0, time.Hour)),
		"request_ttl":         of(span(func(c *Config) *time.Duration { return &c.RequestTTL }, 10*time.Second, time.Hour)),
		"tombstone_ttl":       of(span(func(c *Config) *time.Duration { return &c.TombstoneTTL }, time.Hour, DurationMax)),
		"forced_ttl":          of(span(func(c *Config) *time.Duration { return &c.ForcedTTL }, time.Second, DurationMax)),
		"dead_server_timeout": of(span(func(c *Config) *time.Duration { return &c.DeadServerTimeout }, time.Minute, DurationMax)),
		"moves_max":           of(count(func(c *Config) *int { c.BalanceMovesMax, c.DrainMovesMax = 0, 0; return &c.MovesMax }, 1, 1<<20)),
		"balance_moves_max":   of(count(func(c *Config) *int { return &c.BalanceMovesMax }, 0, DefaultConfig().MovesMax)),
		"drain_moves_max":     of(count(func(c *Config) *int { return &c.DrainMovesMax }, 0, DefaultConfig().MovesMax)),
		"node_moves_in_max":   of(count(func(c *Config) *int { return &c.NodeMovesInMax }, 1, 1<<20)),
		"node_moves_out_max":  of(count(func(c *Config) *int { return &c.NodeMovesOutMax }, 1, 1<<20)),
		"repair_moves_in_max": of(count(func(c *Config) *int { return &c.RepairMovesInMax }, 1, 1<<20)),
		"quarantine_after":    of(count(func(c *Config) *int { return &c.QuarantineAfter }, 1, 1000)),
		"max_voters":          of(count(func(c *Config) *int { return &c.MaxVoters }, 1, 9)),
		"write_copies":        of(count(func(c *Config) *int { return &c.WriteCopies }, 0, DesiredMax)),
		"swap_mode": {
			[]change{func(c *Config) { c.SwapMode = EvictFirst }, func(c *Config) { c.SwapMode = PlaceFirst }},
			[]change{func(c *Config) { c.SwapMode = "" }, func(c *Config) { c.SwapMode = "both" }},
		},
		"move_horizon": of(span(func(c *Config) *time.Duration { return &c.MoveHorizon }, time.Minute, DurationMax)),
		"move_bandwidth": {
			[]change{func(c *Config) { c.MoveBandwidth = 0 }, func(c *Config) { c.MoveBandwidth = SizeBytesMax }},
			[]change{func(c *Config) { c.MoveBandwidth = -1 }, func(c *Config) { c.MoveBandwidth = SizeBytesMax + 1 }},
		},
		"content_size_max": {
			[]change{func(c *Config) { c.ContentSizeMax = 1 }, func(c *Config) { c.ContentSizeMax = SizeBytesMax }},
			[]change{func(c *Config) { c.ContentSizeMax = 0 }, func(c *Config) { c.ContentSizeMax = SizeBytesMax + 1 }},
		},
	}
	even := func(c *Config) { c.MaxVoters = 4 }
	fields["max_voters"] = limits{fields["max_voters"].good, append(fields["max_voters"].bad, even)}
	if got, want := len(fields), reflect.TypeFor[Config]().NumField(); got != want {
		t.Errorf("%d fields are tested, the configuration has %d", got, want)
	}
	for name, l := range fields {
		for i, set := range l.good {
			c := DefaultConfig()
			if set(&c); c.Validate() != nil {
				t.Errorf("%s, good value %d: %v", name, i, c.Validate())
			}
		}
		for i, set := range l.bad {
			c := DefaultConfig()
			set(&c)
			if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), name+":") {
				t.Errorf("%s, bad value %d: %v", name, i, err)
			}
		}
	}
}

func ptr[T any](x T) *T { return &x }

// TestSpecNormalize: a spec gets its fixed defaults, keeps what was said, and
// is refused by the name of the field that cannot be.
func TestSpecNormalize(t *testing.T) {
	got, err := Spec{}.Normalize()
	if diff := cmp.Diff(Spec{Desired: 3, Weight: 1_000_000, Policy: PolicyEager, Spread: SpreadEven}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	full := Spec{
		Desired: 9, MinReady: 9, SizeBytes: SizeBytesMax, Weight: WeightMax * int64(ScoreOne), Labels: Labels{{"a", "b"}},
		Policy: PolicyPinned, Floor: ptr(0.0), Gap: ptr(1.0), Cooldown: ptr(time.Duration(0)), RepairDelay: ptr(DurationMax),
		Require: []string{"zone=a", "cores>=8"}, Prefer: []string{"!slow"}, Spread: SpreadNone, MaxPerZone: 9,
		AntiAffinity: []string{"team=red", "empty="}, Colocate: []string{"chain=c2"}, Near: []string{"zone=b"},
	}
	if got, err = full.Normalize(); err != nil || !cmp.Equal(got, full) {
		t.Errorf("%v\n%s", err, cmp.Diff(full, got))
	}
	many := strings.Split(strings.Repeat("a=b,", ExpressionsMax)+"a=b", ",")
	type change = func(*Spec)
	floats := func(set func(*Spec, *float64)) (all []change) {
		for _, f := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1), 1e308} {
			all = append(all, func(s *Spec) { set(s, &f) })
		}
		return all
	}
	durations := func(set func(*Spec, *time.Duration)) (all []change) {
		for _, d := range []time.Duration{-1, DurationMax + 1, math.MinInt64} {
			all = append(all, func(s *Spec) { set(s, &d) })
		}
		return all
	}
	fields := map[string][]change{
		"desired":       {func(s *Spec) { s.Desired = -1 }, func(s *Spec) { s.Desired = 10 }},
		"min_ready":     {func(s *Spec) { s.MinReady = -1 }, func(s *Spec) { s.MinReady = 4 }},
		"size_bytes":    {func(s *Spec) { s.SizeBytes = -1 }, func(s *Spec) { s.SizeBytes = SizeBytesMax + 1 }},
		"weight":        {func(s *Spec) { s.Weight = -1 }, func(s *Spec) { s.Weight = WeightMax*int64(ScoreOne) + 1 }},
		"labels":        {func(s *Spec) { s.Labels = Labels{{"b", ""}, {"a", ""}} }, func(s *Spec) { s.Labels = make(Labels, LabelsMax+1) }},
		"policy":        {func(s *Spec) { s.Policy = "eagre" }},
		"floor":         floats(func(s *Spec, f *float64) { s.Floor = f }),
		"gap":           floats(func(s *Spec, f *float64) { s.Gap = f }),
		"cooldown":      durations(func(s *Spec, d *time.Duration) { s.Cooldown = d }),
		"repair_delay":  durations(func(s *Spec, d *time.Duration) { s.RepairDelay = d }),
		"require":       {func(s *Spec) { s.Require = []string{"!"} }, func(s *Spec) { s.Require = many }},
		"prefer":        {func(s *Spec) { s.Prefer = []string{"ok", ""} }, func(s *Spec) { s.Prefer = many }},
		"spread":        {func(s *Spec) { s.Spread = "odd" }},
		"max_per_zone":  {func(s *Spec) { s.MaxPerZone = -1 }, func(s *Spec) { s.MaxPerZone = 10 }},
		"anti_affinity": {func(s *Spec) { s.AntiAffinity = []string{"team"} }, func(s *Spec) { s.AntiAffinity = many }},
		"colocate":      {func(s *Spec) { s.Colocate = []string{"a=b", "chain=../x"} }, func(s *Spec) { s.Colocate = many }},
		"near":          {func(s *Spec) { s.Near = []string{"rtt<soon"} }, func(s *Spec) { s.Near = many }},
	}
	if got, want := len(fields), reflect.TypeFor[Spec]().NumField(); got != want {
		t.Errorf("%d fields are tested, a spec has %d", got, want)
	}
	for name, list := range fields {
		for i, set := range list {
			s := Spec{}
			set(&s)
			if _, err := s.Normalize(); err == nil || !strings.HasPrefix(err.Error(), name+":") {
				t.Errorf("%s, bad value %d: %v", name, i, err)
			}
		}
	}
}

// TestOverrides: a chain's own value stands before the cluster's, zero included.
func TestOverrides(t *testing.T) {
	c := DefaultConfig()
	plain, own := &Spec{}, &Spec{Floor: ptr(0.0), Gap: ptr(0.0), Cooldown: ptr(time.Duration(0)), RepairDelay: ptr(time.Duration(0)), Policy: PolicyLazy}
	if got := []any{c.FloorFor(plain), c.GapFor(plain), c.CooldownFor(plain), c.RepairDelayFor(plain)}; !cmp.Equal(got, []any{Score(500_000), Score(200_000), 5 * time.Minute, time.Minute}) {
		t.Errorf("the cluster's: %v", got)
	}
	if got := []any{c.FloorFor(own), c.GapFor(own), c.CooldownFor(own), c.RepairDelayFor(own)}; !cmp.Equal(got, []any{Score(0), Score(0), time.Duration(0), time.Duration(0)}) {
		t.Errorf("the chain's own: %v", got)
	}
	if got := c.FloorFor(&Spec{Policy: PolicyLazy}); got != 250_000 {
		t.Errorf("a lazy chain's floor: %v", got)
	}
	for _, x := range []struct{ config, desired, want int }{{0, 1, 1}, {0, 2, 2}, {0, 3, 2}, {0, 9, 5}, {1, 3, 1}, {9, 3, 3}} {
		c.WriteCopies = x.config
		if got := c.WriteCopiesFor(&Spec{Desired: x.desired}); got != x.want {
			t.Errorf("write_copies %d of desired %d: %d, want %d", x.config, x.desired, got, x.want)
		}
	}
	for failures, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 8: time.Hour, 1 << 40: time.Hour} {
		if got := c.BackoffFor(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
	c.BackoffMin, c.BackoffMax = DurationMax, DurationMax
	if got := c.BackoffFor(1 << 40); got != DurationMax {
		t.Errorf("the longest backoff: %v", got)
	}
}
