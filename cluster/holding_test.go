package cluster

import (
	"testing"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// A long report is cut where a chain ends, so that every part of an inventory
// is complete for the chains it speaks of.
func TestCut(t *testing.T) {
	items := make([]holder.ReportItem, reportPartMax+5)
	for i := range items {
		items[i].Chain = "a"
		if i >= reportPartMax+2 {
			items[i].Chain = placement.ChainID("b")
		}
	}
	if got := cut(items); got != reportPartMax+2 {
		t.Errorf("cut at %d, want %d, where chain b begins", got, reportPartMax+2)
	}
	if got := cut(items[:7]); got != 7 {
		t.Errorf("7 items cut at %d", got)
	}
}
