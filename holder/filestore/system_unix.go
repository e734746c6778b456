//go:build linux || darwin

package filestore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// volumeOf measures the volume that dir lies on.
func volumeOf(dir string) (freeBytes, totalBytes int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	block := int64(st.Bsize) //nolint:unconvert // 32 bits on some systems
	return int64(st.Bavail) * block, int64(st.Blocks) * block, nil
}

// lockFile takes the lock that keeps a second process away; closing the file
// or the end of the process gives it back.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is locked: another process uses this content directory; give each node its own --content-dir", path)
		}
		return nil, err
	}
	return f, nil
}
