package cluster

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
)

// A majority of five is lost: one survivor goes on alone with the state, under
// a new cluster id and lineage and with a guard; another joins it with what it
// held. The lost three, which are a majority of the old configuration, come back
// together: they end themselves, and nothing of theirs counts.
func TestRecover(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(5, 5)
		before := w.settle(5).node.View()
		w.until("five vote", time.Minute, func() bool { return len(w.voters(w.leader())) == 5 })
		w.write("kept")
		w.until("it has a copy", time.Minute, func() bool { v := w.leader().node.View(); return v.LiveCount(v.Chain("kept")) == 1 })
		if _, err := OpenOffline(w.members["n1"].cfg.DataDir); !errors.Is(err, datadir.ErrInUse) {
			t.Errorf("the directory of a running node: %v", err)
		}
		w.until("all have it", time.Minute, func() bool { return w.members["n1"].node.View().Chain("kept") != nil })
		for _, m := range w.members {
			m.kill()
		}

		w.inDir("n1", func(d *datadir.Dir) error { return d.Succeed("broken-off") }) // a recovery that got no further
		id := w.recover("n1", "broken-off")
		w.start(1, 5)
		w.until("n1 leads alone", time.Minute, func() bool { l := w.leader(); return l != nil && l.name == "n1" })
		view := w.leader().node.View()
		if view.ClusterID != id || id == before.ClusterID || view.Lineage == before.Lineage || len(view.RestoreGuard) == 0 || view.Chain("kept") == nil {
			t.Errorf("cluster %s, lineage %s, guard %v, chain %v", view.ClusterID, view.Lineage, view.RestoreGuard, view.Chain("kept"))
		}
		w.rejoin("n2")
		w.start(2, 5)
		w.until("n2 votes with n1", 2*time.Minute, func() bool { return len(w.voters(w.leader())) == 2 })

		for i := 3; i <= 5; i++ {
			w.start(i, 5)
		}
		for _, name := range []string{"n3", "n4", "n5"} {
			m := w.members[name]
			w.until(name+" ends itself", time.Minute, func() bool { return !m.running() })
			if m.err == nil || !strings.Contains(m.err.Error(), "recovered under another id") {
				t.Errorf("%s ended with %v", name, m.err)
			}
			if got := m.node.View().ClusterID; got == id {
				t.Errorf("%s has the state of the recovered cluster", name)
			}
		}
		w.write("next")
		if v := w.leader().node.View(); v.ClusterID != id || v.Lineage != view.Lineage {
			t.Errorf("cluster %s of lineage %s, was %s of %s", v.ClusterID, v.Lineage, id, view.Lineage)
		}
		w.rejoin("n3")
		w.start(3, 5)
		w.until("n3 is let in again", 2*time.Minute, func() bool { return len(w.voters(w.leader())) == 3 })
	})
}

// One node of a healthy cluster is made to join anew, because its log is
// damaged, say: it comes back under its name with what it holds, and nobody takes
// the cluster for one that was recovered elsewhere.
func TestRejoinHealthy(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		before := w.settle(3).node.View()
		old := w.members["n3"].node.instance()
		w.members["n3"].kill()
		w.rejoin("n3")
		w.start(3, 3)
		w.until("n3 is a new instance and votes", 2*time.Minute, func() bool {
			l := w.leader()
			return l != nil && len(w.voters(l)) == 3 && w.members["n3"].node.instance() != old && l.nodeRecord("n3").Instance == w.members["n3"].node.instance()
		})
		advance(time.Minute)
		for name, m := range w.members {
			if !m.running() {
				t.Errorf("%s ended: %v", name, m.err)
			}
		}
		if v := w.settle(3).node.View(); v.ClusterID != before.ClusterID || v.Lineage != before.Lineage {
			t.Errorf("cluster %s of lineage %s, was %s of %s", v.ClusterID, v.Lineage, before.ClusterID, before.Lineage)
		}
	})
}

// A log that a restore has left with a hole, and with entries after it, is
// recovered with all that was in it.
func TestRecoverAfterRestore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(3, 3)
		leader := w.settle(3)
		w.write("saved")
		var saved bytes.Buffer
		if _, err := leader.node.View().WriteTo(&saved); err != nil {
			t.Fatal(err)
		}
		w.write("forgotten")
		if err := leader.node.Restore(t.Context(), &saved, Restoration{}); err != nil {
			t.Fatal(err)
		}
		w.write("later")
		survivor := w.follower(w.settle(3))
		w.until("the survivor has it", time.Minute, func() bool { return survivor.node.View().Chain("later") != nil })
		lineage := survivor.node.View().Lineage
		for _, m := range w.members {
			m.kill()
		}
		o, err := OpenOffline(survivor.cfg.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		if v := o.Found().View; v.Lineage != lineage || v.Chain("saved") == nil || v.Chain("later") == nil || v.Chain("forgotten") != nil {
			t.Errorf("found lineage %s, was %s: %v %v %v", v.Lineage, lineage, v.Chain("saved"), v.Chain("later"), v.Chain("forgotten"))
		}
		_, err = o.Recover()
		if err := errors.Join(err, o.Close()); err != nil {
			t.Fatal(err)
		}
		again := w.start(int(survivor.name[1]-'0'), 3)
		w.until("it leads", time.Minute, func() bool { return w.leader() == again })
		w.write("next")
		if v := again.node.View(); v.Chain("saved") == nil || v.Chain("later") == nil || v.Lineage == lineage {
			t.Errorf("lineage %s: %v %v", v.Lineage, v.Chain("saved"), v.Chain("later"))
		}
	})
}

// recover makes a node that does not run the only server, and returns the new
// cluster id.
func (w *world) recover(name, was string) string {
	w.t.Helper()
	o, err := OpenOffline(w.members[name].cfg.DataDir)
	if err != nil {
		w.t.Fatal(err)
	}
	defer o.Close()
	if f := o.Found(); f.Node != name || f.ClusterID != was || len(f.Servers) != 5 || f.Index == 0 {
		w.t.Errorf("found %+v", f)
	}
	id, err := o.Recover()
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// rejoin makes a node one that has yet to join.
func (w *world) rejoin(name string) {
	w.t.Helper()
	w.inDir(name, func(d *datadir.Dir) error { _, err := d.Reset(); return err })
}

// inDir changes the data directory of a node that does not run.
func (w *world) inDir(name string, change func(*datadir.Dir) error) {
	w.t.Helper()
	dir, err := datadir.Open(w.members[name].cfg.DataDir, datadir.Options{MustExist: true})
	if err != nil {
		w.t.Fatal(err)
	}
	defer dir.Close()
	if err := change(dir); err != nil {
		w.t.Fatal(err)
	}
}
