package scheduler

import "github.com/holdfast-cluster/holdfast/placement"

// Config is the replicated configuration. See [placement.Config.Validate].
type Config = placement.Config

// DefaultConfig returns the configuration a new cluster starts with.
func DefaultConfig() Config { return placement.DefaultConfig() }

// DecisionsMax bounds the decisions of one plan: one entry of the log.
const DecisionsMax = 512

// Bounds of the words of a plan, for the same entry.
const (
	wordsMax  = 448 << 10 // bytes of all decisions, a reason counted twice
	detailMax = 896       // bytes of one reason: an operator's may be as long as the log takes
)

// WorkUsual is a good bound for [Input].Work: some 10 ms for the arm that looks
// at chains which have nowhere better to go.
const WorkUsual = 5_000

// AsksMax bounds how often a plain scorer is asked again for one target, with
// the refused node excluded (rule S24).
const AsksMax = 8

// Input is all that a pass depends on.
type Input struct {
	View   *placement.View
	Facts  placement.Facts
	Now    placement.Time // cluster time of the pass
	Config Config
	Scorer PlacementScorer // nil = none: balance does nothing
	Cursor Cursor          // where the last pass stopped; zero = from the start
	Work   int             // chains that one arm may examine; 0 = unbounded
}

// Cursor says where each arm goes on when a pass could not examine all of its
// chains: after the chain named here, in cyclic order (rule S25). The zero
// value begins at the start.
type Cursor struct {
	Ending     placement.ChainID
	Refill     placement.ChainID
	RepairLive int // live copies of Repair: this arm goes by (live copies, id)
	Repair     placement.ChainID
	Drain      placement.ChainID
	Constraint placement.ChainID
	Excess     placement.ChainID
	Balance    placement.ChainID
}

// Plan is what a pass proposes.
type Plan struct {
	Decisions []placement.Decision // in the order of the arms; one per chain at most
	Next      Cursor               // the Cursor of the next pass
	Wake      placement.Time       // when the first chain skipped for its time becomes due; Never = none
	More      bool                 // a bound ended an arm early: call again with Next
	Passes    int                  // how many passes look at everything, while nothing changes: 1 unless Work ended an arm early
}

// Decide returns what should be done about the state in the input. It changes
// nothing, and equal inputs give equal plans. It looks at every chain; a leader
// that plans again and again has a [Planner] do the same.
func Decide(in Input) Plan { return NewPlanner().Plan(in, nil) }

// frozen tells whether the opening of moves is stopped. Thawing is an
// operation of the log, so an expired freeze holds until the state says so.
func (p *pass) frozen() bool {
	f := p.view.Freeze
	if f != nil {
		p.wake(f.Until)
	}
	return f != nil
}
