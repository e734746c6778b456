package pace

import (
	"sync"
	"time"
)

// worstTurn is how long the present turn of a Worst lasts.
const worstTurn = time.Minute

// Worst remembers the longest duration within the present minute and the one
// before. The zero value is ready; it is safe for many goroutines.
type Worst struct {
	mu       sync.Mutex
	minute   time.Time // when the present one began
	now, old time.Duration
}

// Add notes one that was measured at that time.
func (w *Worst) Add(at time.Time, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(at)
	w.now = max(w.now, took)
}

// Get returns the longest, as of that time.
func (w *Worst) Get(at time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(at)
	return max(w.now, w.old)
}

func (w *Worst) turn(at time.Time) {
	age := at.Sub(w.minute)
	if age < worstTurn {
		return
	}
	w.old = 0
	if age < 2*worstTurn {
		w.old = w.now
	}
	w.minute, w.now = at, 0
}
