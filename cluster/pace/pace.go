// Package pace says how often the leader of a cluster should be heard: one
// heartbeat for all voters (rule S17).
//
// Each voter measures the shortest heartbeat that it can bear ([Measure]) and
// the leader makes the longest of these everybody's ([Rule]): at once when it
// must be longer, one step at a time and after ten calm minutes when it may be
// shorter. There are few steps, because each costs a restart of raft on every
// voter.
//
// The package is arithmetic: it reads no clock, starts nothing and knows
// nothing of raft. Its tests are tables and random runs.
package pace

import (
	"fmt"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// What a heartbeat must be a multiple of.
const (
	// writeShare: an election is several stable writes on both sides (rule S17).
	writeShare = 10
	// tripShare: a vote is a round trip, and a lease is some heartbeats answered.
	tripShare = 10
	// lagShare: the leader's timer and the follower's may be late together, and
	// a beat is due every fifth of the heartbeat: 1/5 + 2/lagShare must stay
	// below the lease of 2/3.
	lagShare = 5
)

// Pause is how late a timer must be to tell of a process that was stopped, not of
// load: what was measured meanwhile says nothing.
const Pause = time.Second

// CalmFor is how long nobody may ask for the present heartbeat before it is
// lowered by one step, and the least time between two such steps.
const CalmFor = 10 * time.Minute

// steps are the heartbeats that there are, shortest first.
func steps() [6]time.Duration {
	return [...]time.Duration{
		Shortest, 300 * time.Millisecond, 600 * time.Millisecond, time.Second, 2500 * time.Millisecond, Longest,
	}
}

// Shortest and Longest bound all heartbeats.
const (
	Shortest = 150 * time.Millisecond
	Longest  = 5 * time.Second
)

// Step returns the shortest step that is not below d, the longest if none is.
func Step(d time.Duration) time.Duration {
	for _, step := range steps() {
		if step >= d {
			return step
		}
	}
	return Longest
}

// Below returns the step before that of a heartbeat, the shortest if there is
// none.
func Below(heartbeat time.Duration) time.Duration {
	below := Shortest
	for _, step := range steps() {
		if step < heartbeat {
			below = step
		}
	}
	return below
}

// Above returns the step after a heartbeat, the longest if there is none.
func Above(heartbeat time.Duration) time.Duration { return Step(heartbeat + 1) }

// Lease is how long a leader leads on without hearing from a majority.
func Lease(heartbeat time.Duration) time.Duration { return heartbeat * 2 / 3 }

// Measure is what a voter measured of itself lately.
type Measure struct {
	Write time.Duration // its longest stable write
	Trip  time.Duration // the longest round trip to another voter
	Peer  string        // that voter
	Lag   time.Duration // the latest that a timer fired
}

// Report is the shortest heartbeat that a voter can bear, and why.
type Report struct {
	Heartbeat time.Duration `json:"heartbeat"`
	Why       string        `json:"why"`
}

// Report returns what a voter that measured m can bear: a step.
func (m Measure) Report() Report {
	longest, why := time.Duration(0), "nothing asks for more"
	for _, need := range []struct {
		measured time.Duration
		share    int64
		why      string
	}{
		{m.Write, writeShare, "its longest stable write took %v"},
		{m.Trip, tripShare, "a round trip to " + m.Peer + " takes %v"},
		{m.Lag, lagShare, "its timers fire up to %v late"},
	} {
		if wants := time.Duration(int64(need.measured) * need.share); wants > longest {
			longest = wants
			if wants > Shortest {
				why = fmt.Sprintf(need.why, need.measured.Round(100*time.Microsecond))
			}
		}
	}
	return Report{Step(longest), why}
}

// Vote is the report of one voter.
type Vote struct {
	Node placement.NodeID
	Report
}

// LongestOf returns the vote for the longest heartbeat, the first of several.
func LongestOf(votes []Vote) Vote {
	var longest Vote
	for _, v := range votes {
		if v.Heartbeat > longest.Heartbeat {
			longest = v
		}
	}
	return longest
}

// Rule is what a leader remembers of the votes. The zero value is ready.
type Rule struct {
	begun     bool           // it was asked before
	calm      bool           // nobody has asked for the heartbeat in force
	calmSince placement.Time // since then
}

// Next returns the heartbeat that should be in force, and why. In force is one
// since that time, 0 = none was ever committed; the leader's own raft runs with
// another perhaps: if a longer one was needed to elect it, that is kept.
// Missing says that a voter has not answered: then nothing is lowered.
func (r *Rule) Next(now placement.Time, force, running time.Duration, since placement.Time, votes []Vote, missing bool) (next time.Duration, why string) {
	longest := LongestOf(votes)
	wants := Step(longest.Heartbeat)
	reason := string(longest.Node) + ": " + longest.Why
	first := !r.begun
	r.begun = true
	switch {
	case first && running > max(wants, force):
		return running, "with it this leader was elected"
	case wants > force:
		r.calm = false
		return wants, reason
	case wants == force || missing:
		r.calm = false
		return force, ""
	case !r.calm:
		r.calm, r.calmSince = true, now
	}
	if now.Sub(r.calmSince) < CalmFor || now.Sub(since) < CalmFor {
		return force, ""
	}
	r.calm = false
	return Below(force), fmt.Sprintf("for %v nobody asked for more than %v (%s)", CalmFor, wants, reason)
}
