package fsm_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster/invariant"
)

// history draws log entries that fit the state at least half of the time, and
// else name what does not exist or cannot be.
type history struct {
	*rapid.T
	v *fsm.View
}

func pick[T any](h history, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(h.T, label)
}

func (h history) chain() placement.ChainID {
	return pick[placement.ChainID](h, "chain", "c0", "c1", "c2", "c0", "c1", "c2", "no-such", "", "../x", "a\x00b", "\xff")
}

func (h history) node() placement.NodeID {
	return pick[placement.NodeID](h, "node", "a", "b", "c", "d", "e", "a", "b", "c", "d", "e", "nobody", "", "\xff")
}

func (h history) number() int64 {
	return pick[int64](h, "number", 0, 1, 7, 100, -1, 1<<40, math.MaxInt64, math.MinInt64)
}

func (h history) float() *float64 {
	negative := math.Copysign(0, -1)
	return pick(h, "float", nil, nil, new(float64), &negative, &[]float64{0.5}[0], &[]float64{1}[0], &[]float64{math.NaN()}[0], &[]float64{math.Inf(1)}[0], &[]float64{1e308}[0])
}

func (h history) duration() time.Duration {
	return pick[time.Duration](h, "duration", 0, time.Second, time.Minute, time.Hour, -1, math.MaxInt64, math.MinInt64)
}

func (h history) spec() placement.Spec {
	s := placement.Spec{Desired: pick(h, "desired", 1, 2, 3, 2, 3, 0, -1, 99)}
	if rapid.IntRange(0, 3).Draw(h.T, "plain") > 0 {
		return s
	}
	d := h.duration()
	s.MinReady, s.SizeBytes, s.Weight = int(h.number()), h.number(), h.number()
	s.Floor, s.Gap, s.Cooldown, s.RepairDelay = h.float(), h.float(), &d, pick(h, "delay", nil, &d)
	s.Policy = pick(h, "policy", "", placement.PolicyPinned, "eagre")
	s.Require = pick(h, "require", nil, []string{}, []string{"zone=east"}, []string{"!"}, []string{""})
	s.Labels = pick(h, "labels", nil, placement.Labels{}, placement.Labels{{Key: "b"}, {Key: "a"}})
	return s
}

func (h history) config() placement.Config {
	c := placement.DefaultConfig()
	c.QuarantineAfter = 2
	switch rapid.IntRange(0, 7).Draw(h.T, "config") {
	case 0:
		c.Cooldown = h.duration()
	case 1:
		c.RequestTTL, c.ForcedTTL = h.duration(), h.duration()
	case 2:
		c.MovesMax, c.BalanceMovesMax, c.DrainMovesMax = 2, 1, 1
	case 3:
		c.SwapMode = pick(h, "mode", placement.EvictFirst, "both")
	case 4:
		if f := h.float(); f != nil {
			c.ScoreFloor = *f
		}
	case 5:
		c.BackoffMin, c.BackoffMax = h.duration(), h.duration()
	case 6:
		c.WriteCopies = int(h.number())
	}
	return c
}

func (h history) incarnation(n placement.NodeID) placement.Incarnation {
	m := h.v.Node(n)
	if m == nil || rapid.IntRange(0, 9).Draw(h.T, "old run") == 0 {
		return placement.Incarnation(h.number())
	}
	return m.Incarnation
}

func (h history) epoch(c placement.ChainID, n placement.NodeID) placement.Epoch {
	if x := h.v.Chain(c); x != nil && x.Holder(n) != nil && rapid.IntRange(0, 9).Draw(h.T, "old epoch") > 0 {
		return x.Holder(n).Epoch
	}
	return placement.Epoch(h.number())
}

func (h history) sha(c placement.ChainID) string {
	if x := h.v.Chain(c); x != nil && rapid.IntRange(0, 5).Draw(h.T, "other hash") > 0 {
		return x.SHA256()
	}
	return pick(h, "hash", "", "abc", "00000000000000000000000000000000000000000000000000000000000000aa", "00000000000000000000000000000000000000000000000000000000000000bb")
}

func (h history) announce(n placement.NodeID) fsm.Body {
	a := &fsm.Announce{
		Node: n, Instance: "disk-" + string(n), Process: pick(h, "run", "1", "1", "2", "3"), Role: placement.RoleServer, FeatureLevel: 1,
		Zone: pick(h, "zone", "", "east"), CapacityBytes: pick[int64](h, "capacity", 0, 0, 0, 150, -1, math.MaxInt64),
	}
	if a.Zone == "east" { // nothing more is drawn, so that a history that once failed stays the same
		a.SetCapabilities(placement.Capabilities{{Key: "cores", Number: 8, IsNumber: true}, {Key: "debt", Number: math.Copysign(0, -1), IsNumber: true}, {Key: "gpu", Text: "a100"}})
	}
	if rapid.IntRange(0, 9).Draw(h.T, "new disk") == 0 {
		a.Instance = pick(h, "disk", "", "disk-a", "disk-x")
	}
	return a
}

func (h history) report() fsm.Body {
	n := h.node()
	r := &fsm.Report{
		Node: n, Lineage: pick(h, "lineage", h.v.Lineage, h.v.Lineage, h.v.Lineage, "other"), Incarnation: h.incarnation(n),
		Inventory: rapid.Bool().Draw(h.T, "inventory"), NoSpace: rapid.IntRange(0, 9).Draw(h.T, "full") == 0,
		Revision: pick(h, "seen", h.v.Revision, h.v.Revision, 0, h.v.Revision/2),
	}
	h.v.ChainsOn(n, func(c *placement.Chain, x *placement.Holder) bool {
		if rapid.IntRange(0, 4).Draw(h.T, "listed") > 0 {
			r.Items = append(r.Items, h.item(c.ID, n))
		}
		return true
	})
	for range rapid.IntRange(0, 2).Draw(h.T, "more") {
		r.Items = append(r.Items, h.item(h.chain(), n))
	}
	return r
}

func (h history) item(c placement.ChainID, n placement.NodeID) fsm.ReportItem {
	i := fsm.ReportItem{
		Chain: c, Epoch: h.epoch(c, n), SHA256: h.sha(c),
		Phase: pick(h, "phase", fsm.ReportReady, fsm.ReportReady, fsm.ReportReady, fsm.ReportDropped, fsm.ReportFailed, fsm.ReportLost, fsm.ReportPulling, "odd"),
	}
	if rapid.IntRange(0, 3).Draw(h.T, "sized") == 0 {
		i.SizeBytes, i.BytesDone, i.BytesTotal, i.Error = h.number(), h.number(), h.number(), pick(h, "error", "", "broken\xff pipe")
	}
	return i
}

func (h history) content() fsm.Body {
	id := h.chain()
	b := &fsm.CommitContent{Chain: id, SHA256: h.sha(""), Size: h.number()}
	c := h.v.Chain(id)
	if c == nil {
		return b
	}
	if c.Content != nil {
		b.Base = pick(h, "base", c.Content.Version, c.Content.Version, 1)
	}
	for i := range c.Holders {
		n := c.Holders[i].Node
		b.Holders = append(b.Holders, fsm.StoredCopy{Node: n, Incarnation: h.incarnation(n), Epoch: h.epoch(id, n)})
	}
	return b
}

func (h history) decision() fsm.Body {
	d := placement.Decision{
		Kind:  pick(h, "kind", placement.KindAssign, placement.KindAssign, placement.KindAssign, placement.KindOpenMove, placement.KindOpenMove, placement.KindComplete, placement.KindCallOff, placement.KindDrop, "odd"),
		Cause: pick(h, "cause", placement.CauseRepair, placement.CauseBalance, placement.CauseBalance, placement.CauseDrain, placement.CauseConstraint, placement.CauseForced, "odd"),
		Chain: h.chain(), From: h.node(), To: h.node(), Mode: pick(h, "mode", placement.PlaceFirst, placement.PlaceFirst, placement.EvictFirst, "odd"),
		ScoreFrom: placement.Score(h.number()), ScoreTo: placement.Score(h.number()),
		Reason: placement.Reason{Name: pick(h, "why", placement.ReasonDeadline, placement.ReasonTargetLost, "odd")},
	}
	c := h.v.Chain(d.Chain)
	if c == nil {
		return fsm.NewDecide(d)
	}
	d.ChainRevision = pick(h, "revision", c.Revision, c.Revision, c.Revision, c.Revision, 1)
	for i := range c.Holders {
		if h.v.Live(c, &c.Holders[i]) && rapid.IntRange(0, 5).Draw(h.T, "source") > 0 {
			d.Source = c.Holders[i].Node
		}
	}
	if len(c.Moves) > 0 && rapid.Bool().Draw(h.T, "move") {
		d.Move = c.Moves[0].ID
		d.To = c.Moves[0].To
	}
	if len(h.v.Forced) > 0 {
		d.Forced = h.v.Forced[0].ID
	}
	return fsm.NewDecide(d)
}

// sensible is what a good cluster would do next, if there is something of the
// drawn sort, so that histories get somewhere.
func (h history) sensible() fsm.Body {
	sort := rapid.IntRange(0, 5).Draw(h.T, "sort")
	var found fsm.Body
	h.v.Nodes.Ascend("", func(n placement.NodeID, m *placement.Node) bool {
		r := &fsm.Report{Node: n, Lineage: h.v.Lineage, Incarnation: m.Incarnation, Revision: h.v.Revision, Inventory: !m.Inventoried}
		h.v.ChainsOn(n, func(c *placement.Chain, x *placement.Holder) bool {
			switch {
			case x.Phase == placement.Dropping && sort == 1:
				r.Items = append(r.Items, fsm.ReportItem{Chain: c.ID, Epoch: x.Epoch, Phase: fsm.ReportDropped})
			case x.Phase == placement.Pulling && sort == 0, !m.Inventoried:
				r.Items = append(r.Items, fsm.ReportItem{Chain: c.ID, Epoch: x.Epoch, Phase: fsm.ReportReady, SHA256: c.SHA256(), SizeBytes: 10})
			}
			return true
		})
		if len(r.Items) > 0 || r.Inventory {
			found = r
		}
		return found == nil
	})
	if found != nil {
		return found
	}
	h.v.Chains.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		found = h.next(c, sort)
		return found == nil
	})
	return found
}

// next is a decision about c, or its first content.
func (h history) next(c *placement.Chain, sort int) fsm.Body {
	d := placement.Decision{Kind: placement.KindAssign, Cause: placement.CauseRepair, Chain: c.ID, ChainRevision: c.Revision, Mode: pick(h, "mode", placement.PlaceFirst, placement.EvictFirst)}
	store := &fsm.CommitContent{Chain: c.ID, SHA256: h.sha(""), Size: 10}
	for i := range c.Holders {
		if x := &c.Holders[i]; h.v.Live(c, x) {
			d.Source = x.Node
			store.Holders = append(store.Holders, fsm.StoredCopy{Node: x.Node, Incarnation: h.v.Node(x.Node).Incarnation, Epoch: x.Epoch})
		}
	}
	h.v.Nodes.Ascend("", func(n placement.NodeID, _ *placement.Node) bool {
		if h.v.EligibleTarget(c, n).OK() {
			d.To = n
		}
		return d.To == ""
	})
	for _, m := range c.Moves {
		if d.Move = 0; m.ToEpoch == 0 {
			d.Move, d.Cause = m.ID, m.Cause
		}
		if m.Phase == placement.MoveWaiting && sort == 5 {
			d.Kind, d.Move = placement.KindComplete, m.ID
			return fsm.NewDecide(d)
		}
	}
	switch {
	case sort == 2 && h.v.Missing(c) > 0:
		return fsm.NewDecide(d)
	case sort == 3 && len(c.Moves) == 0 && d.Source != "":
		d.Kind, d.Cause, d.From = placement.KindOpenMove, pick(h, "cause", placement.CauseBalance, placement.CauseConstraint), d.Source
		return fsm.NewDecide(d)
	case sort == 4 && c.Content == nil && len(store.Holders) > 1:
		return store
	case sort == 5 && len(c.Moves) == 0 && h.v.LiveCount(c) > c.Spec.Desired:
		d.Kind, d.Cause, d.From = placement.KindDrop, placement.CauseExcess, d.Source
		return fsm.NewDecide(d)
	}
	return nil
}

func (h history) body() fsm.Body {
	if rapid.IntRange(0, 4).Draw(h.T, "sense") > 1 {
		if b := h.sensible(); b != nil {
			return b
		}
	}
	n := h.node()
	switch rapid.IntRange(0, 30).Draw(h.T, "what") {
	case 0, 1, 2:
		return h.announce(n)
	case 3, 4:
		return &fsm.Observe{Node: n, Incarnation: h.incarnation(n), State: pick(h, "state", placement.NodeAlive, placement.NodeAlive, placement.NodeSuspect, placement.NodeDead, placement.NodeSick, "odd", placement.NodeLeft)}
	case 5:
		return &fsm.Lose{Node: n, Incarnation: h.incarnation(n)}
	case 6:
		return pick[fsm.Body](h, "end", &fsm.Leave{Node: n, Instance: "disk-" + string(n)}, &fsm.RemoveNode{Node: n}, &fsm.RemoveNode{Node: n, AllowDataLoss: true})
	case 7:
		return &fsm.SetEligibility{Node: n, Eligibility: pick(h, "eligibility", placement.Eligible, placement.Eligible, placement.Draining, placement.Cordoned, placement.Maintenance, "odd"), Deadline: h.duration()}
	case 8:
		return &fsm.SetWeight{Node: n, Weight: placement.Score(h.number())}
	case 9, 10:
		b := fsm.NewPutChain(h.chain(), h.spec())
		b.IfGeneration, b.CreateOnly = pick[placement.Generation](h, "generation", 0, 0, 5), rapid.IntRange(0, 5).Draw(h.T, "create") == 0
		return b
	case 11:
		return &fsm.PutChains{Items: []fsm.PutChain{*fsm.NewPutChain(h.chain(), h.spec()), *fsm.NewPutChain(h.chain(), h.spec())}}
	case 12:
		return &fsm.DeleteChain{Chain: h.chain()}
	case 13:
		return fsm.NewPutConfig(h.config())
	case 14:
		return pick[fsm.Body](h, "cluster", &fsm.SetFreeze{For: h.duration()}, &fsm.Thaw{}, &fsm.Thaw{}, &fsm.ResumeRepair{}, &fsm.ReleaseGuard{}, &fsm.SetHeartbeat{Timeout: h.duration()}, &fsm.RaiseLevel{Level: 1}, &fsm.RaiseLevel{Level: -1}, &fsm.Genesis{ClusterID: "2", Name: "2", Lineage: "2"})
	case 15:
		return &fsm.Force{Chain: h.chain(), From: pick(h, "from", "", n), To: h.node()}
	case 16:
		return &fsm.PurgeOrphan{Node: n, Chain: h.chain()}
	case 17, 18:
		return h.content()
	case 19, 20, 21, 22, 23:
		return h.report()
	default:
		return h.decision()
	}
}

func (h history) op() fsm.Op {
	op := fsm.Op{Actor: "prop", Reason: pick(h, "reason", "because", "because", "", "\xff"), Body: h.body()}
	if rapid.IntRange(0, 3).Draw(h.T, "keyed") == 0 {
		op.Request = fsm.Request{Key: pick(h, "key", "k1", "k2", "k3"), Hash: bytes.Repeat([]byte{pick[byte](h, "body", 1, 1, 2)}, fsm.HashBytes)}
	}
	return op
}

// began is the entry that founds a cluster of five nodes with three chains.
func began() fsm.Batch {
	b := fsm.Batch{Level: 1, Now: 1e9, Ops: []fsm.Op{{Body: &fsm.Genesis{ClusterID: "c", Name: "c", Lineage: "l"}}}}
	for i, n := range []placement.NodeID{"a", "b", "c", "d", "e"} {
		b.Ops = append(b.Ops,
			fsm.Op{Body: &fsm.Announce{Node: n, Instance: "disk-" + string(n), Process: "1", Role: placement.RoleServer, FeatureLevel: 1}},
			fsm.Op{Body: &fsm.Report{Node: n, Lineage: "l", Incarnation: placement.Incarnation(2 + 3*i), Inventory: true}})
	}
	for _, c := range []placement.ChainID{"c0", "c1", "c2"} {
		b.Ops = append(b.Ops, fsm.Op{Body: fsm.NewPutChain(c, placement.Spec{Desired: 2})})
	}
	return b
}

func apply(t *rapid.T, m *fsm.Machine, index, term uint64, b fsm.Batch) []fsm.Result {
	data, err := fsm.EncodeBatch(b)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	results, err := m.Apply(index, term, data)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return results
}

func stateOf(t *rapid.T, v *fsm.View) []byte {
	var out bytes.Buffer
	if _, err := v.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestPropertyHistories: whatever is proposed, in whatever order, the state
// machine does not panic, keeps every invariant and its sums, and answers and
// ends the same whether operations come in one entry or in many, on two
// machines, and on one that was restored from a snapshot in between. Random
// histories are applied to all four.
func TestPropertyHistories(t *testing.T) {
	accepted := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		singles, batched, twin, restored := fsm.New(), fsm.New(), fsm.New(), fsm.New()
		check := invariant.New()
		now, term := placement.Time(1e9), uint64(1)
		cut := rapid.IntRange(1, 20).Draw(t, "restored after")
		entries := rapid.IntRange(25, 60).Draw(t, "entries")
		for index := uint64(1); index <= uint64(entries); index++ {
			b := began()
			if index > 1 {
				now += pick[placement.Time](history{T: t}, "elapsed", 0, 0, 1e9, 5e9, 30e9, 61e9, -5e9, 3600e9, math.MaxInt64/4)
				term += uint64(pick(history{T: t}, "election", 0, 0, 0, 1))
				b = fsm.Batch{Level: 1, Now: now, Term: pick(history{T: t}, "term", 0, 0, term, 1)}
			}
			var one []fsm.Result
			count := len(b.Ops)
			if index > 1 {
				count = rapid.IntRange(0, 8).Draw(t, "operations")
			}
			for i := range count {
				if index > 1 {
					b.Ops = append(b.Ops, history{t, singles.View()}.op())
				}
				s := b
				s.Ops = b.Ops[i : i+1]
				singles.SetIndex(index - 1)
				one = append(one, apply(t, singles, index, term, s)...)
			}
			if len(b.Ops) == 0 {
				apply(t, singles, index, term, b)
			}
			all := apply(t, batched, index, term, b)
			same := apply(t, twin, index, term, b)
			if diff := cmp.Diff(one, all); diff != "" && len(all) > 0 {
				t.Fatalf("singly and in one entry the answers differ:\n%s", diff)
			}
			if diff := cmp.Diff(all, same); diff != "" {
				t.Fatalf("two machines answer differently:\n%s", diff)
			}
			for i, r := range all {
				if r.OK() {
					accepted[fmt.Sprintf("%T", b.Ops[i].Body)]++
				}
			}
			if int(index) > cut {
				if diff := cmp.Diff(answers(all), answers(apply(t, restored, index, term, b))); diff != "" {
					t.Fatalf("after a restore the answers differ:\n%s", diff)
				}
			}
			state := stateOf(t, batched.View())
			if !bytes.Equal(state, stateOf(t, singles.View())) || !bytes.Equal(state, stateOf(t, twin.View())) {
				t.Fatalf("same-state: entry %d left different states", index)
			}
			if int(index) >= cut {
				if int(index) == cut {
					if err := restored.Restore(bytes.NewReader(state)); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(state, stateOf(t, restored.View())) {
					t.Fatalf("same-state: entry %d left another state on the machine that was restored after %d", index, cut)
				}
				if err := invariant.Accounting(restored.View()); err != nil {
					t.Fatal(err)
				}
			}
			if err := invariant.Accounting(batched.View()); err != nil {
				t.Fatal(err)
			}
			data, err := fsm.EncodeBatch(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := check.Entry(index, term, data); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, kind := range []string{"*fsm.Decide", "*fsm.CommitContent", "*fsm.Report", "*fsm.Lose"} {
		if accepted[kind] == 0 {
			t.Errorf("the histories get nowhere: accepted %v", accepted)
		}
	}
}

// answers is what a client sees. An empty list and none are the same.
func answers(list []fsm.Result) []fsm.Result {
	out := make([]fsm.Result, len(list))
	for i, r := range list {
		if r.Chain != nil {
			c := r.Chain.Clone()
			c.Holders, c.Moves, c.Backoffs = unset(c.Holders), unset(c.Moves), unset(c.Backoffs)
			r.Chain = c
		}
		out[i] = r
	}
	return out
}

func unset[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
