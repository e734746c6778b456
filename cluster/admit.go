package cluster

import (
	"fmt"

	"github.com/holdfast-cluster/holdfast/transport"
)

// Codes with which a node turns streams and calls away.
const (
	codeNoCluster = "no-cluster" // this node is no member of a cluster yet
	codeNoMember  = "no-member"  // the other end is none
)

// identity is who this node is in a handshake.
func (n *Node) identity() transport.Identity {
	return transport.Identity{
		ClusterName: n.cfg.Cluster, ClusterID: n.clusterID(), Node: string(n.cfg.Node),
		Instance: n.instance(), Process: n.process,
	}
}

// admit decides who may open which stream. Until a node knows its cluster id
// it takes calls only, which let in joining and pledging; and raft from those
// that it has pledged to (rules S14 and S15).
func (n *Node) admit(kind transport.Kind, peer transport.Identity) *transport.Refused {
	if kind == transport.KindRPC {
		return nil
	}
	own := n.clusterID()
	switch {
	case own != "" && own == peer.ClusterID:
		return nil
	case own != "":
		return &transport.Refused{Code: codeNoMember, Detail: fmt.Sprintf("node %q is no member of this cluster: it must join first", peer.Node)}
	case kind == transport.KindRaft && n.pledgedTo(peer):
		return nil
	}
	return &transport.Refused{Code: codeNoCluster, Detail: fmt.Sprintf("node %q is no member of a cluster yet", n.cfg.Node)}
}

// pledgedTo tells whether peer stands in the proposal that this node has
// pledged to.
func (n *Node) pledgedTo(peer transport.Identity) bool {
	p := n.pledged.Load()
	return p != nil && p.Allows(peer.ClusterID, peer.Node, peer.Instance)
}
