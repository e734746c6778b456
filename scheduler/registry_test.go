package scheduler_test

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

type pair struct {
	chain placement.ChainID
	node  placement.NodeID
}

type scored struct {
	node  placement.NodeID
	score float64
}

// fixedScorer is a table of scores: no opinion of what is not in it.
type fixedScorer struct {
	scores       map[pair]float64
	alternatives map[placement.ChainID][]scored // best first
	asked        int
}

func (s *fixedScorer) Score(chain placement.ChainID, node placement.NodeID) (float64, bool) {
	f, ok := s.scores[pair{chain, node}]
	return f, ok
}

func (s *fixedScorer) BestAlternative(chain placement.ChainID, exclude []placement.NodeID) (placement.NodeID, float64, bool) {
	s.asked++
next:
	for _, a := range s.alternatives[chain] {
		for _, x := range exclude {
			if a.node == x {
				continue next
			}
		}
		return a.node, a.score, true
	}
	return "", 0, false
}

// A scorer that is a table answers from it, has no opinion of anything else,
// and does not offer what is excluded: provoked with one entry of each kind.
func TestFixedScorerReturnsTableEntries(t *testing.T) {
	var s scheduler.PlacementScorer = &fixedScorer{
		scores:       map[pair]float64{{"c1", "n100"}: 0.4},
		alternatives: map[placement.ChainID][]scored{"c1": {{"n200", 0.9}}},
	}
	if got, ok := s.Score("c1", "n100"); !ok || got != 0.4 {
		t.Errorf("Score(c1, n100) = %v, %v, want 0.4, true", got, ok)
	}
	if got, ok := s.Score("c1", "n999"); ok {
		t.Errorf("Score(c1, n999) = %v, true, want no opinion", got)
	}
	if node, got, ok := s.BestAlternative("c1", nil); !ok || node != "n200" || got != 0.9 {
		t.Errorf("BestAlternative(c1) = %v, %v, %v, want n200, 0.9, true", node, got, ok)
	}
	if node, _, ok := s.BestAlternative("c1", []placement.NodeID{"n200"}); ok {
		t.Errorf("BestAlternative(c1, exclude n200) = %v, want none", node)
	}
}

// Installing a scorer replaces the active one and hands back the one before:
// provoked by two installs, and one of nothing.
func TestRegistryInstallReplacesAndReturnsPrior(t *testing.T) {
	var reg scheduler.Registry
	if reg.HasScorer() || reg.Current() != nil {
		t.Fatal("an empty registry has a scorer")
	}
	first, second := &fixedScorer{}, &fixedScorer{asked: 1}
	if prior := reg.Install(first); prior != nil {
		t.Errorf("first Install returned %v, want nil", prior)
	}
	if !reg.HasScorer() || reg.Current() != scheduler.PlacementScorer(first) {
		t.Error("the first scorer is not the active one")
	}
	if prior := reg.Install(second); prior != scheduler.PlacementScorer(first) {
		t.Errorf("second Install returned %v, want the first scorer", prior)
	}
	if reg.Current() != scheduler.PlacementScorer(second) {
		t.Error("the second scorer is not the active one")
	}
	if prior := reg.Install(nil); prior != scheduler.PlacementScorer(second) || reg.HasScorer() {
		t.Errorf("Install(nil) returned %v and left a scorer: %v", prior, reg.HasScorer())
	}
}

// Every install hands its prior to exactly one caller: provoked by many
// installs at once, under the race detector.
func TestRegistryConcurrentInstall(t *testing.T) {
	var reg scheduler.Registry
	const installs = 64
	priors := make([]scheduler.PlacementScorer, installs)
	var wg sync.WaitGroup
	for i := range installs {
		wg.Go(func() {
			priors[i] = reg.Install(&fixedScorer{asked: i + 1})
			reg.Current()
		})
	}
	wg.Wait()
	seen := map[scheduler.PlacementScorer]bool{reg.Current(): true}
	for _, p := range priors {
		seen[p] = true
	}
	if len(seen) != installs+1 { // every scorer once, and the empty slot
		t.Errorf("%d different scorers were seen, want %d", len(seen), installs+1)
	}
}

// The defaults are the numbers of the design.
func TestConfigDefaults(t *testing.T) {
	cfg := scheduler.DefaultConfig()
	if math.Abs(cfg.ScoreFloor-0.5) > 1e-6 || math.Abs(cfg.HysteresisGap-0.2) > 1e-6 {
		t.Errorf("floor %v and gap %v, want 0.5 and 0.2", cfg.ScoreFloor, cfg.HysteresisGap)
	}
	if cfg.Cooldown != 5*time.Minute || cfg.TickInterval != 500*time.Millisecond {
		t.Errorf("cooldown %v and tick %v, want 5m and 500ms", cfg.Cooldown, cfg.TickInterval)
	}
	if err := cfg.Validate(); err != nil {
		t.Errorf("Validate() = %v", err)
	}
}
