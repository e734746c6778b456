package simulator

// Scenario is what a run lives through. It is written as YAML; unknown and
// repeated keys are refused.
type Scenario struct {
	Name     string   `json:"name"`     // title of the results
	Seed     uint64   `json:"seed"`     // of all chance, default 1
	Duration Duration `json:"duration"` // virtual time at most, default 4h; a quiet run ends earlier
	// Tick is how long the leader lets reports gather before it looks, at
	// least. A longer one makes a run faster and coarser. Default 500ms.
	Tick      Duration       `json:"tick"`
	Sample    Duration       `json:"sample"`    // between two samples, default duration/400
	Telemetry Duration       `json:"telemetry"` // between two samples of the nodes' load while there is noise, default 5s
	Config    map[string]any `json:"config"`    // keys of the replicated configuration, as in /v1/config
	Zones     []string       `json:"zones"`     // nodes of groups without a zone take these in turn
	Bandwidth Amount         `json:"bandwidth"` // bytes per second that a node pulls with, default 100MB
	Pulls     int            `json:"pulls"`     // pulls at once per node, default 2; each gets its share of the bandwidth
	// Placement is who holds what at the beginning: "even" (default: the least
	// loaded nodes, zones apart), "on-first-K" (even over the first K nodes), or
	// "scheduled" (the scheduler places all chains, in no time).
	Placement string       `json:"placement"`
	Nodes     []NodeGroup  `json:"nodes"`
	Chains    []ChainGroup `json:"chains"`
	Events    []Event      `json:"events"`

	onFirst int // K of on-first-K, else 0
}

// NodeGroup is nodes that are alike. Their ids are the group's name and a
// number from 1.
type NodeGroup struct {
	Name          string            `json:"name"` // default n
	Count         int               `json:"count"`
	Zone          string            `json:"zone"`
	CapacityBytes Amount            `json:"capacity_bytes"` // 0 = unknown
	Weight        *float64          `json:"weight"`         // 0..1, default 1
	Labels        map[string]string `json:"labels"`
	Load          float64           `json:"load"`      // run queue per core, default 0.5
	Noise         float64           `json:"noise"`     // each sample of load is off by up to this share
	Bandwidth     Amount            `json:"bandwidth"` // default the scenario's
}

// ChainGroup is chains that are alike, but for sizes and weights. Their ids
// are the group's name and a number from 1.
type ChainGroup struct {
	Name    string       `json:"name"` // default c
	Count   int          `json:"count"`
	Desired int          `json:"desired"` // default 3
	Size    Distribution `json:"size"`    // bytes of a copy, default fixed 1GiB
	Weight  Distribution `json:"weight"`  // load of a copy, default fixed 1
	Spec    Wishes       `json:"spec"`
}

// Wishes are the other fields of a chain's spec, as in PUT /v1/chains/{id}.
type Wishes struct {
	MinReady     int               `json:"min_ready"`
	Labels       map[string]string `json:"labels"`
	Policy       string            `json:"policy"`
	Floor        *float64          `json:"floor"`
	Gap          *float64          `json:"gap"`
	Cooldown     *Duration         `json:"cooldown"`
	RepairDelay  *Duration         `json:"repair_delay"`
	Require      []string          `json:"require"`
	Prefer       []string          `json:"prefer"`
	Spread       string            `json:"spread"`
	MaxPerZone   int               `json:"max_per_zone"`
	AntiAffinity []string          `json:"anti_affinity"`
	Colocate     []string          `json:"colocate"`
}

// Distribution is how numbers are spread over chains; one of its fields is
// given.
type Distribution struct {
	Fixed   *Amount  `json:"fixed"`
	Uniform []Amount `json:"uniform"` // least and largest
	Zipf    *Zipf    `json:"zipf"`
}

// Zipf is a rank-size law: the k-th largest of the group has max / k^s. Which
// chain has which rank is chance.
type Zipf struct {
	S   float64 `json:"s"`
	Max Amount  `json:"max"`
}

// Event is something that happens at a time. It does one thing.
type Event struct {
	At           Duration       `json:"at"`
	Name         string         `json:"name"` // its mark on the picture, default what it does
	Add          *AddNodes      `json:"add"`
	Lose         *Pick          `json:"lose"`   // they crash
	Return       *Pick          `json:"return"` // they start again, with their disks
	Drain        *Drain         `json:"drain"`
	Uncordon     *Pick          `json:"uncordon"`
	Weight       *SetWeight     `json:"weight"`
	Config       map[string]any `json:"config"`
	Noise        *float64       `json:"noise"` // of all nodes from now on; 0 = off
	Put          *ChainGroup    `json:"put"`   // new chains
	Delete       *DeleteChains  `json:"delete"`
	ResumeRepair bool           `json:"resume_repair"` // ends a repair pause
}

// AddNodes starts new nodes with empty disks.
type AddNodes struct {
	Count int    `json:"count"`
	Like  string `json:"like"` // a group of nodes, default the first
}

// Pick names nodes: those that match all that is given, the first Count of
// them.
type Pick struct {
	All   bool     `json:"all"`
	Nodes []string `json:"nodes"`
	Group string   `json:"group"`
	Zone  string   `json:"zone"`
	Count int      `json:"count"` // 0 = no limit
}

// Drain moves all copies off nodes.
type Drain struct {
	Pick
	AtOnce int    `json:"at_once"` // nodes that drain at a time, 0 = all; 1 = rolling
	Then   string `json:"then"`    // when a node is empty: stay (default), uncordon, or remove
}

// SetWeight changes what the operator wishes nodes' share to be.
type SetWeight struct {
	Pick
	Weight float64 `json:"weight"` // 0..1
}

// DeleteChains deletes the first chains of a group.
type DeleteChains struct {
	Group string `json:"group"`
	Count int    `json:"count"` // 0 = all
}
