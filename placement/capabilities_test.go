package placement

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestNumbers: what reads as a finite decimal number or size is one, and
// nothing else is: each text is compared by its value, as people may have
// written it into a label.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		text string
		want float64
		ok   bool
	}{
		{"0", 0, true},
		{"-0", 0, true},
		{"8", 8, true},
		{"+8", 8, true},
		{"-8.5", -8.5, true},
		{".5", 0.5, true},
		{"1e3", 1000, true},
		{"1E-3", 0.001, true},
		{"1e308", 1e308, true},
		{"5e-324", 5e-324, true},
		{"1KB", 1000, true},
		{"1kB", 1000, true},
		{"1.5MB", 1.5e6, true},
		{"2GB", 2e9, true},
		{"3TB", 3e12, true},
		{"1KiB", 1 << 10, true},
		{"1MiB", 1 << 20, true},
		{"16GiB", 16 << 30, true},
		{"1.5TiB", 1.5 * (1 << 40), true},
		{"18446744073709551616", 1 << 64, true},
		{"", 0, false},
		{"-", 0, false},
		{".", 0, false},
		{"e", 0, false},
		{"e5", 0, false},
		{"NaN", 0, false},
		{"nan", 0, false},
		{"inf", 0, false},
		{"-Inf", 0, false},
		{"Infinity", 0, false},
		{"0x10", 0, false},
		{"0b1", 0, false},
		{"1_000", 0, false},
		{"1e309", 0, false},
		{"-1e999", 0, false},
		{"1e300TiB", 0, false},
		{strings.Repeat("9", 400), 0, false},
		{"8 GiB", 0, false},
		{" 8", 0, false},
		{"8\n", 0, false},
		{"8B", 0, false},
		{"8PiB", 0, false},
		{"8Gi", 0, false},
		{"8gib", 0, false},
		{"GiB", 0, false},
		{"iB", 0, false},
		{"B", 0, false},
		{"2024-01-01", 0, false},
		{"٣", 0, false},
	} {
		got, ok := parseNumber(c.text)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%.40q: %v, %t; want %v, %t", c.text, got, ok, c.want, c.ok)
		}
		// A node whose label reads so satisfies exactly one side of a comparison
		// with its own value, or neither side of any.
		n := &Node{Labels: Labels{{"k", c.text}}}
		if low, high := n.Matches("k<=0"), n.Matches("k>0"); (low || high) != c.ok || low && high {
			t.Errorf("label %.40q: at most 0 %t, above 0 %t", c.text, low, high)
		}
	}
}

// TestCapabilities: they have one form, in order and without surprises, come
// back as they were, and their limits are told by name.
func TestCapabilities(t *testing.T) {
	got, err := CapabilitiesOf(map[string]any{"gpu": "a100", "cores": 8, "free": math.Copysign(0, -1), "disk_bytes": int64(1 << 40), "memory_bytes": uint64(1 << 35)})
	want := Capabilities{
		{Key: "cores", Number: 8, IsNumber: true},
		{Key: "disk_bytes", Number: 1 << 40, IsNumber: true},
		{Key: "free", IsNumber: true},
		{Key: "gpu", Text: "a100"},
		{Key: "memory_bytes", Number: 1 << 35, IsNumber: true},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if math.Signbit(got[2].Number) {
		t.Error("a negative zero is kept")
	}
	back, err := CapabilitiesOf(got.Map())
	if diff := cmp.Diff(got, back); diff != "" || err != nil {
		t.Errorf("through a map: %v\n%s", err, diff)
	}
	if Capabilities(nil).Map() == nil {
		t.Error("no map without capabilities")
	}
	if c, ok := got.Get("gpu"); !ok || c.Text != "a100" {
		t.Errorf("gpu: %+v, %t", c, ok)
	}
	if c, ok := got.Get("gp"); ok || c != (Capability{}) {
		t.Errorf("gp: %+v", c)
	}
	many := map[string]any{}
	for i := range CapabilitiesMax + 1 {
		many["k"+strings.Repeat("x", i)] = i
	}
	for name, m := range map[string]map[string]any{
		"too many": many, "no type of a value": {"k": true}, "nothing": {"k": nil}, "no key": {"": 1}, "an odd key": {"a b": 1},
		"not a number": {"k": math.NaN()}, "infinite": {"k": math.Inf(1)}, "a long text": {"k": strings.Repeat("x", LabelLengthMax+1)}, "control": {"k": "a\nb"},
	} {
		if _, err := CapabilitiesOf(m); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, l := range []Capabilities{{{Key: "b"}, {Key: "a"}}, {{Key: "a"}, {Key: "a", IsNumber: true}}} {
		if l.Check() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}

// TestParseCapability: numbers and sizes are numbers, everything else, and what
// is quoted, is a text: each word is read as on the command line.
func TestParseCapability(t *testing.T) {
	for word, want := range map[string]Capability{
		"cores=8":        {Key: "cores", Number: 8, IsNumber: true},
		"ratio=-0.5":     {Key: "ratio", Number: -0.5, IsNumber: true},
		"ssd_bytes=2TiB": {Key: "ssd_bytes", Number: 2 << 40, IsNumber: true},
		"gpu=a100":       {Key: "gpu", Text: "a100"},
		"gpu=":           {Key: "gpu"},
		`model="8"`:      {Key: "model", Text: "8"},
		`model="a\"b"`:   {Key: "model", Text: `a"b`},
		"x=NaN":          {Key: "x", Text: "NaN"},
		"x=inf":          {Key: "x", Text: "inf"},
		"x=0x10":         {Key: "x", Text: "0x10"},
		"x=a=b":          {Key: "x", Text: "a=b"},
	} {
		if got, err := ParseCapability(word); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", word, got, err, want)
		}
	}
	for _, word := range []string{"", "cores", "=8", "a b=8", `x="`, `x="a`, `x="a" b`, `x="\n"`, "x=a\nb", "x=\xff"} {
		if got, err := ParseCapability(word); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %+v, %v", word, got, err)
		}
	}
}

// TestPeers: other chains are named by one of their labels or by id, and in no
// other way; each form is tried on one chain.
func TestPeers(t *testing.T) {
	x := &Chain{ID: "x", Spec: &Spec{Labels: Labels{{"chain", "no"}, {"empty", ""}, {"team", "red=blue"}}}}
	for expr, want := range map[string]bool{
		"team=red=blue": true, "team=red": false, "empty=": true, "empty=1": false, "other=": false, "chain=x": true, "chain=no": false,
	} {
		if err := CheckPeer(expr); err != nil {
			t.Errorf("%q: %v", expr, err)
		}
		if got := PeerMatches(expr, x); got != want {
			t.Errorf("%q matches: %t, want %t", expr, got, want)
		}
	}
	for _, expr := range []string{"", "team", "!team", "=v", "chain=", "chain=../x", "team!=red", "team>=1", "a b=c", "k=a\nb", "k=" + strings.Repeat("x", LabelLengthMax+1)} {
		if err := CheckPeer(expr); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v", expr, err)
		}
		if expr == "team" || expr == "" {
			if PeerMatches(expr, x) {
				t.Errorf("%q matches", expr)
			}
		}
	}
}

// TestComparisonsAgree: of two numbers, one is below, equal to or above the
// other, whether they stand in a capability or in a label, and however a limit
// is written. Random pairs, often equal, are compared in every way.
func TestComparisonsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.OneOf(rapid.Float64Range(-1e308, 1e308), rapid.Float64Range(-4, 4), rapid.Map(rapid.IntRange(-2, 2), func(i int) float64 { return float64(i) })).Draw(t, "x")
		limit := rapid.OneOf(rapid.Just(x), rapid.Float64Range(-4, 4), rapid.Float64Range(-1e308, 1e308)).Draw(t, "limit")
		form := rapid.SampledFrom([]byte("efgG")).Draw(t, "form")
		text := strconv.FormatFloat(limit, form, -1, 64)
		if len(text) > LabelLengthMax {
			t.Skip("longer than a label may be")
		}
		for _, n := range []*Node{
			{Capabilities: Capabilities{{Key: "k", Number: x, IsNumber: true}}},
			{Labels: Labels{{"k", strconv.FormatFloat(x, 'g', -1, 64)}}},
		} {
			for expr, want := range map[string]bool{
				"k<" + text: x < limit, "k<=" + text: x <= limit, "k>" + text: x > limit, "k>=" + text: x >= limit,
			} {
				if err := CheckExpression(expr); err != nil {
					t.Fatal(err)
				}
				if got := n.Matches(expr); got != want {
					t.Fatalf("%v with %s: %t, want %t", x, expr, got, want)
				}
			}
		}
	})
}

// FuzzExpression: no text makes an expression panic, and what is accepted means
// the same on every node, a key and its absence being opposites.
func FuzzExpression(f *testing.F) {
	for _, expr := range []string{"", "!", "k", "!k", "k=v", "k!=v", "k>=16GiB", "k<NaN", "=>", "zone<=-0", "k>1e999", "B", "k<iB"} {
		f.Add(expr, "8")
	}
	f.Fuzz(func(t *testing.T, expr, value string) {
		n := &Node{ID: "n1", Zone: value, Labels: Labels{{"k", value}}, Capabilities: Capabilities{{Key: "c", Text: value}}}
		got := n.Matches(expr)
		if CheckPeer(expr) == nil {
			PeerMatches(expr, &Chain{ID: "x", Spec: &Spec{Labels: n.Labels}})
		}
		if CheckExpression(expr) != nil {
			return
		}
		if opposite := "!" + expr; CheckExpression(opposite) == nil && n.Matches(opposite) == got {
			t.Errorf("%q and %q are both %t with the value %q", expr, opposite, got, value)
		}
	})
}

// TestMatchesAllocatesNothing: expressions are asked per chain and node for a
// million chains. Each form is matched and the allocations are counted.
func TestMatchesAllocatesNothing(t *testing.T) {
	n := &Node{ID: "n1", Zone: "east", Labels: Labels{{"disk", "ssd"}, {"rack", "7"}}, Capabilities: Capabilities{{Key: "memory_bytes", Number: 1 << 34, IsNumber: true}}}
	for _, expr := range []string{"disk=ssd", "!disk", "zone!=west", "rack<8", "memory_bytes>=16GiB", "disk>=8", "gpu>1"} {
		if got := testing.AllocsPerRun(100, func() { n.Matches(expr) }); got != 0 {
			t.Errorf("%s: %v allocations", expr, got)
		}
	}
}

// BenchmarkMatches is what one required expression costs per chain and node.
func BenchmarkMatches(b *testing.B) {
	labels := Labels{}
	for _, k := range []string{"arch", "disk", "kernel", "os", "rack", "row"} {
		labels = append(labels, Label{k, "value"})
	}
	n := &Node{ID: "n1", Zone: "east", Labels: labels, Capabilities: Capabilities{
		{Key: "cores", Number: 8, IsNumber: true}, {Key: "disk_bytes", Number: 1 << 40, IsNumber: true}, {Key: "memory_bytes", Number: 1 << 34, IsNumber: true},
	}}
	for _, expr := range []string{"zone=east", "disk=value", "disk!=hdd", "cores>=8", "memory_bytes>=16GiB"} {
		b.Run(expr, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !n.Matches(expr) {
					b.Fatal("no match")
				}
			}
		})
	}
}
