package scene

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Line adds what one line of text says:
//
//	now 1000s
//	config swap=evict-first moves=64 balance=16 in=2 out=4 repairs=4 bandwidth=10 horizon=3600s
//	node a state=suspect eligibility=draining zone=z1 label=disk=ssd memory=64 weight=0.2 capacity=100 inventoried=no nospace=yes wished=900s
//	chain c1 desired=3 weight=2 size=10 policy=lazy floor=0.3 gap=0.1 min_ready=1 require=zone=z1 last=900s constraint=900s ever=no quarantine=1100s backoff=d:1100s departed=d:a:900s : a b> c! d? e-
//	chain c2 label=team=red spread=none max_per_zone=1 prefer=disk=ssd apart=team=blue colocate=chain=c1 near=zone=z1 : a
//	move c1 7 balance a>d waiting mode=evict-first deadline=1000s unassigned=yes
//	forced c1 a>d | forced c1 > | forced c1 >d
//	freeze | pause | guard a
//
// After a holder's node, > is pulling, - dropping, ! lost, ? unconfirmed.
func (s *Scene) Line(line string) error {
	head, holders, _ := strings.Cut(line, " : ")
	words := strings.Fields(head)
	if len(words) == 0 {
		return nil
	}
	switch words[0] {
	case "now":
		s.Now = clock(words[1])
	case "freeze":
		s.Freeze = &placement.Freeze{Reason: "work on the racks", Since: s.Now}
	case "pause":
		s.RepairPause = &placement.RepairPause{Since: s.Now, Until: s.Now.Add(s.Config.RepairPauseMax)}
	case "guard":
		s.Guard = []placement.NodeID{placement.NodeID(words[1])}
	case "config":
		return options(words[1:], s.option)
	case "node":
		return options(words[2:], nodeOption(s.AddNode(placement.NodeID(words[1]))))
	case "chain":
		c := s.AddChain(placement.ChainID(words[1]), placement.DesiredDefault)
		if err := options(words[2:], chainOption(c)); err != nil {
			return err
		}
		s.holders(c, holders)
	case "move":
		return s.move(words[1:])
	case "forced":
		from, to, _ := strings.Cut(words[2], ">")
		s.Forced = append(s.Forced, placement.Forced{
			ID: s.Draw(), Chain: placement.ChainID(words[1]), From: placement.NodeID(from), To: placement.NodeID(to),
			Reason: "the operator wants it", Expires: s.Now.Add(s.Config.ForcedTTL),
		})
	default:
		return fmt.Errorf("%q is no line of a scene", line)
	}
	return nil
}

// options hands each key=value to set.
func options(words []string, set func(key, value string) bool) error {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if !set(key, value) {
			return fmt.Errorf("%q is no option here", w)
		}
	}
	return nil
}

func (s *Scene) option(key, value string) bool {
	numbers := map[string]*int{
		"moves": &s.Config.MovesMax, "balance": &s.Config.BalanceMovesMax, "drain": &s.Config.DrainMovesMax,
		"in": &s.Config.NodeMovesInMax, "out": &s.Config.NodeMovesOutMax, "repairs": &s.Config.RepairMovesInMax,
	}
	if n := numbers[key]; n != nil {
		*n = int(number(value))
		return true
	}
	switch key {
	case "swap":
		s.Config.SwapMode = placement.SwapMode(value)
	case "bandwidth":
		s.Config.MoveBandwidth = int64(number(value))
	case "horizon":
		s.Config.MoveHorizon = time.Duration(clock(value))
	default:
		return false
	}
	return true
}

func nodeOption(n *placement.Node) func(key, value string) bool {
	return func(key, value string) bool {
		switch key {
		case "state":
			n.State = placement.NodeState(value)
		case "eligibility":
			n.Eligibility = placement.Eligibility(value)
		case "zone":
			n.Zone = value
		case "label":
			n.Labels = label(value)
		case "memory":
			n.Capabilities = placement.Capabilities{{Key: placement.CapabilityMemoryBytes, Number: number(value), IsNumber: true}}
		case "weight":
			n.Weight = placement.Score(number(value) * float64(placement.ScoreOne))
		case "capacity":
			n.CapacityBytes = int64(number(value))
		case "inventoried":
			n.Inventoried = value == "yes"
		case "wished":
			n.Wished = clock(value)
		case "nospace":
			n.NoSpace = value == "yes"
		default:
			return false
		}
		return true
	}
}

func chainOption(c *placement.Chain) func(key, value string) bool {
	return func(key, value string) bool {
		switch key {
		case "desired":
			c.Spec.Desired = int(number(value))
		case "min_ready":
			c.Spec.MinReady = int(number(value))
		case "weight":
			c.Spec.Weight = int64(number(value) * float64(placement.ScoreOne))
		case "size":
			c.Spec.SizeBytes = int64(number(value))
		case "policy":
			c.Spec.Policy = placement.Policy(value)
		case "floor":
			f := number(value)
			c.Spec.Floor = &f
		case "gap":
			f := number(value)
			c.Spec.Gap = &f
		case "require":
			c.Spec.Require = append(c.Spec.Require, value)
		case "label":
			c.Spec.Labels = label(value)
		case "spread":
			c.Spec.Spread = placement.Spread(value)
		case "max_per_zone":
			c.Spec.MaxPerZone = int(number(value))
		case "prefer":
			c.Spec.Prefer = append(c.Spec.Prefer, value)
		case "apart":
			c.Spec.AntiAffinity = append(c.Spec.AntiAffinity, value)
		case "colocate":
			c.Spec.Colocate = append(c.Spec.Colocate, value)
		case "near":
			c.Spec.Near = append(c.Spec.Near, value)
		case "last":
			c.LastRebalance = clock(value)
		case "constraint":
			c.LastConstraint = clock(value)
		case "ever":
			c.EverReady = value == "yes"
		case "quarantine":
			c.Quarantine = &placement.Quarantine{Until: clock(value), Failures: 5, Error: "disk on fire"}
		case "backoff":
			node, until, _ := strings.Cut(value, ":")
			c.Backoffs = append(c.Backoffs, placement.Backoff{Node: placement.NodeID(node), Failures: 1, Until: clock(until)})
		case "departed":
			words := strings.Split(value, ":")
			c.Departed = append(c.Departed, placement.Departure{Node: placement.NodeID(words[0]), Copy: placement.NodeID(words[1]), At: clock(words[2])})
		default:
			return false
		}
		return true
	}
}

// label reads the one label of a node or chain.
func label(text string) placement.Labels {
	key, value, _ := strings.Cut(text, "=")
	return placement.Labels{{Key: key, Value: value}}
}

func (s *Scene) holders(c *placement.Chain, text string) {
	for _, w := range strings.Fields(text) {
		node := placement.NodeID(strings.TrimRight(w, ">-!?"))
		phase := placement.Ready
		switch marks := w[len(node):]; {
		case strings.Contains(marks, ">"):
			phase = placement.Pulling
		case strings.Contains(marks, "-"):
			phase = placement.Dropping
		}
		s.AddHolder(c, node, phase)
		h := c.Holder(node)
		h.Lost, h.Unconfirmed = strings.Contains(w, "!"), strings.Contains(w, "?")
	}
}

func (s *Scene) move(words []string) error {
	c := s.Chains[placement.ChainID(words[0])]
	from, to, _ := strings.Cut(words[3], ">")
	m := placement.Move{
		ID: placement.MoveID(number(words[1])), Cause: placement.Cause(words[2]), Mode: placement.PlaceFirst,
		From: placement.NodeID(from), To: placement.NodeID(to), Phase: placement.MovePhase(words[4]),
		Opened: s.Now, ScoreFrom: placement.NoScore, ScoreTo: placement.NoScore,
	}
	if h := c.Holder(m.To); h != nil {
		m.ToEpoch = h.Epoch
	}
	err := options(words[5:], func(key, value string) bool {
		switch key {
		case "mode":
			m.Mode = placement.SwapMode(value)
		case "deadline":
			m.Deadline = clock(value)
		default:
			return false
		}
		return true
	})
	c.Moves = append(c.Moves, m)
	return err
}

// clock reads a cluster time, Never if it is none.
func clock(text string) placement.Time {
	d, err := time.ParseDuration(text)
	if err != nil {
		return placement.Never
	}
	return placement.Time(d)
}

// number reads a number, 0 if it is none.
func number(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return f
}
