package scorer

import (
	"fmt"
	"math"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Shapes of the axes.
const (
	freeUntil = 0.80 // used share of the bytes up to which free is 1
	freeEnd   = 0.95 // and from which it is 0 (rule S23)
	band      = 0.1  // load above the emptiest node, relative to the mean, at which the axis is 0.5 (rule S22)
	busyFrom  = 1.5  // run queue per core up to which health is 1
	busyEnd   = 4.5  // and from which it is 0; in between lies room for spikes
	unknown   = 0.5  // an alternative's unknown axis (rule S23)
)

// Indexes of the soft axes.
const (
	axisFree = iota
	axisLoad
	axisHealth
	axes
)

// axisName returns the name of soft axis k.
func axisName(k int) string { return [axes]string{"free", "load", "health"}[k] }

// axis is one soft axis of a judgement.
type axis struct {
	value  float64
	counts bool // it is known, or stands in for what is not
}

// judgement is what a score is made of, once the gate has let it through.
type judgement struct {
	weight float64
	soft   [axes]axis
}

// worst returns the lowest soft axis and its index, -1 without any.
func (j *judgement) worst() (value float64, index int) {
	value, index = 1, -1
	for k, a := range j.soft {
		if a.counts && (index < 0 || a.value < value) {
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
	for _, a := range j.soft {
		if a.counts {
			p *= a.value
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

// judge weighs node i for c: as it is if it holds c, else as it would be.
func (b *bound) judge(c *placement.Chain, i int) judgement {
	b.refresh()
	j := b.judgeUnloaded(c, i)
	if b.nodes[i].capacity > 0 {
		j.soft[axisLoad] = axis{b.loadAxis(c, i), true}
	}
	return j
}

// judgeUnloaded is judge without the load axis.
func (b *bound) judgeUnloaded(c *placement.Chain, i int) judgement {
	n := &b.nodes[i]
	held := c.Holder(n.node.ID) != nil
	j := judgement{weight: 1}
	if b.maxWeight > 0 {
		j.weight = min(float64(n.node.Weight)/float64(b.maxWeight), 1)
	} else if n.node.Weight == 0 {
		j.weight = 0
	}
	if b.anySize {
		j.soft[axisFree] = orUnknown(free(b.usedShare(c, i)), n.node.CapacityBytes > 0, held)
	}
	if b.anyHealth {
		j.soft[axisHealth] = orUnknown(n.health, n.healthy, held)
	}
	return j
}

// orUnknown leaves an unknown axis out for a holder and puts 0.5 in its place
// for an alternative.
func orUnknown(value float64, known, held bool) axis {
	if known {
		return axis{value, true}
	}
	return axis{unknown, !held}
}

// loadAxis compares the node's load with the least that the chain could meet
// (rule S22).
func (b *bound) loadAxis(c *placement.Chain, i int) float64 {
	low, ok := b.lowest(c)
	if !ok || b.mean == 0 {
		return 1
	}
	extra := c.Spec.Weight
	if c.Holder(b.nodes[i].node.ID) != nil {
		extra = 0
	}
	d := (b.u(i, extra) - low) / b.mean
	return min(max(1-d/(2*band), 0), 1)
}

// usedShare returns which share of the node's bytes is used or reserved, less
// what is on its way out, with the chain's copy on it. Without a capacity it
// means nothing.
func (b *bound) usedShare(c *placement.Chain, i int) float64 {
	n := b.nodes[i].node
	u := b.view.Usage(n.ID)
	used := u.UsedBytes + u.ReservedBytes - b.r.LeavingBytes(n.ID)
	if c.Holder(n.ID) == nil {
		used += c.SizeBytes()
	}
	return float64(max(used, 0)) / float64(max(n.CapacityBytes, 1))
}

// free turns a used share into the axis.
func free(share float64) float64 { return fall(share, freeUntil, freeEnd) }

// health turns a sample into the axis; ok is false when it says nothing.
func health(s placement.Sample, ok bool) (value float64, known bool) {
	if !ok || math.IsNaN(s.Load) || math.IsInf(s.Load, 0) || s.Load < 0 {
		return 0, false
	}
	return fall(s.Load, busyFrom, busyEnd), true
}

// fall is 1 up to from, 0 from end on, and linear in between.
func fall(x, from, end float64) float64 {
	return min(max((end-x)/(end-from), 0), 1)
}

// millionths rounds as the scheduler does.
func millionths(f float64) placement.Score {
	s, _ := placement.ScoreOf(f)
	return s
}

func (b *bound) weightInput(i int) string {
	return fmt.Sprintf("%v of %v", b.nodes[i].node.Weight, b.maxWeight)
}

// input says what soft axis k of node i was computed from.
func (b *bound) input(c *placement.Chain, i, k int) string {
	n := &b.nodes[i]
	switch k {
	case axisFree:
		if n.node.CapacityBytes > 0 {
			return fmt.Sprintf("%.1f%% used", 100*b.usedShare(c, i))
		}
	case axisLoad:
		extra := c.Spec.Weight
		if c.Holder(n.node.ID) != nil {
			extra = 0
		}
		low, ok := b.lowest(c)
		if !ok {
			return "no other node to compare with"
		}
		one := float64(placement.ScoreOne)
		return fmt.Sprintf("load %.4g, the least %.4g, mean %.4g", b.u(i, extra)/one, low/one, b.mean/one)
	case axisHealth:
		if n.healthy {
			return fmt.Sprintf("run queue %.4g per core", n.sample.Load)
		}
	}
	return "unknown"
}
