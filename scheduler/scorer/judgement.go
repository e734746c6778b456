package scorer

import "github.com/holdfast-cluster/holdfast/placement"

// Indexes of the soft axes.
const (
	axisFree = iota
	axisLoad
	axisHealth
	axisSpread
	axisApart
	axisPrefer
	axisColocate
	axisNear
	axes
)

// axisName returns the name of soft axis k.
func axisName(k int) string {
	return [axes]string{"free", "load", "health", "spread", "anti-affinity", "prefer", "colocate", "near"}[k]
}

// axis is one soft axis of a judgement.
type axis struct {
	value  float64
	counts bool // it is known, or stands in for what is not
}

// unknown is an alternative's unknown axis (rule S23).
const unknown = 0.5

// orUnknown leaves an unknown axis out for a holder and puts 0.5 in its place
// for an alternative.
func orUnknown(value float64, known, held bool) axis {
	if known {
		return axis{value, true}
	}
	return axis{unknown, !held}
}

// judgement is what a score is made of, once the gate has let it through.
type judgement struct {
	weight float64
	soft   [axes]axis
}

// worst returns the lowest soft axis and its index, -1 without any.
func (j *judgement) worst() (value float64, index int) {
	value, index = 1, -1
	for k := range j.soft {
		if a := &j.soft[k]; a.counts && (index < 0 || a.value < value) {
			value, index = a.value, k
		}
	}
	return value, index
}

func (j *judgement) score() float64 {
	value, _ := j.worst()
	return j.weight * value
}

// product breaks ties between alternatives.
func (j *judgement) product() float64 {
	p := j.weight
	for k := range j.soft {
		if j.soft[k].counts {
			p *= j.soft[k].value
		}
	}
	return p
}

// limiting names what holds the score down, "" if nothing does.
func (j *judgement) limiting() string {
	value, k := j.worst()
	switch {
	case j.weight < value:
		return "weight"
	case k < 0 || value >= 1:
		return ""
	}
	return axisName(k)
}

// nobody stands for no victim among the indexes of nodes.
const nobody = -1

// judge weighs node i for the chain in question, as it would be once the copy
// on victim is gone. A holder is weighed as it is, its own copy being the one
// that could go.
//
// A copy that only its node's load puts below the floor finds no relief on a
// node that it would have to leave again for another reason: there the load
// axis is at most the victim's. Else, while the nodes that are in order take
// as many copies as they may, the others would crowd the next best zone, and
// come back.
func (b *bound) judge(i, victim int) judgement {
	j := b.judgeUnloaded(i, victim)
	if b.nodes[i].capacity == 0 {
		return j
	}
	value := b.loadAxis(i, victim)
	if victim != nobody && victim != i && millionths(j.score()) < b.question.floor && b.stays(victim) {
		value = min(value, b.loadAxis(victim, victim))
	}
	j.soft[axisLoad] = axis{value, true}
	return j
}

// stays tells whether nothing but load could drive the copy from node i.
func (b *bound) stays(i int) bool {
	return b.nodes[i].capacity > 0 && !b.isShut(i) && b.sound(i, i)
}

// judgeUnloaded is judge without the load axis.
func (b *bound) judgeUnloaded(i, victim int) judgement {
	n, q := &b.nodes[i], &b.question
	held := q.holds(i)
	j := judgement{weight: n.weight}
	if b.anySize {
		j.soft[axisFree] = orUnknown(free(b.usedShare(i, held)), n.node.CapacityBytes > 0, held)
	}
	if b.anyHealth {
		j.soft[axisHealth] = orUnknown(n.health, n.healthy, held)
	}
	if q.allowed > 0 {
		j.soft[axisSpread] = orUnknown(spread(q.copiesIn(n.zone, i, victim), q.allowed), n.zone != unzoned, held)
	}
	if w := q.wishes; w != nil {
		if w.prefer != nil {
			j.soft[axisPrefer] = axis{w.prefer[i], true}
		}
		if w.anchored {
			rtt, known := b.distance(w, i)
			j.soft[axisNear] = orUnknown(near(rtt), known, held)
		}
	}
	if spec := q.chain.Spec; len(spec.AntiAffinity)+len(spec.Colocate) > 0 {
		if len(spec.AntiAffinity) > 0 {
			j.soft[axisApart] = axis{apart(b.others(spec.AntiAffinity, n.node.ID)), true}
		}
		if len(spec.Colocate) > 0 {
			j.soft[axisColocate] = axis{wished(b.alone(spec.Colocate, n.node.ID), len(spec.Colocate)), true}
		}
	}
	return j
}

// loadAxis compares the node's load with the least that the chain could meet
// (rule S22).
func (b *bound) loadAxis(i, victim int) float64 {
	low, ok := b.lowest(victim)
	if mean := b.mean(); ok && mean > 0 {
		return load(b.loadWith(i), low, mean)
	}
	return 1
}

// loadWith returns the load per capacity of node i with the chain on it.
func (b *bound) loadWith(i int) float64 {
	if b.question.holds(i) {
		return b.nodes[i].u
	}
	return b.nodes[i].with(b.question.chain.Spec.Weight)
}

// usedShare returns which share of the node's bytes is used or reserved, less
// what is on its way out, with the chain's copy on it. Without a capacity it
// means nothing.
func (b *bound) usedShare(i int, held bool) float64 {
	n := b.nodes[i].node
	if n.CapacityBytes <= 0 {
		return 0
	}
	used := b.usedBytes(n.ID)
	if !held {
		used += b.question.chain.SizeBytes()
	}
	return float64(max(used, 0)) / float64(n.CapacityBytes)
}

func (b *bound) usedBytes(id placement.NodeID) int64 {
	u := b.view.Usage(id)
	return u.UsedBytes + u.ReservedBytes - b.r.LeavingBytes(id)
}

// others returns how many copies of other chains that one of the expressions
// names node holds or is to hold.
func (b *bound) others(exprs []string, node placement.NodeID) int {
	n := 0
	for _, expr := range exprs {
		n += max(b.r.Beside(expr, node)-b.question.own(expr, node), 0)
	}
	return n
}

// alone returns how many of the expressions name chains that are held
// somewhere and not on node.
func (b *bound) alone(exprs []string, node placement.NodeID) int {
	n := 0
	for _, expr := range exprs {
		if b.r.Beside(expr, node) <= b.question.own(expr, node) && b.r.Beside(expr, "") > b.question.own(expr, "") {
			n++
		}
	}
	return n
}

// millionths rounds as the scheduler does.
func millionths(f float64) placement.Score {
	s, _ := placement.ScoreOf(f)
	return s
}
