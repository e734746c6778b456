package secure

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
)

// ParseKey reads a gossip key: 16, 24 or 32 bytes in base64.
func ParseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("it is not base64: make one with: head -c 32 /dev/urandom | base64")
	}
	switch len(key) {
	case 16, 24, 32:
		return key, nil
	}
	return nil, fmt.Errorf("%d bytes; give 16, 24 or 32", len(key))
}

// keysMax bounds the keys of a file: each packet that none of them has
// encrypted is tried with all.
const keysMax = 16

// Keys is the gossip keys of a file: one a line, the first encrypts, all
// decrypt. Empty lines and those that begin with # do not count. Make it with
// [LoadKeys].
type Keys struct {
	files follower
	now   atomic.Pointer[[][]byte]
}

// LoadKeys reads a file of gossip keys.
func LoadKeys(path string) (*Keys, error) {
	k := &Keys{files: follower{paths: []string{path}}}
	if _, err := k.Refresh(); err != nil {
		return nil, err
	}
	return k, nil
}

// All returns the keys in force. The caller must not change them.
func (k *Keys) All() [][]byte { return *k.now.Load() }

// Refresh reads the file again and returns whether other keys are in force. If
// it cannot be used the old stay in force, and the error says why, once.
func (k *Keys) Refresh() (changed bool, err error) {
	return k.files.refresh(func(texts [][]byte) error {
		keys, err := parseKeys(k.files.paths[0], string(texts[0]))
		if err == nil {
			k.now.Store(&keys)
		}
		return err
	})
}

func parseKeys(path, text string) ([][]byte, error) {
	var keys [][]byte
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, number, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > keysMax {
		return nil, fmt.Errorf("%s: %d keys; give 1 to %d, one a line", path, len(keys), keysMax)
	}
	return keys, nil
}
