package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/testcluster/invariant"
)

// examine checks what is too costly to check on every operation: that a
// replica which was restored from an older snapshot and has applied the log since
// has the same state, byte for byte; that the sums add up; and that no
// committed content has left all disks. Sometimes that replica leads from then
// on, or one that was restored from the state as it is now.
func (w *World) examine() error {
	v := w.machine.View()
	if err := invariant.Accounting(v); err != nil {
		return err
	}
	state, err := encoded(w.machine)
	if err != nil {
		return err
	}
	base, tail := w.base, w.tail
	if base == nil || w.chance("", 2) {
		base, tail = state, nil
	}
	w.base, w.tail = state, nil
	replica := fsm.New()
	if err := replica.Restore(bytes.NewReader(base)); err != nil {
		return err
	}
	for _, e := range tail {
		if _, err := replica.Apply(e.index, e.term, e.data); err != nil {
			return err
		}
	}
	other, err := encoded(replica)
	if err != nil {
		return err
	}
	if !bytes.Equal(state, other) {
		return fmt.Errorf("same-state: a replica that was restored from a snapshot and applied %d entries differs after index %d, revision %d", len(tail), v.Index, v.Revision)
	}
	if w.chance("restored replica leads", 3) {
		w.machine = replica
		if err := w.elect(); err != nil {
			return err
		}
	}
	return w.contentKept()
}

// Hash returns the SHA-256 of the encoded state, in hexadecimal.
func (w *World) Hash() (string, error) {
	state, err := encoded(w.machine)
	sum := sha256.Sum256(state)
	return hex.EncodeToString(sum[:]), err
}

func encoded(m *fsm.Machine) ([]byte, error) {
	var out bytes.Buffer
	_, err := m.View().WriteTo(&out)
	return out.Bytes(), err
}

// contentKept checks acked-is-kept on the fake disks.
func (w *World) contentKept() error {
	for _, c := range w.chains() {
		if c.Content != nil && !w.excused(c) && w.gone(c) {
			return fmt.Errorf("acked-is-kept: the content of chain %s, version %d, is on no disk", c.ID, c.Content.Version)
		}
	}
	return nil
}
