package fsm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
)

// TestRing: a ring has what a slice would have, and a copy of it goes on to
// show what it had. Long runs of pushes and pops go to both, and copies are
// kept aside.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[int]
		var want []placement.Revision
		type kept struct {
			ring ring[int]
			want []placement.Revision
		}
		var views []kept
		last := placement.Revision(0)
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			for range rapid.IntRange(0, 2*ringBlock).Draw(t, "pushes") {
				last += 1 + last%3
				r.push(last, int(last)*2)
				want = append(want, last)
			}
			views = append(views, kept{r, slices.Clone(want)})
			for range rapid.IntRange(0, len(want)).Draw(t, "pops") {
				if got := r.pop(); got != want[0] {
					t.Fatalf("popped %d, want %d", got, want[0])
				}
				want = want[1:]
			}
			views = append(views, kept{r, slices.Clone(want)})
		}
		for _, v := range views {
			var got []placement.Revision
			for i := range v.ring.len() {
				e := v.ring.at(i)
				if x := v.ring.get(e.revision); x == nil || *x != int(e.revision)*2 || v.ring.from(e.revision) != i {
					t.Fatalf("revision %d at %d: found %v", e.revision, i, x)
				}
				got = append(got, e.revision)
			}
			if !slices.Equal(got, v.want) {
				t.Fatalf("%d entries, want %d", len(got), len(v.want))
			}
			if v.ring.get(last+1) != nil {
				t.Fatal("an entry that was never there")
			}
		}
	})
}
