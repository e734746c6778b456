package scheduler

import "sync/atomic"

// Registry is the slot for the active scorer. It can be replaced while the
// cluster runs: a pass uses the one it sampled with [Registry.Current]. The
// zero value is empty and ready to use.
type Registry struct {
	slot     atomic.Pointer[installed]
	installs atomic.Uint64
}

// installed wraps the interface so that it can be swapped atomically.
type installed struct{ scorer PlacementScorer }

// Install makes scorer the active one and returns the one before it, or nil.
// Installing nil empties the slot: balance then does nothing.
func (r *Registry) Install(scorer PlacementScorer) (prior PlacementScorer) {
	var next *installed
	if scorer != nil {
		next = &installed{scorer}
	}
	old := r.slot.Swap(next)
	r.installs.Add(1)
	if old != nil {
		return old.scorer
	}
	return nil
}

// Installs returns how often Install has been called: while it stays the same,
// so does Current.
func (r *Registry) Installs() uint64 { return r.installs.Load() }

// Current returns the active scorer, or nil.
func (r *Registry) Current() PlacementScorer {
	if in := r.slot.Load(); in != nil {
		return in.scorer
	}
	return nil
}

// HasScorer tells whether a scorer is installed.
func (r *Registry) HasScorer() bool { return r.slot.Load() != nil }
