package api

// Headers of requests and answers.
const (
	// HeaderRevision carries the revision that an answer was made at.
	HeaderRevision = "Holdfast-Revision"
	// HeaderLineage carries the history that the revision belongs to. In a
	// request it says which history ?revision= or ?since= speaks of.
	HeaderLineage = "Holdfast-Lineage"
	// HeaderKnownLeader is "true" if the answering node knows a leader.
	HeaderKnownLeader = "Holdfast-Known-Leader"
	// HeaderLastContact is how long ago the answering node heard from the
	// leader, as a Go duration string; "0s" on the leader.
	HeaderLastContact = "Holdfast-Last-Contact"
	// HeaderForwarded names the node that passed a request on. Such a request
	// is never passed on again.
	HeaderForwarded = "Holdfast-Forwarded"
	// HeaderActor and HeaderRole say who made a request that was passed on and
	// what he may do. They count on the node port only.
	HeaderActor = "Holdfast-Actor"
	HeaderRole  = "Holdfast-Role"
	// HeaderCode repeats the code of a [Problem], so that it is known before
	// the body is read.
	HeaderCode = "Holdfast-Code"
	// HeaderConfirm carries the cluster id that an act of great reach is meant for.
	HeaderConfirm = "Holdfast-Confirm"
	// HeaderCluster carries the id of the cluster that a snapshot is of.
	HeaderCluster = "Holdfast-Cluster"
	// HeaderIdempotencyKey names a write, so that a retry is applied once.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderLastEventID says where an event stream is resumed.
	HeaderLastEventID = "Last-Event-ID"
)

// Limits of requests.
const (
	BodyBytesMax      = 1 << 20  // of a JSON body
	BatchBodyBytesMax = 16 << 20 // of the body of chains:batch
	BatchChainsMax    = 10_000   // chains in one chains:batch
	SnapshotBytesMax  = 4 << 30  // of a snapshot that is restored
	LimitDefault      = 100      // objects on one page
	LimitMax          = 1000
	ReasonBytesMax    = 1024
	KeyBytesMax       = 120 // of an idempotency key
)

// Consistencies of a read (?consistency=).
const (
	Stale        = "stale"        // the answering node's own state
	FromLeader   = "leader"       // the leader's state, without asking the others
	Linearizable = "linearizable" // the leader's state after it has proved that it still leads
)
