package pace

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/placement"
)

const ms = time.Millisecond

// What a voter can bear follows from the worst of what it measured, and says
// which: provoked by one measurement at a time.
func TestReport(t *testing.T) {
	for _, c := range []struct {
		m    Measure
		want time.Duration
		why  string
	}{
		{Measure{}, 150 * ms, "nothing asks for more"},
		{Measure{Write: 15 * ms, Trip: 15 * ms, Lag: 30 * ms}, 150 * ms, "nothing asks for more"},
		{Measure{Write: 52 * ms, Trip: 20 * ms, Peer: "n2"}, 600 * ms, "its longest stable write took 52ms"},
		{Measure{Write: 5 * ms, Trip: 80 * ms, Peer: "n2"}, time.Second, "a round trip to n2 takes 80ms"},
		{Measure{Lag: 41 * ms}, 300 * ms, "its timers fire up to 41ms late"},
		{Measure{Write: 300 * ms}, 5 * time.Second, "its longest stable write took 300ms"},
		{Measure{Write: time.Hour}, 5 * time.Second, "its longest stable write took 1h0m0s"},
	} {
		if got := c.m.Report(); got != (Report{c.want, c.why}) {
			t.Errorf("%+v: got %+v, want %v, %s", c.m, got, c.want, c.why)
		}
	}
}

// The steps are those of rule S17, and a lease is two thirds of a heartbeat.
func TestSteps(t *testing.T) {
	want := []time.Duration{150 * ms, 300 * ms, 600 * ms, 1000 * ms, 2500 * ms, 5000 * ms}
	for i, step := range want {
		if got := Step(step); got != step {
			t.Errorf("step of %v: got %v", step, got)
		}
		if got := Lease(step); got != step*2/3 {
			t.Errorf("lease of %v: got %v", step, got)
		}
		if got, next := Above(step), want[min(i+1, len(want)-1)]; got != next {
			t.Errorf("above %v: got %v, want %v", step, got, next)
		}
		if got, before := Below(step), want[max(i-1, 0)]; got != before {
			t.Errorf("below %v: got %v, want %v", step, got, before)
		}
		if got, next := Step(step+1), want[min(i+1, len(want)-1)]; got != next {
			t.Errorf("step of %v: got %v, want %v", step+1, got, next)
		}
	}
}

func votes(heartbeats ...time.Duration) []Vote {
	var all []Vote
	for i, h := range heartbeats {
		all = append(all, Vote{placement.NodeID([]string{"n1", "n2", "n3"}[i]), Report{h, "why"}})
	}
	return all
}

func at(d time.Duration) placement.Time { return placement.Time(d) }

// The longest vote is raised to at once, whatever its distance; a shorter one
// counts only after ten calm minutes, one step at a time.
func TestNext(t *testing.T) {
	var r Rule
	step := func(now, force, since time.Duration, missing bool, all []Vote, want time.Duration, why string) {
		t.Helper()
		if got, text := r.Next(at(now), force, 150*ms, at(since), all, missing); got != want || text != why {
			t.Errorf("at %v with %v: got %v, %q, want %v, %q", now, force, got, text, want, why)
		}
	}
	step(0, 0, 0, false, votes(150*ms, 150*ms), 150*ms, "n1: why")
	step(time.Second, 150*ms, 0, false, votes(150*ms, 2500*ms, 600*ms), 2500*ms, "n2: why")
	lower := votes(150*ms, 300*ms, 150*ms)
	step(time.Minute, 2500*ms, time.Second, false, lower, 2500*ms, "")
	step(11*time.Minute-1, 2500*ms, time.Second, false, lower, 2500*ms, "")
	step(11*time.Minute, 2500*ms, time.Second, false, lower, time.Second, "for 10m0s nobody asked for more than 300ms (n2: why)")
	step(12*time.Minute, time.Second, 11*time.Minute, false, lower, time.Second, "")
	step(15*time.Minute, time.Second, 11*time.Minute, true, votes(150*ms), time.Second, "") // one is missing: calm begins anew
	step(16*time.Minute, time.Second, 11*time.Minute, false, lower, time.Second, "")
	step(25*time.Minute, time.Second, 11*time.Minute, false, lower, time.Second, "")
	step(26*time.Minute, time.Second, 11*time.Minute, false, lower, 600*ms, "for 10m0s nobody asked for more than 300ms (n2: why)")
	var first Rule
	if got, why := first.Next(at(0), 0, time.Second, at(0), votes(150*ms), false); got != time.Second || why != "with it this leader was elected" {
		t.Errorf("nothing committed, raft runs with 1s: got %v, %s", got, why)
	}
}

// Whatever the votes are, the heartbeat is a step, is never below the longest
// vote, never falls by more than one step, and never twice within CalmFor:
// provoked by random votes at random times.
func TestNextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Rule
		now, force, since := placement.Time(0), Shortest, placement.Time(0)
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second)
			longest := time.Duration(0)
			var all []Vote
			for range rapid.IntRange(1, 3).Draw(t, "votes") {
				m := Measure{Write: time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * ms}
				all = append(all, Vote{"n", m.Report()})
				longest = max(longest, m.Report().Heartbeat)
			}
			next, _ := r.Next(now, force, force, since, all, rapid.Bool().Draw(t, "missing"))
			switch {
			case next != Step(next), next < longest:
				t.Fatalf("%v with votes up to %v", next, longest)
			case next < force && (next != Below(force) || now.Sub(since) < CalmFor):
				t.Fatalf("from %v to %v after %v", force, next, now.Sub(since))
			}
			if next != force {
				force, since = next, now
			}
		}
	})
}
