package api

// RaftState answers GET /v1/raft: the servers that take part in consensus, as
// the answering node knows them.
type RaftState struct {
	Node        string       `json:"node"` // the answering node
	Leader      *Leader      `json:"leader"`
	Term        uint64       `json:"term"`
	Index       uint64       `json:"index"`        // last entry in the answering node's state
	CommitIndex uint64       `json:"commit_index"` // as far as it knows
	Servers     []RaftServer `json:"servers"`
}

// RaftServer is one member of the raft configuration. What its log has, only
// the leader knows, from its last probe that was answered.
type RaftServer struct {
	Node        NullString `json:"node"` // null = it has never announced itself
	Instance    string     `json:"instance"`
	Address     string     `json:"address"` // of its node port
	Voter       bool       `json:"voter"`
	Leader      bool       `json:"leader"`
	Match       *uint64    `json:"match"`        // last entry in its log, null = not known
	LastContact *Seconds   `json:"last_contact"` // ago, null = not known
}

// TransferRequest is the body of POST /v1/raft/transfer.
type TransferRequest struct {
	To     NullString `json:"to" required:"false"` // null = any voter
	Reason NullString `json:"reason" required:"false"`
}

// Restored answers PUT /v1/snapshot.
type Restored struct {
	Lineage  string   `json:"lineage"` // the new one
	Revision uint64   `json:"revision"`
	Missing  []string `json:"missing"` // nodes for whose inventory the restore guard waits
}
