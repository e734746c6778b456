package fsm

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/placement"
)

// sumsAndLists draws what a view derives per node.
func sumsAndLists(v *View) []string {
	var out []string
	v.Usages.Ascend("", func(n placement.NodeID, u placement.Usage) bool {
		out = append(out, fmt.Sprintf("%s %+v", n, u))
		return true
	})
	v.Held.Ascend("", func(n placement.NodeID, on placement.ChainSet) bool {
		on.Ascend("", func(id placement.ChainID, _ struct{}) bool {
			out = append(out, fmt.Sprintf("%s holds %s", n, id))
			return true
		})
		return true
	})
	return append(out, fmt.Sprintf("%d %d", v.Usages.Len(), v.Held.Len()))
}

// TestViewsKeepSumsAndLists: what a view derives per node is that of its
// moment, and at each moment what a restore of its chains comes to. Chains are
// put, copied, moved and deleted, until their nodes hold nothing.
func TestViewsKeepSumsAndLists(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d")
	var views []*View
	var was [][]string
	look := func() {
		t.Helper()
		v := r.m.View()
		views, was = append(views, v), append(was, sumsAndLists(v))
		if diff := cmp.Diff(sumsAndLists(restored(t, viewBytes(t, v))), sumsAndLists(v)); diff != "" {
			t.Fatalf("per node (-restored +grown):\n%s", diff)
		}
	}
	look()
	for i := range 80 { // more than a node of the tree has room for
		id := placement.ChainID(fmt.Sprintf("c%02d", i))
		r.do(NewPutChain(id, placement.Spec{Desired: 2, SizeBytes: int64(i + 1)}))
		for _, n := range []placement.NodeID{"a", "b"} {
			r.do(r.assign(id, n))
			if i%9 == 0 {
				look()
			}
			r.ready(id, n)
		}
		if i%5 == 0 {
			r.pass(time.Second)
			r.do(r.move(placement.CauseBalance, id, "b", "c"))
			look()
			r.ready(id, "c")
			look()
			r.dropped(id, "b")
		}
		look()
	}
	for i := range 80 {
		r.do(&DeleteChain{Chain: placement.ChainID(fmt.Sprintf("c%02d", i))})
	}
	look()
	if n := r.m.View().Usages.Len(); n != 0 {
		t.Errorf("%d nodes are listed that hold nothing", n)
	}
	for i, v := range views {
		if diff := cmp.Diff(was[i], sumsAndLists(v)); diff != "" {
			t.Fatalf("view %d was and is (-was +is):\n%s", i, diff)
		}
	}
}
