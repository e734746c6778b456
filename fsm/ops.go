package fsm

import (
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Batch is one log entry: operations that are applied in order and answered
// one by one. A batch without operations is a tick: it only advances time.
type Batch struct {
	Level    int            // feature level it was written at (rule S19)
	Now      placement.Time // the leader's stamp; Apply takes the larger of it and its own (rule S13)
	Wall     time.Time      // for people, millisecond resolution
	Term     uint64         // raft term of the view a scheduler batch was made on; 0 = not a scheduler batch
	ConfigAt placement.Generation
	Ops      []Op
}

// Op is one operation with who asked for it and why.
type Op struct {
	Actor   string
	Reason  string
	Request Request // zero = not a client's request
	Body    Body
}

// Request identifies a client's write, so that a retry is applied once and
// answered with the first answer (rule S20).
type Request struct {
	Key  string // at most KeyMax bytes; "" = none
	Hash []byte // SHA-256 of method, path and body
}

// Body is what an operation does. The types of this file implement it.
type Body interface{ kind() opKind }

// Genesis is the first operation of a cluster's life.
type Genesis struct {
	ClusterID string `cbor:"1,keyasint"`
	Name      string `cbor:"2,keyasint"`
	Lineage   string `cbor:"3,keyasint"`
}

// Announce says that a process of a node has started. It issues the node's
// incarnation: its holders are unconfirmed until its inventory arrives (rule S2).
// The answer carries the incarnation. Announcing the same Process again
// changes only what the node says of itself.
type Announce struct {
	Node          placement.NodeID `cbor:"1,keyasint"`
	Instance      string           `cbor:"2,keyasint"`
	Process       string           `cbor:"3,keyasint"` // random id of the run; a repeat issues no new incarnation
	Role          placement.Role   `cbor:"4,keyasint"`
	Zone          string           `cbor:"5,keyasint,omitempty"`
	Labels        []labelRecord    `cbor:"6,keyasint,omitempty"`
	Addresses     addressesRecord  `cbor:"7,keyasint"`
	CapacityBytes int64            `cbor:"8,keyasint,omitempty"`
	Version       string           `cbor:"9,keyasint,omitempty"`
	FeatureLevel  int              `cbor:"10,keyasint"`
	Numbers       []numberRecord   `cbor:"11,keyasint,omitempty"` // capabilities that are numbers
	Texts         []labelRecord    `cbor:"12,keyasint,omitempty"` // and those that are texts
}

// Observe commits what the leader has seen of a node's liveness: alive,
// suspect, sick or dead.
type Observe struct {
	Node        placement.NodeID      `cbor:"1,keyasint"`
	Incarnation placement.Incarnation `cbor:"2,keyasint"`
	State       placement.NodeState   `cbor:"3,keyasint"`
}

// Lose marks lost, chain by chain, the copies of a node that has been
// unreachable, or a copy that has stayed unconfirmed, for the chain's repair
// delay. The leader proposes it only on evidence of its own (rule S13).
type Lose struct {
	Node        placement.NodeID      `cbor:"1,keyasint"`
	Incarnation placement.Incarnation `cbor:"2,keyasint"`
}

// Leave says that a node goes for good by its own word. Its copies stay
// listed and are repaired elsewhere. The word counts for the run that gave it.
type Leave struct {
	Node        placement.NodeID      `cbor:"1,keyasint"`
	Instance    string                `cbor:"2,keyasint"`
	Incarnation placement.Incarnation `cbor:"3,keyasint,omitempty"` // 0 = any: entries of before it was named
}

// RemoveNode forgets a node that is dead or has left.
type RemoveNode struct {
	Node          placement.NodeID `cbor:"1,keyasint"`
	AllowDataLoss bool             `cbor:"2,keyasint,omitempty"`
}

// SetEligibility cordons, uncordons, drains, puts into maintenance, or
// quarantines a node that flaps.
type SetEligibility struct {
	Node        placement.NodeID      `cbor:"1,keyasint"`
	Eligibility placement.Eligibility `cbor:"2,keyasint"`
	Deadline    time.Duration         `cbor:"3,keyasint,omitempty"` // of a drain; 0 = none
}

// SetWeight sets a node's weight, 0 to 1 in millionths.
type SetWeight struct {
	Node   placement.NodeID `cbor:"1,keyasint"`
	Weight placement.Score  `cbor:"2,keyasint"`
}

// PutChain creates a chain or replaces its spec.
type PutChain struct {
	Chain        placement.ChainID    `cbor:"1,keyasint"`
	Spec         specRecord           `cbor:"2,keyasint"`
	IfGeneration placement.Generation `cbor:"3,keyasint,omitempty"` // 0 = whatever it is
	CreateOnly   bool                 `cbor:"4,keyasint,omitempty"`
}

// PutChains is PutChain for many, at most [ItemsMax], each item answered with
// its code.
type PutChains struct {
	Items []PutChain `cbor:"1,keyasint"`
}

// DeleteChain deletes a chain and leaves a tombstone.
type DeleteChain struct {
	Chain        placement.ChainID    `cbor:"1,keyasint"`
	IfGeneration placement.Generation `cbor:"2,keyasint,omitempty"`
}

// Report is what a node says of its copies. With Inventory it is the complete
// list of what it holds.
type Report struct {
	Node        placement.NodeID      `cbor:"1,keyasint"`
	Lineage     string                `cbor:"2,keyasint"`
	Incarnation placement.Incarnation `cbor:"3,keyasint"`
	Inventory   bool                  `cbor:"4,keyasint,omitempty"`
	NoSpace     bool                  `cbor:"5,keyasint,omitempty"`
	Items       []ReportItem          `cbor:"6,keyasint,omitempty"`
	// Revision is that of the view when the listing behind the report began.
	// What the report says is gone does not count against a chain that has
	// changed since: newer bytes may have been stored meanwhile.
	Revision placement.Revision `cbor:"7,keyasint,omitempty"`
	// After and Until say which part of an inventory this is, if it does not
	// fit one entry: the chains after After up to and including Until. The part
	// without Until is the last one and completes the inventory.
	After placement.ChainID `cbor:"8,keyasint,omitempty"`
	Until placement.ChainID `cbor:"9,keyasint,omitempty"`
}

// covers tells whether the part of the inventory speaks of a chain.
func (r *Report) covers(id placement.ChainID) bool {
	return id > r.After && (r.Until == "" || id <= r.Until)
}

// ReportPhase is what a node says of one copy.
type ReportPhase string

// Phases of a report. In an inventory every held copy is ReportReady.
const (
	ReportPulling ReportPhase = "pulling" // progress
	ReportReady   ReportPhase = "ready"   // the copy is complete and verified
	ReportFailed  ReportPhase = "failed"  // the pull was given up
	ReportDropped ReportPhase = "dropped" // the copy is gone, as told
	ReportLost    ReportPhase = "lost"    // the copy is gone, untold
)

// ReportItem is what a node says of one copy, fenced by its epoch.
type ReportItem struct {
	Chain      placement.ChainID `cbor:"1,keyasint"`
	Epoch      placement.Epoch   `cbor:"2,keyasint"`
	Phase      ReportPhase       `cbor:"3,keyasint"`
	SHA256     string            `cbor:"4,keyasint,omitempty"`
	SizeBytes  int64             `cbor:"5,keyasint,omitempty"`
	BytesDone  int64             `cbor:"6,keyasint,omitempty"`
	BytesTotal int64             `cbor:"7,keyasint,omitempty"`
	Error      string            `cbor:"8,keyasint,omitempty"`
}

// Decide is one decision of the scheduler.
type Decide struct {
	Decision decisionRecord `cbor:"1,keyasint"`
}

// PutConfig replaces the configuration.
type PutConfig struct {
	Config       configRecord         `cbor:"1,keyasint"`
	IfGeneration placement.Generation `cbor:"2,keyasint,omitempty"`
}

// SetFreeze stops the opening of moves, for a while or until Thaw.
type SetFreeze struct {
	For time.Duration `cbor:"1,keyasint,omitempty"` // 0 = until thawed
}

// Thaw ends a freeze.
type Thaw struct{}

// ResumeRepair ends a repair pause.
type ResumeRepair struct{}

// SetHeartbeat gives all voters another heartbeat (rule S17). The operation's
// reason says why.
type SetHeartbeat struct {
	Timeout time.Duration `cbor:"1,keyasint"`
}

// Force queues an operator's move.
type Force struct {
	Chain placement.ChainID `cbor:"1,keyasint"`
	From  placement.NodeID  `cbor:"2,keyasint,omitempty"`
	To    placement.NodeID  `cbor:"3,keyasint,omitempty"`
}

// CommitContent makes bytes that the named holders have stored the current
// content of a chain (rule S3).
type CommitContent struct {
	Chain   placement.ChainID  `cbor:"1,keyasint"`
	Base    placement.Revision `cbor:"2,keyasint,omitempty"` // the version it replaces, 0 = none
	SHA256  string             `cbor:"3,keyasint"`
	Size    int64              `cbor:"4,keyasint"`
	Holders []StoredCopy       `cbor:"5,keyasint"`
}

// StoredCopy names a holder under whose assignment bytes were stored.
type StoredCopy struct {
	Node        placement.NodeID      `cbor:"1,keyasint"`
	Incarnation placement.Incarnation `cbor:"2,keyasint"`
	Epoch       placement.Epoch       `cbor:"3,keyasint"`
}

// RaiseLevel raises the feature level (rule S19).
type RaiseLevel struct {
	Level int `cbor:"1,keyasint"`
}

// ReleaseGuard ends the guard that a restore set (rule S5).
type ReleaseGuard struct{}

// PurgeOrphan lets a node delete a copy of a chain that the state does not know.
type PurgeOrphan struct {
	Node  placement.NodeID  `cbor:"1,keyasint"`
	Chain placement.ChainID `cbor:"2,keyasint"`
}

// Result is the answer to one operation.
type Result struct {
	Code        placement.Code // empty = accepted
	Detail      string
	Revision    placement.Revision    // the counter after the operation
	Created     bool                  // PutChain: the chain is new
	Chain       *placement.Chain      // the chain as this operation left it, where it concerns one
	Incarnation placement.Incarnation // Announce
	Copies      []CopyAnswer          // Report: what to do with copies the state does not list
	Items       []placement.Code      // PutChains: a code per item
	Replayed    bool                  // the answer was remembered, nothing was applied
}

// OK tells whether the operation was accepted.
func (r Result) OK() bool { return r.Code == placement.Accepted }

// CopyVerdict is the answer about a copy that the state does not list (rule S1).
type CopyVerdict string

// Verdicts on unlisted copies. Orphan: the state does not know the chain at
// all; the copy is kept and shown until an operator purges it.
const (
	CopyAdopt   CopyVerdict = "adopt"
	CopyDiscard CopyVerdict = "discard"
	CopyWait    CopyVerdict = "wait"
	CopyOrphan  CopyVerdict = "orphan"
)

// CopyAnswer is the verdict on one unlisted copy.
type CopyAnswer struct {
	Chain   placement.ChainID
	Epoch   placement.Epoch
	Verdict CopyVerdict
}

// Stray is a copy that a node reported and the state does not list.
type Stray struct {
	Node      placement.NodeID
	Chain     placement.ChainID
	Epoch     placement.Epoch
	SHA256    string
	SizeBytes int64
	Verdict   CopyVerdict
}

// Tombstone remembers a deleted chain.
type Tombstone struct {
	Chain   placement.ChainID
	Epoch   placement.Epoch // no copy of this or an older epoch may live
	Expires placement.Time
}

// Change says which object a revision changed.
type Change struct {
	Revision placement.Revision
	Kind     ChangeKind
	ID       string // chain id, node id; "" for the configuration
	Deleted  bool
}

// ChangeKind is the kind of object that changed.
type ChangeKind string

// Kinds of changes, in the words of the event stream.
const (
	ChangeChain    ChangeKind = "chain"
	ChangeNode     ChangeKind = "node"
	ChangeConfig   ChangeKind = "config"
	ChangeDecision ChangeKind = "decision"
	ChangeMove     ChangeKind = "move"
)
