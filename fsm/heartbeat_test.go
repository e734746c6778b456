package fsm

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// A heartbeat is committed with its reason and its time, advances the counter
// once, makes no decision stale, outlives a snapshot, and is not brought back
// by the restore of an older state: provoked by each of these in turn.
func TestHeartbeat(t *testing.T) {
	r := newRig(t, "a")
	old := r.bytes()
	before := r.m.View()
	if before.Heartbeat != (placement.Heartbeat{}) {
		t.Errorf("before any was committed: %+v", before.Heartbeat)
	}
	r.do(&SetHeartbeat{Timeout: 600 * time.Millisecond})
	set := r.m.View()
	if want := (placement.Heartbeat{Timeout: 600 * time.Millisecond, Reason: "test", Since: set.Now}); set.Heartbeat != want {
		t.Errorf("got %+v, want %+v", set.Heartbeat, want)
	}
	if set.Revision != before.Revision+1 || set.ConfigGeneration != before.ConfigGeneration {
		t.Errorf("revision from %d to %d, generation of the configuration from %d to %d", before.Revision, set.Revision, before.ConfigGeneration, set.ConfigGeneration)
	}
	r.do(&SetHeartbeat{Timeout: 600 * time.Millisecond})
	if again := r.m.View(); again.Revision != set.Revision || again.Heartbeat != set.Heartbeat {
		t.Errorf("the same heartbeat again changed %+v to %+v", set.Heartbeat, again.Heartbeat)
	}
	back := New()
	if err := back.Restore(bytes.NewReader(r.bytes())); err != nil || back.View().Heartbeat != set.Heartbeat {
		t.Errorf("after a snapshot: %+v, %v", back.View().Heartbeat, err)
	}
	var restored bytes.Buffer
	if err := Rewrite(bytes.NewReader(old), r.m.View(), "later", &restored); err != nil {
		t.Fatal(err)
	}
	if err := back.Restore(&restored); err != nil || back.View().Heartbeat != set.Heartbeat {
		t.Errorf("after the restore of an older state: %+v, %v", back.View().Heartbeat, err)
	}
}
