package filestore

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/holdfast-cluster/holdfast/holder"
)

// DefaultReserve returns what content must leave free on a volume of that
// size: the larger of 1 GiB and 5 %.
func DefaultReserve(totalBytes int64) int64 { return max(1<<30, totalBytes/20) }

// Free returns the bytes that are free on the content volume, less the
// reserve: negative when the reserve is touched.
func (s *Store) Free() (freeBytes int64, err error) {
	free, reserve, err := s.Space()
	return free - reserve, err
}

// Space returns what is free on the content volume and the reserve, in the
// form of holder.Config.Space.
func (s *Store) Space() (freeBytes, reserveBytes int64, err error) {
	free, _, err := s.cfg.Volume()
	if err != nil {
		return 0, 0, fmt.Errorf("measure the content volume at %s: %w", s.dir, err)
	}
	return free, s.cfg.Reserve, nil
}

// booking is space that a writer will use. Writers at the same time must not
// count on the same space, and what is written shows on the volume itself.
type booking struct {
	store *Store
	left  int64
}

// book reserves n bytes above the disk reserve, or refuses with
// holder.ErrNoSpace. The caller releases the booking.
func (s *Store) book(n int64) (*booking, error) {
	free, err := s.Free()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if free -= s.booked; free < n || free < 0 {
		return nil, fmt.Errorf("%w: %d bytes are needed and %d are free above the reserve of %d; free some on the volume of %s or lower --disk-reserve",
			holder.ErrNoSpace, n, max(free, 0), s.cfg.Reserve, s.dir)
	}
	s.booked += n
	return &booking{s, n}, nil
}

// wrote takes n bytes off the booking.
func (b *booking) wrote(n int64) {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	n = min(n, b.left)
	b.left -= n
	b.store.booked -= n
}

func (b *booking) release() { b.wrote(b.left) }

// noSpace marks the system's word for a full disk as holder.ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", holder.ErrNoSpace, err)
	}
	return err
}
