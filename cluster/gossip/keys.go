package gossip

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Keys is the keys of gossip: the first encrypts, all decrypt. They may change
// while a node gossips.
type Keys struct {
	mu   sync.Mutex // one Set at a time
	ring *memberlist.Keyring
}

// NewKeys returns keys of 16, 24 or 32 bytes each, at least one.
func NewKeys(keys ...[]byte) (*Keys, error) {
	if len(keys) == 0 {
		return nil, errors.New("gossip: no key is given")
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return &Keys{ring: ring}, nil
}

// Set puts other keys in the place of those in force. After an error these may
// decrypt beside the old, but do not encrypt.
func (k *Keys) Set(keys ...[]byte) error {
	if len(keys) == 0 {
		return errors.New("gossip: no key is given")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		if err := k.ring.AddKey(key); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
	}
	old := slices.DeleteFunc(slices.Clone(k.ring.GetKeys()), func(key []byte) bool {
		return slices.ContainsFunc(keys, func(kept []byte) bool { return string(kept) == string(key) })
	})
	if len(old) > 0 {
		// The ring hands its slice out, and only the removal of its last key
		// leaves that alone: so those that stay go before those that leave.
		for _, key := range slices.Backward(keys[1:]) {
			if err := k.ring.UseKey(key); err != nil {
				return fmt.Errorf("gossip: %w", err)
			}
		}
	}
	if err := k.ring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	for _, key := range slices.Backward(old) {
		if err := k.ring.RemoveKey(key); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
	}
	return nil
}
