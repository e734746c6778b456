package scorer

import (
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// screens holds what Hot has found out, for one version of the reservations.
type screens struct {
	list     []*screen // one per class
	last     int       // asked for last
	standing []standing
	stale    []int // nodes whose standing has to be looked at anew
	spent    bool  // no balance move fits the budgets any more
	version  int
}

// standing is what balance may still do with a node.
type standing struct {
	free    float64 // the axis, as it is
	filled  float64 // the axis with the largest copy added
	room    bool    // it may be given copies that take no bytes
	roomy   bool    // it may be given any copy
	in, out bool    // its budgets let copies in, and out
}

// touch notes that node i has changed.
func (s *screens) touch(i int) {
	if s.standing != nil {
		s.stale = append(s.stale, i)
	}
}

// screen is what copies of one class meet on the nodes.
//
// A copy on v scores S = W·min(A, L), a target n scores T = W·min(A, L): W is
// the relative weight, A the worst of the axes but load, L the load axis. Of
// all that, only the yardstick x = u_low differs between copies of one class:
// a node may hold the chain already, have failed for it, or lack the room. But
// x is the load that some possible target would have, and S and T grow with x;
// so it is enough to try each of them, the highest T there is against
// S. A target's A and L are taken without the chain's bytes and weight, which
// can only lower them. Targets that are below the floor whatever their load
// are no relief for a copy that is not, see judge.
//
// With weight w, both the yardstick k and the target n are w/capacity further
// up. As long as k has the largest capacity, that lowers T−S, so that w = 0 is
// the worst case. For a smaller k any x above its load is tried.
type screen struct {
	class      scheduler.Class
	wishes     *wishes
	floor, gap float64 // in millionths, made less strict by what rounding may do
	allowed    int     // copies that one zone may hold, 0 = the spread axis is left out
	spread     []float64

	version int
	yard    []bool    // by node: possible yardsticks
	low     float64   // the lowest load of any of them, +Inf without
	high    float64   // no copy's yardstick is higher, +Inf = unknown: a chain bars so many nodes, and the next is one
	roomy   []float64 // the loads of those that are yardsticks for any chain that they are not barred from
	loose   float64   // the lowest of those with less than the largest capacity
	sound   []target  // targets that may be above the floor but for their load, less those that another one equals in all respects
	poor    []target  // the same of the others
}

// target is a node that balance may still move copies to, or a copy that it
// may move: load per capacity, W and W·A, in millionths.
type target struct{ u, weight, best float64 }

// at returns the score when the yardstick is x.
func (t target) at(x, mean float64) float64 { return min(t.best, t.weight*load(t.u, x, mean)) }

// rounding is what a comparison of two scores in millionths may hide.
const rounding = 4

// Hot implements [scheduler.Screener].
func (b *bound) Hot(class *scheduler.Class, id placement.NodeID) bool {
	b.refresh()
	b.stand()
	v, known := b.at[id]
	if !known || b.screens.spent || !b.screens.standing[v].out || leaves(b.nodes[v].node) || b.nodes[v].node.State != placement.NodeAlive {
		return false
	}
	if class.Single {
		return true
	}
	s := b.screen(class)
	if !s.wishes.suits(v) {
		return false
	}
	return b.hot(s, v)
}

// stand brings what is known of the nodes up to the present version.
func (b *bound) stand() {
	s := &b.screens
	if s.standing == nil {
		s.standing = make([]standing, len(b.nodes))
		for i := range b.nodes {
			s.standing[i] = b.standingOf(i)
		}
		s.version = -1
	}
	if s.version == b.version {
		return
	}
	for _, i := range s.stale {
		s.standing[i] = b.standingOf(i)
	}
	s.stale, s.version = s.stale[:0], b.version
	s.spent = !b.view.Budget(placement.CauseBalance, idle, idle).OK()
}

// idle stands for a node without open moves. It is no legal id.
const idle placement.NodeID = "*"

func (b *bound) standingOf(i int) standing {
	n := b.nodes[i].node
	u := b.view.Usage(n.ID)
	s := standing{free: 1, filled: 1, room: true, roomy: true}
	if n.CapacityBytes > 0 {
		largest, _ := b.r.Largest()
		used, stays := u.UsedBytes+u.ReservedBytes, u.UsedBytes+u.ReservedBytes-b.r.LeavingBytes(n.ID)
		s.room, s.roomy = used <= n.CapacityBytes, used+largest <= n.CapacityBytes
		s.free = free(float64(max(stays, 0)) / float64(n.CapacityBytes))
		s.filled = free(float64(max(stays+largest, 0)) / float64(n.CapacityBytes))
	}
	s.in = u.MovesIn < b.view.Config.NodeMovesInMax
	s.out = u.MovesOut < b.view.Config.NodeMovesOutMax
	return s
}

// screen returns the screen of a class at the present version. Who asks goes
// from node to node and there from class to class: the next is a good guess.
func (b *bound) screen(class *scheduler.Class) *screen {
	x := &b.screens
	var s *screen
	for range x.list {
		x.last = (x.last + 1) % len(x.list)
		if s = x.list[x.last]; s.class == *class {
			break
		}
		s = nil
	}
	if s == nil {
		s = b.newScreen(class)
		x.last, x.list = len(x.list), append(x.list, s)
	}
	if s.version != b.version {
		b.fill(s)
	}
	return s
}

func (b *bound) newScreen(class *scheduler.Class) *screen {
	s := &screen{class: *class, wishes: b.wishesOfClass(class.Require, class.Prefer), version: -1, yard: make([]bool, len(b.nodes))}
	spec := placement.Spec{}
	if class.Lazy {
		spec.Policy = placement.PolicyLazy
	}
	if class.Floor >= 0 {
		spec.Floor = &class.Floor
	}
	if class.Gap >= 0 {
		spec.Gap = &class.Gap
	}
	s.gap = float64(b.view.Config.GapFor(&spec) - rounding)
	if floor := b.view.Config.FloorFor(&spec); floor > 0 { // nothing is below 0
		s.floor = float64(floor + rounding)
	}
	if s.allowed = b.allowed(class.Spread, class.Desired, class.MaxPerZone); s.allowed > 0 {
		others := strings.Split(class.Zones, "\n")
		for _, zone := range b.zones {
			copies := 1
			for _, o := range others {
				if o == zone {
					copies++
				}
			}
			s.spread = append(s.spread, spread(copies, s.allowed))
		}
	}
	return s
}

// rest returns the worst axis but load of a copy of the class on node i, as
// holder, or at best as alternative.
func (b *bound) rest(s *screen, i int, held bool) float64 {
	n := &b.nodes[i]
	worst := 1.0
	take := func(value float64, known bool) {
		if known {
			worst = min(worst, value)
		} else if !held {
			worst = min(worst, unknown)
		}
	}
	if b.anySize {
		take(b.screens.standing[i].free, n.node.CapacityBytes > 0)
	}
	if b.anyHealth {
		take(n.health, n.healthy)
	}
	if s.allowed > 0 {
		value := unknown
		if n.zone != unzoned {
			value = s.spread[n.zone]
		}
		take(value, n.zone != unzoned)
	}
	if s.wishes != nil && s.wishes.prefer != nil {
		take(s.wishes.prefer[i], true)
	}
	return worst
}

// one is a full score in millionths.
const one = float64(placement.ScoreOne)

// fill finds the yardsticks and targets of a class at the present version.
func (b *bound) fill(s *screen) {
	s.version, s.low, s.loose, s.sound, s.poor, s.roomy = b.version, math.Inf(1), math.Inf(1), s.sound[:0], s.poor[:0], s.roomy[:0]
	for _, i := range b.open {
		n := &b.nodes[i]
		s.yard[i] = false
		if !b.screens.standing[i].room || !s.wishes.suits(i) {
			continue
		}
		t := target{u: n.u, weight: n.weight * one, best: n.weight * b.rest(s, i, false) * one}
		list := &s.poor
		if t.best+2*rounding >= s.floor {
			list = &s.sound
			s.yard[i] = true
			s.low = min(s.low, n.u)
			if n.capacity < b.largest {
				s.loose = min(s.loose, n.u)
			}
			if st := &b.screens.standing[i]; st.roomy && n.weight*st.filled*one >= s.floor+rounding && t.best >= s.floor+rounding {
				s.roomy = append(s.roomy, n.u)
			}
		}
		if b.screens.standing[i].in {
			*list = withTarget(*list, t)
		}
	}
	s.high = math.Inf(1)
	if _, barred := b.r.Largest(); barred >= 0 && len(s.roomy) > barred && math.IsInf(s.loose, 1) {
		slices.Sort(s.roomy)
		s.high = s.roomy[barred]
	}
}

// withTarget adds a target to a list, unless another one is as good in all
// respects, and takes out those for which the new one is.
func withTarget(list []target, t target) []target {
	for _, o := range list {
		if o.u <= t.u && o.weight >= t.weight && o.best >= t.best {
			return list
		}
	}
	list = slices.DeleteFunc(list, func(o target) bool {
		return t.u <= o.u && t.weight >= o.weight && t.best >= o.best
	})
	return append(list, t)
}

// chance is a copy with the targets that it may have.
type chance struct {
	target
	sound, poor []target
	mean        float64
}

// gain returns the copy's score when the yardstick is x, and by how much the
// best target's could be higher.
func (c *chance) gain(x float64) (from, gain float64) {
	top := 0.0
	for _, t := range c.sound {
		top = max(top, t.at(x, c.mean))
	}
	for _, t := range c.poor {
		top = max(top, t.at(x, c.mean))
	}
	from = c.at(x, c.mean)
	return from, top - from
}

// hot tells whether a copy of the class on node v could be below its floor
// while a target is better by more than the gap.
func (b *bound) hot(s *screen, v int) bool {
	n := &b.nodes[v]
	c := chance{
		target: target{u: n.u, weight: n.weight * one, best: n.weight * b.rest(s, v, true) * one},
		sound:  s.sound, poor: s.poor, mean: b.mean(),
	}
	if c.mean == 0 || n.capacity == 0 { // the load axis is 1, or left out
		c.mean = 1
		_, gain := c.gain(math.Inf(1))
		return c.best < s.floor && gain > s.gap
	}
	if c.best < s.floor {
		if _, gain := c.gain(s.high); gain > s.gap {
			return true
		}
	} else if !s.poorCount(c.weight) {
		c.poor = nil
	}
	from, gain := c.gain(s.low)
	if from >= s.floor {
		return false
	}
	return gain > s.gap || b.hotAtSome(s, &c) || !math.IsInf(s.loose, 1) && s.hotAbove(&c)
}

// poorCount tells whether a copy on a node of that weight, which only load can
// put below the floor, could find a poor target better by more than the gap.
// The target's load axis being at most the copy's own, it scores at most in
// proportion to its weight, and below the floor.
func (s *screen) poorCount(weight float64) bool {
	return slices.ContainsFunc(s.poor, func(t target) bool { return (1-weight/t.weight)*s.floor > s.gap })
}

// triesMax bounds how many yardsticks are tried before the answer is yes.
const triesMax = 32

// hotAtSome tries the loads of the possible yardsticks.
func (b *bound) hotAtSome(s *screen, c *chance) bool {
	order := b.sorted()
	// Up to here a copy scores 0, and of those the highest is the worst case.
	first := sort.Search(len(order), func(k int) bool { return b.nodes[order[k]].u > c.u-2*band*c.mean }) - 1
	for first > 0 && !s.yard[order[first]] {
		first--
	}
	tries := 0
	for _, i := range order[max(first, 0):] {
		if !s.yard[i] {
			continue
		}
		if b.nodes[i].u > s.high {
			return false
		}
		from, gain := c.gain(b.nodes[i].u)
		if from >= s.floor {
			return false
		}
		if tries++; gain > s.gap || tries > triesMax {
			return true
		}
	}
	return false
}

// hotAbove tries any yardstick from the lowest loose one on: between the points
// where a score begins or ceases to change, the difference has no peak.
func (s *screen) hotAbove(c *chance) bool {
	width := 2 * band * c.mean
	try := func(x float64) bool {
		from, gain := c.gain(max(x, s.loose))
		return from < s.floor && gain > s.gap
	}
	edge := c.u - width*(1-s.floor/max(c.weight, 1)) - width/one // just below the floor
	for _, list := range [][]target{{c.target}, c.sound, c.poor} {
		for _, t := range list {
			if try(min(t.u-width, edge)) || try(min(t.u-width*(1-t.best/max(t.weight, 1)), edge)) {
				return true
			}
		}
	}
	return try(s.loose) || try(edge)
}
