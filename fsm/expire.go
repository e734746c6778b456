package fsm

import (
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// expire ends what cluster time has ended: remembered answers, a freeze, a
// repair pause, queued forced moves, tombstones, drains past their deadline.
func (s *state) expire() {
	s.expireRequests()
	if s.freezing != nil && s.freezing.Until != placement.Never && s.now >= s.freezing.Until {
		s.freezing = nil
		s.touchConfig()
	}
	if s.pause != nil && s.now >= s.pause.Until {
		s.pause = nil
		s.touchConfig()
	}
	late := func(f placement.Forced) bool { return s.now >= f.Expires }
	if slices.ContainsFunc(s.forced, late) {
		s.forced = slices.DeleteFunc(slices.Clone(s.forced), late)
		s.draw()
	}
	if second := s.now / placement.Time(time.Second); second != s.swept {
		s.swept = second
		s.sweep()
	}
}

// sweep ends, at most once a second of cluster time, tombstones, drains and
// the quarantine of nodes.
func (s *state) sweep() {
	for {
		at, id, ok := s.endings.Min()
		if !ok {
			break
		}
		if tomb, _ := s.tombstones.Get(id); s.now < tomb.Expires {
			break
		}
		s.endings.Delete(at)
		s.tombstones.Delete(id)
	}
	var late []*placement.Node
	s.nodes.Scan(func(_ placement.NodeID, n *placement.Node) bool {
		if n.Eligibility == placement.Draining && n.DrainDeadline != placement.Never && s.now >= n.DrainDeadline {
			late = append(late, n)
		}
		return true
	})
	for _, old := range late {
		n := *old
		n.Eligibility, n.DrainDeadline = placement.DrainFailed, placement.Never
		s.putNode(&n)
	}
	for _, old := range s.calmed() {
		n := *old
		n.Eligibility, n.Falls = placement.Eligible, nil
		s.putNode(&n)
	}
}
