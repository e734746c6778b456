package scorer

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// Axes returns the known axes of a node for a chain and names the one that
// limits its score: the gate if it is shut, the worst soft axis, or the weight
// if that is lower.
func (b *bound) Axes(chain placement.ChainID, node placement.NodeID) ([]scheduler.Axis, string) {
	i, known := b.at[node]
	if !known || !b.ask(chain) {
		return nil, ""
	}
	victim := b.victimFor(i)
	j := b.judge(i, victim)
	var list []scheduler.Axis
	limiting := j.limiting()
	if b.isShut(i) {
		limiting = "gate"
		list = append(list, scheduler.Axis{Name: limiting, Input: b.shut(i)})
	}
	list = append(list, scheduler.Axis{Name: "weight", Value: j.weight, Input: fmt.Sprintf("%v of %v", b.nodes[i].node.Weight, b.maxWeight)})
	for k, a := range j.soft {
		if a.counts {
			list = append(list, scheduler.Axis{Name: axisName(k), Value: a.value, Input: b.input(i, victim, k, a.value)})
		}
	}
	return list, limiting
}

// shut says why the gate is 0.
func (b *bound) shut(i int) string {
	c, n := b.question.chain, b.nodes[i].node
	if c.Holder(n.ID) == nil {
		return b.view.EligibleTarget(c, n.ID).Detail
	}
	if leaves(n) {
		return fmt.Sprintf("node %s is %s", n.ID, n.Eligibility)
	}
	why, _ := b.view.EligibleHolder(c, n.ID)
	return why
}

// input says what the value of soft axis k of node i was computed from.
func (b *bound) input(i, victim, k int, value float64) string {
	n, q := &b.nodes[i], &b.question
	spec := q.chain.Spec
	switch k {
	case axisFree:
		if n.node.CapacityBytes > 0 {
			return fmt.Sprintf("%.1f%% used", 100*b.usedShare(i, q.holds(i)))
		}
	case axisLoad:
		low, ok := b.lowest(victim)
		if !ok {
			return "no other node to compare with"
		}
		words := fmt.Sprintf("load %.4g, the least %.4g, mean %.4g", b.loadWith(i)/one, low/one, b.mean()/one)
		if value < b.loadAxis(i, victim) {
			words += "; no relief where the copy could not stay"
		}
		return words
	case axisHealth:
		if n.healthy {
			return n.vitals.String()
		}
	case axisSpread:
		if n.zone != unzoned {
			return fmt.Sprintf("copy %d of the chain in zone %s, %d allowed", q.copiesIn(n.zone, i, victim), n.node.Zone, q.allowed)
		}
		return "unknown: the node has no zone"
	case axisApart:
		return fmt.Sprintf("copies on the node that match %[2]s: %[1]d", b.others(spec.AntiAffinity, n.node.ID), strings.Join(spec.AntiAffinity, ", "))
	case axisPrefer:
		return fmt.Sprintf("%d of %d preferred expressions are missed", missed(n.node, spec.Prefer), len(spec.Prefer))
	case axisColocate:
		return fmt.Sprintf("%d of %d held elsewhere only: %s", b.alone(spec.Colocate, n.node.ID), len(spec.Colocate), strings.Join(spec.Colocate, ", "))
	case axisNear:
		if rtt, known := b.distance(q.wishes, i); known {
			return fmt.Sprintf("%v to the nearest node with %s", rtt.Round(10*time.Microsecond), strings.Join(spec.Near, " or "))
		}
	}
	return "unknown"
}

// String says what is known.
func (v vitals) String() string {
	var words []string
	if !math.IsNaN(v.queue) {
		words = append(words, fmt.Sprintf("run queue %.4g per core", v.queue))
	}
	if !math.IsNaN(v.memory) {
		words = append(words, fmt.Sprintf("%.1f%% of the memory in use", 100*v.memory))
	}
	return strings.Join(words, ", ")
}
