package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestWhyUnplaceable: the reasons are those of the nodes that hold no copy,
// alike ones together, the commonest first, and each names nodes. A chain that
// asks for SSDs meets nodes that lack them, are full, dead, or backed off.
func TestWhyUnplaceable(t *testing.T) {
	v, x := scene(t, Spec{Desired: 9, SizeBytes: 50, Require: []string{"ssd=true"}}, "a:ready b c d e f g h i j:pulling+lost")
	for _, id := range []NodeID{"f", "g", "h", "i"} {
		v.Node(id).Labels = Labels{{"ssd", "true"}}
	}
	v.Node("f").CapacityBytes, v.Node("g").CapacityBytes = 40, 49
	v.Node("h").State = NodeDead
	x.Backoffs = []Backoff{{"i", 1, v.Now + 1}}
	var got []string
	for _, o := range v.WhyUnplaceable(x) {
		got = append(got, fmt.Sprintf("%d %s: %s %v", o.Nodes, o.Code, o.Why, o.Examples))
	}
	want := []string{
		`4 ineligible-target: the node does not satisfy "ssd=true" [b c d]`,
		`2 over-capacity: the node has no room for one more copy of the chain [f g]`,
		`1 ineligible-target: the node is dead [h]`,
		`1 cooling: the node failed for chain x a while ago [i]`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	v, x = scene(t, Spec{}, "a:ready b")
	if got := v.WhyUnplaceable(x); len(got) != 0 {
		t.Errorf("a node may take a copy: %+v", got)
	}
}

// TestObstaclesAreBounded: however many reasons there are, the commonest are
// told. Every node lacks another first label.
func TestObstaclesAreBounded(t *testing.T) {
	v, x := scene(t, Spec{}, "a:ready b c d e f g h i j k l m")
	for id := 'b'; id <= 'l'; id++ {
		x.Spec.Require = append(x.Spec.Require, "node!="+string(id))
	}
	x.Spec.Require = append(x.Spec.Require, "node=a")
	if got := v.WhyUnplaceable(x); len(got) != ObstaclesMax || got[0].Why != `the node does not satisfy "node!=b"` {
		t.Errorf("%d reasons: %+v", len(got), got)
	}
}

// TestObstaclesAgree: a chain's health, the verdicts on its targets and the
// reasons tell one story. Random nodes are wrong in random ways.
func TestObstaclesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, usages := map[NodeID]*Node{}, map[NodeID]Usage{}
		c := &Chain{ID: "x", Spec: &Spec{Desired: rapid.IntRange(1, 5).Draw(t, "desired"), SizeBytes: 10, Require: []string{"cores>=4"}}}
		for i := range rapid.IntRange(1, 8).Draw(t, "nodes") {
			id := NodeID('a' + rune(i))
			nodes[id] = &Node{
				ID: id, State: rapid.SampledFrom([]NodeState{NodeAlive, NodeAlive, NodeAlive, NodeDead}).Draw(t, "state"),
				Eligibility: rapid.SampledFrom([]Eligibility{Eligible, Eligible, Eligible, Draining}).Draw(t, "eligibility"),
				Inventoried: true, Weight: rapid.SampledFrom([]Score{ScoreOne, ScoreOne, 0}).Draw(t, "weight"), CapacityBytes: 20,
				Capabilities: Capabilities{{Key: "cores", Number: float64(rapid.IntRange(2, 6).Draw(t, "cores")), IsNumber: true}},
			}
			usages[id] = Usage{UsedBytes: rapid.SampledFrom([]int64{0, 10, 11}).Draw(t, "used")}
			if i == 0 || rapid.IntRange(0, 3).Draw(t, "holds") == 0 {
				c.Holders = append(c.Holders, Holder{Node: id, Phase: Ready})
			}
		}
		v := &View{Now: 1, Config: DefaultConfig(), Nodes: TableOf(nodes), Usages: TableOf(usages)}
		free, stopped, able := 0, 0, 0
		for id, n := range nodes {
			verdict := v.EligibleTarget(c, id)
			if verdict.Code != v.TargetCode(c, id) {
				t.Fatalf("node %s: %v, without words %q", id, verdict, v.TargetCode(c, id))
			}
			if n.State == NodeAlive && n.Eligibility == Eligible {
				able++
			}
			switch verdict.Code {
			case AlreadyHolder:
			case Accepted:
				free++
			default:
				stopped++
			}
		}
		told := 0
		for _, o := range v.WhyUnplaceable(c) {
			told += o.Nodes
			for _, id := range o.Examples {
				if verdict := v.EligibleTarget(c, id); verdict.Code != o.Code {
					t.Fatalf("node %s is an example of %+v, and is refused %v", id, o, verdict)
				}
			}
		}
		if told != stopped {
			t.Fatalf("%d nodes are told of, %d are refused", told, stopped)
		}
		live := v.LiveCount(c)
		if want := live > 0 && live < c.Spec.Desired && v.Missing(c) > 0 && free == 0 && able >= c.Spec.Desired; (v.HealthOf(c) == HealthUnplaceable) != want {
			t.Fatalf("health %s: %d live of %d, %d nodes free, %d able", v.HealthOf(c), live, c.Spec.Desired, free, able)
		}
	})
}

// BenchmarkUnplaceable is what a chain that no node of 1,000 may take costs a
// listing: its health, and the reasons.
func BenchmarkUnplaceable(b *testing.B) {
	nodes, usages := map[NodeID]*Node{}, map[NodeID]Usage{}
	for i := range 1000 {
		id := NodeID(fmt.Sprintf("n%04d", i))
		nodes[id] = &Node{
			ID: id, State: NodeAlive, Eligibility: Eligible, Inventoried: true, Weight: ScoreOne,
			Labels: Labels{{"disk", "hdd"}, {"rack", strconv.Itoa(i / 40)}}, Capabilities: Capabilities{{Key: "cores", Number: 8, IsNumber: true}},
		}
		usages[id] = Usage{}
	}
	c := &Chain{ID: "x", Spec: &Spec{Desired: 3, Require: []string{"disk=hdd", "cores>=16"}}, Holders: []Holder{{Node: "n0001", Phase: Ready}}}
	v := &View{Config: DefaultConfig(), Nodes: TableOf(nodes), Usages: TableOf(usages)}
	b.ReportAllocs()
	for b.Loop() {
		if v.HealthOf(c) != HealthUnplaceable || len(v.WhyUnplaceable(c)) != 1 {
			b.Fatal("it can be placed")
		}
	}
}
