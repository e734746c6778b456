package server

import (
	"math"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// The render functions turn the state's types into the API's. Lists and maps
// are never nil: every key of an answer is present.

func list[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}

func texts[S ~string](in []S) []string {
	return list(in, func(s S) string { return string(s) })
}

func renderChain(v *fsm.View, c *placement.Chain) api.Chain {
	health := v.HealthOf(c)
	out := api.Chain{
		ID: string(c.ID), Generation: uint64(c.Generation), Revision: uint64(c.Revision),
		Health: string(health), Spec: renderSpec(c.Spec),
		Holders:       list(c.Holders, func(h placement.Holder) api.Holder { return renderHolder(v, c, &h) }),
		Moves:         list(c.Moves, func(m placement.Move) api.Move { return renderMove(c.ID, &m) }),
		LastRebalance: api.ClusterTime(c.LastRebalance),
		Content:       renderContent(c.Content),
	}
	if until := v.CoolingUntil(c); until > v.Now {
		out.CooldownRemaining = api.Seconds(until.Sub(v.Now))
	}
	if q := c.Quarantine; q != nil {
		out.Quarantine = &api.Quarantine{
			Since: api.ClusterTime(q.Since), Until: api.ClusterTime(q.Until),
			Failures: q.Failures, Error: api.NullString(q.Error),
		}
	}
	if health == placement.HealthUnplaceable {
		out.Unplaceable = list(v.WhyUnplaceable(c), func(o placement.Obstacle) api.Obstacle {
			return api.Obstacle{Nodes: o.Nodes, Code: string(o.Code), Why: o.Why, Examples: texts(o.Examples)}
		})
	}
	return out
}

func renderSpec(s *placement.Spec) api.Spec {
	out := api.Spec{
		Desired: new(s.Desired), SizeBytes: new(s.SizeBytes), Weight: new(placement.Score(s.Weight).Float()),
		Labels: s.Labels.Map(), Policy: api.NullString(s.Policy), Floor: s.Floor, Gap: s.Gap,
		Cooldown: (*api.Duration)(s.Cooldown), RepairDelay: (*api.Duration)(s.RepairDelay),
		Require: texts(s.Require), Prefer: texts(s.Prefer),
		Spread: api.NullString(s.Spread), AntiAffinity: texts(s.AntiAffinity), Colocate: texts(s.Colocate), Near: texts(s.Near),
	}
	if s.MinReady != 0 {
		out.MinReady = new(s.MinReady)
	}
	if s.MaxPerZone != 0 {
		out.MaxPerZone = new(s.MaxPerZone)
	}
	return out
}

func renderHolder(v *fsm.View, c *placement.Chain, h *placement.Holder) api.Holder {
	out := api.Holder{
		Node: string(h.Node), Phase: h.Phase.String(), Marks: []string{}, Live: v.Live(c, h),
		Epoch: uint64(h.Epoch), Source: api.NullString(h.Source),
	}
	if h.Lost {
		out.Marks = append(out.Marks, "lost")
	}
	if h.Unconfirmed {
		out.Marks = append(out.Marks, "unconfirmed")
	}
	if n := v.Node(h.Node); n != nil {
		if out.Address = n.Addresses.Service; out.Address == "" {
			out.Address = n.Addresses.HTTP
		}
	}
	return out
}

func renderMove(chain placement.ChainID, m *placement.Move) api.Move {
	return api.Move{
		ID: uint64(m.ID), Chain: string(chain), Cause: string(m.Cause),
		From: api.NullString(m.From), To: string(m.To), Phase: string(m.Phase),
		Opened: api.ClusterTime(m.Opened), Deadline: api.ClusterTime(m.Deadline),
		BytesDone: m.BytesDone, BytesTotal: m.BytesTotal,
		ScoreFrom: renderScore(m.ScoreFrom), ScoreTo: renderScore(m.ScoreTo),
	}
}

func renderScore(s placement.Score) *float64 {
	if s == placement.NoScore {
		return nil
	}
	return new(s.Float())
}

func renderContent(c *placement.Content) *api.Content {
	if c == nil {
		return nil
	}
	return &api.Content{Version: uint64(c.Version), SHA256: c.SHA256, Size: c.Size}
}

func renderNode(v *fsm.View, n *placement.Node, status *Status, facts placement.Facts) api.Node {
	u := v.Usage(n.ID)
	out := api.Node{
		ID: string(n.ID), Instance: n.Instance, Incarnation: uint64(n.Incarnation), Role: string(n.Role),
		Leader: status.Leader != nil && status.Leader.Node == n.ID,
		State:  string(n.State), Eligibility: string(n.Eligibility),
		Zone: n.Zone, Labels: n.Labels.Map(),
		Addresses:     api.Addresses{Node: n.Addresses.Node, HTTP: n.Addresses.HTTP, Service: api.NullString(n.Addresses.Service)},
		CapacityBytes: n.CapacityBytes, UsedBytes: u.UsedBytes, Weight: n.Weight.Float(),
		Holders: api.HolderCounts{Pulling: u.Pulling, Ready: u.Ready, Dropping: u.Dropping},
		NoSpace: n.NoSpace, DrainDeadline: api.ClusterTime(n.DrainDeadline), Version: n.Version,
		Capabilities: n.Capabilities.Map(),
	}
	if sample, ok := facts.Sample(n.ID); ok {
		renderSample(&out, &sample)
	}
	for _, voter := range status.Voters {
		out.Voter = out.Voter || voter == n.ID
	}
	return out
}

// renderSample shows what a node last said of itself; what it does not know of
// itself stays null.
func renderSample(out *api.Node, s *placement.Sample) {
	if !math.IsNaN(s.Load) && !math.IsInf(s.Load, 0) {
		out.Load = new(s.Load)
	}
	if s.FreeBytes >= 0 {
		out.FreeBytes = new(s.FreeBytes)
	}
	if s.MemoryFreeBytes >= 0 {
		out.MemoryFreeBytes = new(s.MemoryFreeBytes)
	}
}

func renderDecision(r *placement.Record) api.Decision {
	d := &r.Decision
	verdict := string(r.Verdict)
	if r.Verdict == placement.Accepted {
		verdict = "accepted"
	}
	return api.Decision{
		Revision: uint64(r.Revision), Index: r.Index, Term: r.Term, Chain: string(d.Chain),
		Kind: string(d.Kind), Cause: string(d.Cause), From: api.NullString(d.From), To: api.NullString(d.To),
		Reason: d.Reason.String(), Verdict: verdict,
		ScoreFrom: renderScore(d.ScoreFrom), ScoreTo: renderScore(d.ScoreTo),
		Actor: r.Actor, ClusterTime: api.ClusterTime(r.At), WallTime: r.Wall.UTC(),
	}
}

func renderConfig(c *placement.Config) *api.Config {
	return &api.Config{
		ScoreFloor: c.ScoreFloor, LazyFloor: c.LazyFloor, HysteresisGap: c.HysteresisGap,
		Cooldown: api.Duration(c.Cooldown), ConstraintCooldown: api.Duration(c.ConstraintCooldown),
		TickInterval: api.Duration(c.TickInterval), RepairDelay: api.Duration(c.RepairDelay),
		RepairPauseMax: api.Duration(c.RepairPauseMax), SickAfter: api.Duration(c.SickAfter),
		SwapMode: string(c.SwapMode), MovesMax: c.MovesMax, BalanceMovesMax: c.BalanceMovesMax,
		DrainMovesMax: c.DrainMovesMax, NodeMovesInMax: c.NodeMovesInMax, NodeMovesOutMax: c.NodeMovesOutMax,
		RepairMovesInMax: c.RepairMovesInMax, MoveDeadline: api.Duration(c.MoveDeadline),
		QuarantineAfter: c.QuarantineAfter, BackoffMin: api.Duration(c.BackoffMin), BackoffMax: api.Duration(c.BackoffMax),
		DropGrace: api.Duration(c.DropGrace), RequestTTL: api.Duration(c.RequestTTL),
		TombstoneTTL: api.Duration(c.TombstoneTTL), ForcedTTL: api.Duration(c.ForcedTTL),
		MaxVoters: c.MaxVoters, DeadServerTimeout: api.Duration(c.DeadServerTimeout),
		WriteCopies: c.WriteCopies, ContentSizeMax: c.ContentSizeMax,
		MoveBandwidth: c.MoveBandwidth, MoveHorizon: api.Duration(c.MoveHorizon),
	}
}

func readConfig(c *api.Config) placement.Config {
	return placement.Config{
		ScoreFloor: c.ScoreFloor, LazyFloor: c.LazyFloor, HysteresisGap: c.HysteresisGap,
		Cooldown: time.Duration(c.Cooldown), ConstraintCooldown: time.Duration(c.ConstraintCooldown),
		TickInterval: time.Duration(c.TickInterval), RepairDelay: time.Duration(c.RepairDelay),
		RepairPauseMax: time.Duration(c.RepairPauseMax), SickAfter: time.Duration(c.SickAfter),
		SwapMode: placement.SwapMode(c.SwapMode), MovesMax: c.MovesMax, BalanceMovesMax: c.BalanceMovesMax,
		DrainMovesMax: c.DrainMovesMax, NodeMovesInMax: c.NodeMovesInMax, NodeMovesOutMax: c.NodeMovesOutMax,
		RepairMovesInMax: c.RepairMovesInMax, MoveDeadline: time.Duration(c.MoveDeadline),
		QuarantineAfter: c.QuarantineAfter, BackoffMin: time.Duration(c.BackoffMin), BackoffMax: time.Duration(c.BackoffMax),
		DropGrace: time.Duration(c.DropGrace), RequestTTL: time.Duration(c.RequestTTL),
		TombstoneTTL: time.Duration(c.TombstoneTTL), ForcedTTL: time.Duration(c.ForcedTTL),
		MaxVoters: c.MaxVoters, DeadServerTimeout: time.Duration(c.DeadServerTimeout),
		WriteCopies: c.WriteCopies, ContentSizeMax: c.ContentSizeMax,
		MoveBandwidth: c.MoveBandwidth, MoveHorizon: time.Duration(c.MoveHorizon),
	}
}
