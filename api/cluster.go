package api

import "time"

// ClusterStatus answers GET /v1/status.
type ClusterStatus struct {
	Cluster      Cluster      `json:"cluster"`
	Node         string       `json:"node"` // the answering node
	Version      string       `json:"version"`
	Leader       *Leader      `json:"leader"`
	Term         uint64       `json:"term"`
	Index        uint64       `json:"index"`
	Revision     uint64       `json:"revision"`
	ClusterTime  ClusterTime  `json:"cluster_time"`
	Nodes        NodeCounts   `json:"nodes"`
	Voters       []string     `json:"voters"`
	Chains       ChainCounts  `json:"chains"`
	MovesOpen    int          `json:"moves_open"`
	Freeze       *Freeze      `json:"freeze"`
	RepairPause  *RepairPause `json:"repair_pause"`
	RestoreGuard *Guard       `json:"restore_guard"`
	Orphans      int          `json:"orphans"`
	Heartbeat    *Heartbeat   `json:"heartbeat"` // null = none was committed yet
}

// Heartbeat is how long voters wait for their leader before they elect another.
type Heartbeat struct {
	Timeout Duration    `json:"timeout"`
	Reason  string      `json:"reason"` // why it is not shorter
	Since   ClusterTime `json:"since"`
}

// Cluster says which cluster answers.
type Cluster struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Lineage      string `json:"lineage"`
	FeatureLevel int    `json:"feature_level"`
}

// NodeCounts counts the nodes by state.
type NodeCounts struct {
	Alive   int `json:"alive"`
	Suspect int `json:"suspect"`
	Sick    int `json:"sick"`
	Dead    int `json:"dead"`
}

// ChainCounts counts the chains by health.
type ChainCounts struct {
	Total       int `json:"total"`
	Healthy     int `json:"healthy"`
	Under       int `json:"under"`
	Over        int `json:"over"`
	Unavailable int `json:"unavailable"`
	Unplaceable int `json:"unplaceable"`
	Quarantined int `json:"quarantined"`
}

// Freeze stops the opening of moves, except forced ones.
type Freeze struct {
	Reason string      `json:"reason"`
	Actor  string      `json:"actor"`
	Since  ClusterTime `json:"since"`
	Until  ClusterTime `json:"until"` // null = until thawed
}

// FreezeRequest is the body of POST /v1/freeze. Without for it lasts until
// thawed.
type FreezeRequest struct {
	For    *Duration  `json:"for" required:"false"`
	Reason NullString `json:"reason" required:"false"`
}

// RepairPause is repair held back because too much vanished at once.
type RepairPause struct {
	Since ClusterTime `json:"since"`
	Until ClusterTime `json:"until"`
	Nodes []string    `json:"nodes"`
}

// Guard says whose inventory a restore still waits for.
type Guard struct {
	Missing []string `json:"missing"`
}

// Decision is one record of the history.
type Decision struct {
	Revision    uint64      `json:"revision"`
	Index       uint64      `json:"index"`
	Term        uint64      `json:"term"`
	Chain       string      `json:"chain"`
	Kind        string      `json:"kind"` // assign, open-move, complete, call-off, drop
	Cause       string      `json:"cause"`
	From        NullString  `json:"from"`
	To          NullString  `json:"to"`
	Reason      string      `json:"reason"`
	Verdict     string      `json:"verdict"` // accepted, or the code it was refused with
	ScoreFrom   *float64    `json:"score_from"`
	ScoreTo     *float64    `json:"score_to"`
	Actor       string      `json:"actor"`
	ClusterTime ClusterTime `json:"cluster_time"`
	WallTime    time.Time   `json:"wall_time"`
}

// DecisionList answers GET /v1/decisions, newest first.
type DecisionList struct {
	Decisions []Decision `json:"decisions"`
	Next      NullString `json:"next"`
}

// Explanation answers GET /v1/chains/{id}/explain: what the scheduler would
// do with the chain now, and why not something else.
type Explanation struct {
	Chain       string      `json:"chain"`
	Action      string      `json:"action"` // none, move, repair, drop
	Cause       NullString  `json:"cause"`
	Text        string      `json:"text"`
	Gates       []Gate      `json:"gates"` // in the order tried
	Holders     []Candidate `json:"holders"`
	Candidates  []Candidate `json:"candidates"`
	WouldChange []string    `json:"would_change"`
}

// Gate is one condition that the scheduler tried, with the value it met and
// the limit it held it against.
type Gate struct {
	Name  string     `json:"name"`
	Pass  bool       `json:"pass"`
	Value NullString `json:"value"`
	Limit NullString `json:"limit"`
}

// Candidate is how one node stands for a chain.
type Candidate struct {
	Node     string     `json:"node"`
	Eligible bool       `json:"eligible"`
	Code     NullString `json:"code"`  // why it is not eligible
	Score    *float64   `json:"score"` // null = no opinion
	Limiting NullString `json:"limiting"`
	Axes     []Axis     `json:"axes"`
}

// Axis is one part of a score.
type Axis struct {
	Name  string     `json:"name"`
	Value *float64   `json:"value"` // null = unknown, left out
	Input NullString `json:"input"` // what it was computed from
}

// Change is the data of a node, chain or move event whose object is gone.
type Change struct {
	ID       string `json:"id"`
	Revision uint64 `json:"revision"`
	Deleted  bool   `json:"deleted"`
}

// Reset is the data of a reset event: the stream goes on after Revision, and
// what happened before must be listed.
type Reset struct {
	Lineage  string `json:"lineage"`
	Revision uint64 `json:"revision"`
}

// Kinds of events.
const (
	EventDecision = "decision"
	EventMove     = "move"
	EventChain    = "chain"
	EventNode     = "node"
	EventConfig   = "config"
	EventReset    = "reset"
)
