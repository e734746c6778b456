package voters

import (
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// stepsMax is far more than any settling needs.
const stepsMax = 60

// apply carries a change out.
func apply(in *Input, c Change) {
	i := slices.IndexFunc(in.Servers, func(s Server) bool { return s.ID == c.ID })
	s := &in.Servers[i]
	switch c.Action {
	case AddNonvoter:
		s.Member = true
	case Promote:
		s.Voter = true
	case Demote:
		s.Voter = false
	case Remove:
		in.Servers = slices.Delete(in.Servers, i, i+1)
	case Transfer:
		in.Leader = s.ID
	}
}

func count(in Input) (voters, healthy int) {
	for _, s := range in.Servers {
		if s.Member && s.Voter {
			voters++
			if s.Healthy {
				healthy++
			}
		}
	}
	return voters, healthy
}

// Each case is a cluster as text; the plan's changes are applied until there
// is none, each printed with the voters after it.
func TestPlan(t *testing.T) {
	datadriven.Walk(t, "testdata/plan", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			in := parse(t, d)
			out := fmt.Sprintf("target %d\n", Target(in))
			for range stepsMax {
				c, ok := Plan(in)
				if !ok {
					var ids []string
					for _, s := range in.Servers {
						if s.Member && s.Voter {
							ids = append(ids, s.ID)
						}
					}
					return out + "voters " + strings.Join(ids, " ") + "\n"
				}
				apply(&in, c)
				voters, healthy := count(in)
				out += fmt.Sprintf("%s %s: %s (%d of %d healthy)\n", c.Action, c.ID, c.Reason, healthy, voters)
			}
			return out + "does not settle\n"
		})
	})
}

// parse reads "plan max=5 floor=3 timeout=24h" and one server a line:
// "n2 b voter dead=20s", healthy, caught up and stable unless it says otherwise.
func parse(t *testing.T, d *datadriven.TestData) Input {
	t.Helper()
	in := Input{MaxVoters: 5, Floor: 3, StabilizationTime: 10 * time.Second, DeadServerTimeout: 24 * time.Hour}
	for _, arg := range d.CmdArgs {
		n, err := strconv.Atoi(arg.Vals[0])
		if err != nil {
			t.Fatal(err)
		}
		switch arg.Key {
		case "max":
			in.MaxVoters = n
		case "floor":
			in.Floor = n
		default:
			t.Fatalf("unknown argument %s", arg.Key)
		}
	}
	for line := range strings.Lines(d.Input) {
		words := strings.Fields(line)
		s := Server{ID: words[0], Zone: words[1], Member: true, Healthy: true, CaughtUp: true, StableFor: time.Minute}
		for _, word := range words[2:] {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "voter":
				s.Voter = true
			case "standby":
			case "leader":
				in.Leader = s.ID
			case "new":
				s.Member = false
			case "behind":
				s.CaughtUp = false
			case "sick":
				s.Healthy = false
			case "stable", "dead":
				duration, err := time.ParseDuration(value)
				if err != nil {
					t.Fatal(err)
				}
				s.StableFor = duration
				if key == "dead" {
					s.Healthy, s.StableFor, s.DeadFor = false, 0, duration
				}
			case "remove":
				s.Remove = "ordered by the operator"
			default:
				t.Fatalf("unknown word %s", word)
			}
		}
		in.Servers = append(in.Servers, s)
	}
	return in
}

// cluster draws any state of a cluster whose leader lives.
func cluster(t *rapid.T) Input {
	in := Input{
		MaxVoters: rapid.IntRange(1, 7).Draw(t, "max"), Floor: rapid.SampledFrom([]int{1, 3}).Draw(t, "floor"),
		StabilizationTime: 10 * time.Second, DeadServerTimeout: 24 * time.Hour, Leader: "n1",
	}
	for i := range rapid.IntRange(1, 9).Draw(t, "servers") {
		s := Server{ID: fmt.Sprint("n", i+1), Zone: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "zone"), Member: true}
		s.Voter = i == 0 || rapid.Bool().Draw(t, "voter")
		s.CaughtUp = rapid.Bool().Draw(t, "caught up")
		ages := []time.Duration{0, 9 * time.Second, 10 * time.Second, time.Hour, 25 * time.Hour}
		if s.Healthy = i == 0 || rapid.IntRange(0, 2).Draw(t, "healthy") > 0; s.Healthy {
			s.StableFor = rapid.SampledFrom(ages).Draw(t, "stable")
		} else {
			s.DeadFor = rapid.SampledFrom(ages).Draw(t, "dead")
		}
		if !s.Voter {
			s.Member = rapid.Bool().Draw(t, "member")
		}
		if rapid.IntRange(0, 5).Draw(t, "remove") == 0 {
			s.Remove = "ordered"
		}
		in.Servers = append(in.Servers, s)
	}
	return in
}

// From any state, each change must leave the healthy voters a majority if they
// were one, and touch the leader in no way; without a majority nothing is
// changed; the voters fall below the floor only by order, or for one step
// while a dead one is replaced; and it settles.
func TestEveryChangeIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := cluster(t)
		for range stepsMax {
			voters, healthy := count(in)
			c, ok := Plan(in)
			if !ok {
				return
			}
			if healthy <= voters/2 {
				t.Fatalf("%+v without a majority in %+v", c, in)
			}
			before := in.Servers[slices.IndexFunc(in.Servers, func(s Server) bool { return s.ID == c.ID })]
			if c.ID == in.Leader || c.Reason == "" {
				t.Fatalf("%+v in %+v", c, in)
			}
			apply(&in, c)
			nowVoters, nowHealthy := count(in)
			if nowHealthy <= nowVoters/2 {
				t.Fatalf("%+v loses the quorum: %+v", c, in)
			}
			if nowVoters < voters && nowVoters < in.Floor && before.Remove == "" {
				next, ok := Plan(in)
				if c.Action != Demote || before.DeadFor == 0 || !ok || next.Action != Promote {
					t.Fatalf("%+v falls below the floor, and then %+v", c, next)
				}
			}
			if nowVoters > max(voters, Target(in))+1 {
				t.Fatalf("%+v makes %d voters, the target is %d", c, nowVoters, Target(in))
			}
		}
		t.Fatalf("does not settle: %+v", in)
	})
}

// The order in which the servers are listed must not matter.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := cluster(t)
		want, wantOK := Plan(in)
		shuffled := in
		shuffled.Servers = slices.Clone(in.Servers)
		rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed"))).Shuffle(len(in.Servers), func(i, j int) {
			shuffled.Servers[i], shuffled.Servers[j] = shuffled.Servers[j], shuffled.Servers[i]
		})
		got, ok := Plan(shuffled)
		if diff := cmp.Diff(want, got); diff != "" || ok != wantOK {
			t.Fatalf("%v, %v: %s", ok, wantOK, diff)
		}
	})
}

// Failures must not shrink the electorate: from a settled healthy cluster
// servers die one after the other, as long as a majority lives, and after each
// death the settled number of voters is what it was.
func TestFailuresDoNotShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := cluster(t)
		for i := range in.Servers {
			s := &in.Servers[i]
			*s = Server{ID: s.ID, Zone: s.Zone, Member: true, Voter: s.Voter, Healthy: true, CaughtUp: true, StableFor: time.Minute}
		}
		settle(t, &in)
		voters, _ := count(in)
		if want := min(Target(in), len(in.Servers)); voters != want && voters%2 == 1 || voters > want {
			t.Fatalf("all healthy: %d voters, want %d", voters, want)
		}
		for {
			var left []int
			for i, s := range in.Servers {
				if s.Healthy && s.ID != in.Leader {
					left = append(left, i)
				}
			}
			if len(left) == 0 {
				return
			}
			s := &in.Servers[rapid.SampledFrom(left).Draw(t, "dies")]
			s.Healthy, s.StableFor, s.DeadFor = false, 0, time.Hour
			settle(t, &in)
			now, healthy := count(in)
			if now != voters {
				t.Fatalf("after the death of %s %d voters of %d are left: %+v", s.ID, now, voters, in.Servers)
			}
			if healthy <= now/2 {
				return
			}
		}
	})
}

func settle(t *rapid.T, in *Input) {
	for range stepsMax {
		c, ok := Plan(*in)
		if !ok {
			return
		}
		apply(in, c)
	}
	t.Fatalf("does not settle: %+v", in)
}

// A settled healthy cluster must be spread: no zone with a vote that is not
// the leader's has two more than a zone with a standby.
func TestSettledIsSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := cluster(t)
		for i := range in.Servers {
			s := &in.Servers[i]
			*s = Server{ID: s.ID, Zone: s.Zone, Member: true, Voter: s.Voter, Healthy: true, CaughtUp: true, StableFor: time.Minute}
		}
		settle(t, &in)
		zones := map[string]int{}
		for _, s := range in.Servers {
			if s.Voter {
				zones[s.Zone]++
			}
		}
		for _, s := range in.Servers {
			for _, v := range in.Servers {
				if !s.Voter && v.Voter && v.ID != in.Leader && zones[v.Zone] > zones[s.Zone]+1 {
					t.Fatalf("zone %s has %d voters, %s has %d and the standby %s", v.Zone, zones[v.Zone], s.Zone, zones[s.Zone], s.ID)
				}
			}
		}
	})
}
