package fsm

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// A refusal is one way to be refused: a state, then an operation.
type refusal struct {
	code placement.Code
	name string
	op   func(*rig) Body
}

func refusals() []refusal {
	abc := func(r *rig, desired int) { r.chain("x", spec(desired), "a", "b", "c") }
	decided := func(r *rig, b *Decide, change func(*decisionRecord)) Body {
		change(&b.Decision)
		return b
	}
	report := func(change func(*Report)) func(*rig) Body {
		return func(r *rig) Body {
			b := &Report{Node: "a", Lineage: lineage, Incarnation: r.m.View().Node("a").Incarnation, Items: []ReportItem{{Chain: "x", Phase: ReportReady}}}
			change(b)
			return b
		}
	}
	announced := func(change func(*Announce)) func(*rig) Body {
		return func(r *rig) Body {
			a := r.announce("n", "disk-n", "run-1")
			change(a)
			return a
		}
	}
	long := strings.Repeat("x", placement.LabelLengthMax+1)
	const east = "zone=east"
	return []refusal{
		{placement.NotReady, "not founded", func(r *rig) Body { r.m = New(); return &Thaw{} }},
		{placement.Exists, "founded twice", func(*rig) Body { return &Genesis{"c2", "n", "l"} }},
		{placement.Invalid, "founded without an id", func(r *rig) Body { r.m = New(); return &Genesis{"", "n", "l"} }},
		{placement.StaleTerm, "made in another term", func(r *rig) Body { r.term = 9; return &Thaw{} }},

		{placement.Invalid, "node id", announced(func(a *Announce) { a.Node = "../n" })},
		{placement.Invalid, "no instance", announced(func(a *Announce) { a.Instance = "" })},
		{placement.Invalid, "no process", announced(func(a *Announce) { a.Process = "" })},
		{placement.Invalid, "capacity", announced(func(a *Announce) { a.CapacityBytes = -1 })},
		{placement.Invalid, "zone", announced(func(a *Announce) { a.Zone = long })},
		{placement.Invalid, "address", announced(func(a *Announce) { a.Addresses.HTTP = "a\nb" })},
		{placement.Invalid, "label", announced(func(a *Announce) { a.Labels = []labelRecord{{"k", long}} })},
		{placement.Invalid, "labels in disorder", announced(func(a *Announce) { a.Labels = []labelRecord{{"b", ""}, {"a", ""}} })},
		{placement.Invalid, "capability", announced(func(a *Announce) { a.Texts = []labelRecord{{"k", long}} })},
		{placement.Invalid, "capability without a key", announced(func(a *Announce) { a.Numbers = []numberRecord{{"", 1}} })},
		{placement.Invalid, "capability that is no number", announced(func(a *Announce) { a.Numbers = []numberRecord{{"k", math.NaN()}} })},
		{placement.Invalid, "capability without end", announced(func(a *Announce) { a.Numbers = []numberRecord{{"k", math.Inf(-1)}} })},
		{placement.Invalid, "capability in two forms", announced(func(a *Announce) { a.Numbers, a.Texts = []numberRecord{{"k", 1}}, []labelRecord{{"k", "1"}} })},
		{placement.Invalid, "too many capabilities", announced(func(a *Announce) { a.Texts = make([]labelRecord, placement.CapabilitiesMax+1) })},
		{placement.Unsupported, "client", announced(func(a *Announce) { a.Role = placement.RoleClient })},
		{placement.Unsupported, "old build", announced(func(a *Announce) { a.FeatureLevel = 0 })},
		{placement.NodeIDTaken, "other disk", func(r *rig) Body { return r.announce("a", "other", "run-2") }},
		{placement.NodeIDTaken, "other disk of a suspect", func(r *rig) Body { r.observe("a", placement.NodeSuspect); return r.announce("a", "other", "run-2") }},
		{placement.NodeIDTaken, "disk of another", announced(func(a *Announce) { a.Instance = "disk-a" })},

		{placement.UnknownNode, "observe", func(*rig) Body { return &Observe{"nobody", 1, placement.NodeDead} }},
		{placement.StaleEpoch, "observe an old run", func(r *rig) Body { return &Observe{"a", r.m.View().Node("a").Incarnation - 1, placement.NodeDead} }},
		{placement.StaleDecision, "observe who has left", func(r *rig) Body {
			r.do(&Leave{Node: "a", Instance: "disk-a"})
			return &Observe{"a", r.m.View().Node("a").Incarnation, placement.NodeAlive}
		}},
		{placement.Invalid, "observe nonsense", func(r *rig) Body { return &Observe{"a", r.m.View().Node("a").Incarnation, "tired"} }},
		{placement.UnknownNode, "lose", func(*rig) Body { return &Lose{"nobody", 1} }},
		{placement.StaleEpoch, "lose an old run", func(*rig) Body { return &Lose{"a", 1} }},
		{placement.UnknownNode, "leave", func(*rig) Body { return &Leave{Node: "nobody", Instance: "i"} }},
		{placement.StaleEpoch, "leave of another disk", func(*rig) Body { return &Leave{Node: "a", Instance: "other"} }},
		{placement.StaleEpoch, "leave of an old run", func(r *rig) Body { return &Leave{"a", "disk-a", r.m.View().Node("a").Incarnation - 1} }},
		{placement.UnknownNode, "remove", func(*rig) Body { return &RemoveNode{"nobody", false} }},
		{placement.NodeNotEmpty, "remove who lives", func(*rig) Body { return &RemoveNode{"a", true} }},
		{placement.LastCopy, "remove the last copy", func(r *rig) Body { r.chain("x", spec(1), "a"); r.loses("a"); return &RemoveNode{"a", false} }},
		{placement.UnknownNode, "cordon", func(*rig) Body { return &SetEligibility{Node: "nobody", Eligibility: placement.Cordoned} }},
		{placement.Invalid, "cordon nonsense", func(*rig) Body { return &SetEligibility{Node: "a", Eligibility: placement.Drained} }},
		{placement.Invalid, "drain deadline", func(*rig) Body { return &SetEligibility{"a", placement.Draining, -1} }},
		{placement.UnknownNode, "weight", func(*rig) Body { return &SetWeight{"nobody", 1} }},
		{placement.Invalid, "weight above 1", func(*rig) Body { return &SetWeight{"a", placement.ScoreOne + 1} }},
		{placement.UnknownChain, "purge", func(*rig) Body { return &PurgeOrphan{"a", "x"} }},

		{placement.Invalid, "chain id", func(*rig) Body { return NewPutChain("..", spec(1)) }},
		{placement.Invalid, "spec", func(*rig) Body { return NewPutChain("x", spec(10)) }},
		{placement.Exists, "create only", func(r *rig) Body { abc(r, 3); return &PutChain{Chain: "x", CreateOnly: true} }},
		{placement.StaleGeneration, "no such chain", func(*rig) Body { return &PutChain{Chain: "x", IfGeneration: 1} }},
		{placement.StaleGeneration, "other generation", func(r *rig) Body { abc(r, 3); return &PutChain{Chain: "x", IfGeneration: 1} }},
		{placement.Invalid, "too many chains", func(*rig) Body { return &PutChains{Items: make([]PutChain, ItemsMax+1)} }},
		{placement.UnknownChain, "delete", func(*rig) Body { return &DeleteChain{Chain: "x"} }},
		{placement.StaleGeneration, "delete another generation", func(r *rig) Body { abc(r, 3); return &DeleteChain{"x", 1} }},

		{placement.StaleGeneration, "config", func(r *rig) Body { return &PutConfig{configRecord(placement.DefaultConfig()), 99} }},
		{placement.Invalid, "config", func(r *rig) Body { return NewPutConfig(placement.Config{}) }},
		{placement.Invalid, "freeze", func(*rig) Body { return &SetFreeze{-1} }},
		{placement.Invalid, "no heartbeat", func(*rig) Body { return &SetHeartbeat{} }},
		{placement.Invalid, "heartbeat without end", func(*rig) Body { return &SetHeartbeat{time.Hour} }},
		{placement.Invalid, "raise to the same level", func(*rig) Body { return &RaiseLevel{1} }},

		{placement.UnknownNode, "report of a stranger", report(func(b *Report) { b.Node = "nobody" })},
		{placement.StaleEpoch, "report of another lineage", report(func(b *Report) { b.Lineage = "other" })},
		{placement.StaleEpoch, "report of an older run", report(func(b *Report) { b.Incarnation-- })},
		{placement.Invalid, "report of a path", report(func(b *Report) { b.Items[0].Chain = "x\x00y" })},
		{placement.Invalid, "report of a phase", report(func(b *Report) { b.Items[0].Phase = "fine" })},
		{placement.Invalid, "report of a hash", report(func(b *Report) { b.Items[0].SHA256 = strings.Repeat("A", 64) })},
		{placement.Invalid, "report of a size", report(func(b *Report) { b.Items[0].SizeBytes = -1 })},
		{placement.Invalid, "report of progress", report(func(b *Report) { b.Items[0].BytesDone = placement.SizeBytesMax + 1 })},

		{placement.UnknownChain, "content", func(*rig) Body { return &CommitContent{Chain: "x"} }},
		{placement.Invalid, "content hash", func(r *rig) Body { abc(r, 3); return &CommitContent{Chain: "x", SHA256: "abc"} }},
		{placement.TooLarge, "content size", func(r *rig) Body { abc(r, 3); return &CommitContent{Chain: "x", SHA256: sha(1), Size: 1 << 60} }},
		{placement.StaleContent, "content base", func(r *rig) Body { abc(r, 3); return &CommitContent{Chain: "x", SHA256: sha(1), Base: 1} }},
		{placement.TooFewHolders, "content on one disk", func(r *rig) Body { abc(r, 3); return r.stored("x", 1, "a") }},
		{placement.TooFewHolders, "content on one disk, named twice", func(r *rig) Body { abc(r, 3); return r.stored("x", 1, "a", "a") }},
		{placement.TooFewHolders, "content of an older epoch", func(r *rig) Body { abc(r, 3); b := r.stored("x", 1, "a", "b"); b.Holders[0].Epoch--; return b }},
		{placement.TooFewHolders, "content of an older run", func(r *rig) Body {
			abc(r, 3)
			b := r.stored("x", 1, "a", "b")
			r.start("a", "disk-a", "run-2")
			return b
		}},

		{placement.UnknownChain, "force", func(*rig) Body { return &Force{Chain: "x", To: "a"} }},
		{placement.Invalid, "force nothing", func(r *rig) Body { abc(r, 3); return &Force{Chain: "x"} }},
		{placement.NotHolder, "force from", func(r *rig) Body { abc(r, 3); return &Force{Chain: "x", From: "d"} }},
		{placement.AlreadyHolder, "force to a holder", func(r *rig) Body { abc(r, 3); return &Force{Chain: "x", To: "a"} }},
		{placement.UnknownNode, "force to nobody", func(r *rig) Body { abc(r, 3); return &Force{Chain: "x", To: "nobody"} }},
		{placement.MoveOpen, "force twice", func(r *rig) Body { abc(r, 3); r.do(&Force{Chain: "x", To: "d"}); return &Force{Chain: "x", To: "e"} }},
		{placement.Overloaded, "forced queue", func(r *rig) Body {
			for i := range ForcedMax {
				id := placement.ChainID(fmt.Sprintf("f%d", i))
				r.batch(Batch{Ops: []Op{{Body: &PutChain{Chain: id}}, {Body: &Force{Chain: id, To: "a"}}}})
			}
			abc(r, 3)
			return &Force{Chain: "x", To: "d"}
		}},

		{placement.UnknownChain, "decide", func(r *rig) Body { return r.assign("x", "a") }},
		{placement.StaleDecision, "chain changed", func(r *rig) Body { abc(r, 3); b := r.drop("x", "a"); r.loses("b"); return b }},
		{placement.Invalid, "kind", func(r *rig) Body {
			abc(r, 3)
			return decided(r, r.drop("x", "a"), func(d *decisionRecord) { d.Kind = "swap" })
		}},
		{placement.Invalid, "words", func(r *rig) Body {
			abc(r, 3)
			return decided(r, r.drop("x", "a"), func(d *decisionRecord) { d.Reason.Detail = strings.Repeat("x", ReasonMax) })
		}},
		{placement.Invalid, "cause", func(r *rig) Body { abc(r, 3); return r.move(placement.CauseRepair, "x", "a", "d") }},
		{placement.Invalid, "mode", func(r *rig) Body {
			abc(r, 3)
			return decided(r, r.move(placement.CauseBalance, "x", "a", "d"), func(d *decisionRecord) { d.Mode = "both" })
		}},
		{placement.OverReplicated, "assign one too many", func(r *rig) Body { abc(r, 3); return r.assign("x", "d") }},
		{placement.NoSource, "assign from a dead node", func(r *rig) Body { abc(r, 4); b := r.assign("x", "d"); r.observe("c", placement.NodeDead); return b }},
		{placement.NoSource, "assign from nothing", func(r *rig) Body {
			abc(r, 4)
			return decided(r, r.assign("x", "d"), func(d *decisionRecord) { d.Source = "" })
		}},
		{placement.NoSource, "a second first copy", func(r *rig) Body { r.chain("x", spec(3)); r.do(r.assign("x", "a")); return r.assign("x", "b") }},
		{placement.NoMove, "refill", func(r *rig) Body {
			abc(r, 4)
			return decided(r, r.assign("x", "d"), func(d *decisionRecord) { d.Move = 7 })
		}},
		{placement.AlreadyHolder, "assign to a holder", func(r *rig) Body { abc(r, 4); return r.assign("x", "a") }},
		{placement.UnknownNode, "assign to nobody", func(r *rig) Body { abc(r, 4); return r.assign("x", "nobody") }},
		{placement.IneligibleTarget, "cordoned", func(r *rig) Body {
			abc(r, 4)
			r.do(&SetEligibility{Node: "d", Eligibility: placement.Cordoned})
			return r.assign("x", "d")
		}},
		{placement.IneligibleTarget, "suspect", func(r *rig) Body { abc(r, 4); r.observe("d", placement.NodeSuspect); return r.assign("x", "d") }},
		{placement.IneligibleTarget, "no inventory", func(r *rig) Body { abc(r, 4); r.start("d", "disk-d", "run-2"); return r.assign("x", "d") }},
		{placement.IneligibleTarget, "weight 0", func(r *rig) Body { abc(r, 4); r.do(&SetWeight{"d", 0}); return r.assign("x", "d") }},
		{placement.IneligibleTarget, "no space", func(r *rig) Body {
			abc(r, 4)
			r.do(&Report{Node: "d", Lineage: lineage, Incarnation: r.m.View().Node("d").Incarnation, NoSpace: true})
			return r.assign("x", "d")
		}},
		{placement.IneligibleTarget, "label", func(r *rig) Body {
			r.zone("a", "east")
			r.chain("x", placement.Spec{Desired: 2, Require: []string{east}}, "a")
			return r.assign("x", "d")
		}},
		{placement.OverCapacity, "bytes", func(r *rig) Body {
			a := r.announce("d", "disk-d", "run-1")
			a.CapacityBytes = 99
			r.do(a)
			r.chain("x", placement.Spec{Desired: 2, SizeBytes: 100}, "a")
			return r.assign("x", "d")
		}},
		{placement.Cooling, "backed off", func(r *rig) Body { abc(r, 4); r.fails("x", "d"); return r.assign("x", "d") }},
		{placement.Cooling, "quarantined", func(r *rig) Body {
			r.configure(func(c *placement.Config) { c.QuarantineAfter = 1 })
			abc(r, 4)
			r.fails("x", "d")
			return r.assign("x", "e")
		}},
		{placement.BudgetCluster, "open moves", func(r *rig) Body {
			r.configure(func(c *placement.Config) { c.MovesMax, c.BalanceMovesMax, c.DrainMovesMax = 1, 1, 1 })
			r.chain("y", spec(2), "a")
			abc(r, 4)
			r.do(r.assign("y", "b"))
			return r.assign("x", "d")
		}},
		{placement.BudgetCluster, "balance moves", func(r *rig) Body {
			r.configure(func(c *placement.Config) { c.BalanceMovesMax = 1 })
			r.chain("y", spec(1), "a")
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "y", "a", "d"))
			return r.move(placement.CauseBalance, "x", "a", "e")
		}},
		{placement.BudgetCluster, "drain moves", func(r *rig) Body {
			r.configure(func(c *placement.Config) { c.DrainMovesMax = 1 })
			r.do(&SetEligibility{Node: "e", Eligibility: placement.Maintenance})
			r.chain("y", spec(1), "a")
			abc(r, 3)
			r.do(&SetEligibility{Node: "a", Eligibility: placement.Draining})
			r.do(r.move(placement.CauseDrain, "y", "a", "d"))
			return r.move(placement.CauseDrain, "x", "a", "d")
		}},
		{placement.BudgetNode, "moves in", func(r *rig) Body {
			r.configure(func(c *placement.Config) { c.NodeMovesInMax = 1 })
			r.chain("y", spec(1), "b")
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "y", "b", "d"))
			return r.move(placement.CauseBalance, "x", "a", "d")
		}},
		{placement.BudgetNode, "moves out", func(r *rig) Body {
			r.configure(func(c *placement.Config) { c.NodeMovesOutMax = 1 })
			r.chain("y", spec(1), "a")
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "y", "a", "d"))
			return r.move(placement.CauseBalance, "x", "a", "e")
		}},
		{placement.BudgetNode, "repairs in", func(r *rig) Body {
			r.configure(func(c *placement.Config) { c.RepairMovesInMax = 1 })
			r.chain("y", spec(2), "a")
			abc(r, 4)
			r.do(r.assign("y", "d"))
			return r.assign("x", "d")
		}},
		{placement.Frozen, "open", func(r *rig) Body { abc(r, 3); r.do(&SetFreeze{}); return r.move(placement.CauseBalance, "x", "a", "d") }},
		{placement.Frozen, "repair", func(r *rig) Body { abc(r, 4); r.do(&SetFreeze{}); return r.assign("x", "d") }},
		{placement.Frozen, "excess", func(r *rig) Body {
			abc(r, 3)
			r.do(NewPutChain("x", spec(2)))
			r.do(&SetFreeze{})
			return r.drop("x", "a")
		}},
		{placement.RepairPaused, "repair", func(r *rig) Body {
			abc(r, 4)
			r.observe("b", placement.NodeDead)
			r.observe("d", placement.NodeDead)
			r.observe("e", placement.NodeDead)
			return r.assign("x", "f")
		}},
		{placement.RestoreGuard, "assign", func(r *rig) Body { abc(r, 4); r.restore(); return r.assign("x", "d") }},
		{placement.RestoreGuard, "move", func(r *rig) Body { abc(r, 3); r.restore(); return r.move(placement.CauseBalance, "x", "a", "d") }},
		{placement.RestoreGuard, "drop", func(r *rig) Body { abc(r, 3); r.do(NewPutChain("x", spec(2))); r.restore(); return r.drop("x", "a") }},
		{placement.PinnedChain, "balance", func(r *rig) Body {
			r.chain("x", placement.Spec{Desired: 1, Policy: placement.PolicyPinned}, "a")
			return r.move(placement.CauseBalance, "x", "a", "d")
		}},
		{placement.BelowMinReady, "balance while a copy is missing", func(r *rig) Body { abc(r, 4); return r.move(placement.CauseBalance, "x", "a", "d") }},
		{placement.BelowMinReady, "excess", func(r *rig) Body { abc(r, 3); return r.drop("x", "a") }},
		{placement.BelowMinReady, "evict-first", func(r *rig) Body {
			r.chain("x", placement.Spec{Desired: 3, MinReady: 3}, "a", "b", "c")
			return r.evict(placement.CauseBalance, "x", "a", "d")
		}},
		{placement.LastCopy, "evict-first of the only copy", func(r *rig) Body { r.chain("x", spec(1), "a"); return r.evict(placement.CauseBalance, "x", "a", "d") }},
		{placement.NotHolder, "move from nobody", func(r *rig) Body { abc(r, 3); return r.move(placement.CauseBalance, "x", "d", "e") }},
		{placement.NotHolder, "move from who pulls", func(r *rig) Body {
			abc(r, 4)
			r.do(r.assign("x", "d"))
			return r.move(placement.CauseBalance, "x", "d", "e")
		}},
		{placement.NotHolder, "drop from nobody", func(r *rig) Body { abc(r, 3); return r.drop("x", "d") }},
		{placement.MoveOpen, "second move", func(r *rig) Body {
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "x", "a", "d"))
			return r.move(placement.CauseBalance, "x", "b", "e")
		}},
		{placement.MoveOpen, "excess beside a move", func(r *rig) Body {
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "x", "a", "d"))
			return r.drop("x", "b")
		}},
		{placement.Cooling, "balance", func(r *rig) Body { r.moved("x"); return r.move(placement.CauseBalance, "x", "b", "e") }},
		{placement.Cooling, "constraint", func(r *rig) Body {
			abc(r, 3)
			r.do(r.move(placement.CauseConstraint, "x", "a", "d"))
			r.do(r.ends(placement.KindCallOff, "x", placement.ReasonTargetLost))
			return r.move(placement.CauseConstraint, "x", "b", "d")
		}},
		{placement.StaleDecision, "drain of a node that stays", func(r *rig) Body { abc(r, 3); return r.move(placement.CauseDrain, "x", "a", "d") }},
		{placement.StaleDecision, "forced by nobody", func(r *rig) Body { abc(r, 3); return r.move(placement.CauseForced, "x", "a", "d") }},
		{placement.StaleDecision, "forced elsewhere", func(r *rig) Body {
			abc(r, 3)
			r.do(&Force{Chain: "x", To: "d"})
			return decided(r, r.move(placement.CauseForced, "x", "a", "e"), func(d *decisionRecord) { d.Forced = r.m.View().Forced[0].ID })
		}},
		{placement.NoMove, "complete", func(r *rig) Body { abc(r, 3); return r.ends(placement.KindComplete, "x", "") }},
		{placement.NoMove, "complete what pulls", func(r *rig) Body {
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "x", "a", "d"))
			return r.ends(placement.KindComplete, "x", "")
		}},
		{placement.NoMove, "call off what is done", func(r *rig) Body {
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "x", "a", "d"))
			r.ready("x", "d")
			return r.ends(placement.KindCallOff, "x", placement.ReasonTargetLost)
		}},
		{placement.StaleDecision, "deadline not reached", func(r *rig) Body {
			abc(r, 3)
			r.do(r.move(placement.CauseBalance, "x", "a", "d"))
			r.pass(10*time.Minute - 1)
			return r.ends(placement.KindCallOff, "x", placement.ReasonDeadline)
		}},
	}
}

// fails lets the pull of one more copy on n fail.
func (r *rig) fails(id placement.ChainID, n placement.NodeID) {
	r.Helper()
	r.do(r.assign(id, n))
	r.report(n, false, ReportItem{Chain: id, Epoch: r.holder(id, n).Epoch, Phase: ReportFailed, Error: "no"})
}

// moved makes a chain on a, b, c and lets balance move it from a to d.
func (r *rig) moved(id placement.ChainID) {
	r.Helper()
	r.chain(id, spec(3), "a", "b", "c")
	r.do(r.move(placement.CauseBalance, id, "a", "d"))
	r.ready(id, "d")
	r.dropped(id, "a")
	r.wants(id, "b:ready c:ready d:ready")
}

// restore restores a snapshot of the present state as an operator does.
func (r *rig) restore() { r.Helper(); r.restoreFrom(r.bytes()) }

func (r *rig) restoreFrom(saved []byte) {
	r.Helper()
	var out bytes.Buffer
	v := r.m.View()
	if err := Rewrite(bytes.NewReader(saved), v, v.Lineage+"+", &out); err != nil {
		r.Fatal(err)
	}
	if err := r.m.Restore(&out); err != nil {
		r.Fatal(err)
	}
}

// TestRefusals: every refusal has its code, and what is refused changes
// nothing but the history of decisions. Each row brings a state into which one
// operation does not fit.
func TestRefusals(t *testing.T) {
	seen := map[placement.Code]bool{}
	for _, c := range refusals() {
		seen[c.code] = true
		t.Run(string(c.code)+"/"+strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			r := newRig(t, "a", "b", "c", "d", "e", "f")
			body := c.op(r)
			b := Batch{Ops: []Op{{Actor: actor, Reason: "test", Body: body}}}
			if c.code == placement.StaleTerm {
				b.Term = r.term - 1
			}
			before, at := r.still(), r.m.View().Revision
			res := r.batch(b)[0]
			if res.Code != c.code || res.Detail == "" {
				t.Fatalf("%T %+v was answered %q (%s), want %q", body, body, res.Code, res.Detail, c.code)
			}
			if _, ok := body.(*Decide); !ok && r.m.View().Revision != at {
				t.Errorf("the revision went from %d to %d", at, r.m.View().Revision)
			}
			if !bytes.Equal(before, r.still()) {
				t.Errorf("the state has changed: %q", res.Detail)
			}
		})
	}
	for _, code := range []placement.Code{placement.StaleConfig, placement.IdempotencyMismatch} { // tests of their own
		seen[code] = true
	}
	for _, code := range []placement.Code{
		placement.Invalid, placement.UnknownChain, placement.UnknownNode, placement.StaleGeneration, placement.StaleContent,
		placement.TooLarge, placement.IdempotencyMismatch, placement.Overloaded, placement.Unsupported, placement.NotReady,
		placement.TooFewHolders, placement.StaleDecision, placement.StaleTerm, placement.StaleConfig, placement.StaleEpoch,
		placement.NotHolder, placement.AlreadyHolder, placement.MoveOpen, placement.NoMove, placement.Cooling, placement.Frozen,
		placement.RepairPaused, placement.RestoreGuard, placement.PinnedChain, placement.BelowMinReady, placement.LastCopy,
		placement.OverReplicated, placement.OverCapacity, placement.IneligibleTarget, placement.BudgetCluster, placement.BudgetNode,
		placement.NoSource, placement.Exists, placement.NodeNotEmpty, placement.NodeIDTaken,
	} {
		if !seen[code] {
			t.Errorf("no row is refused %q", code)
		}
	}
}

// TestReasonIsNeeded: what destroys needs a reason. Each such operation is
// proposed without one.
func TestReasonIsNeeded(t *testing.T) {
	r := newRig(t, "a", "b")
	r.chain("x", spec(1), "a")
	r.inventory("a", ReportItem{Chain: "orphan", Epoch: 1, Phase: ReportReady})
	r.loses("a")
	for _, body := range []Body{&PurgeOrphan{"a", "orphan"}, &RemoveNode{"a", true}, &DeleteChain{Chain: "x"}} {
		before := r.still()
		if res := r.batch(Batch{Ops: []Op{{Actor: actor, Body: body}}})[0]; res.Code != placement.Invalid || !bytes.Equal(before, r.still()) {
			t.Errorf("%T without a reason: %q", body, res.Code)
		}
		r.do(body)
	}
}

// TestRefusalIsRecordedOnce: the history tells why nothing moves, but a
// scheduler that proposes the same for ever must not fill it.
func TestRefusalIsRecordedOnce(t *testing.T) {
	r := newRig(t, "a", "b")
	r.chain("x", spec(1), "a")
	before := r.m.View().decisions.len()
	for range 3 {
		r.refuses(placement.BelowMinReady, func() Body { r.do(NewPutChain("x", spec(2))); return r.move(placement.CauseBalance, "x", "a", "b") }())
	}
	if got := r.m.View().decisions.len() - before; got != 1 {
		t.Errorf("%d records of the same refusal", got)
	}
	last := r.m.View().Decision(r.m.View().Decided())
	if last.Verdict != placement.BelowMinReady || last.Actor != actor || last.Decision.Chain != "x" || r.is("x").LastDecision != last.Revision {
		t.Errorf("recorded %+v", last)
	}
}
