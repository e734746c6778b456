package sim

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// seeds is how many histories a test run lives through; HOLDFAST_SEEDS
// changes it.
const seeds = 40

// TestSim lives through seeded histories with faults; every invariant must
// hold on every operation, and at the end the cluster must heal and be quiet.
// HOLDFAST_SEED repeats one seed.
func TestSim(t *testing.T) {
	first, count := uint64(1), uint64(seeds)
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HOLDFAST_SEED: %v", err)
		}
		first, count = n, 1
	}
	if s := os.Getenv("HOLDFAST_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HOLDFAST_SEEDS: %v", err)
		}
		count = n
	}
	total := map[string]int{}
	for seed := first; seed < first+count; seed++ {
		w := New(Options{Seed: seed})
		if err := w.Run(); err != nil {
			t.Logf("repeat with: make sim SEED=%d\n%s", seed, strings.Join(w.Log(), "\n"))
			t.Fatal(err)
		}
		for kind, n := range w.Faults {
			total[kind] += n
		}
		for kind, n := range w.check.Decisions {
			total[kind] += n
		}
	}
	t.Logf("%d seeds from %d: %v", count, first, total)
}
