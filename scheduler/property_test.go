package scheduler_test

import (
	stdcmp "cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/internal/scene"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// drawScene draws a cluster in any state that the rules allow, and many that
// only a bug or an operator could bring about.
func drawScene(t *rapid.T) *scene.Scene {
	s := scene.New()
	cfg := &s.Config
	cfg.SwapMode = rapid.SampledFrom([]placement.SwapMode{placement.PlaceFirst, placement.EvictFirst}).Draw(t, "swap")
	cfg.MovesMax = rapid.IntRange(1, 8).Draw(t, "moves")
	cfg.BalanceMovesMax = rapid.IntRange(0, cfg.MovesMax).Draw(t, "balance moves")
	cfg.DrainMovesMax = rapid.IntRange(0, cfg.MovesMax).Draw(t, "drain moves")
	cfg.NodeMovesInMax = rapid.IntRange(1, 3).Draw(t, "in")
	cfg.NodeMovesOutMax = rapid.IntRange(1, 3).Draw(t, "out")
	cfg.RepairMovesInMax = rapid.IntRange(1, 3).Draw(t, "repairs in")
	nodes := rapid.IntRange(1, 7).Draw(t, "nodes")
	for i := range nodes {
		drawNode(t, s.AddNode(placement.NodeID(fmt.Sprintf("n%d", i))))
	}
	for i := range rapid.IntRange(1, 10).Draw(t, "chains") {
		drawChain(t, s, placement.ChainID(fmt.Sprintf("c%d", i)), nodes)
	}
	drawHold(t, s)
	return s
}

// drawHold draws what holds the whole cluster back, mostly nothing.
func drawHold(t *rapid.T, s *scene.Scene) {
	s.Freeze, s.RepairPause, s.Guard = nil, nil, nil
	switch rapid.IntRange(0, 12).Draw(t, "held back") {
	case 0:
		s.Freeze = &placement.Freeze{Reason: "drawn"}
	case 1:
		s.RepairPause = &placement.RepairPause{Until: s.Now + 1}
	case 2:
		s.Guard = []placement.NodeID{"n0"}
	}
}

func drawNode(t *rapid.T, n *placement.Node) {
	n.State = rapid.SampledFrom([]placement.NodeState{
		placement.NodeAlive, placement.NodeAlive, placement.NodeAlive, placement.NodeAlive,
		placement.NodeSuspect, placement.NodeSick, placement.NodeDead, placement.NodeLeft,
	}).Draw(t, "state")
	n.Eligibility = rapid.SampledFrom([]placement.Eligibility{
		placement.Eligible, placement.Eligible, placement.Eligible, placement.Eligible, placement.Cordoned,
		placement.Draining, placement.Drained, placement.Maintenance, placement.NodeQuarantined,
	}).Draw(t, "eligibility")
	n.Inventoried = rapid.IntRange(0, 9).Draw(t, "inventoried") > 0
	n.Weight = rapid.SampledFrom([]placement.Score{0, 200_000, placement.ScoreOne, placement.ScoreOne, placement.ScoreOne}).Draw(t, "weight")
	n.CapacityBytes = rapid.SampledFrom([]int64{0, 50, 1000, 1000}).Draw(t, "capacity")
	n.Zone = rapid.SampledFrom([]string{"z1", "z1", "z2"}).Draw(t, "zone")
	n.Wished = rapid.SampledFrom([]placement.Time{placement.Never, scene.Seconds(1000)}).Draw(t, "wished")
}

func drawChain(t *rapid.T, s *scene.Scene, id placement.ChainID, nodes int) {
	c := s.AddChain(id, rapid.IntRange(1, 4).Draw(t, "desired"))
	c.EverReady = rapid.IntRange(0, 5).Draw(t, "ever") > 0
	c.Spec.MinReady = rapid.IntRange(0, c.Spec.Desired).Draw(t, "min ready")
	c.Spec.SizeBytes = rapid.Int64Range(0, 30).Draw(t, "size")
	c.Spec.Weight = rapid.Int64Range(1, 5*int64(placement.ScoreOne)).Draw(t, "chain weight")
	c.Spec.Policy = rapid.SampledFrom([]placement.Policy{placement.PolicyEager, placement.PolicyLazy, placement.PolicyPinned}).Draw(t, "policy")
	if rapid.IntRange(0, 3).Draw(t, "require") == 0 {
		c.Spec.Require = []string{"zone=z1"}
	}
	c.LastRebalance = s.Now - placement.Time(rapid.Int64Range(0, 2).Draw(t, "last")*int64(s.Config.Cooldown)/2)
	for range rapid.IntRange(0, 3).Draw(t, "departed") {
		node := rapid.SampledFrom([]placement.NodeID{"n0", "n1", "n2", "n3"})
		c.Departed = append(c.Departed, placement.Departure{
			Node: node.Draw(t, "been on"), Copy: node.Draw(t, "now on"),
			At: s.Now - placement.Time(rapid.SampledFrom([]int64{9, 10, 11}).Draw(t, "cooldowns ago")*int64(s.Config.Cooldown)) + 1,
		})
	}
	for i := range nodes {
		if node := placement.NodeID(fmt.Sprintf("n%d", i)); rapid.IntRange(0, 1).Draw(t, "holds") == 0 {
			drawHolder(t, s, c, node)
		}
	}
	c.EverReady = c.EverReady || slices.ContainsFunc(c.Holders, func(h placement.Holder) bool { return h.Phase == placement.Ready })
	switch rapid.IntRange(0, 9).Draw(t, "more") {
	case 0:
		c.Quarantine = &placement.Quarantine{Until: s.Now + 1}
	case 1:
		c.Backoffs = []placement.Backoff{{Node: "n0", Until: s.Now + 1}}
	case 2:
		s.Forced = append(s.Forced, placement.Forced{
			ID: s.Draw(), Chain: id, Expires: s.Now + 1,
			From: placement.NodeID(rapid.SampledFrom([]string{"", "n0"}).Draw(t, "forced from")),
			To:   placement.NodeID(rapid.SampledFrom([]string{"", "n1"}).Draw(t, "forced to")),
		})
	}
}

// drawHolder adds a holder; one that pulls has its move, and the first ready
// one may be its victim. One that drops may be the victim of an evict-first
// move that is not refilled yet.
func drawHolder(t *rapid.T, s *scene.Scene, c *placement.Chain, node placement.NodeID) {
	phase := rapid.SampledFrom([]placement.Phase{placement.Ready, placement.Ready, placement.Ready, placement.Pulling, placement.Dropping}).Draw(t, "phase")
	epoch := s.AddHolder(c, node, phase)
	h := c.Holder(node)
	if phase != placement.Dropping {
		h.Lost = rapid.IntRange(0, 5).Draw(t, "lost") == 0
	}
	h.Unconfirmed = rapid.IntRange(0, 9).Draw(t, "unconfirmed") == 0
	if phase == placement.Dropping && c.Rebalance() == nil && rapid.Bool().Draw(t, "evicted first") {
		c.Moves = append(c.Moves, placement.Move{
			ID: placement.MoveID(s.Draw()), Cause: placement.CauseBalance, Mode: placement.EvictFirst, Phase: placement.MoveDropping,
			From: node, FromEpoch: epoch, To: placement.NodeID(rapid.SampledFrom([]string{"n0", "n1", "n2"}).Draw(t, "refill")),
			Deadline: s.Now + placement.Time(rapid.Int64Range(0, 3).Draw(t, "deadline")),
		})
		if rapid.Bool().Draw(t, "gone") {
			c.Holders = slices.DeleteFunc(c.Holders, func(h placement.Holder) bool { return h.Node == node })
		}
	}
	if phase != placement.Pulling {
		return
	}
	m := placement.Move{
		ID: placement.MoveID(s.Draw()), Cause: placement.CauseRepair, Mode: placement.PlaceFirst, Phase: placement.MovePulling,
		To: node, ToEpoch: epoch, Deadline: s.Now + placement.Time(rapid.Int64Range(-1, 1).Draw(t, "deadline")),
	}
	if v := &c.Holders[0]; c.Rebalance() == nil && v.Node != node && v.Phase == placement.Ready {
		m.From, m.FromEpoch, m.Cause = v.Node, v.Epoch, placement.CauseBalance
		if rapid.Bool().Draw(t, "waiting") {
			h.Phase, m.Phase, m.Deadline = placement.Ready, placement.MoveWaiting, placement.Never
		}
	}
	c.Moves = append(c.Moves, m)
}

// drawScorer draws no scorer, a table with wild numbers, or the real one.
func drawScorer(t *rapid.T, s *scene.Scene) scheduler.PlacementScorer {
	switch rapid.IntRange(0, 3).Draw(t, "scorer") {
	case 0:
		return nil
	case 1:
		return scorer.New()
	}
	wild := rapid.SampledFrom([]float64{0, 0.1, 0.3, 0.4, 0.5, 0.6, 0.9, 1, math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1e308})
	table := &fixedScorer{scores: map[pair]float64{}, alternatives: map[placement.ChainID][]scored{}}
	for i := range len(s.Chains) {
		id := placement.ChainID(fmt.Sprintf("c%d", i))
		for j := range len(s.Nodes) {
			node := placement.NodeID(fmt.Sprintf("n%d", j))
			table.scores[pair{id, node}] = wild.Draw(t, "score")
			table.alternatives[id] = append(table.alternatives[id], scored{node, wild.Draw(t, "alternative")})
		}
		slices.SortStableFunc(table.alternatives[id], func(a, b scored) int { return stdcmp.Compare(b.score, a.score) })
	}
	return table
}

// Every decision of a plan keeps the safety rules at the moment it is applied,
// after the ones before it: provoked by drawing clusters in all kinds of
// trouble and playing the plan decision by decision against the predicates.
func TestPlansKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		in := inputOf(s, drawScorer(t, s))
		plan := scheduler.Decide(in)
		if diff := cmp.Diff(plan, scheduler.Decide(in)); diff != "" {
			t.Fatalf("the same input gave another plan:\n%s", diff)
		}
		if plan.Wake != placement.Never && plan.Wake <= s.Now {
			t.Errorf("wake %v is not after now %v", plan.Wake, s.Now)
		}
		touched := map[placement.ChainID]bool{}
		for _, d := range plan.Decisions {
			if touched[d.Chain] {
				t.Fatalf("chain %s is touched twice: %+v", d.Chain, plan.Decisions)
			}
			touched[d.Chain] = true
			v := s.View()
			if why := breach(v, v.Chain(d.Chain), d); why != "" {
				t.Fatalf("%s: %+v", why, d)
			}
			s.Apply(d)
		}
	})
}

// breach says which rule the decision breaks, "" for none. It is written from
// the rules, not from the scheduler.
func breach(v *placement.View, c *placement.Chain, d placement.Decision) string {
	switch {
	case v.RestoreGuard != nil:
		return "decided during a restore guard"
	case c == nil || d.ChainRevision != c.Revision:
		return "made on another revision"
	case d.Reason.Name == "":
		return "no reason"
	}
	switch d.Kind {
	case placement.KindAssign:
		return breachOfAssign(v, c, d)
	case placement.KindOpenMove:
		return breachOfMove(v, c, d)
	case placement.KindComplete:
		if m := c.MoveByID(d.Move); m == nil || m.Phase != placement.MoveWaiting || !v.MayDrop(c, m.From, m.Mode).OK() {
			return "completes a move whose victim may not drop"
		}
	case placement.KindCallOff:
		m := c.MoveByID(d.Move)
		if m == nil || d.Reason.Name == placement.ReasonDeadline && (m.Deadline == placement.Never || v.Now < m.Deadline) {
			return "calls off a move that goes on"
		}
	case placement.KindDrop:
		h := c.Holder(d.From)
		live := v.LiveCount(c)
		if h != nil && v.Live(c, h) {
			live--
		}
		if v.Freeze != nil || h == nil || len(c.Moves) > 0 || live < max(c.Spec.Desired, 1) || !v.MayDrop(c, d.From, placement.PlaceFirst).OK() {
			return "drops what is needed"
		}
	default:
		return "unknown kind"
	}
	return ""
}

func breachOfAssign(v *placement.View, c *placement.Chain, d placement.Decision) string {
	live := v.LiveCount(c)
	source := c.Holder(d.Source)
	switch {
	case v.Missing(c) <= 0 || v.PullingCount(c)+live+1 > c.Spec.Desired+1:
		return "nothing is missing"
	case !v.EligibleTarget(c, d.To).OK():
		return v.EligibleTarget(c, d.To).Detail
	case d.Source == "" && (c.EverReady || v.PullingCount(c) > 0):
		return "a copy from nothing"
	case d.Source != "" && (source == nil || !v.Live(c, source)):
		return "the source is not live"
	case c.Quarantined(v.Now):
		return "quarantined"
	case d.Move != 0 && c.MoveByID(d.Move).To == d.To:
		return "" // the end of an open move, which is in the budgets already
	case v.Freeze != nil:
		return "repair while frozen"
	case v.RepairPause != nil && c.EverReady && live != 1:
		return "repair while paused"
	}
	return v.Budget(placement.CauseRepair, "", d.To).Detail
}

func breachOfMove(v *placement.View, c *placement.Chain, d placement.Decision) string {
	victim, source := c.Holder(d.From), c.Holder(d.Source)
	switch {
	case victim == nil || victim.Phase != placement.Ready:
		return "the victim has no copy"
	case c.Rebalance() != nil:
		return "a second move with a victim"
	case v.Freeze != nil && d.Cause != placement.CauseForced:
		return "a move while frozen"
	case source == nil || !v.Live(c, source):
		return "the source is not live"
	case !v.EligibleTarget(c, d.To).OK():
		return v.EligibleTarget(c, d.To).Detail
	case d.Mode == placement.EvictFirst && (c.Spec.Desired == 1 || !v.MayDrop(c, d.From, d.Mode).OK()):
		return "evicts first what may not go"
	case d.Mode == placement.PlaceFirst && v.PullingCount(c)+v.LiveCount(c)+1 > c.Spec.Desired+1:
		return "too many copies"
	case d.Cause != placement.CauseForced && c.Quarantined(v.Now):
		return "quarantined"
	}
	switch d.Cause {
	case placement.CauseBalance:
		cooled := v.Now.Sub(c.LastRebalance) >= v.Config.CooldownFor(c.Spec)
		if !cooled || c.Spec.Policy == placement.PolicyPinned || len(c.Moves) > 0 || v.Missing(c) > 0 || v.LiveCount(c) < c.Spec.Desired {
			return "balance touches a chain that it must leave alone"
		}
		if d.ScoreFrom >= v.Config.FloorFor(c.Spec) || d.ScoreTo-d.ScoreFrom <= v.Config.GapFor(c.Spec) {
			return "the scores do not justify the move"
		}
		if d := v.MayReturn(c, d.From, d.To); !d.OK() {
			return d.Detail
		}
	case placement.CauseConstraint:
		if _, ok := v.EligibleHolder(c, d.From); ok {
			return "the holder is eligible"
		}
	case placement.CauseForced:
		if d.Forced == 0 {
			return "no operator asked"
		}
	case placement.CauseDrain:
		if e := v.Node(d.From).Eligibility; e != placement.Draining && e != placement.Maintenance {
			return "the node does not drain"
		}
	default:
		return "this cause opens no move"
	}
	return v.Budget(d.Cause, d.From, d.To).Detail
}

// With a bound on the work, passes over unchanged input examine every chain
// within ⌈n/W⌉ passes: provoked by asking again with the returned cursor and
// comparing what was decided with one unbounded pass.
func TestCursorReachesEveryChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		cfg := &s.Config
		cfg.MovesMax, cfg.BalanceMovesMax, cfg.DrainMovesMax = 1000, 1000, 1000
		cfg.NodeMovesInMax, cfg.NodeMovesOutMax, cfg.RepairMovesInMax = 1000, 1000, 1000
		for _, n := range s.Nodes {
			n.CapacityBytes = 0
		}
		in := inputOf(s, &fixedScorer{})
		want := decided(scheduler.Decide(in))
		in.Work = rapid.IntRange(1, len(s.Chains)+1).Draw(t, "work")
		got := map[placement.ChainID]bool{}
		for range (len(s.Chains) + in.Work - 1) / in.Work {
			plan := scheduler.Decide(in)
			for id := range decided(plan) {
				got[id] = true
			}
			in.Cursor = plan.Next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in ⌈n/W⌉ passes of %d (-unbounded +bounded):\n%s", in.Work, diff)
		}
	})
}

func decided(p scheduler.Plan) map[placement.ChainID]bool {
	ids := map[placement.ChainID]bool{}
	for i := range p.Decisions {
		ids[p.Decisions[i].Chain] = true
	}
	return ids
}

// A plan is bounded: more work than fits one log entry is left for the next
// pass, which goes on behind it.
func TestPlanIsBounded(t *testing.T) {
	s := scene.New()
	s.AddNode("a")
	s.AddNode("b")
	s.Config.MovesMax, s.Config.RepairMovesInMax = 1<<20, 1<<20
	const chains = scheduler.DecisionsMax + 100
	for i := range chains {
		s.AddChain(placement.ChainID(fmt.Sprintf("c%04d", i)), 2, "a")
	}
	first := scheduler.Decide(inputOf(s, nil))
	if len(first.Decisions) != scheduler.DecisionsMax || !first.More {
		t.Fatalf("%d decisions, more %v, want %d and more", len(first.Decisions), first.More, scheduler.DecisionsMax)
	}
	in := inputOf(s, nil)
	in.Cursor = first.Next
	second := scheduler.Decide(in)
	if got := second.Decisions[0].Chain; got != "c0512" {
		t.Errorf("the second pass begins at %s, want c0512", got)
	}
}

// A plan fits one entry of the log also in bytes, and each of its reasons what
// the log takes: provoked by forced moves, for which operators had much to say.
func TestPlanIsBoundedInBytes(t *testing.T) {
	s := scene.New()
	long := func(c string) string { return strings.Repeat(c, 58) }
	a, b := placement.NodeID(long("a")), placement.NodeID(long("b"))
	s.AddNode(a)
	s.AddNode(b)
	s.Config.MovesMax, s.Config.NodeMovesInMax, s.Config.NodeMovesOutMax = 1<<20, 1<<20, 1<<20
	for i := range 600 {
		id := placement.ChainID(fmt.Sprintf("%s%s-%04d", long("c"), long("d"), i))
		s.AddChain(id, 1, a)
		s.Forced = append(s.Forced, placement.Forced{ID: placement.Revision(i + 1), Chain: id, To: b, Reason: "a" + strings.Repeat("é", 511), Expires: s.Now.Add(time.Hour)})
	}
	plan := scheduler.Decide(inputOf(s, nil))
	if len(plan.Decisions) < 100 || !plan.More {
		t.Fatalf("%d decisions, more %v", len(plan.Decisions), plan.More)
	}
	var batch fsm.Batch
	for _, d := range plan.Decisions {
		batch.Ops = append(batch.Ops, fsm.Op{Actor: "scheduler", Reason: d.Reason.String(), Body: fsm.NewDecide(d)})
		if n := len(d.Reason.String()) + 64; n > fsm.ReasonMax || !utf8.ValidString(d.Reason.Detail) {
			t.Fatalf("a reason takes %d bytes: %q", n, d.Reason)
		}
	}
	if _, err := fsm.EncodeBatch(batch); err != nil {
		t.Error(err)
	}
}

// What Explain says about a chain is what Decide does when the chain is alone:
// provoked by drawing clusters with one chain.
func TestExplainAgreesWithDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		for id := range s.Chains {
			if id != "c0" {
				delete(s.Chains, id)
			}
		}
		in := inputOf(s, drawScorer(t, s))
		plan := scheduler.Decide(in)
		e, ok := scheduler.Explain(in, "c0")
		if !ok || (e.Decision != nil) != (len(plan.Decisions) == 1) {
			t.Fatalf("explained %+v, decided %+v", e, plan.Decisions)
		}
		if e.Decision != nil {
			if diff := cmp.Diff(plan.Decisions[0], *e.Decision); diff != "" {
				t.Errorf("explained another decision (-decided +explained):\n%s", diff)
			}
		}
		if e.Text == "" {
			t.Error("no text")
		}
	})
}

// A chain that two arms want is touched by the earlier one only: provoked for
// all pairs of arms, each of which acts when alone.
func TestOneDecisionForAllPairsOfArms(t *testing.T) {
	arms := []struct {
		name  string
		cause placement.Cause
		want  func(s *scene.Scene, c *placement.Chain, table *fixedScorer)
	}{
		{"forced", placement.CauseForced, func(s *scene.Scene, c *placement.Chain, _ *fixedScorer) {
			s.Forced = []placement.Forced{{ID: s.Draw(), Chain: c.ID, From: "a", To: "z", Expires: s.Now.Add(time.Hour)}}
		}},
		{"ending", placement.CauseRepair, func(s *scene.Scene, c *placement.Chain, _ *fixedScorer) {
			c.Moves = []placement.Move{{ID: 99, Cause: placement.CauseRepair, Mode: placement.PlaceFirst, Phase: placement.MovePulling, To: "p", ToEpoch: s.AddHolder(c, "p", placement.Pulling), Deadline: s.Now}}
		}},
		{"repair", placement.CauseRepair, func(_ *scene.Scene, c *placement.Chain, _ *fixedScorer) { c.Holder("c").Lost = true }},
		{"drain", placement.CauseDrain, func(s *scene.Scene, _ *placement.Chain, _ *fixedScorer) {
			s.Nodes["a"].Eligibility = placement.Draining
		}},
		{"constraint", placement.CauseConstraint, func(s *scene.Scene, c *placement.Chain, _ *fixedScorer) {
			c.Spec.Require = []string{"zone=z1"}
			s.Nodes["b"].Zone = "elsewhere"
		}},
		{"excess", placement.CauseExcess, func(s *scene.Scene, c *placement.Chain, _ *fixedScorer) {
			s.AddHolder(c, "e", placement.Ready)
		}},
		{"balance", placement.CauseBalance, func(_ *scene.Scene, c *placement.Chain, table *fixedScorer) {
			table.scores[pair{c.ID, "b"}] = 0.1
			table.alternatives[c.ID] = []scored{{"z", 0.9}}
		}},
	}
	run := func(chosen ...int) scheduler.Plan {
		s := scene.New()
		for _, id := range []placement.NodeID{"a", "b", "c", "e", "p", "y", "z"} {
			s.AddNode(id).Zone = "z1"
		}
		c := s.AddChain("c1", 3, "a", "b", "c")
		table := &fixedScorer{scores: map[pair]float64{}, alternatives: map[placement.ChainID][]scored{}}
		for _, i := range chosen {
			arms[i].want(s, c, table)
		}
		return scheduler.Decide(inputOf(s, table))
	}
	for i := range arms {
		alone := run(i)
		if len(alone.Decisions) != 1 || alone.Decisions[0].Cause != arms[i].cause {
			t.Errorf("%s alone decides %+v", arms[i].name, alone.Decisions)
		}
		for j := range arms {
			if i >= j {
				continue
			}
			if both := run(i, j); len(both.Decisions) != 1 {
				t.Errorf("%s and %s decide %+v", arms[i].name, arms[j].name, both.Decisions)
			}
		}
	}
}

// A plain scorer that offers refused nodes only is asked a bounded number of
// times: provoked with one that names a new node for ever.
func TestAsksAreBounded(t *testing.T) {
	s := scene.New()
	s.AddNode("a")
	s.AddChain("c1", 1, "a")
	var offers []scored
	for i := range 100 {
		offers = append(offers, scored{placement.NodeID(fmt.Sprintf("ghost%d", i)), 1})
	}
	table := &fixedScorer{scores: map[pair]float64{{"c1", "a"}: 0}, alternatives: map[placement.ChainID][]scored{"c1": offers}}
	if plan := scheduler.Decide(inputOf(s, table)); len(plan.Decisions) > 0 {
		t.Errorf("decided %+v", plan.Decisions)
	}
	if table.asked != 1+scheduler.AsksMax {
		t.Errorf("asked %d times, want %d", table.asked, 1+scheduler.AsksMax)
	}
}
