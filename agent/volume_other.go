//go:build !linux && !darwin

package agent

import (
	"errors"
	"math"
)

// filesMax is not known here.
func filesMax() int { return math.MaxInt }

// volumeAt has no measure here.
func volumeAt(string) (freeBytes, totalBytes int64, err error) {
	return 0, 0, errors.New("volumes cannot be measured on this system")
}
