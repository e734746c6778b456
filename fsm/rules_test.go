package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/placement"
)

// S1: a copy must never be made from nothing once the chain had one. All
// holders of X are lost; a repair without a source, and one from a lost copy,
// are tried; then a holder comes back.
func TestS1NoCopyFromNothing(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", spec(2), "a", "b")
	r.loses("a")
	r.loses("b")
	r.do(&ResumeRepair{})
	r.wants("x", "a:ready+lost b:ready+lost")
	r.refuses(placement.NoSource, r.assign("x", "c"))
	d := r.decision(placement.KindAssign, placement.CauseRepair, "x", "", "c")
	d.Source = "a"
	r.refuses(placement.NoSource, NewDecide(d))
	for _, duty := range r.m.View().Duties("a").Assignments {
		if duty.First {
			t.Error("a lost copy may be made anew from nothing")
		}
	}

	r.start("a", "disk-a", "run-2")
	r.wants("x", "a:ready+lost+unconfirmed b:ready+lost")
	r.inventory("a")
	r.wants("x", "a:ready b:ready+lost")
	r.do(r.assign("x", "c"))

	r.chain("empty", spec(2), "c")
	r.report("c", true)
	r.wants("empty", "")
	r.refuses(placement.NoSource, r.assign("empty", "d"))
}

// S1: an unlisted copy is adopted while it is needed, discarded when it is
// not, kept when it is of another content, and never touched when the chain is
// unknown. One node reports all four.
func TestS1UnlistedCopies(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("needed", spec(2), "a")
	r.chain("enough", spec(2), "a", "b")
	r.chain("other", spec(2), "a", "b")
	r.do(r.stored("other", 2, "a", "b"))
	r.chain("late", spec(2), "a", "b")
	r.do(r.stored("late", 2, "a", "b"))
	r.do(NewPutChain("late", spec(3)))
	res := r.report("c", true,
		ReportItem{Chain: "needed", Epoch: 1, Phase: ReportReady}, ReportItem{Chain: "enough", Epoch: 1, Phase: ReportReady},
		ReportItem{Chain: "other", Epoch: 1, Phase: ReportReady, SHA256: sha(1)},
		ReportItem{Chain: "late", Epoch: 1, Phase: ReportReady, SHA256: sha(1)},
		ReportItem{Chain: "unknown", Epoch: 1, Phase: ReportReady})
	for id, want := range map[placement.ChainID]CopyVerdict{
		"needed": CopyAdopt, "enough": CopyDiscard, "other": CopyDiscard, "late": CopyWait, "unknown": CopyOrphan,
	} {
		if got := answerFor(res, id); got != want {
			t.Errorf("chain %s: %s, want %s", id, got, want)
		}
	}
	r.wants("needed", "a:ready c:pulling repair(→c pulling)")
	if h := r.holder("needed", "c"); h.Epoch == 1 {
		t.Error("the adopted copy kept its old epoch: a late drop of it would hit")
	}
	if got := r.m.View().Duties("c").Discard; len(got) != 2 || got[0] != (Discard{"enough", 1}) || got[1] != (Discard{"other", 1}) {
		t.Errorf("to discard: %v", got)
	}
	if got := r.m.View().OrphanCount(); got != 1 {
		t.Errorf("%d orphans", got)
	}
	r.do(&PurgeOrphan{"c", "unknown"})
	r.inventory("c", ReportItem{Chain: "unknown", Epoch: 1, Phase: ReportReady})
	if got := r.m.View().Duties("c").Discard; len(got) != 1 || got[0] != (Discard{"unknown", 1}) {
		t.Errorf("a purged orphan was forgotten: %v", got)
	}
}

// S1: a copy that the state does not list is not adopted where it would have to
// go again, for then it is called off and found again without end, but kept; it
// is adopted there when no other copy is live, and elsewhere as ever.
func TestS1UnlistedCopiesWhereTheyMayNotStay(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	choosy := spec(3)
	choosy.Require = []string{"node!=c"}
	r.chain("choosy", choosy, "a")
	r.chain("any", spec(3), "a")
	r.chain("drained", spec(1), "b")
	found := []ReportItem{{Chain: "choosy", Epoch: 1, Phase: ReportReady}, {Chain: "any", Epoch: 1, Phase: ReportReady}}
	answers := func(node placement.NodeID, choosy, other CopyVerdict) {
		t.Helper()
		res := r.report(node, true, found...)
		if got, rest := answerFor(res, "choosy"), answerFor(res, "any"); got != choosy || rest != other {
			t.Errorf("node %s: %s and %s, want %s and %s", node, got, rest, choosy, other)
		}
	}
	r.do(&SetEligibility{Node: "b", Eligibility: placement.Draining})
	answers("b", CopyWait, CopyWait)
	r.do(&SetEligibility{Node: "b", Eligibility: placement.Cordoned})
	answers("b", CopyAdopt, CopyAdopt)
	answers("c", CopyWait, CopyAdopt)
	r.observe("a", placement.NodeSuspect)
	r.observe("b", placement.NodeSuspect)
	res := r.report("c", true, found[0])
	if got := answerFor(res, "choosy"); got != CopyAdopt {
		t.Errorf("the last copy within reach: %s, want %s", got, CopyAdopt)
	}
	r.do(NewPutChain("young", choosy))
	res = r.report("c", true, ReportItem{Chain: "young", Epoch: 1, Phase: ReportReady})
	if got := answerFor(res, "young"); got != CopyWait {
		t.Errorf("a copy of a chain that can be begun elsewhere: %s, want %s", got, CopyWait)
	}
}

// S1: a discard that was ordered must not outlive what made the copy
// superfluous. The order stands, the node is slow, the live copies die.
func TestS1DiscardIsLookedAtAgain(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(1), "a")
	r.report("c", true, ReportItem{Chain: "x", Epoch: 1, Phase: ReportReady})
	if got := r.m.View().Duties("c").Discard; len(got) != 1 {
		t.Fatalf("to discard: %v", got)
	}
	r.observe("a", placement.NodeSuspect)
	if got := r.m.View().Duties("c").Discard; len(got) != 0 {
		t.Errorf("the last copy within reach is to be discarded: %v", got)
	}
}

// S1: the copies of a deleted chain go, also those that come back later, but
// not those of a chain that was made anew under the name.
func TestS1Tombstones(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2), "a", "b")
	old := r.holder("x", "a").Epoch
	r.do(&DeleteChain{Chain: "x"})
	if got := r.m.View().Duties("a").Discard; len(got) != 1 || got[0] != (Discard{"x", old}) {
		t.Errorf("to discard: %v", got)
	}
	r.chain("x", spec(2), "b")
	item := ReportItem{Chain: "x", Epoch: old, Phase: ReportReady}
	if got := answerFor(r.inventory("c", item), "x"); got != CopyDiscard {
		t.Errorf("a copy of the deleted chain: %s", got)
	}
	item.Epoch = placement.Epoch(r.m.View().Revision)
	if got := answerFor(r.inventory("c", item), "x"); got != CopyAdopt {
		t.Errorf("a copy of the new chain: %s", got)
	}
	r.pass(168 * time.Hour)
	if got := r.m.View().TombstoneCount(); got != 0 {
		t.Errorf("%d tombstones after their time", got)
	}
}

// S1: node remove is refused while the node has the last copy, lost ones and
// the content counted. B has an older version only, A with the current one is
// dead.
func TestS1RemoveKeepsTheCurrentCopy(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.configure(func(c *placement.Config) { c.WriteCopies = 1 })
	r.chain("x", spec(2), "a", "b")
	r.do(r.stored("x", 1, "a", "b"))
	r.loses("b")
	r.do(r.stored("x", 2, "a"))
	r.loses("a")
	r.wants("x", "a:ready+lost b:ready+lost")
	r.refuses(placement.LastCopy, &RemoveNode{"a", false})

	r.do(&RemoveNode{"a", true})
	if c := r.is("x"); !c.EverReady || c.Content == nil {
		t.Error("the chain counts as one without a copy, though b has bytes")
	}
	if d := r.m.View().Decision(r.is("x").LastDecision); d.Decision.Reason.Name != placement.ReasonAllowDataLoss || d.Decision.From != "a" {
		t.Errorf("the loss is not audited: %+v", d)
	}
	r.refuses(placement.LastCopy, &RemoveNode{"b", false})
	r.do(&RemoveNode{"b", true})
	if c := r.is("x"); c.EverReady || c.Content != nil || len(c.Holders) > 0 {
		t.Errorf("a chain without holders does not begin anew: %s", r.picture("x"))
	}
	r.do(r.assign("x", "c"))
}

// S1: what pulls from the last copy when that is given up has nothing to pull
// from, and must not block the chain's new beginning.
func TestS1GivenUpWhilePulled(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2), "a")
	r.do(r.assign("x", "b"))
	r.loses("a")
	r.do(&RemoveNode{"a", true})
	r.wants("x", "")
	r.do(r.assign("x", "b"))
}

// S1: a report that a copy vanished must not count against a chain that has
// changed since the listing behind it began.
func TestS1OldListing(t *testing.T) {
	r := newRig(t, "a", "b")
	r.chain("x", spec(2), "a")
	early := r.m.View().Revision
	r.do(r.assign("x", "b"))
	r.ready("x", "b")
	inc := r.m.View().Node("b").Incarnation
	lost := ReportItem{Chain: "x", Epoch: r.holder("x", "b").Epoch, Phase: ReportLost}
	r.do(&Report{Node: "b", Lineage: lineage, Incarnation: inc, Revision: early, Items: []ReportItem{lost}})
	r.do(&Report{Node: "b", Lineage: lineage, Incarnation: inc, Revision: early, Inventory: true})
	r.wants("x", "a:ready b:ready")
	r.report("b", false, lost)
	r.wants("x", "a:ready")
}

// S2: the last copy that can be read must not go. Desired 2, and B crashed a
// moment ago, is restarting with an unknown disk, or came back: each time an
// eviction of A is tried.
func TestS2OnlyLiveCopiesCount(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", placement.Spec{Desired: 2, MinReady: 1}, "a", "b")
	r.do(NewPutChain("x", placement.Spec{Desired: 1, MinReady: 1}))
	tryAll := func(want placement.Code) {
		t.Helper()
		if want != "" {
			r.refuses(want, r.evict(placement.CauseBalance, "x", "a", "c"))
			r.refuses(placement.BelowMinReady, r.drop("x", "a"))
		} else {
			r.do(r.drop("x", "a"))
		}
	}
	r.observe("b", placement.NodeSuspect)
	tryAll(placement.LastCopy)
	r.observe("b", placement.NodeAlive)
	r.start("b", "disk-b", "run-2")
	r.wants("x", "a:ready b:ready+unconfirmed")
	tryAll(placement.LastCopy)
	r.inventory("b")
	tryAll("")
	r.wants("x", "a:dropping b:ready")
}

// S2: an empty disk under the old name holds nothing. B returns with a new
// data directory; even the same process id does not keep its copies.
func TestS2EmptyDisk(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2), "a", "b")
	r.observe("b", placement.NodeDead)
	before := r.m.View().Node("b").Incarnation
	r.start("b", "disk-b2", "run-1")
	if r.m.View().Node("b").Incarnation == before {
		t.Error("another disk kept the incarnation")
	}
	r.wants("x", "a:ready b:ready+unconfirmed")
	if v := r.m.View(); v.Missing(r.is("x")) != 0 {
		t.Error("an unconfirmed copy is replaced before it is lost")
	}
	r.report("b", true)
	r.wants("x", "a:ready")
}

// S2: what stays unconfirmed for the repair delay counts as lost, exactly then.
func TestS2UnconfirmedIsLost(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", placement.Spec{Desired: 2, RepairDelay: ptr(10 * time.Second)}, "a", "b")
	r.start("b", "disk-b", "run-2")
	lose := &Lose{"b", r.m.View().Node("b").Incarnation}
	r.pass(10*time.Second - 1)
	r.do(lose)
	r.wants("x", "a:ready b:ready+unconfirmed")
	r.pass(1)
	r.do(lose)
	r.wants("x", "a:ready b:ready+lost+unconfirmed")
}

// S3: bytes that were acknowledged are not the old ones. A has v2, B and C
// still v1: they pull again, and are neither source nor live meanwhile.
func TestS3ContentIsVersioned(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", spec(3), "a", "b", "c")
	r.do(r.stored("x", 1, "a", "b", "c"))
	late := r.stored("x", 3, "b", "c") // on base v1
	oldEpoch := r.holder("x", "c").Epoch
	r.do(r.stored("x", 2, "a", "b"))
	r.refuses(placement.StaleContent, late)
	r.wants("x", "a:ready b:ready c:pulling repair(→c pulling)")
	if m := r.is("x").Moves[0]; !m.Unbudgeted || r.m.View().OpenMoves.Total != 0 {
		t.Error("the refresh counts against the budgets")
	}
	for _, item := range []ReportItem{
		{Chain: "x", Epoch: oldEpoch, Phase: ReportReady, SHA256: sha(2)},
		{Chain: "x", Epoch: r.holder("x", "c").Epoch, Phase: ReportReady, SHA256: sha(1)},
		{Chain: "x", Epoch: r.holder("x", "c").Epoch, Phase: ReportReady},
	} {
		before := r.still()
		r.report("c", false, item)
		if !bytes.Equal(before, r.still()) {
			t.Errorf("the report %+v was believed", item)
		}
	}
	r.ready("x", "c")
	r.wants("x", "a:ready b:ready c:ready")
}

// S3: a lost copy of an older version is refreshed only when its mark ends,
// and must not count as a copy of the current one before.
func TestS3LostCopyIsStale(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(3), "a", "b", "c")
	r.do(r.stored("x", 1, "a", "b", "c"))
	r.loses("c")
	r.do(r.stored("x", 2, "a", "b"))
	r.wants("x", "a:ready b:ready c:ready+lost")
	r.start("c", "disk-c", "run-2")
	r.report("c", false, ReportItem{Chain: "x", Epoch: r.holder("x", "c").Epoch, Phase: ReportReady, SHA256: sha(1)})
	r.wants("x", "a:ready b:ready c:ready+lost+unconfirmed")
	r.inventory("c")
	r.wants("x", "a:ready b:ready c:pulling repair(→c pulling)")
}

// S3: new content while a move waits sends its finished target back to
// pulling; the move must not close as done on a copy of the old content.
func TestS3ContentWhileAMoveWaits(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.configure(func(c *placement.Config) { c.WriteCopies = 1 })
	r.chain("x", placement.Spec{Desired: 2, MinReady: 2}, "a", "b")
	r.do(r.stored("x", 1, "a", "b"))
	r.do(r.move(placement.CauseConstraint, "x", "a", "c"))
	r.observe("b", placement.NodeSuspect)
	r.ready("x", "c")
	r.wants("x", "a:ready b:ready c:ready constraint(a→c waiting)")
	r.do(r.stored("x", 2, "a"))
	r.observe("b", placement.NodeAlive)
	r.wants("x", "a:ready b:pulling c:pulling constraint(a→c pulling) repair(→b pulling)")
	r.refuses(placement.NoMove, r.ends(placement.KindComplete, "x", ""))
	r.ready("x", "b")
	r.ready("x", "c")
	r.wants("x", "a:dropping b:ready c:ready constraint(a→c dropping)")
}

// S3: a victim that pulls new content and is given up is no victim any more:
// its move must go on as a repair, not end as done without an eviction.
func TestS3VictimGivesUp(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", spec(3), "a", "b", "c")
	r.do(&SetEligibility{Node: "a", Eligibility: placement.Draining})
	r.do(r.move(placement.CauseDrain, "x", "a", "d"))
	r.do(r.stored("x", 1, "b", "c"))
	r.wants("x", "a:pulling b:ready c:ready d:pulling drain(a→d pulling) repair(→a pulling)")
	r.report("a", false, ReportItem{Chain: "x", Epoch: r.holder("x", "a").Epoch, Phase: ReportFailed})
	r.wants("x", "b:ready c:ready d:pulling repair(→d pulling)")
	r.ready("x", "d")
	r.wants("x", "b:ready c:ready d:ready")
}

// S3: settled tells a node that superseded bytes may go: not before
// write_copies live copies of the current content exist.
func TestS3Settled(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(3), "a", "b", "c")
	r.do(r.stored("x", 1, "a", "b"))
	if !r.m.View().Duties("c").Assignments[0].Settled {
		t.Error("two live copies of two, and not settled")
	}
	r.observe("b", placement.NodeSuspect)
	if r.m.View().Duties("c").Assignments[0].Settled {
		t.Error("one live copy of two, and settled")
	}
}

// S4: numbers never repeat. A slow drop of an old epoch arrives after the
// chain was assigned to the node again, and a recreated chain has another
// generation.
func TestS4NumbersNeverRepeat(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2), "a", "b")
	r.do(NewPutChain("x", spec(1)))
	old := r.holder("x", "b").Epoch
	r.do(r.drop("x", "b"))
	r.refuses(placement.AlreadyHolder, r.move(placement.CauseBalance, "x", "a", "b"))
	r.dropped("x", "b")
	r.do(NewPutChain("x", spec(2)))
	r.do(r.assign("x", "b"))
	if r.holder("x", "b").Epoch <= old {
		t.Errorf("epoch %d after %d", r.holder("x", "b").Epoch, old)
	}
	for _, phase := range []ReportPhase{ReportDropped, ReportLost, ReportFailed, ReportReady} {
		r.report("b", false, ReportItem{Chain: "x", Epoch: old, Phase: phase})
	}
	r.wants("x", "a:ready b:pulling repair(→b pulling)")

	generation := r.is("x").Generation
	r.do(&DeleteChain{Chain: "x"})
	r.do(NewPutChain("x", spec(2)))
	if r.is("x").Generation <= generation {
		t.Error("the generation of a deleted chain came again")
	}
	r.refuses(placement.StaleGeneration, &PutChain{Chain: "x", IfGeneration: generation})
}

// S5: a restore must not let the old list decide. The snapshot says A holds;
// since then B does and A's copy is gone. Nothing is dropped, discarded, moved
// or repaired until all have told, and no cooldown is over.
func TestS5RestoreIsANewLineage(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(1), "a")
	r.chain("deleted", spec(1), "c")
	r.do(&DeleteChain{Chain: "deleted"})
	r.batch(Batch{Ops: []Op{{Body: &Thaw{}, Request: Request{"key", make([]byte, HashBytes)}}}})
	saved := r.bytes()
	r.pass(time.Hour)
	r.do(r.move(placement.CauseBalance, "x", "a", "b"))
	r.ready("x", "b")
	r.dropped("x", "a")
	present := r.m.View()
	epoch := r.holder("x", "b").Epoch

	r.restoreFrom(saved)
	v := r.m.View()
	r.wants("x", "a:ready+unconfirmed")
	if v.Lineage == present.Lineage || v.ClusterID != present.ClusterID || v.Revision <= present.Revision || v.Now != present.Now {
		t.Errorf("lineage %q, cluster %q, revision %d after %d, now %d after %d", v.Lineage, v.ClusterID, v.Revision, present.Revision, v.Now, present.Now)
	}
	if r.is("x").LastRebalance != v.Now || v.RequestCount() != 0 || len(v.RestoreGuard) != 3 {
		t.Errorf("cooldown stamp %d, %d requests, guard %v", r.is("x").LastRebalance, v.RequestCount(), v.RestoreGuard)
	}
	old := &Report{Node: "a", Lineage: present.Lineage, Incarnation: v.Node("a").Incarnation, Inventory: true}
	r.refuses(placement.StaleEpoch, old)
	res := r.report("b", true, ReportItem{Chain: "x", Epoch: epoch, Phase: ReportReady}, ReportItem{Chain: "deleted", Epoch: 1, Phase: ReportReady})
	if answerFor(res, "x") != CopyWait || answerFor(res, "deleted") != CopyWait || len(r.m.View().Duties("b").Discard) != 0 {
		t.Errorf("under the guard: %+v", res.Copies)
	}
	r.report("a", true)
	r.wants("x", "")
	r.refuses(placement.RestoreGuard, r.assign("x", "b"))
	r.report("c", true)
	if r.m.View().RestoreGuard != nil {
		t.Fatal("all have told, and the guard stays")
	}
	if got := answerFor(r.report("b", true, ReportItem{Chain: "x", Epoch: epoch, Phase: ReportReady}), "x"); got != CopyAdopt {
		t.Errorf("the only copy: %s", got)
	}
}

// S5: the guard also ends when an operator releases it, or removes the node
// that never comes.
func TestS5GuardEnds(t *testing.T) {
	r := newRig(t, "a", "b")
	r.observe("b", placement.NodeDead)
	r.restore()
	r.inventory("a")
	r.do(&RemoveNode{"b", false})
	if r.m.View().RestoreGuard != nil {
		t.Error("the guard waits for a node that was removed")
	}
	r = newRig(t, "a", "b")
	r.do(&Leave{Node: "b", Instance: r.m.View().Node("b").Instance})
	r.restore()
	if guard := r.m.View().RestoreGuard; len(guard) != 1 || guard[0] != "a" {
		t.Errorf("b has left for good, and the guard waits for %v", guard)
	}
	r.restore()
	r.do(&ReleaseGuard{})
	if r.m.View().RestoreGuard != nil {
		t.Error("the guard was released, and stays")
	}
}

// S5: Rewrite refuses a lineage that is not new, and damaged bytes.
func TestS5RewriteRefuses(t *testing.T) {
	r := newRig(t, "a")
	for _, lin := range []string{"", lineage} {
		if err := Rewrite(bytes.NewReader(r.bytes()), r.m.View(), lin, new(bytes.Buffer)); err == nil {
			t.Errorf("lineage %q is accepted", lin)
		}
	}
	if err := Rewrite(strings.NewReader("x"), r.m.View(), "new", new(bytes.Buffer)); err == nil {
		t.Error("damaged bytes are accepted")
	}
}

// S6: an id is never a path or a flag.
func TestS6IdsAreNoPaths(t *testing.T) {
	r := newRig(t)
	for _, id := range []placement.ChainID{"", ".", "..", "-x", "_x", "a/b", "a b", "a\x00b", "ä", placement.ChainID(strings.Repeat("x", 129))} {
		r.refuses(placement.Invalid, NewPutChain(id, spec(1)))
		a := r.announce(placement.NodeID(id), "disk", "run")
		r.refuses(placement.Invalid, a)
	}
}

// S7: a lost copy is repaired though a balance move is under way: the move
// becomes the repair, in its budget, and the victim stays.
func TestS7MoveBecomesRepair(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d", "e")
	r.chain("x", spec(3), "a", "b", "c")
	r.do(r.move(placement.CauseBalance, "x", "a", "d"))
	r.loses("b")
	r.wants("x", "a:ready b:ready+lost c:ready d:pulling repair(→d pulling)")
	if o, u := r.m.View().OpenMoves, r.m.View().Usage("d"); o.Balance != 0 || o.Total != 1 || u.RepairsIn != 1 || u.MovesIn != 0 {
		t.Errorf("booked %+v, %+v", o, u)
	}
	r.ready("x", "d")
	r.wants("x", "a:ready b:ready+lost c:ready d:ready")
}

// S7: a new chain gets one copy from nothing, the others from that one.
func TestS7NewChain(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2))
	r.do(r.assign("x", "a"))
	if d := r.m.View().Duties("a").Assignments[0]; !d.First || len(d.Sources) != 0 {
		t.Errorf("duty %+v", d)
	}
	r.refuses(placement.NoSource, r.assign("x", "b"))
	r.ready("x", "a")
	r.do(r.assign("x", "b"))
	d := r.m.View().Duties("b").Assignments[0]
	if d.First || len(d.Sources) != 1 || d.Sources[0] != (Source{"a", "a:7400"}) {
		t.Errorf("duty %+v", d)
	}
}

// S7: pulling and live copies stay within desired + 1, counted without those
// that are lost.
func TestS7AtMostOneTooMany(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d", "e", "f")
	r.chain("x", spec(3), "a", "b", "c")
	r.do(&SetEligibility{Node: "a", Eligibility: placement.Draining})
	r.do(r.move(placement.CauseDrain, "x", "a", "d"))
	r.refuses(placement.OverReplicated, r.assign("x", "e"))
	r.loses("b")
	r.do(r.assign("x", "e"))
	r.wants("x", "a:ready b:ready+lost c:ready d:pulling e:pulling drain(a→d pulling) repair(→e pulling)")
	r.refuses(placement.OverReplicated, r.assign("x", "f"))
}

// S8: a finished copy is not thrown away because the victim may not go yet.
// The move waits without deadline, and completes when that is safe.
func TestS8Waiting(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", spec(2), "a", "b")
	r.do(r.move(placement.CauseConstraint, "x", "a", "c"))
	r.observe("b", placement.NodeSuspect)
	r.ready("x", "c")
	r.wants("x", "a:ready b:ready c:ready constraint(a→c waiting)")
	r.pass(time.Hour)
	r.refuses(placement.StaleDecision, r.ends(placement.KindCallOff, "x", placement.ReasonDeadline))
	r.refuses(placement.BelowMinReady, r.ends(placement.KindComplete, "x", ""))
	r.observe("b", placement.NodeAlive)
	r.do(r.ends(placement.KindComplete, "x", ""))
	r.wants("x", "a:dropping b:ready c:ready constraint(a→c dropping)")
	r.dropped("x", "a")
	r.wants("x", "b:ready c:ready")
}

// S8: a waiting balance move ends as a repair when another copy is lost; one
// for a drain goes on, and repair adds the copy that lets the victim go.
func TestS8WaitingAndLost(t *testing.T) {
	for cause, want := range map[placement.Cause]string{
		placement.CauseBalance: "a:ready b:ready+lost c:ready",
		placement.CauseDrain:   "a:ready b:ready+lost c:ready drain(a→c waiting)",
	} {
		r := newRig(t, "a", "b", "c", "d")
		r.chain("x", spec(2), "a", "b")
		if cause == placement.CauseDrain {
			r.do(&SetEligibility{Node: "a", Eligibility: placement.Draining})
		}
		r.do(r.move(cause, "x", "a", "c"))
		r.observe("b", placement.NodeSuspect)
		r.ready("x", "c")
		r.loses("b")
		r.wants("x", want)
		if cause == placement.CauseDrain {
			r.do(r.assign("x", "d"))
			r.ready("x", "d")
			r.do(r.ends(placement.KindComplete, "x", ""))
			r.wants("x", "a:dropping b:ready+lost c:ready d:ready drain(a→c dropping)")
		}
	}
}

// S8: a pull that is longer than the deadline goes on as long as it
// progresses, and reports of progress change no revision.
func TestS8Progress(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(1), "a")
	r.do(r.move(placement.CauseBalance, "x", "a", "b"))
	at := r.m.View().Revision
	progress := ReportItem{Chain: "x", Epoch: r.holder("x", "b").Epoch, Phase: ReportPulling, BytesTotal: 100}
	for range 3 {
		r.pass(9 * time.Minute)
		progress.BytesDone += 10
		r.report("b", false, progress)
	}
	if r.m.View().Revision != at || r.is("x").Moves[0].BytesDone != 30 {
		t.Errorf("revision %d, then %d; %d bytes done", at, r.m.View().Revision, r.is("x").Moves[0].BytesDone)
	}
	r.refuses(placement.StaleDecision, r.ends(placement.KindCallOff, "x", placement.ReasonDeadline))
	r.pass(9 * time.Minute)
	r.report("b", false, progress) // no progress
	r.pass(time.Minute)
	r.do(r.ends(placement.KindCallOff, "x", placement.ReasonDeadline))
	r.wants("x", "a:ready")
	r.refuses(placement.Cooling, r.move(placement.CauseConstraint, "x", "a", "b"))
}

// S8: evict-first, the victim has dropped, then the target dies: what is left
// is an ordinary repair, on any node.
func TestS8EvictFirstTargetDies(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d", "e")
	r.chain("x", spec(2), "a", "b")
	r.do(r.evict(placement.CauseBalance, "x", "a", "c"))
	r.wants("x", "a:dropping b:ready balance(a→c dropping)")
	refill := r.decision(placement.KindAssign, placement.CauseBalance, "x", "", "c")
	refill.Move = r.is("x").Moves[0].ID
	r.do(NewDecide(refill))
	r.dropped("x", "a")
	r.wants("x", "b:ready c:pulling balance(a→c pulling)")
	r.loses("c")
	r.wants("x", "b:ready")
	r.do(r.assign("x", "d"))
}

// S8: evict-first lands where it was said, and under a freeze finishes what
// was open (rule S12).
func TestS8EvictFirstFinishesWhenFrozen(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2), "a", "b")
	r.do(r.evict(placement.CauseBalance, "x", "a", "c"))
	r.dropped("x", "a")
	r.do(&SetFreeze{})
	refill := r.decision(placement.KindAssign, placement.CauseBalance, "x", "", "c")
	refill.Move = r.is("x").Moves[0].ID
	r.do(NewDecide(refill))
	r.ready("x", "c")
	r.wants("x", "b:ready c:ready")
}

// S8: a deadline that ends an evict-first move before its target was ever
// asked must not count as the target's failure.
func TestS8UnaskedTargetIsNotBlamed(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2), "a", "b")
	r.do(r.evict(placement.CauseBalance, "x", "a", "c"))
	r.pass(10 * time.Minute)
	r.do(r.ends(placement.KindCallOff, "x", placement.ReasonDeadline))
	if c := r.is("x"); c.Failures != 0 || len(c.Backoffs) != 0 {
		t.Errorf("%d failures, backoffs %v", c.Failures, c.Backoffs)
	}
}

// S9: the cooldown is longer than the pull may be: the stamp is written when
// the move opens and again when the victim drops, and a called-off move keeps
// it. The pull lasts 6 minutes, the cooldown 5.
func TestS9Cooled(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", spec(1), "a")
	r.do(r.move(placement.CauseBalance, "x", "a", "b"))
	r.pass(6 * time.Minute)
	r.ready("x", "b")
	r.dropped("x", "a")
	r.refuses(placement.Cooling, r.move(placement.CauseBalance, "x", "b", "c"))
	r.pass(5*time.Minute - 1)
	r.refuses(placement.Cooling, r.move(placement.CauseBalance, "x", "b", "c"))
	r.pass(1)
	r.do(r.move(placement.CauseBalance, "x", "b", "c"))
	r.do(r.ends(placement.KindCallOff, "x", placement.ReasonTargetLost))
	r.refuses(placement.Cooling, r.move(placement.CauseBalance, "x", "b", "c"))

	// The cooldown in force now is the one that counts, and other causes do not wait.
	r.configure(func(c *placement.Config) { c.Cooldown = 0 })
	r.do(r.move(placement.CauseBalance, "x", "b", "c"))
	r.do(r.ends(placement.KindCallOff, "x", placement.ReasonTargetLost))
	r.do(NewPutChain("x", placement.Spec{Desired: 1, Cooldown: ptr(time.Hour)}))
	r.refuses(placement.Cooling, r.move(placement.CauseBalance, "x", "b", "c"))
	r.do(r.move(placement.CauseConstraint, "x", "b", "c"))
}

// S9: the cooldown survives a snapshot and the loss of the leader.
func TestS9CooledAcrossRestart(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(1), "a")
	r.do(r.move(placement.CauseBalance, "x", "a", "b"))
	r.ready("x", "b")
	r.dropped("x", "a")
	back := New()
	if err := back.Restore(bytes.NewReader(r.bytes())); err != nil {
		t.Fatal(err)
	}
	r.m, r.term = back, r.term+1
	r.refuses(placement.Cooling, r.move(placement.CauseBalance, "x", "b", "c"))
}

// S10: a target's bytes are reserved at once, the victim's are free only when
// it reports them gone: a third chain must not fit in between.
func TestS10BytesAreFreeWhenTheyAreGone(t *testing.T) {
	r := newRig(t, "a", "b")
	for _, n := range []placement.NodeID{"a", "b"} {
		a := r.announce(n, "disk-"+string(n), "run-1")
		a.CapacityBytes = 150
		r.do(a)
	}
	sized := placement.Spec{Desired: 1, SizeBytes: 100}
	r.chain("x", sized, "a")
	r.chain("y", sized)
	r.do(r.move(placement.CauseBalance, "x", "a", "b"))
	r.refuses(placement.OverCapacity, r.assign("y", "b"))
	r.ready("x", "b")
	r.wants("x", "a:dropping b:ready balance(a→b dropping)")
	r.refuses(placement.OverCapacity, r.assign("y", "a"))
	r.dropped("x", "a")
	r.do(r.assign("y", "a"))
}

// S11: a plan is late when the term was lost, when the configuration or the
// freeze changed, or when its chain did; a plan of the entry's own term is
// not. A successor's commit of an old entry is judged by its preconditions.
func TestS11LatePlans(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", spec(1), "a")
	try := func(b Batch) placement.Code {
		b.Ops = []Op{{Actor: actor, Body: r.move(placement.CauseBalance, "x", "a", "b")}}
		return r.batch(b)[0].Code
	}
	config := r.m.View().ConfigGeneration
	if got := try(Batch{Term: r.term + 1, ConfigAt: config}); got != placement.StaleTerm {
		t.Errorf("another term: %q", got)
	}
	r.do(&SetFreeze{})
	r.do(&Thaw{})
	if got := try(Batch{Term: r.term, ConfigAt: config}); got != placement.StaleConfig {
		t.Errorf("frozen and thawed meanwhile: %q", got)
	}
	if got := try(Batch{Term: r.term, ConfigAt: r.m.View().ConfigGeneration}); got != placement.Accepted {
		t.Errorf("in time: %q", got)
	}
	if m := r.is("x").Moves[0]; m.Mode != placement.PlaceFirst || m.FromEpoch != r.holder("x", "a").Epoch {
		t.Errorf("the record lacks mode or epoch: %+v", m)
	}
}

// S12: too much gone at once means the network. Each row lets nodes vanish,
// and says whether repair pauses.
func TestS12RepairPause(t *testing.T) {
	for _, c := range []struct {
		name  string
		zones string // one letter a node
		gone  string // nodes by position, '.' = a minute passes, '/' = 30 s
		want  bool
	}{
		{"one of three nodes in three zones", "xyz", "0", false},
		{"two of three", "xyz", "01", true},
		{"two of ten, 40 % are four", "..........", "01", false},
		{"three of ten", "..........", "012", false},
		{"four of ten", "..........", "0123", true},
		{"four of ten over more than a minute", "..........", "01..23", false},
		{"four of ten within a minute", "..........", "01/23", true},
		{"a zone of two among ten", "xx........", "01", true},
		{"half of a zone", "xx........", "02", false},
		{"no zone is no zone", "..........", "01", false},
		{"two of four", "xxyy", "02", true},
	} {
		var nodes []placement.NodeID
		for i := range c.zones {
			nodes = append(nodes, placement.NodeID(fmt.Sprintf("n%d", i)))
		}
		r := newRig(t, nodes...)
		for i, zone := range c.zones {
			if zone != '.' {
				r.zone(nodes[i], string(zone))
			}
		}
		for _, step := range c.gone {
			switch step {
			case '.':
				r.pass(time.Minute + 1)
			case '/':
				r.pass(30 * time.Second)
			default:
				r.observe(nodes[step-'0'], placement.NodeSuspect)
			}
		}
		if got := r.m.View().RepairPause != nil; got != c.want {
			t.Errorf("%s: paused %t, want %t", c.name, got, c.want)
		}
	}
}

// S12: a chain with exactly one live copy is repaired during a pause. The
// pause ends when half of the nodes are back, also by restarting, on an
// operator's word, which the same nodes must not undo, and after its time.
func TestS12RepairPauseEnds(t *testing.T) {
	begin := func() *rig {
		r := newRig(t, "a", "b", "c", "d", "e")
		r.chain("x", spec(3), "a", "b", "c")
		r.chain("y", spec(2), "a", "d")
		r.observe("d", placement.NodeSuspect)
		r.observe("e", placement.NodeSuspect)
		r.loses("d")
		r.observe("e", placement.NodeDead)
		return r
	}
	paused := func(r *rig, want bool) {
		t.Helper()
		if got := r.m.View().RepairPause != nil; got != want {
			t.Errorf("paused %t, want %t", got, want)
		}
	}
	r := begin()
	paused(r, true)
	r.do(NewPutChain("x", spec(4)))
	r.do(r.assign("y", "b"))

	r.start("d", "disk-d", "run-2") // announces itself; the leader need not see it first
	paused(r, false)

	r = begin()
	r.do(&ResumeRepair{})
	r.observe("d", placement.NodeSick)
	r.observe("e", placement.NodeSick)
	paused(r, false)

	r = begin()
	r.pass(30*time.Minute - time.Minute - 1)
	paused(r, true)
	r.pass(1)
	paused(r, false)

	// Who vanishes on the heels of the others belongs to the same event.
	r = newRig(t, "a", "b", "c", "d", "e")
	for _, n := range []placement.NodeID{"a", "b", "c", "d"} {
		r.observe(n, placement.NodeSuspect)
	}
	r.observe("a", placement.NodeAlive)
	paused(r, true)
	r.observe("b", placement.NodeAlive)
	paused(r, false)
}

// S12: a freeze stops the opening of moves except forced ones, and ends by
// itself; open moves finish.
func TestS12Freeze(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	r.chain("x", spec(1), "a")
	r.chain("y", spec(1), "a")
	r.do(r.move(placement.CauseBalance, "x", "a", "b"))
	r.do(&SetFreeze{For: time.Minute})
	r.ready("x", "b")
	r.wants("x", "a:dropping b:ready balance(a→b dropping)")
	r.refuses(placement.Frozen, r.move(placement.CauseBalance, "y", "a", "c"))
	r.do(&Force{Chain: "y", To: "c"})
	d := r.decision(placement.KindOpenMove, placement.CauseForced, "y", "a", "c")
	d.Forced = r.m.View().Forced[0].ID
	r.do(NewDecide(d))
	if len(r.m.View().Forced) != 0 {
		t.Error("an opened forced move is still queued")
	}
	r.pass(time.Minute)
	if r.m.View().Freeze != nil {
		t.Error("the freeze outlived its time")
	}
}

// S13: time never goes back, is not drawn from the machine, and a tick changes
// no revision.
func TestS13Time(t *testing.T) {
	r := newRig(t, "a")
	at := r.m.View()
	r.batch(Batch{Now: at.Now - 5, Wall: time.Now().Add(time.Hour)})
	if v := r.m.View(); v.Now != at.Now || v.Revision != at.Revision || v.Index != at.Index+1 {
		t.Errorf("now %d after %d, revision %d after %d", v.Now, at.Now, v.Revision, at.Revision)
	}
	r.observe("a", placement.NodeSuspect)
	since := r.m.View().Node("a").Unreachable
	r.pass(time.Minute)
	r.term++
	r.observe("a", placement.NodeDead)
	if got := r.m.View().Node("a").Unreachable; got != since {
		t.Errorf("unreachable since %d, then %d", since, got)
	}
	r.batch(Batch{Now: 1<<63 - 1, Ops: []Op{{Body: &SetFreeze{For: time.Hour}}}})
	if v := r.m.View(); v.Freeze.Until <= v.Now {
		t.Errorf("at the end of time a freeze ends at %d, now is %d", v.Freeze.Until, v.Now)
	}
}

// S20: a write that is sent again is applied once and answered as at first,
// also with its refusal, also after a restart; with another body it is
// refused; after the ttl it is forgotten.
func TestS20ExactlyOnce(t *testing.T) {
	r := newRig(t, "a", "b")
	hash := func(b byte) []byte { return bytes.Repeat([]byte{b}, HashBytes) }
	send := func(key string, h byte, body Body) Result {
		return r.batch(Batch{Ops: []Op{{Actor: actor, Reason: "r", Request: Request{key, hash(h)}, Body: body}}})[0]
	}
	first := send("k", 1, NewPutChain("x", spec(2)))
	refused := send("no", 1, &PutChain{Chain: "x", CreateOnly: true})
	batch := send("many/0", 1, &PutChains{Items: []PutChain{{Chain: "y"}, {Chain: "-"}, {Chain: "z", IfGeneration: 9}}})
	r.do(&DeleteChain{Chain: "x"})
	for range 2 {
		at := r.still()
		if got := send("k", 1, NewPutChain("x", spec(2))); !got.Replayed || !got.Created || got.Revision != first.Revision || got.Chain.Generation != first.Chain.Generation {
			t.Errorf("the repeat is answered %+v, at first %+v", got, first)
		}
		if got := send("no", 1, &PutChain{Chain: "x", CreateOnly: true}); got.Code != placement.Exists || got.Detail != refused.Detail {
			t.Errorf("the refused one is answered %+v", got)
		}
		if got := send("many/0", 1, &PutChains{}); fmt.Sprint(got.Items) != fmt.Sprint(batch.Items) || len(got.Items) != 3 {
			t.Errorf("the batch is answered %v, at first %v", got.Items, batch.Items)
		}
		if got := send("k", 2, NewPutChain("x", spec(3))); got.Code != placement.IdempotencyMismatch {
			t.Errorf("another body under the key: %+v", got)
		}
		if !bytes.Equal(at, r.still()) {
			t.Error("a repeat changed the state")
		}
		back := New()
		if err := back.Restore(bytes.NewReader(r.bytes())); err != nil {
			t.Fatal(err)
		}
		r.m = back
	}
	r.pass(time.Minute)
	if got := send("k", 1, NewPutChain("x", spec(2))); got.Replayed || !got.Created || r.m.View().RequestCount() != 1 {
		t.Errorf("after the ttl: %+v, %d remembered", got, r.m.View().RequestCount())
	}
}

// S20: the table is bounded in what it holds, and a full one refuses instead
// of forgetting. The largest answer is a batch of refusals; the largest chain
// does not fit.
func TestS20Bounds(t *testing.T) {
	r := newRig(t)
	items := make([]PutChain, ItemsMax)
	for i := range items {
		items[i] = PutChain{Chain: "-"}
		if i%2 == 0 {
			items[i] = PutChain{Chain: "x", IfGeneration: 9}
		}
	}
	ops := []Op{
		{Body: &PutChains{items}, Request: Request{"many", make([]byte, HashBytes)}},
		{Body: NewPutChain("x", placement.Spec{Require: []string{strings.Repeat("r", 250), strings.Repeat("s", 250), strings.Repeat("t", 250), strings.Repeat("u", 250)}}), Request: Request{"wide", make([]byte, HashBytes)}},
	}
	res := r.batch(Batch{Ops: ops})
	if !res[1].OK() || res[1].Chain == nil || res[1].Chain.Spec.Desired != 3 {
		t.Fatalf("the wide chain: %+v", res[1])
	}
	for key, limit := range map[string]int{"many": BatchAnswerMax, "wide": AnswerMax} {
		answer, _ := r.m.s.requests.Get(key)
		if size := encodedSize(answer.answer); size > limit {
			t.Errorf("the answer to %s takes %d bytes, the limit is %d", key, size, limit)
		}
	}
	again := r.batch(Batch{Ops: ops})
	if fmt.Sprint(again[0].Items) != fmt.Sprint(res[0].Items) || again[1].Chain != nil || !again[1].OK() {
		t.Error("the repeats are answered otherwise")
	}

	r.m.s.reqBytes += RequestBytesMax
	at := r.still()
	if got := r.batch(Batch{Ops: []Op{{Body: NewPutChain("y", spec(1)), Request: Request{"full", make([]byte, HashBytes)}}}})[0]; got.Code != placement.Overloaded {
		t.Errorf("a full table: %+v", got)
	}
	if got := r.batch(Batch{Ops: ops[:1]})[0]; !got.Replayed {
		t.Error("a full table forgot an answer")
	}
	if !bytes.Equal(at, r.still()) {
		t.Error("a refusal for want of room changed the state")
	}
	r.m.s.reqBytes -= RequestBytesMax
	r.pass(time.Minute)
	if r.m.s.reqBytes != 0 || r.m.s.expiries.Len() != 0 {
		t.Errorf("%d bytes and %d expiries are booked for an empty table", r.m.s.reqBytes, r.m.s.expiries.Len())
	}
}

// A chain whose targets fail again and again is held back for longer and
// longer, keeps a bounded list of them, and a success or a new spec ends that.
func TestQuarantine(t *testing.T) {
	r := newRig(t, "a", "b")
	r.chain("x", spec(2), "a")
	var waits []time.Duration
	for i := range 12 {
		r.fails("x", "b")
		c := r.is("x")
		if (c.Quarantine != nil) != (i >= 4) || int(c.Failures) != i+1 {
			t.Fatalf("after %d failures: %+v", i+1, c.Quarantine)
		}
		until := c.Backoffs[0].Until
		if c.Quarantine != nil {
			until = max(until, c.Quarantine.Until)
		}
		waits = append(waits, until.Sub(r.m.View().Now))
		r.refuses(placement.Cooling, r.assign("x", "b"))
		r.now = until
		r.batch(Batch{})
	}
	want := "[1m0s 2m0s 4m0s 8m0s 16m0s 32m0s 1h0m0s 1h0m0s 1h0m0s 1h0m0s 1h0m0s 1h0m0s]"
	if got := fmt.Sprint(waits); got != want {
		t.Errorf("waits\n got %s\nwant %s", got, want)
	}
	r.do(r.assign("x", "b"))
	r.ready("x", "b")
	if c := r.is("x"); c.Quarantine != nil || c.Failures != 0 || len(c.Backoffs) != 0 {
		t.Errorf("after a success: %+v", c)
	}

	nodes := []placement.NodeID{"a"}
	for i := range backoffsMax + 3 {
		nodes = append(nodes, placement.NodeID(fmt.Sprintf("n%d", i)))
	}
	r = newRig(t, nodes...)
	r.configure(func(c *placement.Config) { c.QuarantineAfter = 1000 })
	r.chain("x", spec(2), "a")
	for _, n := range nodes[1:] {
		r.fails("x", n)
	}
	if b := r.is("x").Backoffs; len(b) != backoffsMax || b[0].Node != "n3" {
		t.Errorf("%d failed targets are kept, from %s on", len(b), b[0].Node)
	}
}

// TestCapabilities: what a node has is what it last announced, however often
// that is said, and a chain that asks for it may go nowhere else. A node
// announces eight cores, again, and then four.
func TestCapabilities(t *testing.T) {
	r := newRig(t, "a", "b")
	eight := placement.Capabilities{{Key: "cores", Number: 8, IsNumber: true}, {Key: "gpu", Text: "a100"}}
	r.capable("a", eight)
	before := r.m.View().Node("a")
	r.capable("a", eight)
	if r.m.View().Node("a") != before {
		t.Error("saying the same again changed the node")
	}
	if diff := cmp.Diff(eight, before.Capabilities); diff != "" {
		t.Errorf("capabilities of node a (-want +got):\n%s", diff)
	}
	r.do(NewPutChain("x", placement.Spec{Desired: 1, Require: []string{"cores>=8", "gpu=a100"}}))
	r.refuses(placement.IneligibleTarget, r.assign("x", "b"))
	r.do(r.assign("x", "a"))
	r.capable("a", placement.Capabilities{{Key: "cores", Number: 4, IsNumber: true}})
	after := r.m.View().Node("a")
	if why, ok := r.m.View().EligibleHolder(r.is("x"), "a"); ok || after.Incarnation != before.Incarnation || after.Revision == before.Revision {
		t.Errorf("with four cores node a may hold the chain: %s; %+v", why, after)
	}
	r.start("a", "disk-a", "run-1")
	if got := r.m.View().Node("a").Capabilities; got != nil {
		t.Errorf("a node that says nothing has %+v", got)
	}
}

// A drain ends as drained when nothing is left on the node, as failed at its
// deadline, and leaves the node cordoned when it is called off.
func TestDrain(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	eligibility := func(n placement.NodeID, want placement.Eligibility) {
		t.Helper()
		if got := r.m.View().Node(n).Eligibility; got != want {
			t.Errorf("node %s is %s, want %s", n, got, want)
		}
	}
	r.chain("x", spec(1), "a")
	r.do(&SetEligibility{"c", placement.Draining, 0})
	eligibility("c", placement.Drained)
	r.do(&SetEligibility{"a", placement.Draining, time.Minute})
	r.pass(time.Minute - 1)
	eligibility("a", placement.Draining)
	r.pass(time.Second)
	eligibility("a", placement.DrainFailed)
	r.do(&SetEligibility{"a", placement.Draining, time.Minute})
	r.do(r.move(placement.CauseDrain, "x", "a", "b"))
	r.ready("x", "b")
	eligibility("a", placement.Draining)
	r.dropped("x", "a")
	eligibility("a", placement.Drained)
}

// A forced move waits in the queue, and leaves it when it is opened, when its
// chain is deleted, and when its time is over.
func TestForcedQueue(t *testing.T) {
	r := newRig(t, "a", "b")
	for _, id := range []placement.ChainID{"x", "y"} {
		r.chain(id, spec(1), "a")
		r.do(&Force{Chain: id, To: "b"})
	}
	r.do(&DeleteChain{Chain: "x"})
	if f := r.m.View().Forced; len(f) != 1 || f[0].Chain != "y" || f[0].Actor != actor || f[0].Reason != "test" {
		t.Errorf("queue %+v", f)
	}
	r.pass(time.Hour)
	if f := r.m.View().Forced; len(f) != 0 {
		t.Errorf("queue after an hour %+v", f)
	}
}

// A leaving node's copies are lost at once, and it can come back.
func TestLeave(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	r.chain("x", spec(2), "a", "b")
	leave := &Leave{"b", "disk-b", r.m.View().Node("b").Incarnation}
	r.do(leave)
	r.do(leave)
	r.wants("x", "a:ready b:ready+lost")
	r.start("b", "disk-b", "run-2")
	r.inventory("b")
	r.wants("x", "a:ready b:ready")

	// The word of the first run comes once more, and late. Naive: it counts for
	// the run that is there now, which is left for ever while it runs.
	r.refuses(placement.StaleEpoch, leave)
	if n := r.m.View().Node("b"); n.State != placement.NodeAlive {
		t.Errorf("node b runs and is %s", n.State)
	}

	// An entry of a log of before runs were named keeps its meaning.
	batch, err := DecodeBatch(readGolden(t, "unfenced-leave"))
	if err != nil {
		t.Fatal(err)
	}
	if old := batch.Ops[0].Body.(*Leave); *old != (Leave{Node: "n1", Instance: "i1"}) {
		t.Errorf("the old entry reads %+v", old)
	}
	r.do(&Leave{Node: "b", Instance: "disk-b"})
	if n := r.m.View().Node("b"); n.State != placement.NodeLeft {
		t.Errorf("node b is %s by an old entry", n.State)
	}
}

// An inventory that does not fit one entry comes in parts: each part speaks of
// its own chains only, and the last one completes it. Naive: each part is the
// whole list, and removes what the other parts have named.
func TestInventoryInParts(t *testing.T) {
	r := newRig(t, "a", "b")
	for _, id := range []placement.ChainID{"c1", "c2", "c3"} {
		r.chain(id, placement.Spec{Desired: 2}, "a", "b")
	}
	gone := r.holder("c2", "a")
	r.start("a", "disk-a", "run-2")
	part := func(after, until placement.ChainID, ids ...placement.ChainID) *Report {
		v := r.m.View()
		b := &Report{Node: "a", Lineage: v.Lineage, Incarnation: v.Node("a").Incarnation, Inventory: true, Revision: v.Revision, After: after, Until: until}
		for _, id := range ids {
			b.Items = append(b.Items, ReportItem{Chain: id, Epoch: r.holder(id, "a").Epoch, Phase: ReportReady})
		}
		return b
	}
	r.refuses(placement.Invalid, part("", "c1", "c3"))
	r.do(part("", "c1", "c1"))
	if v := r.m.View(); v.Node("a").Inventoried || r.holder("c1", "a").Unconfirmed || !r.holder("c3", "a").Unconfirmed {
		t.Errorf("after the first part: inventoried %t, c1 %+v, c3 %+v", v.Node("a").Inventoried, r.holder("c1", "a"), r.holder("c3", "a"))
	}
	r.do(part("c1", "", "c3"))
	if v := r.m.View(); !v.Node("a").Inventoried || r.holder("c3", "a").Unconfirmed || r.is("c2").Holder("a") != nil {
		t.Errorf("after the last part: inventoried %t, c3 %+v, c2 (epoch %d, not held) %+v", v.Node("a").Inventoried, r.holder("c3", "a"), gone.Epoch, r.is("c2").Holders)
	}
}

// S2: after a new incarnation only the node's inventory confirms its copies.
// Naive: a line of an ordinary report does, though the list that would show
// what is missing never came.
func TestOnlyInventoryConfirms(t *testing.T) {
	r := newRig(t, "a")
	r.chain("c", placement.Spec{Desired: 1}, "a")
	r.start("a", "disk-a", "run-2")
	r.report("a", false, ReportItem{Chain: "c", Epoch: r.holder("c", "a").Epoch, Phase: ReportReady})
	if !r.holder("c", "a").Unconfirmed {
		t.Error("the copy is confirmed without an inventory")
	}
	if d := r.m.View().Duties("a"); !d.WantInventory {
		t.Error("the inventory is not asked for")
	}
	r.inventory("a")
	if r.holder("c", "a").Unconfirmed {
		t.Error("the copy is not confirmed by the inventory")
	}
}
