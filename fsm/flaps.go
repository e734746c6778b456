package fsm

import (
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// When a node flaps (rule S18), in cluster time.
const (
	flapsMax   = 5                // falls within the window that quarantine a node
	flapWindow = 10 * time.Minute // and how long it must not fall for that to end
)

// fell notes that a node which was alive has failed a probe or begun a new run.
// One that falls again and again is quarantined: it is given no copy until it
// has been calm, or an operator says otherwise. An operator's word stands, and
// so many nodes at once are no flapping nodes but a network or a leader that is.
func (t *tx) fell(n *placement.Node) {
	if n.Eligibility != placement.Eligible && n.Eligibility != placement.NodeQuarantined {
		return
	}
	falls := slices.DeleteFunc(slices.Clone(n.Falls), func(at placement.Time) bool { return t.now.Sub(at) >= flapWindow })
	falls = append(falls, t.now)
	n.Falls = falls[max(len(falls)-flapsMax, 0):]
	if len(n.Falls) == flapsMax && n.Eligibility == placement.Eligible && t.mayQuarantine() {
		n.Eligibility = placement.NodeQuarantined
	}
}

// mayQuarantine tells whether at most a third of the members, but one in any
// case, would be quarantined with one more.
func (t *tx) mayQuarantine() bool {
	members, quarantined := 0, 0
	t.nodes.Scan(func(_ placement.NodeID, n *placement.Node) bool {
		if n.State != placement.NodeLeft {
			members++
		}
		if n.Eligibility == placement.NodeQuarantined {
			quarantined++
		}
		return true
	})
	return quarantined+1 <= max(members/3, 1)
}

// calmed returns the quarantined nodes that have been alive, and have not been
// quarantined by anybody, for the window.
func (s *state) calmed() []*placement.Node {
	var calm []*placement.Node
	s.nodes.Scan(func(_ placement.NodeID, n *placement.Node) bool {
		since := n.Since
		for _, at := range n.Falls {
			since = max(since, at)
		}
		if n.Eligibility == placement.NodeQuarantined && n.State == placement.NodeAlive && s.now.Sub(since) >= flapWindow {
			calm = append(calm, n)
		}
		return true
	})
	return calm
}
