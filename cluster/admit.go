package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"

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

// astray returns the refusal in err if it is one that goes on until somebody
// changes a setting; else nil.
func astray(err error) *transport.Refused {
	refused, ok := errors.AsType[*transport.Refused](err)
	if ok {
		switch refused.Code {
		case transport.CodeWrongClusterName, transport.CodeWrongClusterID, transport.CodeDuplicateInstance:
			return refused
		}
	}
	return nil
}

// turnedAway tells of a stream that this node refused.
func (n *Node) turnedAway(peer string, err error) {
	if astray(err) != nil && n.seldom.now(err.Error()) {
		n.log.Warn("turned a node away that does not belong here", "peer", peer, "error", err)
		return
	}
	if host, _, _ := net.SplitHostPort(peer); unsecured(err) && n.seldom.now("unsecured "+host) {
		n.log.Warn("turned a stream away: it is not of a node of this cluster, or the certificates of one of the two are wrong", "peer", peer, "error", err)
		return
	}
	n.log.Debug("refused a stream", "peer", peer, "error", err)
}

// unsecured tells whether TLS failed for a reason that goes on until somebody
// changes a certificate or a setting.
func unsecured(err error) bool {
	link, ok := errors.AsType[*net.OpError](err)
	if ok && link.Op == "remote error" {
		return true // the other end said so
	}
	return errors.Is(err, transport.ErrUnsecured) && !ok && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// turnedAwayBy tells of a seed that refused this node for good.
func (n *Node) turnedAwayBy(seed string, err error) {
	if unsecured(err) && n.seldom.now("unsecured seed "+seed) {
		n.log.Warn("no TLS with the seed: check --tls-ca and --tls-cert of this node, and the seed's", "seed", seed, "error", err)
		return
	}
	refused := astray(err)
	if refused == nil || !n.seldom.now("seed "+seed+" "+refused.Code) {
		return
	}
	text := "the seed belongs to another cluster: check --cluster and --join"
	if refused.Code == transport.CodeDuplicateInstance {
		text = "the seed runs with the same data directory: check --data-dir"
	}
	n.log.Warn(text, "seed", seed, "own_cluster", n.cfg.Cluster, "error", refused)
}
