package appetite

import "testing"

// What is allocated is counted, also when it is garbage at once: a megabyte,
// and nothing.
func TestOf(t *testing.T) {
	var kept []byte
	if got := Of(func() { kept = make([]byte, 1<<20) }); got < 1<<20 || got > 2<<20 {
		t.Errorf("%d bytes for %d", got, len(kept))
	}
	if got := Of(func() { kept = nil }); got > 64<<10 {
		t.Errorf("%d bytes for nothing", got)
	}
}
