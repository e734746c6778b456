//go:build !linux && !darwin

package filestore

import (
	"errors"
	"os"
)

// volumeOf has no measure here.
func volumeOf(string) (freeBytes, totalBytes int64, err error) {
	return 0, 0, errors.New("free space cannot be measured on this system; set Config.Volume")
}

// lockFile takes no lock here: the operator keeps a second process away.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
}
