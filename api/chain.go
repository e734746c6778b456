package api

// Spec is what a user wants of a chain. In a request, null or absent means
// the cluster's value. In an answer desired, size_bytes, weight and policy
// are always given.
type Spec struct {
	Desired     *int              `json:"desired" required:"false"`
	MinReady    *int              `json:"min_ready" required:"false"`
	SizeBytes   *int64            `json:"size_bytes" required:"false"`
	Weight      *float64          `json:"weight" required:"false"`
	Labels      map[string]string `json:"labels" required:"false"`
	Policy      NullString        `json:"policy" required:"false"` // eager, lazy, pinned
	Floor       *float64          `json:"floor" required:"false"`
	Gap         *float64          `json:"gap" required:"false"`
	Cooldown    *Duration         `json:"cooldown" required:"false"`
	RepairDelay *Duration         `json:"repair_delay" required:"false"`
	Require     []string          `json:"require" required:"false"`
	Prefer      []string          `json:"prefer" required:"false"`

	Spread       NullString `json:"spread" required:"false"`        // even, none
	MaxPerZone   *int       `json:"max_per_zone" required:"false"`  // null = as spread says
	AntiAffinity []string   `json:"anti_affinity" required:"false"` // "key=value" of other chains' labels, or "chain=id"
	Colocate     []string   `json:"colocate" required:"false"`
	Near         []string   `json:"near" required:"false"` // expressions over nodes
}

// Chain is a chain with all that the state knows of it.
type Chain struct {
	ID                string      `json:"id"`
	Generation        uint64      `json:"generation"` // its spec's last change; the ETag
	Revision          uint64      `json:"revision"`   // its last change of any kind
	Health            string      `json:"health"`     // healthy, under, over, unavailable, unplaceable, quarantined
	Spec              Spec        `json:"spec"`
	Holders           []Holder    `json:"holders"`
	Moves             []Move      `json:"moves"`
	LastRebalance     ClusterTime `json:"last_rebalance"`
	CooldownRemaining Seconds     `json:"cooldown_remaining"` // 0 = balance may move it
	Content           *Content    `json:"content"`
	Quarantine        *Quarantine `json:"quarantine"`
	Unplaceable       []Obstacle  `json:"unplaceable"` // why, commonest first; null unless its health says so
}

// Obstacle is one reason for which nodes may not be given a copy of a chain.
type Obstacle struct {
	Nodes    int      `json:"nodes"` // how many it stops
	Code     string   `json:"code"`
	Why      string   `json:"why"`      // begins with "the node"
	Examples []string `json:"examples"` // the first of them
}

// Holder is a node that has, or is getting, a copy of a chain.
type Holder struct {
	Node    string     `json:"node"`
	Address string     `json:"address"` // its service address, or its HTTP address without one
	Phase   string     `json:"phase"`   // pulling, ready, dropping
	Marks   []string   `json:"marks"`   // lost, unconfirmed
	Live    bool       `json:"live"`
	Epoch   uint64     `json:"epoch"`
	Source  NullString `json:"source"` // whom it pulls from, null = the chain's first copy
	Error   NullString `json:"error"`  // the last failure it reported
}

// Move is one open transfer of a chain. A repair has no from.
type Move struct {
	ID         uint64      `json:"id"`
	Chain      string      `json:"chain"`
	Cause      string      `json:"cause"` // forced, repair, drain, constraint, balance
	From       NullString  `json:"from"`
	To         string      `json:"to"`
	Phase      string      `json:"phase"` // pulling, waiting, dropping
	Opened     ClusterTime `json:"opened"`
	Deadline   ClusterTime `json:"deadline"`
	BytesDone  int64       `json:"bytes_done"`
	BytesTotal int64       `json:"bytes_total"`
	ScoreFrom  *float64    `json:"score_from"` // null = not scored
	ScoreTo    *float64    `json:"score_to"`
}

// Content is the current version of a chain's bytes.
type Content struct {
	Version uint64 `json:"version"` // the revision that committed it
	SHA256  string `json:"sha256"`  // lower-case hex
	Size    int64  `json:"size"`    // bytes
}

// Quarantine says why a chain is held back.
type Quarantine struct {
	Since    ClusterTime `json:"since"`
	Until    ClusterTime `json:"until"`
	Failures int         `json:"failures"`
	Error    NullString  `json:"error"`
}

// ChainPut is the body of PUT /v1/chains/{id}. What a GET answers may be sent
// back: the read-only fields are ignored.
type ChainPut struct {
	Spec   Spec       `json:"spec"`
	Reason NullString `json:"reason" required:"false"`
}

// ChainList answers GET /v1/chains. With since it holds the chains that
// changed after that revision and the ids of those deleted, in the order of
// their change; Revision is then where to go on, and Reset says that the
// changes are no longer known and everything must be listed again.
type ChainList struct {
	Chains   []Chain    `json:"chains"`
	Next     NullString `json:"next"`
	Deleted  []string   `json:"deleted"`
	Revision uint64     `json:"revision"`
	Reset    bool       `json:"reset"`
}

// BatchPut is the body of POST /v1/chains:batch.
type BatchPut struct {
	Chains []BatchItem `json:"chains"`
	Reason NullString  `json:"reason" required:"false"`
}

// BatchItem is one chain of a batch.
type BatchItem struct {
	ID   string `json:"id"`
	Spec Spec   `json:"spec" required:"false"`
}

// BatchResults answers a batch item by item, in its order.
type BatchResults struct {
	Results []BatchResult `json:"results"`
}

// BatchResult is what became of one item; a null code means that it was put.
type BatchResult struct {
	ID     string     `json:"id"`
	Code   NullString `json:"code"`
	Detail NullString `json:"detail"` // words, where the fault was in the item itself
}

// MoveRequest is the body of POST /v1/chains/{id}/move. Without from, the
// scheduler chooses the holder with the lowest score; without to, the best
// node.
type MoveRequest struct {
	From   NullString `json:"from" required:"false"`
	To     NullString `json:"to" required:"false"`
	Reason NullString `json:"reason" required:"false"`
}

// MoveList answers GET /v1/moves.
type MoveList struct {
	Moves []Move     `json:"moves"`
	Next  NullString `json:"next"`
}

// ContentPut answers PUT /v1/chains/{id}/content.
type ContentPut struct {
	Version uint64   `json:"version"`
	SHA256  string   `json:"sha256"`
	Size    int64    `json:"size"`
	Holders []string `json:"holders"` // the nodes that had it on disk
}

// ContentCommit is the body of POST /v1/chains/{id}/content/commit: bytes that
// the named holders have stored become the chain's current content.
type ContentCommit struct {
	Base    uint64       `json:"base_version"` // the version it replaces, 0 = none
	SHA256  string       `json:"sha256"`
	Size    int64        `json:"size"`
	Holders []StoredCopy `json:"holders"`
}

// StoredCopy names a holder under whose assignment bytes were stored.
type StoredCopy struct {
	Node        string `json:"node"`
	Incarnation uint64 `json:"incarnation"`
	Epoch       uint64 `json:"epoch"`
}
