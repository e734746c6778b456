//go:build unix

package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// InUse tells whether a process, this one included, has the directory at path
// open. It changes nothing; a directory that is not there is not in use.
func InUse(path string) (bool, error) {
	lock, err := os.Open(filepath.Join(path, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open the lock of data directory %s: %w", path, err)
	}
	defer lock.Close() // and with it goes the lock
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the lock of data directory %s: %w", path, err)
	}
	return false, nil
}

// lockDir takes the directory for this process. The lock goes with the
// process, however it dies.
func lockDir(dir, file string) (*os.File, error) {
	lock, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w: let this user write to it, and mount it writable", dir, err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("data directory %s is in use by another process: %w", dir, ErrInUse)
	}
	return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
}
