package scheduler

import (
	"fmt"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// cost is what a balance move of a chain is reckoned to cost, in score.
type cost struct {
	bytes int64
	takes time.Duration
	score placement.Score
}

// costOf reckons what moving a copy of c costs: the time that its bytes take
// at the configured bandwidth, as a share of the horizon over which a better
// place pays. A move that takes a twentieth of the horizon must gain 0.05 on
// top of the gap. Without a bandwidth it costs nothing.
func (p *pass) costOf(c *placement.Chain) cost {
	bandwidth, horizon := p.view.Config.MoveBandwidth, p.view.Config.MoveHorizon
	if bandwidth <= 0 || horizon <= 0 {
		return cost{}
	}
	seconds := float64(c.SizeBytes()) / float64(bandwidth)
	share, _ := placement.ScoreOf(seconds / horizon.Seconds())
	return cost{bytes: c.SizeBytes(), takes: time.Duration(min(seconds, horizon.Seconds()) * float64(time.Second)), score: share}
}

// words returns the estimate for the reason of a decision, "" without one.
func (k cost) words() string {
	if k.takes == 0 {
		return ""
	}
	return fmt.Sprintf("; copying %d bytes takes %v or more, which costs %v", k.bytes, k.takes.Round(time.Millisecond), k.score)
}

func costWords(k cost, gain, gap placement.Score) words {
	return words{
		value: fmt.Sprintf("%v", gain), limit: fmt.Sprintf("above %v + %v", gap, k.score),
		change: fmt.Sprintf("a node would gain more than %v (copying %d bytes costs %v of it)", gap+k.score, k.bytes, k.score),
	}
}
