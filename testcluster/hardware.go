package testcluster

import (
	"errors"
	"sync"
	"time"
)

// disk is what a node's writes below its data directory pass on their way.
type disk struct {
	mu   sync.Mutex
	hang chan struct{} // closed when the disk works again; nil while it works
	dead error         // of the process whose writes had hung when it was killed
}

// errPowerOff ends the writes that a killed process had under way.
var errPowerOff = errors.New("the process was killed during the write")

// gate waits while the disk hangs.
func (d *disk) gate() error {
	d.mu.Lock()
	hang := d.hang
	d.mu.Unlock()
	if hang == nil {
		return nil
	}
	<-hang
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// stall makes writes hang from now on.
func (d *disk) stall() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hang == nil {
		d.hang = make(chan struct{})
	}
}

// resume lets writes pass; those that hang go on, or end with dead.
func (d *disk) resume(dead error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = dead
	if d.hang != nil {
		close(d.hang)
		d.hang = nil
	}
}

// watch is the clock of a machine; it may be wrong.
type watch struct {
	mu   sync.Mutex
	skew time.Duration
}

func (w *watch) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += d
}

func (w *watch) wall() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// elapsed is the machine's monotonic clock.
func (w *watch) elapsed() time.Duration { return time.Duration(w.wall().UnixNano()) }
