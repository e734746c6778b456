package transport

import (
	"fmt"
	"strings"
	"unicode"
)

// Kind says which protocol a stream carries. The numbers are on the wire.
type Kind uint8

// The kinds of streams.
const (
	KindRaft   Kind = 1 // consensus
	KindGossip Kind = 2 // membership: full exchange and fallback probes
	KindRPC    Kind = 3 // one small request, one answer: see Call and ServeRPC
	KindHTTP   Kind = 4 // a forwarded HTTP request
	KindPull   Kind = 5 // content, copied from node to node
)

// String returns the kind's name, for people.
func (k Kind) String() string {
	switch k {
	case KindRaft:
		return "raft"
	case KindGossip:
		return "gossip"
	case KindRPC:
		return "rpc"
	case KindHTTP:
		return "http"
	case KindPull:
		return "pull"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// known reports whether the kind is one of the above.
func (k Kind) known() bool { return k >= KindRaft && k <= KindPull }

// Identity is who speaks at one end of a stream. Each field is at most 255
// bytes of printable UTF-8.
type Identity struct {
	ClusterName string // the cluster's name; both ends must have the same
	ClusterID   string // the cluster's id; empty until the node knows it
	Node        string // the node's name
	Instance    string // the id of the data directory
	Process     string // drawn at random by each process; empty lets the Mux draw it
}

// Codes of a Refused.
const (
	CodeBadPreamble       = "bad-preamble"       // not our protocol, or not well formed
	CodeBadVersion        = "bad-version"        // another version of the handshake
	CodeWrongClusterName  = "wrong-cluster-name" // the cluster names differ
	CodeWrongClusterID    = "wrong-cluster-id"   // both know their cluster id, and they differ
	CodeDuplicateInstance = "duplicate-instance" // two live processes on (copies of) one data directory
	CodeKindRefused       = "kind-refused"       // nobody takes this kind of stream here, now
	CodeOverloaded        = "overloaded"         // too many streams of this kind wait to be taken
)

// Refused is the answer of a node that turns a stream away: a code for
// machines and one line for people. Config.Admit may use codes of its own.
type Refused struct {
	Code   string // at most 255 bytes
	Detail string // one line, at most 255 bytes
}

// Error returns code and detail in one line.
func (r *Refused) Error() string { return fmt.Sprintf("refused (%s): %s", r.Code, r.Detail) }

// refuse builds a Refused.
func refuse(code, format string, args ...any) *Refused {
	return &Refused{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// check is the policy that needs no configuration: whether two identities may
// talk at all. Both ends apply it, each with itself as own.
func check(own, peer Identity) *Refused {
	switch {
	case own.ClusterName != peer.ClusterName:
		return refuse(CodeWrongClusterName, "node %q is of cluster %q, not %q: check the addresses to join and the cluster name",
			own.Node, own.ClusterName, peer.ClusterName)
	case own.ClusterID != "" && peer.ClusterID != "" && own.ClusterID != peer.ClusterID:
		return refuse(CodeWrongClusterID, "node %q is of cluster %q with id %s, not %s: same name, another cluster; check the addresses to join",
			own.Node, own.ClusterName, own.ClusterID, peer.ClusterID)
	case own.Instance != "" && own.Instance == peer.Instance && own.Process != peer.Process:
		return refuse(CodeDuplicateInstance, "instance %s runs already, as node %q: stop one of the two processes; a data directory must not be copied",
			own.Instance, own.Node)
	}
	return nil
}

// oneLine makes text that came from elsewhere fit to be shown: printable, on
// one line, at most fieldMax bytes.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > fieldMax {
		s = strings.ToValidUTF8(s[:fieldMax], "")
	}
	return s
}

// printable reports whether s is what oneLine would leave alone.
func printable(s string) bool { return s == oneLine(s) }
