package fsm

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// A node must stop before it applies what a build one level ahead has written:
// the raise, an operation of the new level, a snapshot. The files were written
// by that build (level_next_test.go); a test build of that level reads them.
func TestNextLevelIsRefused(t *testing.T) {
	if Level > 1 {
		t.Skip("this is the build that writes them")
	}
	for _, name := range []string{"next-raise", "next-note"} {
		r := newRig(t, "a")
		before := r.bytes()
		_, err := r.m.Apply(r.m.View().Index+1, 1, readGolden(t, name))
		if !errors.Is(err, ErrFatal) || !strings.Contains(err.Error(), "upgrade this node") || !strings.Contains(err.Error(), "level 2") {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(r.bytes(), before) {
			t.Errorf("%s changed the state", name)
		}
	}
	r := newRig(t, "a")
	before := r.bytes()
	if err := r.m.Restore(bytes.NewReader(readGolden(t, "next-snapshot"))); !errors.Is(err, ErrFatal) || !strings.Contains(err.Error(), "feature level 2") {
		t.Errorf("restored: %v", err)
	}
	if !bytes.Equal(r.bytes(), before) {
		t.Error("a snapshot of the next level changed the state")
	}
	if _, err := ReadSnapshot(bytes.NewReader(readGolden(t, "next-snapshot"))); err == nil {
		t.Error("read a snapshot of the next level")
	}
}
