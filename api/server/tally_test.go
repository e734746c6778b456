package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// countChains is what the tally must know, counted one by one.
func countChains(v *fsm.View) (out api.ChainCounts, moving []placement.ChainID) {
	counts := map[placement.Health]*int{
		placement.HealthHealthy: &out.Healthy, placement.HealthUnder: &out.Under, placement.HealthOver: &out.Over,
		placement.HealthUnavailable: &out.Unavailable, placement.HealthUnplaceable: &out.Unplaceable, placement.HealthQuarantined: &out.Quarantined,
	}
	v.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		out.Total++
		*counts[v.HealthOf(c)]++
		if len(c.Moves) > 0 {
			moving = append(moving, id)
		}
		return true
	})
	return out, moving
}

// past draws entries of the log that make chains of every health.
type past struct {
	*rapid.T
	b *backend
}

func draw[T any](p past, label string, from ...T) T { return rapid.SampledFrom(from).Draw(p.T, label) }

func (p past) node() placement.NodeID {
	return draw[placement.NodeID](p, "node", "n1", "n2", "n3", "n4", "n5")
}

// step applies one entry, or a pass of the scheduler. What the state refuses
// is part of the history.
func (p past) step() {
	do := func(body fsm.Body) { p.b.apply(fsm.Batch{Ops: []fsm.Op{{Actor: "test", Reason: "test", Body: body}}}) }
	switch id := placement.ChainID(draw(p, "chain", "c1", "c2", "c3", "c4", "c5", "c6")); draw(p, "step", "put", "put", "delete", "pass", "pass", "pass", "fail", "observe", "announce", "lose", "cordon", "weight", "wait", "content") {
	case "put":
		do(fsm.NewPutChain(id, placement.Spec{
			Desired: draw(p, "desired", 1, 2, 3, 4), SizeBytes: draw[int64](p, "size", 0, 100<<20, 600<<20, 2<<30),
			Require: draw(p, "require", nil, nil, []string{"disk=ssd"}, []string{"zone=a"}, []string{"zone=d"}),
			Weight:  int64(placement.ScoreOne), Policy: placement.PolicyEager, Spread: placement.SpreadEven,
		}))
	case "delete":
		do(&fsm.DeleteChain{Chain: id})
	case "pass":
		p.b.decide()
		p.work()
	case "fail":
		for range 3 {
			p.b.decide()
			p.fail()
		}
	case "observe":
		id := p.node()
		if n := p.b.m.View().Node(id); n != nil {
			do(&fsm.Observe{Node: id, Incarnation: n.Incarnation, State: draw(p, "state", placement.NodeAlive, placement.NodeAlive, placement.NodeAlive, placement.NodeSuspect, placement.NodeDead)})
		}
	case "announce":
		n := draw[placement.NodeID](p, "new node", "n4", "n5")
		if p.b.m.View().Node(n) == nil {
			p.b.announce(n, draw(p, "zone", "a", "d"))
		}
	case "lose":
		id := p.node()
		if n := p.b.m.View().Node(id); n != nil {
			do(&fsm.Lose{Node: id, Incarnation: n.Incarnation})
		}
	case "cordon":
		do(&fsm.SetEligibility{Node: p.node(), Eligibility: draw(p, "eligibility", placement.Eligible, placement.Eligible, placement.Cordoned)})
	case "weight":
		do(&fsm.SetWeight{Node: p.node(), Weight: draw(p, "weight", 0, placement.ScoreOne, placement.ScoreOne)})
	case "wait":
		p.b.now = p.b.now.Add(draw(p, "time", time.Second, 20*time.Second, 10*time.Minute))
		do(&fsm.Thaw{})
	case "content":
		p.commit(id)
	}
}

// work lets every node report something for each of its copies, and perhaps
// that it is full.
func (p past) work() {
	p.report(func() (fsm.ReportPhase, bool) {
		return draw(p, "report", fsm.ReportReady, fsm.ReportReady, fsm.ReportDropped), draw(p, "full", false, false, false, false, false, false, true)
	})
}

// fail lets every node report all of its copies failed.
func (p past) fail() {
	p.report(func() (fsm.ReportPhase, bool) { return fsm.ReportFailed, false })
}

func (p past) report(what func() (phase fsm.ReportPhase, full bool)) {
	v := p.b.m.View()
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		r := &fsm.Report{Node: id, Lineage: v.Lineage, Incarnation: n.Incarnation}
		for _, d := range v.Duties(id).Assignments {
			item := fsm.ReportItem{Chain: d.Chain, Epoch: d.Epoch}
			item.Phase, r.NoSpace = what()
			if d.Content != nil {
				item.SHA256, item.SizeBytes = d.Content.SHA256, d.Content.Size
			}
			r.Items = append(r.Items, item)
		}
		p.b.apply(fsm.Batch{Ops: []fsm.Op{{Actor: "test", Body: r}}})
		return true
	})
}

// commit gives a chain a content that all its holders have.
func (p past) commit(id placement.ChainID) {
	v := p.b.m.View()
	c := v.Chain(id)
	if c == nil {
		return
	}
	op := &fsm.CommitContent{Chain: id, SHA256: fmt.Sprintf("%064d", v.Revision), Size: draw[int64](p, "bytes", 1, 300<<20, 900<<20)}
	if c.Content != nil {
		op.Base = c.Content.Version
	}
	for _, h := range c.Holders {
		op.Holders = append(op.Holders, fsm.StoredCopy{Node: h.Node, Incarnation: v.Node(h.Node).Incarnation, Epoch: h.Epoch})
	}
	p.b.apply(fsm.Batch{Ops: []fsm.Op{{Actor: "test", Body: op}}})
}

// TestTallyIsTheCount: whatever happened since it was last asked, the tally
// says what counting all chains says. Random histories of nodes that come and
// go, fail, fill up and are cordoned, with a look now and then, also at a view
// that is older than the last and across a restore.
func TestTallyIsTheCount(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		p := past{rt, newBackend(t)}
		config := placement.DefaultConfig()
		config.QuarantineAfter, config.BackoffMin = draw(p, "quarantine after", 1, 1, 3), draw(p, "backoff", time.Second, time.Minute)
		p.b.must(fsm.NewPutConfig(config))
		for _, id := range []placement.ChainID{"c1", "c2", "c3"} {
			p.b.must(fsm.NewPutChain(id, placement.Spec{Desired: 2, Weight: 1, Policy: placement.PolicyEager, Spread: placement.SpreadEven}))
		}
		p.b.settle()
		var got tally
		old := p.b.m.View()
		for i := range rapid.IntRange(1, 100).Draw(rt, "steps") {
			p.step()
			if draw(p, "restore", false, false, false, false, false, false, false, false, false, false, false, false, false, true) {
				p.b.restore(fmt.Sprintf("restored-%d", i))
			}
			if draw(p, "ask", true, true, false) {
				v := p.b.m.View()
				want, moving := countChains(v)
				if diff := cmp.Diff(want, got.of(v)); diff != "" {
					rt.Fatalf("-counted +tally\n%s", diff)
				}
				if !slices.Equal(got.moves(v), moving) {
					rt.Fatalf("moves of %v, want %v", got.moves(v), moving)
				}
				note(seen, &want, moving)
				if old.Lineage == v.Lineage && got.of(old) != want {
					rt.Fatalf("an older view is answered %+v, want as before %+v", got.of(old), want)
				}
				old = v
			}
		}
	})
	t.Log(seen)
	for _, health := range []string{"healthy", "under", "over", "unavailable", "unplaceable", "moving"} {
		if seen[health] == 0 {
			t.Errorf("no chain was ever %s: the histories show nothing about it", health)
		}
	}
}

// TestTallyKnowsTheTime: a quarantine ends by time alone. A chain's third copy
// fails once, which quarantines it, and then nothing happens but an hour.
func TestTallyKnowsTheTime(t *testing.T) {
	b := newBackend(t)
	config := placement.DefaultConfig()
	config.QuarantineAfter = 1
	b.must(fsm.NewPutConfig(config))
	spec := placement.Spec{Desired: 2, Weight: 1, Policy: placement.PolicyEager, Spread: placement.SpreadEven}
	b.must(fsm.NewPutChain("c", spec))
	b.settle()
	spec.Desired = 3
	b.must(fsm.NewPutChain("c", spec))
	b.decide()
	past{nil, b}.fail()

	var got tally
	if n := got.of(b.m.View()); n.Quarantined != 1 {
		t.Fatalf("%+v, want one quarantined", n)
	}
	b.now = b.now.Add(time.Hour)
	b.must(&fsm.Thaw{})
	v := b.m.View()
	want, _ := countChains(v)
	if n := got.of(v); n != want || n.Quarantined != 0 {
		t.Errorf("after an hour %+v, counted %+v", n, want)
	}
}

func note(seen map[string]int, n *api.ChainCounts, moving []placement.ChainID) {
	seen["healthy"] += n.Healthy
	seen["under"] += n.Under
	seen["over"] += n.Over
	seen["unavailable"] += n.Unavailable
	seen["unplaceable"] += n.Unplaceable
	seen["quarantined"] += n.Quarantined
	seen["moving"] += len(moving)
}
