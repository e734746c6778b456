package sim

import (
	"hash/fnv"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// draw lets the seed choose what its cluster is and how it lives: mostly small
// and short, so that many are seen, a few large or long.
func (w *World) draw() {
	nodes, chains := 1+w.rng.IntN(6), 1+w.rng.IntN(8)
	steps := 100 + w.rng.IntN(200)
	switch w.rng.IntN(100) {
	case 0:
		nodes, chains = 8+w.rng.IntN(8), 30+w.rng.IntN(40)
	case 1:
		steps = 3000
	}
	pace := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second}[w.rng.IntN(5)]
	w.zones, w.odd = w.rng.IntN(4), w.rng.IntN(8) == 0
	w.sampled = []int{1, 50, 50, 50}[w.rng.IntN(4)]
	if w.sampled == 1 && w.rng.IntN(10) > 0 {
		w.sampled = 50
	}
	for _, f := range []struct{ field, drawn *int }{{&w.Nodes, &nodes}, {&w.Chains, &chains}, {&w.Steps, &steps}} {
		if *f.field == 0 {
			*f.field = *f.drawn
		}
	}
	if w.Pace == 0 {
		w.Pace = pace
	}
}

// chance is true once in about n times, and counts the fault, if it is named.
// The seed lets some kinds of faults not strike at all in its world, and others
// thrice as often: a cluster in which everything fails at once hides what
// fails alone.
func (w *World) chance(kind string, n int) bool {
	if w.calm || w.Quiet {
		return false
	}
	mood, known := w.moods[kind]
	if !known {
		h := fnv.New64a()
		h.Write([]byte(kind))
		mood = []int{0, 1, 1, 3}[(h.Sum64()^w.Seed*0x9e3779b97f4a7c15)>>62]
		if kind == "" {
			mood = 1
		}
		w.moods[kind] = mood
	}
	if w.rng.IntN(n) >= mood {
		return false
	}
	if kind != "" {
		w.Faults[kind]++
	}
	return true
}

// config is what the cluster begins with.
func (w *World) config() placement.Config {
	cfg := placement.DefaultConfig()
	cfg.RepairDelay = []time.Duration{2 * time.Second, 10 * time.Second, time.Minute}[w.rng.IntN(3)]
	cfg.Cooldown = []time.Duration{0, 30 * time.Second, 5 * time.Minute}[w.rng.IntN(3)]
	cfg.ConstraintCooldown = []time.Duration{time.Minute, 5 * time.Second}[w.rng.IntN(2)]
	cfg.BackoffMin, cfg.BackoffMax = 10*time.Second, 10*time.Minute
	cfg.MoveDeadline = []time.Duration{20 * time.Second, 5 * time.Minute}[w.rng.IntN(2)]
	cfg.RequestTTL = []time.Duration{10 * time.Second, time.Minute}[w.rng.IntN(2)]
	cfg.RepairPauseMax = []time.Duration{time.Minute, 30 * time.Minute}[w.rng.IntN(2)]
	cfg.WriteCopies = max(0, w.rng.IntN(6)-2)
	if w.rng.IntN(3) == 0 {
		cfg.SwapMode = placement.EvictFirst
	}
	if w.rng.IntN(3) == 0 {
		cfg.MovesMax, cfg.BalanceMovesMax, cfg.DrainMovesMax = 4, 2, 2
	}
	if w.rng.IntN(6) == 0 {
		cfg.MoveBandwidth = 100
	}
	return cfg
}
