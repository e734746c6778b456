package holder

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Plan is what there is to do on a node, and what there is to say.
type Plan struct {
	Pulls   []Assignment // to start, the oldest epoch first
	Drops   []Copy       // to remove, by chain
	Reports []ReportItem // of duties by chain, then of discards
	Next    time.Time    // when time alone will change the plan; zero = never
}

// Diff compares what the state wants of this node with what it holds.
//
// A copy goes only by one of three rules: its duty is dropping under its epoch
// and the grace is over; a discard names its epoch and no duty does; or its
// chain's duty is ready, settled and held in the current version, and the copy
// is superseded. Whatever no rule names is kept: a copy without a duty waits
// for the state's word.
func Diff(d Duties, held []Copy, now time.Time) Plan {
	duties := slices.SortedFunc(slices.Values(d.List), func(a, b Duty) int { return cmp.Compare(a.Chain, b.Chain) })
	held = slices.SortedFunc(slices.Values(held), compareCopies)
	var p Plan
	for _, duty := range duties {
		copies := copiesOf(held, duty.Chain)
		switch duty.Phase {
		case placement.Pulling:
			p.pulling(duty, copies)
		case placement.Ready:
			p.ready(duty, copies)
		case placement.Dropping:
			p.dropping(duty, copies, now)
		}
	}
	p.discards(d.Discard, duties, held)
	slices.SortStableFunc(p.Pulls, func(a, b Assignment) int { return cmp.Compare(a.Epoch, b.Epoch) })
	slices.SortFunc(p.Drops, compareCopies)
	p.Drops = slices.Compact(p.Drops)
	return p
}

func (p *Plan) pulling(duty Duty, copies []Copy) {
	if c := current(duty, copies); c != nil {
		p.report(*c, ReportReady)
		return
	}
	// Rule S1: not from nothing. Bytes that are here under another epoch do: an
	// adopted copy gets a new epoch and may be the last one there is.
	local := slices.ContainsFunc(copies, func(c Copy) bool { return c.SHA256 == duty.SHA256() })
	if local || len(duty.Sources) > 0 || duty.First && duty.Content == nil {
		p.Pulls = append(p.Pulls, duty.Assignment)
	}
}

func (p *Plan) ready(duty Duty, copies []Copy) {
	if current(duty, copies) == nil {
		p.report(Copy{Chain: duty.Chain, Epoch: duty.Epoch, SHA256: duty.SHA256()}, ReportLost)
		return
	}
	for _, c := range copies {
		if duty.Settled && superseded(duty, c) {
			p.Drops = append(p.Drops, c)
		}
	}
}

func (p *Plan) dropping(duty Duty, copies []Copy, now time.Time) {
	mine := slices.DeleteFunc(slices.Clone(copies), func(c Copy) bool { return c.Epoch != duty.Epoch })
	switch {
	case len(mine) == 0:
		p.report(Copy{Chain: duty.Chain, Epoch: duty.Epoch}, ReportDropped)
	case duty.DropAfter.IsZero():
	case now.Before(duty.DropAfter):
		if p.Next.IsZero() || duty.DropAfter.Before(p.Next) {
			p.Next = duty.DropAfter
		}
	default:
		p.Drops = append(p.Drops, mine...)
	}
}

// discards drops what the state refused to adopt, and says so when it is gone.
// A duty under the same epoch contradicts a discard, and then the copy stays.
func (p *Plan) discards(discards []Discard, duties []Duty, held []Copy) {
	for _, d := range discards {
		i, found := slices.BinarySearchFunc(duties, d.Chain, func(duty Duty, id placement.ChainID) int { return cmp.Compare(duty.Chain, id) })
		if found && duties[i].Epoch == d.Epoch {
			continue
		}
		gone := true
		for _, c := range copiesOf(held, d.Chain) {
			if c.Epoch == d.Epoch {
				gone = false
				p.Drops = append(p.Drops, c)
			}
		}
		if gone {
			p.report(Copy{Chain: d.Chain, Epoch: d.Epoch}, ReportDropped)
		}
	}
}

func (p *Plan) report(c Copy, phase ReportPhase) {
	p.Reports = append(p.Reports, itemOf(c, phase))
}

func itemOf(c Copy, phase ReportPhase) ReportItem {
	return ReportItem{Chain: c.Chain, Epoch: c.Epoch, Phase: phase, SHA256: c.SHA256, SizeBytes: c.SizeBytes}
}

// current returns the copy that fulfils the duty: its epoch, its content.
func current(duty Duty, copies []Copy) *Copy {
	i := slices.IndexFunc(copies, func(c Copy) bool { return c.Epoch == duty.Epoch && c.SHA256 == duty.SHA256() })
	if i < 0 {
		return nil
	}
	return &copies[i]
}

// superseded tells whether c can be neither the duty's current copy nor become
// it. An older epoch cannot: Apply compares epochs for equality. Under the
// same epoch, staged bytes can until the content has moved past their base.
func superseded(duty Duty, c Copy) bool {
	switch {
	case c.Epoch != duty.Epoch:
		return c.Epoch < duty.Epoch
	case c.SHA256 == duty.SHA256():
		return false
	case c.Staged:
		return duty.Content != nil && duty.Content.Version > c.Base
	}
	return true
}

// copiesOf returns the part of sorted that belongs to chain.
func copiesOf(sorted []Copy, chain placement.ChainID) []Copy {
	at := func(id placement.ChainID, after int) int {
		i, _ := slices.BinarySearchFunc(sorted, id, func(c Copy, id placement.ChainID) int {
			return cmp.Or(cmp.Compare(c.Chain, id), after)
		})
		return i
	}
	return sorted[at(chain, 1):at(chain, -1)]
}
