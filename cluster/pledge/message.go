package pledge

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
)

// Server is one server as it may stand in the first configuration.
type Server struct {
	NodeID   string `json:"node"`
	Instance string `json:"instance"` // of its data directory; raft's server id
	Address  string `json:"address"`  // of its node port
}

// Proposal is a first configuration. It never changes; another one has
// another number.
type Proposal struct {
	Number    string        `json:"number"`     // never used again
	Cluster   string        `json:"cluster"`    // the cluster's name
	ClusterID string        `json:"cluster_id"` // the id it will have
	Expect    int           `json:"expect"`     // number of servers
	Proposer  Server        `json:"proposer"`
	Servers   []Server      `json:"servers"`             // sorted by node id, proposer first
	Heartbeat time.Duration `json:"heartbeat,omitempty"` // longest that one of them needs (S17)
}

// Allows reports whether a raft peer with this identity may speak to a node
// that has pledged to p.
func (p Proposal) Allows(clusterID, nodeID, instance string) bool {
	return clusterID == p.ClusterID && slices.ContainsFunc(p.Servers, func(s Server) bool {
		return s.NodeID == nodeID && s.Instance == instance
	})
}

func (p Proposal) has(s Server) bool { return slices.Contains(p.Servers, s) }

func (p Proposal) equal(q Proposal) bool {
	same := slices.Equal(p.Servers, q.Servers)
	return same && p.Number == q.Number && p.Cluster == q.Cluster && p.ClusterID == q.ClusterID &&
		p.Expect == q.Expect && p.Proposer == q.Proposer && p.Heartbeat == q.Heartbeat
}

// valid reports whether a proposal that arrived is one, and raft can run with
// its heartbeat.
func (p Proposal) valid() bool {
	sorted := slices.IsSortedFunc(p.Servers, byNode) &&
		len(slices.CompactFunc(slices.Clone(p.Servers), func(a, b Server) bool { return a.NodeID == b.NodeID })) == p.Expect
	bearable := p.Heartbeat == 0 || p.Heartbeat == pace.Step(p.Heartbeat)
	return p.Number != "" && p.ClusterID != "" && len(p.Servers) == p.Expect && sorted && p.has(p.Proposer) && bearable
}

func byNode(a, b Server) int { return strings.Compare(a.NodeID, b.NodeID) }

// Kind says what a Request asks.
type Kind string

// The kinds of requests.
const (
	KindStatus  Kind = "status"  // who are you, and are you free?
	KindAsk     Kind = "ask"     // pledge to Proposal
	KindRelease Kind = "release" // Number is withdrawn: forget the pledge
	KindQuery   Kind = "query"   // what became of your proposal Number?
)

// Request is what one node asks another before there is a cluster. Unknown
// fields of a newer version are to be ignored when it is decoded.
type Request struct {
	Kind     Kind      `json:"kind"`
	From     Server    `json:"from"`
	Cluster  string    `json:"cluster"`
	Expect   int       `json:"expect"`
	Proposal *Proposal `json:"proposal,omitempty"` // of an ask
	Number   string    `json:"number,omitempty"`   // of a release or query
}

// Outcome is the answer to an ask, a release or a query.
type Outcome string

// The outcomes.
const (
	Pledged   Outcome = "pledged"   // ask: yes, and it is on disk
	Refused   Outcome = "refused"   // Code and Text say why
	Released  Outcome = "released"  // release: no pledge to that number
	Pending   Outcome = "pending"   // query: not decided yet
	Withdrawn Outcome = "withdrawn" // query: will never bootstrap
	Decided   Outcome = "decided"   // query: bootstraps or has bootstrapped
	Unknown   Outcome = "unknown"   // query: not a proposal of this instance
)

// Codes of a refused request.
const (
	CodeWrongCluster = "wrong-cluster" // another --cluster
	CodeMixedExpect  = "mixed-expect"  // another --bootstrap-expect
	CodeMember       = "member"        // it is in a cluster already
	CodePledged      = "pledged"       // it has pledged to another proposal
	CodeInvalid      = "invalid"       // the request makes no sense here
	CodeNotProposer  = "not-proposer"  // only the proposing instance may release
)

// Answer is the reply to a Request. Every answer tells who the node is and
// how it stands.
type Answer struct {
	From      Server        `json:"from"`
	Cluster   string        `json:"cluster"`
	ClusterID string        `json:"cluster_id,omitempty"` // set: it is a member
	Expect    int           `json:"expect"`
	Heartbeat time.Duration `json:"heartbeat,omitempty"` // shortest it can bear
	PledgedTo *Server       `json:"pledged_to,omitempty"`
	Outcome   Outcome       `json:"outcome,omitempty"`
	Code      string        `json:"code,omitempty"`
	Text      string        `json:"text,omitempty"`
}

// Send is a request on its way.
type Send struct {
	To      string // address of a node port
	Request Request
}
