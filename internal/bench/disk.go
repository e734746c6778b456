package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// syncBytes is what is written before each sync: one page, as a small entry is.
const syncBytes = 4 << 10

// disk counts the writes that a file in the directory takes, one after
// another, each synced.
type disk struct {
	file  *os.File
	syncs int
	spent time.Duration
}

func openDisk(dir string) (*disk, error) {
	f, err := os.Create(filepath.Join(dir, "syncs"))
	if err != nil {
		return nil, err
	}
	return &disk{file: f}, nil
}

func (d *disk) close() { d.file.Close() }

// measure writes and syncs for so long. Writing over the same page each time
// leaves out what growing the file costs.
func (d *disk) measure(ctx context.Context, length time.Duration) error {
	page := make([]byte, syncBytes)
	started := time.Now()
	for time.Since(started) < length && ctx.Err() == nil {
		page[0]++
		if _, err := d.file.WriteAt(page, 0); err != nil {
			return err
		}
		if err := d.file.Sync(); err != nil {
			return err
		}
		d.syncs++
	}
	d.spent += time.Since(started)
	return context.Cause(ctx)
}

// rate is the syncs per second so far.
func (d *disk) rate() float64 { return float64(d.syncs) / d.spent.Seconds() }

// crowd is many callers that do the same thing at once for a while.
type crowd struct {
	size int
	do   func(caller int) (count int, err error) // one call; count is what it got done

	count int
	spent time.Duration
}

// measure lets all callers go on for so long, each with its next call after
// the last has returned. It counts the whole time until all have returned.
func (c *crowd) measure(ctx context.Context, length time.Duration) error {
	var all sync.WaitGroup
	var done atomic.Int64
	var once sync.Once
	var failed error
	going, stop := context.WithCancel(ctx)
	defer stop()
	started := time.Now()
	for caller := range c.size {
		all.Go(func() {
			for going.Err() == nil && time.Since(started) < length {
				n, err := c.do(caller)
				if err != nil {
					once.Do(func() { failed = err })
					stop()
					return
				}
				done.Add(int64(n))
			}
		})
	}
	all.Wait()
	c.count += int(done.Load())
	c.spent += time.Since(started)
	if failed != nil && ctx.Err() == nil {
		return fmt.Errorf("one of %d callers: %w", c.size, failed)
	}
	return context.Cause(ctx)
}

// rate is what the crowd got done per second so far.
func (c *crowd) rate() float64 { return float64(c.count) / c.spent.Seconds() }
