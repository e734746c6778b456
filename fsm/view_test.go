package fsm

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/placement"
)

// TestViewsAreImmutable: a view that was taken must stay as it was while the
// state goes on. Views are taken along thousands of operations, and their
// bytes compared at the end; one is written while Apply runs.
func TestViewsAreImmutable(t *testing.T) {
	r := richRig(t)
	type taken struct {
		view *View
		was  []byte
	}
	var views []taken
	for i := range 60 {
		v := r.m.View()
		views = append(views, taken{v, viewBytes(t, v)})
		var ops []Op
		for j := range 50 {
			id := placement.ChainID(fmt.Sprintf("c%03d", (i*17+j)%90))
			ops = append(ops, Op{Actor: actor, Reason: "r", Body: NewPutChain(id, spec(1+(i+j)%9))})
			if j%10 == 0 {
				ops = append(ops, Op{Actor: actor, Reason: "r", Body: &DeleteChain{Chain: id}})
			}
		}
		done := make(chan []byte)
		go func() { done <- viewBytes(t, v) }()
		r.batch(Batch{Ops: ops})
		r.pass(time.Second)
		r.do(&SetWeight{"a", placement.Score(i)})
		r.inventory("a", ReportItem{Chain: "stray", Epoch: placement.Epoch(i), Phase: ReportReady})
		if !bytes.Equal(<-done, views[i].was) {
			t.Fatal("a view changed while it was written")
		}
	}
	for i, x := range views {
		if !bytes.Equal(viewBytes(t, x.view), x.was) {
			t.Errorf("view %d is not what it was", i)
		}
	}
}

// TestNextWakes: who waits for a newer view is woken by an entry, a tick and a
// restore, and finds one.
func TestNextWakes(t *testing.T) {
	r := newRig(t, "a")
	for name, act := range map[string]func(){
		"entry":   func() { r.do(&SetWeight{"a", 1}) },
		"tick":    func() { r.batch(Batch{}) },
		"restore": func() { r.restore() },
	} {
		v := r.m.View()
		select {
		case <-v.Next():
			t.Errorf("%s: woken too early", name)
		default:
		}
		act()
		select {
		case <-v.Next():
		default:
			t.Errorf("%s: not woken", name)
		}
		if r.m.View() == v {
			t.Errorf("%s: the view is the old one", name)
		}
	}
}

// TestChangedSince: who follows the state must hear of every object that
// changed, once it was changed, and be told when it has been away too long.
// The ring is filled until it forgets.
func TestChangedSince(t *testing.T) {
	r := newRig(t, "a", "b")
	start := r.m.View().Revision
	r.chain("x", spec(1), "a")
	r.do(&SetWeight{"b", 1})
	r.do(&SetFreeze{})
	r.do(&DeleteChain{Chain: "x"})
	var got []string
	since := func(at placement.Revision) bool {
		got = nil
		return r.m.View().ChangedSince(at, func(c Change) bool {
			got = append(got, fmt.Sprintf("%s %s %t", c.Kind, c.ID, c.Deleted))
			return true
		})
	}
	if !since(start) {
		t.Error("the changes of a moment ago are forgotten")
	}
	want := []string{"chain x false", "decision x false", "chain x false", "decision x false", "chain x false", "node b false", "config  false", "chain x true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	now := r.m.View().Revision
	if !since(now) || len(got) != 0 {
		t.Errorf("nothing has changed since, and heard %v", got)
	}
	if since(now + 1) {
		t.Error("a revision of the future is known")
	}
	n := 0
	r.m.View().ChangedSince(0, func(Change) bool { n++; return n < 2 })
	if n != 2 {
		t.Errorf("visited %d after saying stop at 2", n)
	}

	for r.m.View().changes.len() < ChangesMax {
		r.batch(Batch{Ops: puts(BatchOpsMax)})
	}
	r.batch(Batch{Ops: puts(BatchOpsMax)})
	if since(start) {
		t.Error("the ring has forgotten the first changes, and says that it knows them")
	}
	cut := r.m.View().changesCut
	if since(cut-1) || !since(cut) || len(got) != ChangesMax || r.m.View().changes.len() != ChangesMax {
		t.Errorf("ring: cut at %d, %d kept", cut, len(got))
	}
	back := New()
	if err := back.Restore(bytes.NewReader(r.bytes())); err != nil {
		t.Fatal(err)
	}
	r.m = back
	if now := r.m.View().Revision; since(now-1) || !since(now) {
		t.Error("a restored state must make its readers list anew")
	}
}

// puts changes n chains.
func puts(n int) []Op {
	ops := make([]Op, n)
	for i := range ops {
		ops[i] = Op{Body: NewPutChain("churn", spec(1+i%2))}
	}
	return ops
}

// TestDuties: a node must be told everything that it is to do, and nothing
// that it may not.
func TestDuties(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", placement.Spec{Desired: 2, SizeBytes: 5}, "a", "b")
	r.do(r.stored("x", 1, "a", "b"))
	r.do(r.move(placement.CauseBalance, "x", "b", "c"))
	deadline := r.is("x").Moves[0].Deadline
	duty := func(n placement.NodeID) Duty {
		t.Helper()
		d := r.m.View().Duties(n)
		if len(d.Assignments) != 1 || d.WantInventory || d.Revision != r.m.View().Revision || d.Index != r.m.View().Index || d.Lineage != lineage {
			t.Fatalf("node %s: %+v", n, d)
		}
		got := d.Assignments[0]
		got.Spec = placement.Spec{}
		return got
	}
	content := r.is("x").Content
	equal := func(got, want Duty) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("duty (-want +got):\n%s", diff)
		}
	}
	equal(duty("a"), Duty{Chain: "x", Epoch: r.holder("x", "a").Epoch, Phase: placement.Ready, Content: content, Settled: true})
	equal(duty("c"), Duty{
		Chain: "x", Epoch: r.holder("x", "c").Epoch, Phase: placement.Pulling, Content: content, Settled: true, Deadline: deadline,
		Sources: []Source{{"a", "a:7400"}, {"b", "b:7400"}},
	})
	// A source that is out of reach is none.
	r.observe("a", placement.NodeSuspect)
	if got := duty("c"); len(got.Sources) != 1 || got.Sources[0].Node != "b" || got.Settled {
		t.Errorf("with a suspect source: %+v", got)
	}
	r.observe("a", placement.NodeAlive)
	r.ready("x", "c")
	equal(duty("b"), Duty{
		Chain: "x", Epoch: r.holder("x", "b").Epoch, Phase: placement.Dropping, Content: content, Settled: true,
		DropAfter: r.m.View().Now.Add(5 * time.Second),
	})
	if got := r.m.View().Duties("nobody"); len(got.Assignments) != 0 || got.Incarnation != 0 {
		t.Errorf("a stranger's duties: %+v", got)
	}

	wants := func(n placement.NodeID, want bool) {
		t.Helper()
		if got := r.m.View().Duties(n).WantInventory; got != want {
			t.Errorf("node %s: inventory wanted %t, want %t", n, got, want)
		}
	}
	wants("a", false)
	r.start("a", "disk-a", "run-2")
	wants("a", true)
	r.inventory("a")
	wants("a", false)
	r.loses("a")
	r.observe("a", placement.NodeAlive)
	wants("a", true) // it was given up: it tells anew before its copies count again
	r.inventory("a")
	wants("a", false)
	r.restore()
	for _, n := range []placement.NodeID{"a", "c", "d"} {
		wants(n, true)
		if d := r.m.View().Duties(n); len(d.Assignments) > 0 && d.Assignments[0].Settled {
			t.Errorf("node %s may delete under the restore guard", n)
		}
	}
}

// TestDecisionPages: the history is read newest first, page by page, without
// gap or repeat; it is a ring.
func TestDecisionPages(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(3), "a", "b", "c")
	var all, paged []placement.Revision
	r.m.View().Decisions(0, func(d *placement.Record) bool { all = append(all, d.Revision); return true })
	if len(all) != 6 || all[0] != r.m.View().Decided() {
		t.Fatalf("history %v", all)
	}
	for before := placement.Revision(0); ; {
		var page []placement.Revision
		r.m.View().Decisions(before, func(d *placement.Record) bool { page = append(page, d.Revision); return len(page) < 4 })
		if len(page) == 0 {
			break
		}
		paged, before = append(paged, page...), page[len(page)-1]
	}
	if diff := cmp.Diff(all, paged); diff != "" {
		t.Errorf("all, and by pages:\n%s", diff)
	}
	first := r.m.View().Decision(all[len(all)-1])
	if first.Decision.Kind != placement.KindAssign || first.Decision.To != "a" || first.Actor != actor || first.Term != 1 || first.Index == 0 || first.At != r.now {
		t.Errorf("the first record: %+v", first)
	}
	if r.m.View().Decision(1) != nil {
		t.Error("a record of a revision that decided nothing")
	}

	old := r.m.View().Decided()
	for i := range HistoryMax {
		tx := &tx{state: r.m.s, batch: &Batch{}, op: &Op{}}
		tx.record(&placement.Chain{}, placement.Decision{Move: placement.MoveID(i)}, placement.Accepted)
	}
	r.batch(Batch{})
	if v := r.m.View(); v.decisions.len() != HistoryMax || v.Decision(old) != nil {
		t.Errorf("%d records are kept, the limit is %d", v.decisions.len(), HistoryMax)
	}
}
