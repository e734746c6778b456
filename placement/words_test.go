package placement

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestIDs: an id is never a path, a flag or a control sequence (rule S6). Each
// row is parsed as a chain id and as a node id.
func TestIDs(t *testing.T) {
	for _, c := range []struct {
		id          string
		chain, node bool
	}{
		{"a", true, true},
		{"9", true, true},
		{"A.b_c-9", true, true},
		{strings.Repeat("x", 64), true, true},
		{strings.Repeat("x", 65), true, false},
		{strings.Repeat("x", 128), true, false},
		{strings.Repeat("x", 129), false, false},
		{"", false, false},
		{".", false, false},
		{"..", false, false},
		{"-x", false, false},
		{"_x", false, false},
		{"a/b", false, false},
		{"a\\b", false, false},
		{"a b", false, false},
		{"a\x00b", false, false},
		{"a\n", false, false},
		{"ä", false, false},
		{"a\xff", false, false},
	} {
		chain, err := ParseChainID(c.id)
		if (err == nil) != c.chain || c.chain && string(chain) != c.id {
			t.Errorf("chain id %q: %q, %v", c.id, chain, err)
		}
		node, err := ParseNodeID(c.id)
		if (err == nil) != c.node || c.node && string(node) != c.id {
			t.Errorf("node id %q: %q, %v", c.id, node, err)
		}
		if err != nil && (len(err.Error()) > 250 || strings.ContainsAny(err.Error(), "\n\x00")) {
			t.Errorf("node id %q: unfit for one line: %q", c.id, err)
		}
	}
}

// TestScores: what is no finite number is no opinion; everything else is
// within 0 to 1, in millionths, so that equal differences compare as equal.
func TestScores(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want Score
		ok   bool
		text string
	}{
		{0, 0, true, "0"},
		{math.Copysign(0, -1), 0, true, "0"},
		{1, ScoreOne, true, "1"},
		{0.5, 500_000, true, "0.5"},
		{0.1234567, 123_457, true, "0.123457"},
		{0.0000004, 0, true, "0"},
		{0.0000005, 1, true, "0.000001"},
		{0.9999999, ScoreOne, true, "1"},
		{5e-324, 0, true, "0"},
		{-1, 0, true, "0"},
		{-1e308, 0, true, "0"},
		{1e308, ScoreOne, true, "1"},
		{math.NaN(), NoScore, false, "-"},
		{math.Inf(1), NoScore, false, "-"},
		{math.Inf(-1), NoScore, false, "-"},
	} {
		got, ok := ScoreOf(c.f)
		if got != c.want || ok != c.ok || got.String() != c.text {
			t.Errorf("%v: %d (%s), %t; want %d (%s), %t", c.f, got, got, ok, c.want, c.text, c.ok)
		}
	}
	diff := func(a, b float64) Score {
		x, _ := ScoreOf(a)
		y, _ := ScoreOf(b)
		return x - y
	}
	if diff(0.9, 0.7) != diff(0.6, 0.4) {
		t.Error("0.9−0.7 and 0.6−0.4 differ")
	}
	if NoScore.Float() != 0 {
		t.Error("no score counts as more than nothing")
	}
}

// TestTime: what never happened stays so, whatever is added to it.
func TestTime(t *testing.T) {
	if got := Never.Add(time.Hour); got != Never {
		t.Errorf("an hour after never is %d", got)
	}
	at := Time(90 * time.Second)
	if got := at.Add(time.Second).Sub(at); got != time.Second || at.Seconds() != 90 {
		t.Errorf("%v later, %v s", got, at.Seconds())
	}
}

// TestLabels: labels have one form, in order and without surprises, and their
// limits are told by name.
func TestLabels(t *testing.T) {
	got, err := LabelsOf(map[string]string{"b": "2", "a": "1", "c": ""})
	if diff := cmp.Diff(Labels{{"a", "1"}, {"b", "2"}, {"c", ""}}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if v, ok := got.Get("b"); v != "2" || !ok {
		t.Errorf("b is %q, %t", v, ok)
	}
	if v, ok := got.Get("c"); v != "" || !ok {
		t.Errorf("c is %q, %t", v, ok)
	}
	if _, ok := got.Get("d"); ok {
		t.Error("d is there")
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2", "c": ""}, got.Map()); diff != "" || Labels(nil).Map() == nil {
		t.Errorf("as a map:\n%s", diff)
	}
	many := map[string]string{}
	for i := range LabelsMax + 1 {
		many["k"+strings.Repeat("x", i)] = ""
	}
	if _, err := LabelsOf(many); err == nil {
		t.Errorf("%d labels are accepted", len(many))
	}
	long := strings.Repeat("x", LabelLengthMax)
	for _, c := range []struct {
		labels Labels
		ok     bool
	}{
		{nil, true},
		{Labels{{long, long}}, true},
		{Labels{{long + "x", ""}}, false},
		{Labels{{"k", long + "x"}}, false},
		{Labels{{"", "v"}}, false},
		{Labels{{"k", "a\nb"}}, false},
		{Labels{{"k", "a\x7f"}}, false},
		{Labels{{"k", "\u0085"}}, false},
		{Labels{{"k", "\xff"}}, false},
		{Labels{{"k", "schön"}}, true},
		{Labels{{"b", ""}, {"a", ""}}, false},
		{Labels{{"a", ""}, {"a", ""}}, false},
	} {
		if err := c.labels.Check(); (err == nil) != c.ok {
			t.Errorf("%.60q: %v", c.labels, err)
		}
	}
}

// TestExpressions: each form of a label expression is matched against one node,
// and what is none is refused.
func TestExpressions(t *testing.T) {
	n := &Node{ID: "n1", Zone: "east", Labels: Labels{{"disk", "ssd"}, {"empty", ""}, {"node-class", "big"}, {"rack", "7"}}}
	n.Capabilities = Capabilities{
		{Key: "cores", Number: 8, IsNumber: true},
		{Key: "gpu-model", Text: "a100"},
		{Key: "memory_bytes", Number: 16 << 30, IsNumber: true},
		{Key: "rack", Number: 99, IsNumber: true},
		{Key: "temperature", Number: -4.5, IsNumber: true},
	}
	for _, c := range []struct {
		expr string
		want bool
	}{
		{"disk", true},
		{"!disk", false},
		{"disk=ssd", true},
		{"disk=hdd", false},
		{"disk!=ssd", false},
		{"disk!=hdd", true},
		{"gpu", false},
		{"!gpu", true},
		{"gpu=a", false},
		{"gpu!=a", true},
		{"gpu=", false},
		{"empty", true},
		{"empty=", true},
		{"empty!=", false},
		{"zone=east", true},
		{"zone!=east", false},
		{"zone", true},
		{"node=n1", true},
		{"node!=n1", false},
		{"!node", false},
		{"disk=ss=d", false},
		{"disk=a>b", false},
		{"node-class>=1", false},
		{"cores>=8", true},
		{"cores>8", false},
		{"cores>7.5", true},
		{"cores<=8", true},
		{"cores<8", false},
		{"cores<8.5", true},
		{"cores", true},
		{"!cores", false},
		{"cores=8", true},
		{"cores=8.0", true},
		{"cores=eight", false},
		{"cores!=8", false},
		{"cores!=eight", true},
		{"memory_bytes>=16GiB", true},
		{"memory_bytes>16GiB", false},
		{"memory_bytes>=17GB", true},
		{"memory_bytes>=18GB", false},
		{"memory_bytes<1TiB", true},
		{"memory_bytes>=1e9", true},
		{"gpu-model=a100", true},
		{"gpu-model!=a100", false},
		{"gpu-model>=1", false},
		{"gpu-model<1", false},
		{"rack>=7", true}, // a label, although a capability has the same key
		{"rack>=8", false},
		{"rack=7", true},
		{"rack=7.0", false},
		{"temperature<0", true},
		{"nothing>=0", false},
		{"nothing<=0", false},
		{"nothing!=0", true},
		{"empty<=0", false},
		{"empty>=0", false},
	} {
		if err := CheckExpression(c.expr); err != nil {
			t.Errorf("%q: %v", c.expr, err)
		}
		if got := n.Matches(c.expr); got != c.want {
			t.Errorf("%q matches: %t, want %t", c.expr, got, c.want)
		}
	}
	if (&Node{}).Matches("zone") || !(&Node{}).Matches("!zone") {
		t.Error("a node without a zone has one")
	}
	long := strings.Repeat("x", LabelLengthMax+1)
	for _, expr := range []string{
		"", "!", "=v", "!=v", "!!k", "!k=v", "k v", "a=b!=c", "-k", long, "k=" + long, "k=a\nb",
		"k>", "k>=", "k<x", "k>=NaN", "k>=inf", "k<=-Inf", "k>0x10", "k>1e999", "k>1e308TiB", "k>8 GiB", "k>GiB", "k>1_000", "k>8XiB", "k>8B", "k>=8=9", ">8", "k=>8", "k=<8", "k!>8", "k>8\n",
	} {
		if CheckExpression(expr) == nil {
			t.Errorf("%.40q is accepted", expr)
		}
	}
}

// TestUsage: taking away what was added leaves nothing, in every field.
func TestUsage(t *testing.T) {
	u := Usage{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	if got := u.Add(u.Neg()); got != (Usage{}) {
		t.Errorf("left: %+v", got)
	}
	if got := u.Add(u); got != (Usage{2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22}) {
		t.Errorf("twice: %+v", got)
	}
}

// TestTable: a table is in key order and starts where it is told to.
func TestTable(t *testing.T) {
	table := TableOf(map[string]int{"c": 3, "a": 1, "b": 2})
	visit := func(pivot string, stop int) (keys []string) {
		table.Ascend(pivot, func(k string, _ int) bool { keys = append(keys, k); return len(keys) < stop })
		return keys
	}
	for _, c := range []struct {
		pivot string
		stop  int
		want  string
	}{{"", 9, "abc"}, {"b", 9, "bc"}, {"bb", 9, "c"}, {"d", 9, ""}, {"", 2, "ab"}} {
		if got := strings.Join(visit(c.pivot, c.stop), ""); got != c.want {
			t.Errorf("from %q: %q, want %q", c.pivot, got, c.want)
		}
	}
	if v, ok := table.Get("b"); v != 2 || !ok || table.Len() != 3 {
		t.Errorf("b is %d, %t; length %d", v, ok, table.Len())
	}
	if _, ok := table.Get("x"); ok {
		t.Error("x is there")
	}
	if _, ok := (Facts{}).Sample("a"); ok {
		t.Error("nothing is known, and there is a sample")
	}
	if s, ok := (Facts{Samples: TableOf(map[NodeID]Sample{"a": {Load: 2}})}).Sample("a"); !ok || s.Load != 2 {
		t.Errorf("sample %+v, %t", s, ok)
	}
}

// TestReasonAndVerdict print as one line.
func TestReasonAndVerdict(t *testing.T) {
	if got := (Reason{Name: ReasonDraining}).String() + "; " + (Reason{ReasonForced, "by hand"}).String(); got != "draining; forced: by hand" {
		t.Errorf("reasons: %s", got)
	}
	if v := Refuse(Cooling, "%d s", 5); v.OK() || v.Detail != "5 s" || !(Verdict{}).OK() {
		t.Errorf("verdict %+v", v)
	}
}
