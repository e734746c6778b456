package api

// PlanRequest is the body of POST /v1/plan: what to suppose.
type PlanRequest struct {
	Drain    []string           `json:"drain" required:"false"`
	Lose     []string           `json:"lose" required:"false"`
	LoseZone NullString         `json:"lose_zone" required:"false"`
	Add      []PlanAdd          `json:"add" required:"false"`
	Weight   map[string]float64 `json:"weight" required:"false"`
	Config   map[string]any     `json:"config" required:"false"`
}

// PlanAdd supposes new nodes like an existing one.
type PlanAdd struct {
	Like  string `json:"like"`
	Count int    `json:"count"`
}

// Plan is what would happen, as a document that stands for itself: the server
// keeps nothing of it. Hash is the SHA-256 of its canonical JSON without hash.
type Plan struct {
	Hash         string            `json:"hash"`
	BaseRevision uint64            `json:"base_revision"`
	Moves        []PlanMove        `json:"moves"`
	Unplaceable  []PlanUnplaceable `json:"unplaceable"`
	Nodes        []PlanNode        `json:"nodes"`
	Bytes        int64             `json:"bytes"`
	Estimate     Duration          `json:"estimate"`
}

// PlanMove is one move of a plan, made on the chain's revision.
type PlanMove struct {
	Chain    string     `json:"chain"`
	Revision uint64     `json:"revision"`
	From     NullString `json:"from"`
	To       string     `json:"to"`
	Cause    string     `json:"cause"`
	Bytes    int64      `json:"bytes"`
}

// PlanUnplaceable is a chain for which no node was found.
type PlanUnplaceable struct {
	Chain string `json:"chain"`
	Why   string `json:"why"`
}

// PlanNode is what a node holds before and after a plan.
type PlanNode struct {
	ID     string   `json:"id"`
	Before PlanLoad `json:"before"`
	After  PlanLoad `json:"after"`
}

// PlanLoad is what a node holds.
type PlanLoad struct {
	Chains int   `json:"chains"`
	Bytes  int64 `json:"bytes"`
}
