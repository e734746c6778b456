package cluster

import (
	"errors"
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// ErrOutcomeUnknown is wrapped by the error of a proposal whose fate cannot be
// known: it may have been applied, or be applied later. A retry needs the same
// idempotency key (rule S20).
var ErrOutcomeUnknown = errors.New("the outcome is unknown: it may have been applied")

// ErrAborted is wrapped by the error of a proposal that was lost because a
// snapshot was restored: it was not applied.
var ErrAborted = errors.New("not applied: a snapshot was restored meanwhile")

// ErrStopped is wrapped by errors of calls on a node that is not running.
var ErrStopped = errors.New("the node is not running")

// errNoAddress says that nobody knows where an instance is.
var errNoAddress = errors.New("neither gossip nor state knows where it is")

// errKilled ends Run after Kill.
var errKilled = errors.New("killed")

// NotLeaderError says that only the leader can do this, and who that is.
type NotLeaderError struct {
	Leader *Leader // nil = not known
}

// Error says whom to ask.
func (e *NotLeaderError) Error() string {
	if e.Leader == nil {
		return "this node is not the leader, and none is known: wait for an election"
	}
	return fmt.Sprintf("this node is not the leader: ask node %s at %s", e.Leader.Node, e.Leader.Address)
}

// RefusedError says that the cluster refused something a node asked for itself.
type RefusedError struct {
	Code   placement.Code
	Detail string
}

// Error returns detail and code in one line.
func (e *RefusedError) Error() string { return fmt.Sprintf("%s (%s)", e.Detail, e.Code) }
