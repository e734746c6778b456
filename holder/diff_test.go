package holder

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
)

// The table says for each situation of a node what Diff starts, removes and
// reports; time is in seconds.
func TestDiffTable(t *testing.T) {
	datadriven.RunTest(t, "testdata/diff.txt", func(t *testing.T, td *datadriven.TestData) string {
		now := 0
		if td.HasArg("now") {
			td.ScanArgs(t, "now", &now)
		}
		var d Duties
		var held []Copy
		for line := range strings.Lines(td.Input) {
			words := strings.Fields(line)
			switch words[0] {
			case "duty":
				d.List = append(d.List, parseDuty(t, words[1:]))
			case "discard":
				d.Discard = append(d.Discard, Discard{placement.ChainID(words[1]), placement.Epoch(number(t, words[2]))})
			case "held":
				held = append(held, parseCopy(t, words[1:]))
			default:
				t.Fatalf("unknown line %q", line)
			}
		}
		return printPlan(Diff(d, held, at(now)))
	})
}

func at(seconds int) time.Time { return time.Unix(int64(seconds), 0) }

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// parseDuty reads: chain phase epoch [sha/version] [from=n] [first] [settled] [after=s].
func parseDuty(t *testing.T, w []string) Duty {
	t.Helper()
	d := Duty{Phase: placement.Pulling}
	for d.Phase.String() != w[1] {
		d.Phase++
	}
	d.Chain, d.Epoch = placement.ChainID(w[0]), placement.Epoch(number(t, w[2]))
	for _, arg := range w[3:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "from":
			d.Sources = append(d.Sources, Source{Node: placement.NodeID(value)})
		case "first":
			d.First = true
		case "settled":
			d.Settled = true
		case "after":
			d.DropAfter = at(number(t, value))
		default:
			sha, version, _ := strings.Cut(arg, "/")
			d.Content = &placement.Content{SHA256: sha, Version: placement.Revision(number(t, version))}
		}
	}
	return d
}

// parseCopy reads: chain epoch [sha] [base=version].
func parseCopy(t *testing.T, w []string) Copy {
	t.Helper()
	c := Copy{Chain: placement.ChainID(w[0]), Epoch: placement.Epoch(number(t, w[1]))}
	for _, arg := range w[2:] {
		if base, ok := strings.CutPrefix(arg, "base="); ok {
			c.Staged, c.Base = true, placement.Revision(number(t, base))
			continue
		}
		c.SHA256 = arg
	}
	return c
}

func printPlan(p Plan) string {
	var b strings.Builder
	for _, a := range p.Pulls {
		fmt.Fprintf(&b, "pull %s %d %s\n", a.Chain, a.Epoch, shown(a.SHA256()))
	}
	for _, c := range p.Drops {
		fmt.Fprintf(&b, "drop %s %d %s\n", c.Chain, c.Epoch, shown(c.SHA256))
	}
	for _, r := range p.Reports {
		fmt.Fprintf(&b, "report %s %d %s %s\n", r.Chain, r.Epoch, r.Phase, shown(r.SHA256))
	}
	if !p.Next.IsZero() {
		fmt.Fprintf(&b, "again at %d\n", p.Next.Unix())
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func shown(sha string) string {
	if sha == "" {
		return "-"
	}
	return sha
}

// drawSituation makes duties, discards and copies over few ids, so that they
// meet often.
func drawSituation(t *rapid.T) (Duties, []Copy) {
	shas := rapid.SampledFrom([]string{"", "v1", "v2", "v3"})
	epochs := rapid.Custom(func(t *rapid.T) placement.Epoch { return placement.Epoch(rapid.IntRange(1, 4).Draw(t, "epoch")) })
	chains := rapid.SampledFrom([]placement.ChainID{"a", "b", "c"})
	duty := rapid.Custom(func(t *rapid.T) Duty {
		d := Duty{Phase: rapid.SampledFrom([]placement.Phase{placement.Pulling, placement.Ready, placement.Dropping}).Draw(t, "phase")}
		d.Chain, d.Epoch = chains.Draw(t, "chain"), epochs.Draw(t, "duty epoch")
		if sha := shas.Draw(t, "content"); sha != "" {
			d.Content = &placement.Content{SHA256: sha, Version: placement.Revision(rapid.IntRange(1, 4).Draw(t, "version"))}
		}
		if rapid.Bool().Draw(t, "source") {
			d.Sources = []Source{{Node: "n1"}}
		}
		d.First, d.Settled = rapid.Bool().Draw(t, "first"), rapid.Bool().Draw(t, "settled")
		if rapid.Bool().Draw(t, "grace") {
			d.DropAfter = at(rapid.IntRange(1, 3).Draw(t, "after"))
		}
		return d
	})
	held := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Copy {
		c := Copy{Chain: chains.Draw(t, "held chain"), Epoch: epochs.Draw(t, "held epoch"), SHA256: shas.Draw(t, "sha")}
		if c.SHA256 != "" && rapid.Bool().Draw(t, "staged") {
			c.Staged, c.Base = true, placement.Revision(rapid.IntRange(0, 4).Draw(t, "base"))
		}
		return c
	}), 0, 12, func(c Copy) Copy { c.Staged, c.Base = false, 0; return c }).Draw(t, "held")
	return Duties{
		List: rapid.SliceOfNDistinct(duty, 0, 3, func(d Duty) placement.ChainID { return d.Chain }).Draw(t, "duties"),
		Discard: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Discard {
			return Discard{chains.Draw(t, "discard chain"), epochs.Draw(t, "discard epoch")}
		}), 0, 3).Draw(t, "discards"),
	}, held
}

// No copy goes unless a committed dropping, a discard or a newer version that
// is held names it, whatever duties and copies meet; and no pull starts from
// nothing (S1).
func TestDiffDropsOnlyWhatIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, held := drawSituation(t)
		now := at(rapid.IntRange(0, 4).Draw(t, "now"))
		plan := Diff(d, held, now)
		for _, c := range plan.Drops {
			if !slices.Contains(held, c) {
				t.Fatalf("drops %+v, which is not held", c)
			}
			if !named(d, held, c, now) {
				t.Fatalf("drops %+v, which no rule names", c)
			}
		}
		for _, a := range plan.Pulls {
			here := slices.ContainsFunc(held, func(c Copy) bool { return c.Chain == a.Chain && c.SHA256 == a.SHA256() })
			if !here && len(a.Sources) == 0 && (!a.First || a.Content != nil) {
				t.Fatalf("pulls %+v from nothing", a)
			}
		}
		if diff := cmp.Diff(plan, Diff(d, held, now)); diff != "" {
			t.Fatalf("a second look differs: %s", diff)
		}
	})
}

// named is the naive wording of the three rules.
func named(d Duties, held []Copy, c Copy, now time.Time) bool {
	var duty *Duty
	for i := range d.List {
		if d.List[i].Chain == c.Chain {
			duty = &d.List[i]
		}
	}
	if duty == nil || duty.Epoch != c.Epoch {
		if slices.Contains(d.Discard, Discard{c.Chain, c.Epoch}) {
			return true
		}
	}
	if duty == nil {
		return false
	}
	if duty.Phase == placement.Dropping {
		return duty.Epoch == c.Epoch && !duty.DropAfter.IsZero() && !now.Before(duty.DropAfter)
	}
	holdsCurrent := slices.ContainsFunc(held, func(h Copy) bool {
		return h.Chain == c.Chain && h.Epoch == duty.Epoch && h.SHA256 == duty.SHA256()
	})
	if duty.Phase != placement.Ready || !duty.Settled || !holdsCurrent || c.Epoch > duty.Epoch {
		return false
	}
	if c.Epoch < duty.Epoch {
		return true
	}
	mayStillBeCommitted := c.Staged && (duty.Content == nil || duty.Content.Version <= c.Base)
	return c.SHA256 != duty.SHA256() && !mayStillBeCommitted
}
