package placement

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// scene draws a view of one chain "x" on nodes a to f from words such as
// "a:ready b:pulling c:dropping d:ready+lost e:ready+unconfirmed f:ready+stale
// g:ready+suspect"; a node named alone ("h") holds nothing.
func scene(t *testing.T, spec Spec, picture string) (*View, *Chain) {
	t.Helper()
	spec, err := spec.Normalize()
	if err != nil {
		t.Fatal(err)
	}
	c := &Chain{ID: "x", Spec: &spec}
	nodes, held := map[NodeID]*Node{}, map[NodeID]ChainSet{}
	for _, word := range strings.Fields(picture) {
		id, rest, holds := strings.Cut(word, ":")
		n := &Node{ID: NodeID(id), State: NodeAlive, Eligibility: Eligible, Inventoried: true, Weight: ScoreOne}
		nodes[n.ID] = n
		if !holds {
			continue
		}
		marks := strings.Split(rest, "+")
		h := Holder{Node: n.ID}
		for h.Phase = Pulling; h.Phase.String() != marks[0]; h.Phase++ {
		}
		h.Lost, h.Unconfirmed = slices.Contains(marks, "lost"), slices.Contains(marks, "unconfirmed")
		if slices.Contains(marks, "stale") {
			h.SHA256 = "old"
		}
		if slices.Contains(marks, "suspect") {
			n.State = NodeSuspect
		}
		c.Holders = append(c.Holders, h)
		held[n.ID] = TableOf(map[ChainID]struct{}{"x": {}})
	}
	return &View{
		Now: Time(time.Hour), Config: DefaultConfig(),
		Chains: TableOf(map[ChainID]*Chain{"x": c}), Nodes: TableOf(nodes), Usages: TableOf(map[NodeID]Usage{}), Held: TableOf(held),
	}, c
}

// move opens a move on the chain.
func (c *Chain) move(from, to NodeID, phase MovePhase, mode SwapMode) {
	c.Moves = append(c.Moves, Move{ID: MoveID(len(c.Moves) + 1), From: from, To: to, Phase: phase, Mode: mode})
}

// TestCounting: only a copy that can be read now is live, and only a copy that
// is given up, or about to go, is missing (rule S2).
func TestCounting(t *testing.T) {
	for _, c := range []struct {
		picture                string
		live, pulling, missing int
	}{
		{"", 0, 0, 3},
		{"a:ready b:ready c:ready", 3, 0, 0},
		{"a:ready b:ready c:ready d:ready", 4, 0, -1},
		{"a:ready b:pulling", 1, 1, 1},
		{"a:ready b:dropping", 1, 0, 2},
		{"a:ready b:ready+lost", 1, 0, 2},
		{"a:ready b:pulling+lost", 1, 0, 2},
		{"a:ready b:ready+unconfirmed", 1, 0, 1},
		{"a:ready b:ready+suspect", 1, 0, 1},
		{"a:ready b:ready+stale", 1, 0, 1},
		{"a:ready b:pulling+suspect", 1, 1, 1},
	} {
		v, x := scene(t, Spec{}, c.picture)
		if live, pulling, missing := v.LiveCount(x), v.PullingCount(x), v.Missing(x); live != c.live || pulling != c.pulling || missing != c.missing {
			t.Errorf("%s: live %d, pulling %d, missing %d; want %d, %d, %d", c.picture, live, pulling, missing, c.live, c.pulling, c.missing)
		}
	}
	v, x := scene(t, Spec{}, "a:ready")
	x.Holders[0].Node = "stranger"
	if v.Live(x, &x.Holders[0]) {
		t.Error("a copy on a node that is no member is live")
	}
}

// TestMissingWithoutTheVictim: the victim of an open move is on its way out
// and does not count, unless it is dropping and out already (rule S8).
func TestMissingWithoutTheVictim(t *testing.T) {
	for _, c := range []struct {
		picture string
		phase   MovePhase
		mode    SwapMode
		want    int
	}{
		{"a:ready b:ready c:ready d:pulling", MovePulling, PlaceFirst, 0},
		{"a:ready b:ready c:ready+lost d:pulling", MovePulling, PlaceFirst, 1},
		{"a:ready b:ready c:ready d:ready", MoveWaiting, PlaceFirst, 0},
		{"a:dropping b:ready c:ready d:ready", MoveDropping, PlaceFirst, 0},
		{"a:dropping b:ready c:ready", MoveDropping, EvictFirst, 1},
		{"a:dropping b:ready c:ready d:pulling", MovePulling, EvictFirst, 0},
	} {
		v, x := scene(t, Spec{}, c.picture)
		x.move("a", "d", c.phase, c.mode)
		if got := v.Missing(x); got != c.want {
			t.Errorf("%s, %s %s: missing %d, want %d", c.picture, c.mode, c.phase, got, c.want)
		}
	}
}

// TestMayDrop: no voluntary drop leaves no live copy, or fewer than min_ready.
func TestMayDrop(t *testing.T) {
	for _, c := range []struct {
		spec    Spec
		content bool
		picture string
		mode    SwapMode
		want    Code
	}{
		{Spec{Desired: 1}, false, "a:ready", PlaceFirst, LastCopy},
		{Spec{Desired: 1}, false, "a:ready", EvictFirst, LastCopy},
		{Spec{Desired: 1}, false, "a:ready b:ready", PlaceFirst, Accepted},
		{Spec{Desired: 1}, false, "a:ready b:ready+suspect", PlaceFirst, LastCopy},
		{Spec{Desired: 1}, false, "a:ready b:ready+unconfirmed", PlaceFirst, LastCopy},
		{Spec{Desired: 1}, false, "a:ready b:pulling", PlaceFirst, LastCopy},
		{Spec{Desired: 3}, false, "a:ready b:ready c:ready", PlaceFirst, BelowMinReady},
		{Spec{Desired: 3}, false, "a:ready b:ready c:ready", EvictFirst, Accepted},
		{Spec{Desired: 3}, false, "a:ready b:ready c:ready d:ready", PlaceFirst, Accepted},
		{Spec{Desired: 3}, false, "a:ready b:ready", EvictFirst, BelowMinReady},
		{Spec{Desired: 3, MinReady: 1}, false, "a:ready b:ready", PlaceFirst, Accepted},
		{Spec{Desired: 3, MinReady: 3}, false, "a:ready b:ready c:ready", EvictFirst, BelowMinReady},
		{Spec{Desired: 3, MinReady: 1}, true, "a:ready b:ready", PlaceFirst, BelowMinReady},
		{Spec{Desired: 3, MinReady: 1}, true, "a:ready b:ready c:ready", PlaceFirst, Accepted},
		{Spec{Desired: 2}, true, "a:ready b:ready", EvictFirst, BelowMinReady},
		// A copy that is not live may go whenever enough live ones remain.
		{Spec{Desired: 3}, false, "a:ready+lost b:ready c:ready d:ready", PlaceFirst, Accepted},
		{Spec{Desired: 3}, false, "a:pulling b:ready c:ready", PlaceFirst, BelowMinReady},
	} {
		v, x := scene(t, c.spec, c.picture)
		if c.content {
			x.Content = &Content{}
		}
		if got := v.MayDrop(x, "a", c.mode); got.Code != c.want {
			t.Errorf("desired %d, min_ready %d, content %t, %s: %s %s, want %q", c.spec.Desired, c.spec.MinReady, c.content, c.picture, c.mode, got, c.want)
		}
	}
}

// TestEligibleTarget: each way in which a node is no target is told by its own
// code. One thing at a time is wrong with node b.
func TestEligibleTarget(t *testing.T) {
	for name, c := range map[string]struct {
		want   Code
		change func(*View, *Chain, *Node)
	}{
		"nothing wrong":     {Accepted, func(*View, *Chain, *Node) {}},
		"holds it":          {AlreadyHolder, func(_ *View, x *Chain, _ *Node) { x.Holders = append(x.Holders, Holder{Node: "b", Phase: Dropping}) }},
		"suspect":           {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.State = NodeSuspect }},
		"sick":              {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.State = NodeSick }},
		"dead":              {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.State = NodeDead }},
		"left":              {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.State = NodeLeft }},
		"cordoned":          {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.Eligibility = Cordoned }},
		"draining":          {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.Eligibility = Draining }},
		"quarantined":       {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.Eligibility = NodeQuarantined }},
		"no inventory":      {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.Inventoried = false }},
		"no weight":         {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.Weight = 0 }},
		"no space":          {IneligibleTarget, func(_ *View, _ *Chain, n *Node) { n.NoSpace = true }},
		"lacks a label":     {IneligibleTarget, func(_ *View, x *Chain, _ *Node) { x.Spec.Require = []string{"!gpu", "ssd"} }},
		"has the label":     {Accepted, func(_ *View, x *Chain, n *Node) { x.Spec.Require, n.Labels = []string{"ssd"}, Labels{{"ssd", ""}} }},
		"backed off":        {Cooling, func(v *View, x *Chain, _ *Node) { x.Backoffs = []Backoff{{"b", 1, v.Now + 1}} }},
		"backed off before": {Accepted, func(v *View, x *Chain, _ *Node) { x.Backoffs = []Backoff{{"b", 1, v.Now}} }},
		"full":              {OverCapacity, func(_ *View, _ *Chain, n *Node) { n.CapacityBytes = 79 }},
		"full to the byte":  {Accepted, func(_ *View, _ *Chain, n *Node) { n.CapacityBytes = 80 }},
		"content counts":    {OverCapacity, func(_ *View, x *Chain, n *Node) { n.CapacityBytes, x.Content = 80, &Content{Size: 51} }},
	} {
		v, x := scene(t, Spec{SizeBytes: 50}, "a:ready b")
		v.Usages = TableOf(map[NodeID]Usage{"b": {UsedBytes: 10, ReservedBytes: 20}})
		c.change(v, x, v.Node("b"))
		if got := v.EligibleTarget(x, "b"); got.Code != c.want {
			t.Errorf("%s: %q (%s), want %q", name, got.Code, got.Detail, c.want)
		}
	}
	v, x := scene(t, Spec{}, "a:ready")
	if got := v.EligibleTarget(x, "nobody"); got.Code != UnknownNode {
		t.Errorf("nobody: %q", got.Code)
	}
	if _, ok := v.EligibleHolder(x, "nobody"); ok {
		t.Error("nobody may hold")
	}
}

// TestBudget: each budget admits up to its limit and not one more, each cause
// has its own, and repairs have theirs on top.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		name     string
		cause    Cause
		from     NodeID
		open     OpenMoves
		in, out  Usage
		want     Code
		wantText string
	}{
		{"nothing open", CauseBalance, "a", OpenMoves{}, Usage{}, Usage{}, Accepted, ""},
		{"one below all", CauseBalance, "a", OpenMoves{63, 15, 0}, Usage{MovesIn: 1}, Usage{MovesOut: 3}, Accepted, ""},
		{"cluster", CauseForced, "a", OpenMoves{Total: 64}, Usage{}, Usage{}, BudgetCluster, "moves_max"},
		{"cluster, for a repair", CauseRepair, "", OpenMoves{Total: 64}, Usage{}, Usage{}, BudgetCluster, "moves_max"},
		{"balance", CauseBalance, "a", OpenMoves{Balance: 16}, Usage{}, Usage{}, BudgetCluster, "balance_moves_max"},
		{"balance full, drain", CauseDrain, "a", OpenMoves{Balance: 16}, Usage{}, Usage{}, Accepted, ""},
		{"drain", CauseDrain, "a", OpenMoves{Drain: 32}, Usage{}, Usage{}, BudgetCluster, "drain_moves_max"},
		{"drain full, constraint", CauseConstraint, "a", OpenMoves{Drain: 32}, Usage{}, Usage{}, Accepted, ""},
		{"in", CauseBalance, "a", OpenMoves{}, Usage{MovesIn: 2}, Usage{}, BudgetNode, "node_moves_in_max"},
		{"out", CauseBalance, "a", OpenMoves{}, Usage{}, Usage{MovesOut: 4}, BudgetNode, "node_moves_out_max"},
		{"repairs in", CauseRepair, "", OpenMoves{}, Usage{RepairsIn: 4}, Usage{}, BudgetNode, "repair_moves_in_max"},
		{"moves in full, repair", CauseRepair, "", OpenMoves{Balance: 16, Drain: 32}, Usage{MovesIn: 2, RepairsIn: 3}, Usage{}, Accepted, ""},
		{"repairs in full, move", CauseBalance, "a", OpenMoves{}, Usage{RepairsIn: 4}, Usage{}, Accepted, ""},
	} {
		v, _ := scene(t, Spec{}, "a b")
		v.OpenMoves, v.Usages = c.open, TableOf(map[NodeID]Usage{"a": c.out, "b": c.in})
		if got := v.Budget(c.cause, c.from, "b"); got.Code != c.want || !strings.Contains(got.Detail, c.wantText) {
			t.Errorf("%s: %q (%s), want %q", c.name, got.Code, got.Detail, c.want)
		}
	}
}

// TestHealth: a chain's health is the worst that applies.
func TestHealth(t *testing.T) {
	for _, c := range []struct {
		picture string
		change  func(*View, *Chain)
		want    Health
	}{
		{"a:ready b:ready", nil, HealthHealthy},
		{"a:ready b:ready c:ready", nil, HealthOver},
		{"a:ready b", nil, HealthUnder},
		{"a:ready b:pulling", nil, HealthUnder},
		{"a:ready b:ready+suspect", nil, HealthUnder},
		{"a:ready b:pulling+lost", nil, HealthUnplaceable},
		{"a:ready b", func(v *View, _ *Chain) { v.Node("b").Weight = 0 }, HealthUnplaceable},
		{"a:ready b", func(_ *View, x *Chain) { x.Spec.Require = []string{"node=a"} }, HealthUnplaceable},
		// More copies are wanted than there are eligible nodes.
		{"a:ready", nil, HealthUnder},
		{"a:ready b", func(v *View, _ *Chain) { v.Node("b").Eligibility = Cordoned }, HealthUnder},
		{"a:ready b", func(v *View, _ *Chain) { v.Node("b").State = NodeDead }, HealthUnder},
		{"a:ready b c", func(v *View, x *Chain) { v.Node("c").State, x.Spec.Require = NodeDead, []string{"node!=b"} }, HealthUnplaceable},
		{"a:ready b", func(v *View, x *Chain) { x.Backoffs = []Backoff{{"b", 1, v.Now + 1}} }, HealthUnder},
		{"a:ready b", func(v *View, x *Chain) { x.Quarantine = &Quarantine{Until: v.Now + 1} }, HealthQuarantined},
		{"a:ready b", func(v *View, x *Chain) { x.Quarantine = &Quarantine{Until: v.Now} }, HealthUnder},
		{"a:ready+lost b", func(v *View, x *Chain) { x.Quarantine = &Quarantine{Until: v.Now + 1} }, HealthUnavailable},
		{"", nil, HealthUnavailable},
	} {
		v, x := scene(t, Spec{Desired: 2}, c.picture)
		if c.change != nil {
			c.change(v, x)
		}
		if got := v.HealthOf(x); got != c.want {
			t.Errorf("%s: %s, want %s", c.picture, got, c.want)
		}
	}
}

// TestCoolingUntil: never moved is never cooling; else the chain's own
// cooldown counts.
func TestCoolingUntil(t *testing.T) {
	v, x := scene(t, Spec{}, "")
	if got := v.CoolingUntil(x); got != Never {
		t.Errorf("never moved: %d", got)
	}
	x.LastRebalance = Time(time.Minute)
	if got := v.CoolingUntil(x); got != Time(6*time.Minute) {
		t.Errorf("the cluster's cooldown: %d", got)
	}
	x.Spec.Cooldown = ptr(time.Second)
	if got := v.CoolingUntil(x); got != Time(61*time.Second) {
		t.Errorf("its own cooldown: %d", got)
	}
}

// TestReturnsUntil: a node that balance took a copy off is barred for ten of the
// chain's cooldowns, one that it did not, or that an operator has changed since,
// is not, nor is it barred for another copy; what is long over is forgotten at the
// next departure. A copy goes from a to b and d, another from c to a.
func TestReturnsUntil(t *testing.T) {
	v, x := scene(t, Spec{Cooldown: ptr(time.Second)}, "a:ready b:ready c:ready d:ready")
	v.Now = Time(time.Minute)
	v.Depart(x, "a", "b")
	if a, b := v.ReturnsUntil(x, "b", "a"), v.ReturnsUntil(x, "c", "a"); a != Time(70*time.Second) || b != Never {
		t.Errorf("this copy until %d, another until %d", a, b)
	}
	for _, c := range []struct {
		now, wished Time
		ok          bool
	}{
		{Time(70*time.Second) - 1, Never, false},
		{Time(70*time.Second) - 1, Time(time.Minute), false},
		{Time(time.Minute) + 1, Time(time.Minute) + 1, true},
		{Time(70 * time.Second), Never, true},
	} {
		v.Now, v.Node("a").Wished = c.now, c.wished
		if got := v.MayReturn(x, "b", "a"); got.OK() != c.ok || !c.ok && got.Code != Cooling {
			t.Errorf("at %d, changed at %d: %+v", c.now, c.wished, got)
		}
	}
	v.Now = Time(70*time.Second) - 1
	v.Depart(x, "b", "d")
	v.Depart(x, "b", "d") // stamped once more when b drops
	if until := v.ReturnsUntil(x, "d", "a"); until != v.Now+1 {
		t.Errorf("the copy went on to d, a until %d", until)
	}
	left := v.Now
	v.Now = Time(100 * time.Second)
	v.Depart(x, "c", "a")
	if want := []Departure{{"b", "d", left, 0}, {"c", "a", v.Now, 0}}; !slices.Equal(x.Departed, want) {
		t.Errorf("when a is long over: %v, want %v", x.Departed, want)
	}
	x.Holders = slices.DeleteFunc(x.Holders, func(h Holder) bool { return h.Node == "d" })
	v.Depart(x, "c", "a")
	if want := []Departure{{"c", "a", v.Now, 0}}; !slices.Equal(x.Departed, want) {
		t.Errorf("when the copy on d is gone: %v, want %v", x.Departed, want)
	}
}

// TestAwayForLong: a copy that was taken off again and again under a short
// cooldown stays away when the longest cooldown that there is comes into force.
func TestAwayForLong(t *testing.T) {
	v, x := scene(t, Spec{}, "a:ready")
	x.Departed = []Departure{{"b", "a", 1, ReturnDoublings}}
	v.Config.Cooldown, v.Now = DurationMax, 2
	if got := v.MayReturn(x, "a", "b"); got.OK() {
		t.Error("the copy may be back after a moment")
	}
	v.Depart(x, "a", "c")
	if len(x.Departed) != 3 {
		t.Errorf("what is known of it is forgotten: %v", x.Departed)
	}
}

// TestChain: what a chain says of itself, and that a clone may be changed.
func TestChain(t *testing.T) {
	v, x := scene(t, Spec{SizeBytes: 7}, "a:ready b:pulling")
	x.move("", "b", MovePulling, PlaceFirst)
	if x.Rebalance() != nil {
		t.Error("a repair counts as a rebalance")
	}
	x.move("a", "c", MovePulling, PlaceFirst)
	if m := x.Rebalance(); m == nil || m.ID != 2 || x.MoveByID(2) != m || x.MoveByID(9) != nil {
		t.Errorf("rebalance %+v", m)
	}
	if x.Holder("b").Phase != Pulling || x.Holder("c") != nil || x.HolderIndex("c") != -1 {
		t.Error("holders are mixed up")
	}
	if x.SizeBytes() != 7 || x.SHA256() != "" {
		t.Error("without content, the spec's size counts")
	}
	x.Content = &Content{SHA256: "abc", Size: 9}
	if x.SizeBytes() != 9 || x.SHA256() != "abc" {
		t.Error("with content, its size counts")
	}
	x.Backoffs = []Backoff{{Node: "a"}}
	d := x.Clone()
	d.Holders[0].Lost, d.Moves[0].BytesDone, d.Backoffs[0].Failures = true, 1, 1
	if x.Holders[0].Lost || x.Moves[0].BytesDone != 0 || x.Backoffs[0].Failures != 0 {
		t.Error("a clone shares its lists")
	}
	var on []string
	for _, n := range []NodeID{"a", "b", "c"} {
		v.ChainsOn(n, func(c *Chain, h *Holder) bool { on = append(on, string(n)+string(c.ID)+h.Phase.String()); return true })
	}
	if got := strings.Join(on, " "); got != "axready bxpulling" {
		t.Errorf("chains on nodes: %s", got)
	}
}

// TestChainsOnNeighbours: a node's chains are its own although another node's
// name begins like it.
func TestChainsOnNeighbours(t *testing.T) {
	chains, held := map[ChainID]*Chain{}, map[NodeID]ChainSet{}
	for node, id := range map[NodeID]ChainID{"n": "x", "n1": "a", "n-1": "b", "m": "z"} {
		chains[id] = &Chain{ID: id, Holders: []Holder{{Node: node}}}
		held[node] = TableOf(map[ChainID]struct{}{id: {}})
	}
	v := &View{Chains: TableOf(chains), Held: TableOf(held)}
	var got []ChainID
	v.ChainsOn("n", func(c *Chain, _ *Holder) bool { got = append(got, c.ID); return true })
	if !slices.Equal(got, []ChainID{"x"}) {
		t.Errorf("chains on n: %v", got)
	}
	v.ChainsOn("o", func(c *Chain, _ *Holder) bool { t.Errorf("chain %s on a node without any", c.ID); return true })
}
