//go:build !linux

package filestore

import (
	"errors"
	"os"
)

// startWriteback does nothing here: the sync at the end writes everything.
func startWriteback(*os.File) {}

// setDirect is not known here: everything goes through the page cache.
func setDirect(*os.File, bool) error { return errors.ErrUnsupported }
