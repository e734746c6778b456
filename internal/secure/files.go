package secure

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
)

// follower re-reads files and tells when there is something new in them.
type follower struct {
	paths []string

	mu    sync.Mutex
	tried [sha256.Size]byte // hash of what the last attempt found: the texts, or an error
	taken bool              // it was taken
}

// refresh reads the files and, unless they are as they were when they were
// taken last, hands the texts to take. It returns whether take has taken them.
// What it refuses is tried again each time, for it may only come too early; but
// an error is returned once: the next comes when something has changed again.
func (f *follower) refresh(take func(texts [][]byte) error) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	texts, err := readAll(f.paths)
	found := sha256.Sum256(fmt.Appendf(nil, "%q %v", texts, err))
	same := found == f.tried
	if same && f.taken {
		return false, nil
	}
	if err == nil {
		err = take(texts)
	}
	f.tried, f.taken = found, err == nil
	if same && err != nil {
		return false, nil
	}
	return f.taken, err
}

// fileBytesMax bounds what is read of one file.
const fileBytesMax = 1 << 20

func readAll(paths []string) ([][]byte, error) {
	var texts [][]byte
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && info.Size() > fileBytesMax {
			err = fmt.Errorf("%s has %d bytes: at most %d are read", path, info.Size(), fileBytesMax)
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// validLabel tells whether a cluster's name can be part of a certificate's
// name: a DNS label.
func validLabel(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	return name != "" && len(name) <= 63 && strings.Trim(name, letters) == "" && name[0] != '-' && name[len(name)-1] != '-'
}
