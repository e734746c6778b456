package simulator

import (
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// gauge measures a run.
type gauge struct {
	w       *world
	pending int                // events and drains that are still to come
	read    placement.Revision // of the history
	active  placement.Time     // when something last happened or was decided
	evented placement.Time     // when the last event happened
	uneven  placement.Time     // when it last was not even
	lacking placement.Time     // when a chain last lacked a copy

	moves, calledOff [causesCount]int
	surplus          int
	bytes            int64
	load             float64 // of the moved copies
	refusals         []Refusal
	peak             Peak
	events           []Mark
	before           int // moves before the last event
	samples          []Sample

	changes  int                          // events and steps of drains so far
	opened   map[placement.ChainID]int    // changes when the chain's rebalance opened
	left     map[placement.ChainID][]exit // where balance has moved the chain from
	returns  int
	returned int // after a change

	segment *fsm.View // the state when the present segment began
	bound   work
}

// exit is one balance move, seen from its victim: the copy that left node is on
// copy now, or on its way there.
type exit struct {
	node    placement.NodeID
	copy    placement.NodeID
	at      placement.Time
	changes int
}

// Limits of what is looked for.
const (
	quietCooldowns  = 3
	returnCooldowns = 10
	cooldownLeast   = time.Minute // counts where the scenario's is shorter
)

// begin forgets the setup.
func (g *gauge) begin() {
	w := g.w
	*g = gauge{
		w: w, pending: g.pending, read: w.machine.View().Decided(), active: w.now, evented: w.now, uneven: w.now, lacking: w.now,
		opened: map[placement.ChainID]int{}, left: map[placement.ChainID][]exit{},
	}
	g.openSegment()
	g.sample()
}

// quiet tells whether nothing has been decided for three cooldowns, and
// nothing is left that could change that.
func (g *gauge) quiet() bool {
	cooldown := max(g.w.machine.View().Config.Cooldown, cooldownLeast)
	return g.pending == 0 && g.w.now.Sub(g.active) >= quietCooldowns*cooldown
}

// mark begins the time after an event.
func (g *gauge) mark(name string) {
	g.active, g.evented, g.uneven, g.lacking = g.w.now, g.w.now, g.w.now, g.w.now
	g.events = append(g.events, Mark{Seconds: g.seconds(g.w.now), Name: name})
	g.before = countsOf(g.moves).Total
}

// endMark says what came of the last event, before the next.
func (g *gauge) endMark() {
	if len(g.events) == 0 {
		return
	}
	m := &g.events[len(g.events)-1]
	v := g.w.machine.View()
	loads := loadsOf(v)
	m.Moves = countsOf(g.moves).Total - g.before
	m.EvenSeconds = g.since(g.uneven, m.Seconds, loads.even(v))
	m.RefillSeconds = g.since(g.lacking, m.Seconds, g.w.watch.under == 0)
}

// since returns the seconds from begin to t, null if what is asked for does
// not hold.
func (g *gauge) since(t placement.Time, begin float64, holds bool) *float64 {
	if !holds {
		return nil
	}
	s := max(g.seconds(t)-begin, 0)
	return &s
}

func (g *gauge) seconds(t placement.Time) float64 {
	return float64(t.Sub(g.w.start).Round(time.Millisecond).Milliseconds()) / 1000
}

func (g *gauge) refused(code placement.Code) {
	i := slices.IndexFunc(g.refusals, func(r Refusal) bool { return r.Code >= string(code) })
	if i < 0 {
		i = len(g.refusals)
	}
	if i == len(g.refusals) || g.refusals[i].Code != string(code) {
		g.refusals = slices.Insert(g.refusals, i, Refusal{Code: string(code)})
	}
	g.refusals[i].Count++
}

// decided takes in what the history has gained.
func (g *gauge) decided() {
	var records []*placement.Record
	g.w.machine.View().Decisions(0, func(r *placement.Record) bool {
		if r.Revision <= g.read {
			return false
		}
		records = append(records, r)
		return true
	})
	for _, r := range slices.Backward(records) {
		g.read = r.Revision
		if r.Verdict == placement.Accepted && !g.w.instant {
			g.active = g.w.now
			g.record(r)
		}
	}
	x := &g.w.watch
	open := 0
	for _, n := range x.open {
		open += n
	}
	if x.under > 0 {
		g.lacking = g.w.now
	}
	g.peak = Peak{max(g.peak.Open, open), max(g.peak.Under, x.under), max(g.peak.Unavailable, x.unavailable)}
}

func (g *gauge) record(r *placement.Record) {
	d := &r.Decision
	switch d.Kind {
	case placement.KindOpenMove:
		g.opened[d.Chain] = g.changes
	case placement.KindComplete:
		g.moves[causeIndex(d.Cause)]++
		if c := g.w.machine.View().Chain(d.Chain); c != nil {
			g.bytes += c.SizeBytes()
			g.load += float64(c.Spec.Weight)
		}
		if d.Cause == placement.CauseBalance && d.From != "" {
			g.moved(r)
		}
	case placement.KindCallOff:
		g.calledOff[causeIndex(d.Cause)]++
	case placement.KindDrop:
		g.surplus++
	default:
	}
}

// moved looks whether a balance move took a copy back to where balance had
// moved it from.
func (g *gauge) moved(r *placement.Record) {
	d := &r.Decision
	window := returnCooldowns * max(g.w.machine.View().Config.Cooldown, cooldownLeast)
	list := slices.DeleteFunc(g.left[d.Chain], func(e exit) bool { return r.At.Sub(e.at) >= window })
	for i := range list {
		e := &list[i]
		if e.copy != d.From {
			continue
		}
		e.copy = d.To
		switch {
		case e.node != d.To:
		case e.changes == g.opened[d.Chain]:
			g.returns++
		default:
			g.returned++
		}
	}
	g.left[d.Chain] = append(list, exit{d.From, d.To, r.At, g.opened[d.Chain]})
}

// sample measures what is drawn.
func (g *gauge) sample() {
	v := g.w.machine.View()
	loads := loadsOf(v)
	spread := loads.spread()
	even := loads.even(v)
	if !even {
		g.uneven = g.w.now
	}
	x := &g.w.watch
	g.samples = append(g.samples, Sample{
		Seconds: g.seconds(g.w.now), Nodes: len(loads.nodes), Max: spread.high, Min: spread.low, StdDev: spread.deviation, Even: even,
		Open: countsOf(x.open), Under: x.under, Unavailable: x.unavailable,
	})
}

// A segment is the time between two changes from outside. Its bound counts if
// the cluster came to be even within it: only then did all that had to move.

// closeSegment ends the present segment, before the change is made.
func (g *gauge) closeSegment() {
	v := g.w.machine.View()
	if g.segment == nil || g.w.watch.under > 0 {
		return
	}
	g.bound = g.bound.plus(missing(g.segment))
	if loads := loadsOf(v); loads.even(v) {
		g.bound = g.bound.plus(boundOf(g.segment))
	}
}

// openSegment begins a segment, after the change.
func (g *gauge) openSegment() {
	g.changes++
	g.segment = g.w.machine.View()
}

// drained counts the copies that had to leave a node.
func (g *gauge) drained(w work) {
	g.bound = g.bound.plus(w)
	g.active, g.evented = g.w.now, g.w.now
}

// result ends the measuring.
func (g *gauge) result() *Result {
	g.closeSegment()
	g.endMark()
	g.sample()
	last := g.samples[len(g.samples)-1]
	v := g.w.machine.View()
	r := &Result{
		Name: g.w.scenario.Name, Seed: g.w.scenario.Seed, Nodes: v.Nodes.Len(), Chains: g.w.watch.chains, Copies: g.w.watch.copies,
		SimulatedSeconds: g.seconds(g.w.now), Quiet: g.quiet(), Even: last.Even, Refilled: last.Under == 0,
		Moves: countsOf(g.moves), CalledOff: countsOf(g.calledOff), Surplus: g.surplus, Bytes: g.bytes, Bound: g.bound.copies,
		Load: g.load / float64(placement.ScoreOne), LoadBound: g.bound.load / float64(placement.ScoreOne),
		Returns: g.returns, ReturnsAfterEvents: g.returned,
		Refused: append([]Refusal{}, g.refusals...), Peak: g.peak, Events: append([]Mark{}, g.events...), Samples: g.samples,
	}
	begin := g.seconds(g.evented)
	r.RestSeconds = g.since(g.active, begin, r.Quiet)
	r.EvenSeconds = g.since(g.uneven, begin, r.Even)
	r.RefillSeconds = g.since(g.lacking, begin, r.Refilled)
	if r.Bound > r.Moves.Total { // zones or requirements forbid the level that it is reckoned from
		r.Bound, r.LoadBound = 0, 0
	}
	if r.Bound > 0 {
		moves, load := float64(r.Moves.Total)/float64(r.Bound), r.Load/r.LoadBound
		r.MovesPerBound, r.LoadPerBound = &moves, &load
	}
	return r
}
