//go:build linux || darwin

package agent

import (
	"fmt"
	"math"
	"syscall"
)

// filesMax is how many files the process may have open.
func filesMax() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt // it is not known to be bounded
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// volumeAt measures the volume that dir lies on.
func volumeAt(dir string) (freeBytes, totalBytes int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", dir, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // another type on other systems
	return int64(st.Bavail) * block, int64(st.Blocks) * block, nil
}
