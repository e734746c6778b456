package placement

// Role says whether a node takes part in raft.
type Role string

// Roles. Clients are refused until they exist.
const (
	RoleServer Role = "server"
	RoleClient Role = "client"
)

// NodeState is what the cluster has agreed about a node's liveness.
type NodeState string

// States of a node. Suspect: one probe failed. Sick: it gossips but cannot
// work (rule S18). Dead: gossip and the leader's probe agree. Left: it said so.
const (
	NodeAlive   NodeState = "alive"
	NodeSuspect NodeState = "suspect"
	NodeSick    NodeState = "sick"
	NodeDead    NodeState = "dead"
	NodeLeft    NodeState = "left"
)

// Eligibility says whether a node may be given copies.
type Eligibility string

// Eligibilities of a node. Only eligible nodes are targets; copies on a
// cordoned node stay, those on a draining one are moved away.
const (
	Eligible        Eligibility = "eligible"
	Cordoned        Eligibility = "cordoned"
	Draining        Eligibility = "draining"
	Drained         Eligibility = "drained"
	DrainFailed     Eligibility = "drain-failed"
	Maintenance     Eligibility = "maintenance"
	NodeQuarantined Eligibility = "quarantined"
)

// Addresses says where a node is reached, each as host:port.
type Addresses struct {
	Node    string // the node port: raft, gossip, rpc, content
	HTTP    string // the API
	Service string // what the user's own service listens on, "" = none
}

// Node is a member of the cluster as the replicated state knows it.
type Node struct {
	ID            NodeID
	Instance      string // the data directory's UUID; raft's server id
	Incarnation   Incarnation
	Process       string // random id of the run that announced it
	Inventoried   bool   // this incarnation has reported its inventory
	Revision      Revision
	Role          Role
	State         NodeState
	Since         Time // since when the state holds
	Unreachable   Time // since when it has not been alive; never reset by a change of leader (rule S13)
	Eligibility   Eligibility
	DrainDeadline Time
	Wished        Time   // when an operator last changed its eligibility or weight
	Falls         []Time // when it lately ceased to be alive or began anew, the oldest first; replaced, never written
	Zone          string
	Labels        Labels
	Addresses     Addresses
	Capabilities  Capabilities // what it said of itself that seldom changes
	CapacityBytes int64        // bytes it offers to content; 0 = unknown, unlimited
	Weight        Score        // 0 to 1, the operator's wish for its share
	NoSpace       bool         // its disk reserve is reached: no target (design section 5)
	Version       string
	FeatureLevel  int // the highest feature level its build supports (rule S19)
}

// Usage is what the state's assignments add up to on one node. It is derived
// from the chains and exact: planning and Apply read the same numbers.
type Usage struct {
	Pulling  int
	Ready    int
	Dropping int

	Weight        int64 // Σ weight of pulling and ready copies, millionths
	UsedBytes     int64 // bytes of ready and dropping copies
	ReservedBytes int64 // bytes that pulling copies will take
	MovesIn       int   // open moves with a victim whose target it is
	MovesOut      int   // open moves whose victim it is
	RepairsIn     int   // open repairs whose target it is

	Unconfirmed int // copies that wait for the node's inventory (rule S2)
	Lost        int // copies that are marked lost (rule S1)
}

// Add returns the sum of two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		Pulling: u.Pulling + v.Pulling, Ready: u.Ready + v.Ready, Dropping: u.Dropping + v.Dropping,
		Weight: u.Weight + v.Weight, UsedBytes: u.UsedBytes + v.UsedBytes, ReservedBytes: u.ReservedBytes + v.ReservedBytes,
		MovesIn: u.MovesIn + v.MovesIn, MovesOut: u.MovesOut + v.MovesOut, RepairsIn: u.RepairsIn + v.RepairsIn,
		Unconfirmed: u.Unconfirmed + v.Unconfirmed, Lost: u.Lost + v.Lost,
	}
}

// Neg returns u with every sign turned.
func (u Usage) Neg() Usage {
	return Usage{
		Pulling: -u.Pulling, Ready: -u.Ready, Dropping: -u.Dropping,
		Weight: -u.Weight, UsedBytes: -u.UsedBytes, ReservedBytes: -u.ReservedBytes,
		MovesIn: -u.MovesIn, MovesOut: -u.MovesOut, RepairsIn: -u.RepairsIn,
		Unconfirmed: -u.Unconfirmed, Lost: -u.Lost,
	}
}

// OpenMoves counts the open moves of the cluster by budget. A move with a
// victim whose drop is under way has left every budget.
type OpenMoves struct {
	Total   int
	Balance int
	Drain   int
}
