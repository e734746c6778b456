package api

import "net/http"

// Code is the machine's word for an error. A program switches on it; people
// read the detail beside it.
type Code string

// Codes of errors. [Status] gives each its HTTP status.
const (
	Invalid             Code = "invalid"
	Unauthorized        Code = "unauthorized"
	Forbidden           Code = "forbidden"
	NotFound            Code = "not-found" // the path names nothing
	UnknownChain        Code = "unknown-chain"
	UnknownNode         Code = "unknown-node"
	MethodNotAllowed    Code = "method-not-allowed"
	LengthRequired      Code = "length-required"
	StaleGeneration     Code = "stale-generation"
	StaleContent        Code = "stale-content"
	TooLarge            Code = "too-large"
	RangeUnsatisfiable  Code = "range-not-satisfiable"
	IdempotencyMismatch Code = "idempotency-mismatch"
	Overloaded          Code = "overloaded"
	Internal            Code = "internal" // a defect of the server; nothing that the request could mend
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
	Pinned              Code = "pinned"
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

// Status returns the HTTP status of a code. A refusal that is not listed here
// is a conflict with the present state, 409.
func Status(code Code) int {
	switch code {
	case Invalid:
		return http.StatusBadRequest
	case Unauthorized:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotFound, UnknownChain, UnknownNode:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case LengthRequired:
		return http.StatusLengthRequired
	case StaleGeneration, StaleContent:
		return http.StatusPreconditionFailed
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case RangeUnsatisfiable:
		return http.StatusRequestedRangeNotSatisfiable
	case IdempotencyMismatch:
		return http.StatusUnprocessableEntity
	case Overloaded:
		return http.StatusTooManyRequests
	case Internal:
		return http.StatusInternalServerError
	case Unsupported:
		return http.StatusNotImplemented
	case NotReady, NoLeader, NoLiveCopy, TooFewHolders, OutcomeUnknown:
		return http.StatusServiceUnavailable
	case NoSpace:
		return http.StatusInsufficientStorage
	default:
		return http.StatusConflict
	}
}

// Retryable tells whether the same request, with the same idempotency key,
// may succeed later without anyone changing anything.
func (c Code) Retryable() bool {
	switch c {
	case NotReady, NoLeader, OutcomeUnknown, Overloaded, TooFewHolders:
		return true
	default:
		return false
	}
}
