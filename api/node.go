package api

// Node is a member of the cluster.
type Node struct {
	ID            string            `json:"id"`
	Instance      string            `json:"instance"`
	Incarnation   uint64            `json:"incarnation"`
	Role          string            `json:"role"`
	Voter         bool              `json:"voter"`
	Leader        bool              `json:"leader"`
	State         string            `json:"state"`       // alive, suspect, sick, dead, left
	Eligibility   string            `json:"eligibility"` // eligible, cordoned, draining, drained, drain-failed, maintenance, quarantined
	Zone          string            `json:"zone"`
	Labels        map[string]string `json:"labels"`
	Addresses     Addresses         `json:"addresses"`
	CapacityBytes int64             `json:"capacity_bytes"` // 0 = unknown, unlimited
	UsedBytes     int64             `json:"used_bytes"`
	Weight        float64           `json:"weight"` // 0..1
	Holders       HolderCounts      `json:"holders"`
	NoSpace       bool              `json:"no_space"` // its disk reserve is reached
	DrainDeadline ClusterTime       `json:"drain_deadline"`
	Version       string            `json:"version"`

	// What it said of itself when it started: numbers (float64) and strings.
	Capabilities map[string]any `json:"capabilities"`
	// What the answering server last heard of it; null = nothing of late.
	Load            *float64 `json:"load"`              // run queue per core, smoothed
	FreeBytes       *int64   `json:"free_bytes"`        // on the content volume, above the reserve
	MemoryFreeBytes *int64   `json:"memory_free_bytes"` // available to programs
}

// Addresses says where a node is reached, each as host:port; that of an API
// with TLS begins with https://.
type Addresses struct {
	Node    string     `json:"node"`
	HTTP    string     `json:"http"`
	Service NullString `json:"service"`
}

// HolderCounts counts a node's copies by phase.
type HolderCounts struct {
	Pulling  int `json:"pulling"`
	Ready    int `json:"ready"`
	Dropping int `json:"dropping"`
}

// NodeList answers GET /v1/nodes.
type NodeList struct {
	Nodes []Node     `json:"nodes"`
	Next  NullString `json:"next"`
}

// Act is the body of an act that needs nothing but a reason.
type Act struct {
	Reason NullString `json:"reason" required:"false"`
}

// DrainRequest is the body of POST /v1/nodes/{id}/drain. Without a deadline
// the drain goes on until it is done or cancelled.
type DrainRequest struct {
	Deadline *Duration  `json:"deadline" required:"false"`
	Reason   NullString `json:"reason" required:"false"`
}

// MaintenanceRequest is the body of POST /v1/nodes/{id}/maintenance.
type MaintenanceRequest struct {
	End    bool       `json:"end" required:"false"` // leave maintenance
	Reason NullString `json:"reason" required:"false"`
}

// WeightRequest is the body of POST /v1/nodes/{id}/weight.
type WeightRequest struct {
	Weight *float64   `json:"weight"` // 0..1
	Reason NullString `json:"reason" required:"false"`
}

// NodeRemoval is the body of DELETE /v1/nodes/{id}. AllowDataLoss gives up
// the last copies that the node holds; it needs a reason.
type NodeRemoval struct {
	AllowDataLoss bool       `json:"allow_data_loss" required:"false"`
	Reason        NullString `json:"reason" required:"false"`
}

// Done answers an act that has nothing else to show.
type Done struct {
	Revision uint64 `json:"revision"` // the state's revision once it was done
}

// Assignments answers GET /v1/nodes/{id}/assignments: all that a node has to
// hold, and the copies it must delete.
type Assignments struct {
	Lineage     string       `json:"lineage"`
	Incarnation uint64       `json:"incarnation"`
	Revision    uint64       `json:"revision"`
	Assignments []Assignment `json:"assignments"`
	Discard     []CopyRef    `json:"discard"`
	Wanted      bool         `json:"inventory_wanted"` // the complete inventory has to be reported
}

// Assignment is one copy that a node has to pull, keep or drop.
type Assignment struct {
	Chain    string      `json:"chain"`
	Epoch    uint64      `json:"epoch"`
	Phase    string      `json:"phase"` // pulling, ready, dropping
	Content  *Content    `json:"content"`
	Sources  []Source    `json:"sources"` // live copies to pull from; empty for a chain's first copy
	Spec     Spec        `json:"spec"`
	Deadline ClusterTime `json:"deadline"`
	First    bool        `json:"first"` // the chain has never had a copy: this one is made from nothing
}

// Source is a node with a live copy.
type Source struct {
	Node    string `json:"node"`
	Address string `json:"address"`
}

// CopyRef names one copy by its fencing number.
type CopyRef struct {
	Chain string `json:"chain"`
	Epoch uint64 `json:"epoch"`
}

// Reports is the body of POST /v1/nodes/{id}/reports. With Inventory it is
// the complete list of what the node holds, needed after every new
// incarnation. Revision is that of the assignments that were known when the
// copies were listed: of a chain that has changed since, no absence counts.
// Without it the list counts as of now.
type Reports struct {
	Lineage     string   `json:"lineage"`
	Incarnation uint64   `json:"incarnation"`
	Revision    uint64   `json:"revision" required:"false"`
	Inventory   bool     `json:"inventory" required:"false"`
	NoSpace     bool     `json:"no_space" required:"false"`
	Reports     []Report `json:"reports"`
}

// Report is what a node says of one copy.
type Report struct {
	Chain      string     `json:"chain"`
	Epoch      uint64     `json:"epoch"`
	Phase      string     `json:"phase"` // pulling, ready, failed, dropped, lost
	SHA256     NullString `json:"sha256" required:"false"`
	SizeBytes  int64      `json:"size_bytes" required:"false"`
	BytesDone  int64      `json:"bytes_done" required:"false"`
	BytesTotal int64      `json:"bytes_total" required:"false"`
	Error      NullString `json:"error" required:"false"`
}

// ReportAnswer answers reports: what to do with copies that the state does
// not list, and which items were refused.
type ReportAnswer struct {
	Revision uint64       `json:"revision"`
	Copies   []CopyAnswer `json:"copies"`
}

// CopyAnswer is the verdict on one unlisted copy of an inventory: adopt,
// discard, wait or orphan; or stale-epoch for an item of another report that
// changed nothing, because the copy was not assigned to the node under that
// epoch. A node deletes only what it finds under discard or dropping in its
// assignments.
type CopyAnswer struct {
	Chain   string `json:"chain"`
	Epoch   uint64 `json:"epoch"`
	Verdict string `json:"verdict"`
}

// OrphanList answers GET /v1/nodes/{id}/orphans: copies of chains that the
// state does not know.
type OrphanList struct {
	Orphans []Orphan   `json:"orphans"`
	Next    NullString `json:"next"`
}

// Orphan is a copy of a chain that the state does not know.
type Orphan struct {
	Chain     string     `json:"chain"`
	Epoch     uint64     `json:"epoch"`
	SHA256    NullString `json:"sha256"`
	SizeBytes int64      `json:"size_bytes"`
}
