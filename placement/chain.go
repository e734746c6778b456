package placement

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Bounds of a chain's spec.
const (
	DesiredMin     = 1
	DesiredMax     = 9
	DesiredDefault = 3
	WeightMax      = 1_000_000
	SizeBytesMax   = 1 << 50
)

// Policy says how readily balance moves a chain.
type Policy string

// Policies. Eager is the default, lazy uses the lower floor of the
// configuration, pinned is never moved by balance.
const (
	PolicyEager  Policy = "eager"
	PolicyLazy   Policy = "lazy"
	PolicyPinned Policy = "pinned"
)

// Spec is what a user wants of a chain. A zero or nil field means the
// cluster's value; [Spec.Normalize] fills in what has a fixed default.
type Spec struct {
	Desired     int            // live copies wanted, 1 to 9, default 3
	MinReady    int            // voluntary drops keep at least so many live copies; 0 = by swap mode
	SizeBytes   int64          // expected bytes of one copy, 0 to SizeBytesMax
	Weight      int64          // load of one copy in millionths, default 1,000,000 (1.0)
	Labels      Labels         // free words of the user
	Policy      Policy         // default eager
	Floor       *float64       // score floor in [0,1], nil = configuration
	Gap         *float64       // hysteresis gap in [0,1], nil = configuration
	Cooldown    *time.Duration // nil = configuration
	RepairDelay *time.Duration // nil = configuration
	Require     []string       // label expressions that a holder's node must satisfy
	Prefer      []string       // label expressions that it should satisfy
	Spread      Spread         // how copies should spread over zones, default even
	MaxPerZone  int            // copies that one zone should hold at most, 1 to 9; 0 = as Spread says

	// AntiAffinity and Colocate name other chains by one of their labels
	// ("key=value") or by id ("chain=id"): this chain should not, or should,
	// be held where a copy of one that matches is.
	AntiAffinity []string
	Colocate     []string
	Near         []string // label expressions: the nodes that holders should have a short round trip to
}

// Spread says how the copies of a chain should spread over the zones.
type Spread string

// Spreads. Even is the default: as few copies in one zone as the number of
// zones with eligible nodes allows.
const (
	SpreadEven Spread = "even"
	SpreadNone Spread = "none"
)

// Normalize returns the spec with its fixed defaults filled in, or an error
// that begins with the name of the offending field.
func (s Spec) Normalize() (Spec, error) {
	if s.Desired == 0 {
		s.Desired = DesiredDefault
	}
	if s.Weight == 0 {
		s.Weight = int64(ScoreOne)
	}
	if s.Policy == "" {
		s.Policy = PolicyEager
	}
	if s.Spread == "" {
		s.Spread = SpreadEven
	}
	switch {
	case s.Desired < DesiredMin || s.Desired > DesiredMax:
		return s, fmt.Errorf("desired: %d is not within %d..%d", s.Desired, DesiredMin, DesiredMax)
	case s.MinReady < 0 || s.MinReady > s.Desired:
		return s, fmt.Errorf("min_ready: %d is not within 1..desired (%d)", s.MinReady, s.Desired)
	case s.SizeBytes < 0 || s.SizeBytes > SizeBytesMax:
		return s, fmt.Errorf("size_bytes: %d is not within 0..%d", s.SizeBytes, int64(SizeBytesMax))
	case s.Weight < 1 || s.Weight > WeightMax*int64(ScoreOne):
		return s, fmt.Errorf("weight: must be above 0 and at most %d", int64(WeightMax))
	case s.Spread != SpreadEven && s.Spread != SpreadNone:
		return s, fmt.Errorf("spread: %q is none of even, none", s.Spread)
	case s.MaxPerZone < 0 || s.MaxPerZone > DesiredMax:
		return s, fmt.Errorf("max_per_zone: %d is not within 1..%d", s.MaxPerZone, DesiredMax)
	case s.Policy != PolicyEager && s.Policy != PolicyLazy && s.Policy != PolicyPinned:
		return s, fmt.Errorf("policy: %q is none of eager, lazy, pinned", s.Policy)
	}
	if err := unit("floor", s.Floor); err != nil {
		return s, err
	}
	if err := unit("gap", s.Gap); err != nil {
		return s, err
	}
	if err := span("cooldown", s.Cooldown); err != nil {
		return s, err
	}
	if err := span("repair_delay", s.RepairDelay); err != nil {
		return s, err
	}
	if err := s.Labels.Check(); err != nil {
		return s, fmt.Errorf("labels: %w", err)
	}
	return s, checkExpressions(s)
}

func checkExpressions(s Spec) error {
	for _, list := range []struct {
		field string
		exprs []string
		check func(string) error
	}{
		{"require", s.Require, CheckExpression},
		{"prefer", s.Prefer, CheckExpression},
		{"near", s.Near, CheckExpression},
		{"anti_affinity", s.AntiAffinity, CheckPeer},
		{"colocate", s.Colocate, CheckPeer},
	} {
		if len(list.exprs) > ExpressionsMax {
			return fmt.Errorf("%s: %d expressions given, at most %d are allowed", list.field, len(list.exprs), ExpressionsMax)
		}
		for _, e := range list.exprs {
			if err := list.check(e); err != nil {
				return fmt.Errorf("%s: %w", list.field, err)
			}
		}
	}
	return nil
}

func unit(field string, f *float64) error {
	if f != nil && (math.IsNaN(*f) || *f < 0 || *f > 1) {
		return fmt.Errorf("%s: %v is not within 0..1", field, *f)
	}
	return nil
}

// DurationMax bounds every configured duration: one year.
const DurationMax = 365 * 24 * time.Hour

func span(field string, d *time.Duration) error {
	if d != nil && (*d < 0 || *d > DurationMax) {
		return fmt.Errorf("%s: %v is not within 0s..%v", field, *d, DurationMax)
	}
	return nil
}

// Content is the version of a chain's bytes that is current (rule S3).
type Content struct {
	Version Revision // the revision that committed it
	SHA256  string   // lower-case hex
	Size    int64    // bytes
}

// Phase is where a holder stands between its assignment and its end. It is a
// number because a million chains have three holders each.
type Phase uint8

// Phases of a holder: pulling → ready → dropping → gone.
const (
	Pulling Phase = iota + 1
	Ready
	Dropping
)

// String returns the phase in a word.
func (p Phase) String() string {
	switch p {
	case Pulling:
		return "pulling"
	case Ready:
		return "ready"
	case Dropping:
		return "dropping"
	}
	return "phase " + strconv.Itoa(int(p))
}

// Holder is a node that has, or is getting, a copy of a chain.
type Holder struct {
	Node        NodeID
	Epoch       Epoch
	Phase       Phase
	Lost        bool   // counted as gone, but not removed (rule S1)
	Unconfirmed bool   // not yet confirmed by an inventory of the node's present incarnation (rule S2)
	Since       Time   // when the phase, or the unconfirmed mark, began
	Source      NodeID // whom the assignment named to pull from; "" = the chain's first copy
	SHA256      string // content of the copy, "" without content
	SizeBytes   int64  // bytes of the copy as last reported
}

// Cause says why a move was made. Each has its own budget.
type Cause string

// Causes, in the order in which a pass takes them. Expire stands for the end
// of open moves and excess for surplus copies; neither opens a move.
const (
	CauseForced     Cause = "forced"
	CauseRepair     Cause = "repair"
	CauseDrain      Cause = "drain"
	CauseConstraint Cause = "constraint"
	CauseExcess     Cause = "excess"
	CauseBalance    Cause = "balance"
)

// SwapMode says what comes first in a move.
type SwapMode string

// Swap modes. Place-first: the target pulls, and when it is ready the victim
// drops. Evict-first: the victim drops, and a repair refills on the target.
const (
	PlaceFirst SwapMode = "place-first"
	EvictFirst SwapMode = "evict-first"
)

// MovePhase is where a move stands.
type MovePhase string

// Phases of a move. Waiting: the target is ready and the victim may not drop
// yet. Dropping: the victim has been told to drop.
const (
	MovePulling  MovePhase = "pulling"
	MoveWaiting  MovePhase = "waiting"
	MoveDropping MovePhase = "dropping"
)

// Move is one open transfer of a chain. A repair has no From.
type Move struct {
	ID         MoveID
	Cause      Cause
	Mode       SwapMode
	Phase      MovePhase
	From       NodeID
	FromEpoch  Epoch
	To         NodeID
	ToEpoch    Epoch // 0 while the target of an evict-first move is not assigned yet
	Opened     Time
	Deadline   Time // Never = none; counts from the last progress (rule S8)
	BytesDone  int64
	BytesTotal int64
	ScoreFrom  Score
	ScoreTo    Score
	Unbudgeted bool // opened by a content commit (rule S3)
}

// Backoff keeps a target that failed from being chosen again for a while.
type Backoff struct {
	Node     NodeID
	Failures int
	Until    Time
}

// Quarantine holds back a chain whose targets failed again and again.
type Quarantine struct {
	Since    Time
	Until    Time // no move is opened before
	Failures int
	Error    string // the last failure
}

// Chain is the unit that is placed, with all that the state knows of it.
type Chain struct {
	ID             ChainID
	Generation     Generation
	Revision       Revision
	Spec           *Spec       // shared by chains with equal specs; never written
	Holders        []Holder    // sorted by node
	Moves          []Move      // sorted by id
	LastRebalance  Time        // the cooldown stamp (rule S9)
	LastConstraint Time        // the same for cause constraint
	Departed       []Departure // where its copies have been before balance moved them
	LastDecision   Revision    // its decision record, 0 = none
	EverReady      bool        // it has had a ready holder: no copy is made from nothing again (rule S1)
	Failures       int32       // targets that failed in a row
	Content        *Content
	Backoffs       []Backoff
	Quarantine     *Quarantine
}

// Holder returns the holder on node, or nil.
func (c *Chain) Holder(node NodeID) *Holder {
	i := c.HolderIndex(node)
	if i < 0 {
		return nil
	}
	return &c.Holders[i]
}

// HolderIndex returns the index of the holder on node, or -1.
func (c *Chain) HolderIndex(node NodeID) int {
	return slices.IndexFunc(c.Holders, func(h Holder) bool { return h.Node == node })
}

// MoveByID returns the open move with that id, or nil.
func (c *Chain) MoveByID(id MoveID) *Move {
	i := slices.IndexFunc(c.Moves, func(m Move) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return &c.Moves[i]
}

// Rebalance returns the open move that has a victim, or nil: there is at most
// one (rule S7).
func (c *Chain) Rebalance() *Move {
	i := slices.IndexFunc(c.Moves, func(m Move) bool { return m.From != "" })
	if i < 0 {
		return nil
	}
	return &c.Moves[i]
}

// SHA256 returns the hash of the current content, "" without content.
func (c *Chain) SHA256() string {
	if c.Content == nil {
		return ""
	}
	return c.Content.SHA256
}

// SizeBytes returns what one copy is reckoned to take: the content's size, or
// the spec's while there is none.
func (c *Chain) SizeBytes() int64 {
	if c.Content != nil {
		return c.Content.Size
	}
	return c.Spec.SizeBytes
}

// BackedOff tells whether node is still kept from being a target at now.
func (c *Chain) BackedOff(node NodeID, now Time) bool {
	return slices.ContainsFunc(c.Backoffs, func(b Backoff) bool { return b.Node == node && now < b.Until })
}

// Quarantined tells whether the chain is held back at now.
func (c *Chain) Quarantined(now Time) bool { return c.Quarantine != nil && now < c.Quarantine.Until }

// Clone returns a copy whose slices may be changed without touching c. What
// they point to (content, quarantine, labels) is replaced, never written, and so
// is Departed.
func (c *Chain) Clone() *Chain {
	d := *c
	d.Holders = slices.Clone(c.Holders)
	d.Moves = slices.Clone(c.Moves)
	d.Backoffs = slices.Clone(c.Backoffs)
	return &d
}
