package holder

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// ErrNoSpace is wrapped by errors that say that the disk reserve is reached.
// It is reported at once: trying again does not help.
var ErrNoSpace = errors.New(string(placement.NoSpace))

// Runner makes and removes the local copies of chains. Work on one chain is
// serial; different chains may be worked on at the same time.
type Runner interface {
	// Pull makes a full local copy under the assignment's epoch. It is
	// idempotent and may resume what an earlier call left. The same content that
	// is here under another epoch is taken over, with or without sources. When
	// Pull returns nil the copy is durable and Held lists it. It returns soon
	// after ctx ends.
	Pull(ctx context.Context, a Assignment) error
	// Drop removes the copy that Held listed as c, and no other: one that was
	// stored again since, or that has another epoch, stays. Dropping what is
	// not there is no error.
	Drop(ctx context.Context, c Copy) error
	// Held lists what is really here: after a crash the truth is on disk. It
	// runs at start, every minute and after each pull and drop. An error means
	// "cannot say", never "nothing".
	Held(ctx context.Context) ([]Copy, error)
}

// Source is a node that has a live copy to pull from.
type Source struct {
	Node    placement.NodeID
	Address string // its node port, host:port
}

// Assignment says which copy to make.
type Assignment struct {
	Chain   placement.ChainID
	Epoch   placement.Epoch
	Content *placement.Content // the current content; nil = the chain has none
	Sources []Source           // live copies, the best first
	// First says that the chain has never had a ready copy, so an empty one may
	// be made. Without it an assignment without sources waits, unless the
	// content is here already (rule S1).
	First    bool
	Spec     placement.Spec
	Deadline placement.Time // when the move is called off without progress; Never = none
	// Progress may be called with the bytes that are here and the bytes of the
	// whole, as often as the Runner likes and from any goroutine. The loop sets
	// it; nil = nobody listens.
	Progress func(doneBytes, totalBytes int64)
}

// SHA256 returns the hash of the content to hold, "" without content.
func (a *Assignment) SHA256() string {
	if a.Content == nil {
		return ""
	}
	return a.Content.SHA256
}

// Copy is one version of a chain's content that is held under one epoch. A
// node may have several of a chain: an older version beside a newer.
type Copy struct {
	Chain     placement.ChainID
	Epoch     placement.Epoch
	SHA256    string // lower-case hex, "" = no content
	SizeBytes int64
	// Staged marks bytes that a client's PUT stored here. They may be committed
	// at any moment as the successor of content version Base, so they are not
	// superseded before the chain has moved past Base (rule S3).
	Staged bool
	Base   placement.Revision // 0 = to be the chain's first content
}

func compareCopies(a, b Copy) int {
	return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.SHA256, b.SHA256))
}

// Duty is what the state wants of this node for one chain.
type Duty struct {
	Assignment
	Phase placement.Phase
	// Settled says that write_copies live copies of the current content exist
	// and no restore guard is in force: superseded versions may go (rule S3).
	Settled bool
	// DropAfter is when a dropping copy has served out its grace, on the clock
	// of Diff's now; zero = not yet. The loop sets it from Duties.DropGrace,
	// counted from when it first saw the phase.
	DropAfter time.Time
}

// Discard names a copy that the state does not list and does not want: all
// that is held of that chain under that epoch.
type Discard struct {
	Chain placement.ChainID
	Epoch placement.Epoch
}

// Duties is what the replicated state says for this node at one index.
type Duties struct {
	Index    uint64 // raft index of the view; the loop ignores one that goes back
	Revision placement.Revision
	Lineage  string
	// Incarnation is the one that Apply issued to this process. 0 = none yet:
	// the node does nothing and reports nothing.
	Incarnation placement.Incarnation
	// WantInventory says that the state has given this node up meanwhile and
	// waits to hear anew what it holds. The inventory is sent once each time
	// this becomes true.
	WantInventory bool
	DropGrace     time.Duration // how long a dropping copy goes on serving
	MoveDeadline  time.Duration // progress is reported at most every tenth of it
	List          []Duty        // at most one per chain, in any order
	Discard       []Discard
}

// State is where the loop learns its duties.
type State interface {
	// Duties blocks until the view has passed index after and something in it
	// changed for this node, or ctx ends. After 0 it returns the present view.
	Duties(ctx context.Context, after uint64) (Duties, error)
}

// ReportPhase is what a report says of one copy.
type ReportPhase string

// Phases of a report. In an inventory each held copy is one item in phase
// ready; outside one, ready means that the duty's copy is complete.
const (
	ReportPulling ReportPhase = "pulling" // progress
	ReportReady   ReportPhase = "ready"
	ReportFailed  ReportPhase = "failed" // the pull failed several times, with its text
	ReportDropped ReportPhase = "dropped"
	ReportLost    ReportPhase = "lost" // a ready copy is not here any more
)

// ReportItem is one line of a report.
type ReportItem struct {
	Chain      placement.ChainID
	Epoch      placement.Epoch
	Phase      ReportPhase
	SHA256     string // of the copy; for lost, of the content that was expected
	SizeBytes  int64
	BytesDone  int64
	BytesTotal int64
	Error      string
}

// Report is what a node tells the state. Reports are idempotent and repeated
// until the duties show that they arrived.
type Report struct {
	Lineage     string
	Incarnation placement.Incarnation
	// Revision is the view's when the listing behind the report began. What a
	// report says is absent must not count against a chain that changed since:
	// a PUT may have stored and committed newer bytes meanwhile (rule S3).
	Revision  placement.Revision
	Inventory bool // the items are the complete list of what is held
	NoSpace   bool // the disk reserve is reached: the node is no target
	Items     []ReportItem
}

// Refusal says why one item of a report changed nothing.
type Refusal struct {
	Chain  placement.ChainID
	Epoch  placement.Epoch
	Code   placement.Code
	Detail string
}

// Answer is what Apply said to a report. What follows from it (adopted copies,
// discards) arrives as new duties.
type Answer struct {
	Refused []Refusal
}

// Reports is where the loop sends what it found. An error means that the
// report may or may not have been applied.
type Reports interface {
	Report(ctx context.Context, r Report) (Answer, error)
}
