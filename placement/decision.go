package placement

import (
	"fmt"
	"time"
)

// Kind is what a decision does.
type Kind string

// Kinds of decisions.
const (
	KindAssign   Kind = "assign"    // a new holder pulls (repair, or the refill of an evict-first move)
	KindOpenMove Kind = "open-move" // a move with a victim begins
	KindComplete Kind = "complete"  // the target is ready: the victim drops, the move is done
	KindCallOff  Kind = "call-off"  // a move ends without having moved
	KindDrop     Kind = "drop"      // a surplus copy goes
)

// ReasonName is the machine's word for why a decision was made.
type ReasonName string

// Names of reasons.
const (
	ReasonBelowDesired  ReasonName = "below-desired"   // fewer copies than desired
	ReasonFirstCopy     ReasonName = "first-copy"      // the chain has never had a copy
	ReasonRefill        ReasonName = "refill"          // the second stage of an evict-first move
	ReasonBelowFloor    ReasonName = "below-floor"     // score below the floor, a better node exists
	ReasonIneligible    ReasonName = "ineligible"      // the holder's node no longer satisfies the chain
	ReasonDraining      ReasonName = "draining"        // the holder's node is draining
	ReasonForced        ReasonName = "forced"          // an operator asked for it
	ReasonDeadline      ReasonName = "deadline"        // no progress until the deadline
	ReasonTargetLost    ReasonName = "target-lost"     // the target is lost, gone or no longer eligible
	ReasonTargetFailed  ReasonName = "target-failed"   // the target reported a failure
	ReasonTargetReady   ReasonName = "target-ready"    // the target reported its copy ready
	ReasonReturned      ReasonName = "returned"        // the missing copy came back: its replacement is not needed
	ReasonSurplus       ReasonName = "surplus"         // more live copies than desired
	ReasonReplaced      ReasonName = "replaced"        // a lost copy has been replaced
	ReasonChainGone     ReasonName = "chain-deleted"   // the chain was deleted
	ReasonVictimGone    ReasonName = "victim-gone"     // the victim's copy went before it was told to
	ReasonSuperseded    ReasonName = "superseded"      // newer content replaced what was being pulled
	ReasonRestored      ReasonName = "restored"        // a snapshot was restored
	ReasonNodeRemoved   ReasonName = "node-removed"    // the operator removed the node
	ReasonAllowDataLoss ReasonName = "allow-data-loss" // the operator gave up the last copy
)

// Reason is why a decision was made: a name for programs and words for people.
type Reason struct {
	Name   ReasonName
	Detail string
}

// String returns "name: detail", or the name alone.
func (r Reason) String() string {
	if r.Detail == "" {
		return string(r.Name)
	}
	return string(r.Name) + ": " + r.Detail
}

// Decision is what the scheduler proposes about one chain, and the state
// machine accepts or refuses.
type Decision struct {
	Kind          Kind
	Cause         Cause
	Chain         ChainID
	ChainRevision Revision // the revision it was made on; another is refused stale-decision
	Move          MoveID   // of complete and call-off; of an assign that refills an evict-first move
	From          NodeID
	To            NodeID
	Source        NodeID // a live copy to pull from; "" for a chain's first copy
	Mode          SwapMode
	ScoreFrom     Score
	ScoreTo       Score
	Forced        Revision // the queued operation that an open-move answers, 0 = none
	Reason        Reason
}

// Code is the machine's word for why something was refused. The empty code
// means accepted.
type Code string

// Refusal codes. They are the codes of the HTTP API, which owns their status.
const (
	Accepted            Code = ""
	Invalid             Code = "invalid"
	Unauthorized        Code = "unauthorized"
	Forbidden           Code = "forbidden"
	UnknownChain        Code = "unknown-chain"
	UnknownNode         Code = "unknown-node"
	StaleGeneration     Code = "stale-generation"
	StaleContent        Code = "stale-content"
	TooLarge            Code = "too-large"
	IdempotencyMismatch Code = "idempotency-mismatch"
	Overloaded          Code = "overloaded"
	Unsupported         Code = "unsupported"
	NotReady            Code = "not-ready"
	NoLeader            Code = "no-leader"
	NoLiveCopy          Code = "no-live-copy"
	TooFewHolders       Code = "too-few-holders"
	OutcomeUnknown      Code = "outcome-unknown"
	NoSpace             Code = "no-space"
	StaleDecision       Code = "stale-decision"
	StaleTerm           Code = "stale-term"
	StaleConfig         Code = "stale-config"
	StaleEpoch          Code = "stale-epoch"
	StalePlan           Code = "stale-plan"
	NotHolder           Code = "not-holder"
	AlreadyHolder       Code = "already-holder"
	MoveOpen            Code = "move-open"
	NoMove              Code = "no-move"
	Cooling             Code = "cooling"
	Frozen              Code = "frozen"
	RepairPaused        Code = "repair-paused"
	RestoreGuard        Code = "restore-guard"
	PinnedChain         Code = "pinned"
	BelowMinReady       Code = "below-min-ready"
	LastCopy            Code = "last-copy"
	OverReplicated      Code = "over-replicated"
	OverCapacity        Code = "over-capacity"
	IneligibleTarget    Code = "ineligible-target"
	BudgetCluster       Code = "budget-cluster"
	BudgetNode          Code = "budget-node"
	NoSource            Code = "no-source"
	Exists              Code = "exists"
	NodeNotEmpty        Code = "node-not-empty"
	NodeIDTaken         Code = "node-id-taken"
)

// Verdict is the state machine's answer to a decision.
type Verdict struct {
	Code   Code
	Detail string // words for people; empty when accepted
}

// Refuse returns a refusal with its words.
func Refuse(code Code, format string, args ...any) Verdict {
	return Verdict{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// OK tells whether the verdict accepts.
func (v Verdict) OK() bool { return v.Code == Accepted }

// Record is one decision of the durable history with its verdict.
type Record struct {
	Revision Revision // its place in the history
	Decision Decision
	Verdict  Code
	Index    uint64 // raft index of the entry that carried it
	Term     uint64 // raft term of that entry
	Actor    string
	At       Time
	Wall     time.Time // for people; nothing is computed with it
}

// Forced is an operator's order to move a chain, queued until the scheduler
// opens it or it expires.
type Forced struct {
	ID      Revision
	Chain   ChainID
	From    NodeID // "" = the scheduler chooses the victim (lowest score)
	To      NodeID // "" = the scheduler chooses the target
	Actor   string
	Reason  string
	Expires Time
}
