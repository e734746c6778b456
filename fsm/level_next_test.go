//go:build nextlevel

package fsm

import (
	"bytes"
	"strings"
	"testing"
)

// The build that is one level ahead writes the entries that a released build
// must refuse, as TestNextLevelIsRefused reads them. Run it with -tags nextlevel
// -update to write them anew.
func TestNextLevelEntries(t *testing.T) {
	for name, b := range map[string]Batch{
		"next-raise": {Level: 1, Ops: []Op{{Actor: "a", Body: &RaiseLevel{2}}}},
		"next-note":  {Level: 2, Ops: []Op{{Actor: "a", Body: &Note{"hello"}}}},
	} {
		data, err := EncodeBatch(b)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, data)
		if _, err := DecodeBatch(data); err != nil {
			t.Errorf("%s: the build that wrote it: %v", name, err)
		}
	}
	r := newRig(t, "a")
	r.do(&RaiseLevel{2})
	golden(t, "next-snapshot", r.bytes())

	// The old servers of a cluster that has not been raised could not read it.
	old := newRig(t, "a").m.View()
	if err := Rewrite(bytes.NewReader(r.bytes()), old, "new", new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "upgrade every server first") {
		t.Errorf("restored over a cluster of level 1: %v", err)
	}
}
