package cluster

import (
	"fmt"
	"slices"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/transport"
)

// codeRecovered tells a node that its cluster lost the quorum and was
// recovered without it. It ends: with others that were lost it could have a
// majority of its own, and lead a second history.
const codeRecovered = "recovered"

// vet turns away who is of the cluster as it was before it was recovered. Only
// a member of the recovered one knows that there is one: a node that has yet to
// join may be on its way back into the cluster that it was in.
func (n *Node) vet(peer transport.Identity) *transport.Refused {
	own := n.id.Load()
	if own.clusterID == "" || own.clusterID == peer.ClusterID || !slices.Contains(own.former, peer.ClusterID) {
		return nil
	}
	return &transport.Refused{Code: codeRecovered, Detail: fmt.Sprintf(
		"cluster id %s lost its quorum and was recovered under another id; node %q is not part of that yet", peer.ClusterID, peer.Node)}
}

// hearRefusal ends this node when it is told that its cluster was recovered
// without it.
func (n *Node) hearRefusal(r *transport.Refused) {
	if r.Code == codeRecovered {
		n.castOut(fmt.Errorf("%s; its content is kept: let it in again with holdfast raft recover --rejoin --data-dir %s", r.Detail, n.cfg.DataDir))
	}
}

// castOut ends this node: the cluster will not have it as it is.
func (n *Node) castOut(why error) {
	select {
	case n.outcast <- why:
	default: // it is ending already
	}
}

// expect is how many servers may begin a cluster here. One that was part of a
// cluster which was recovered may only join.
func (n *Node) expect(dir *datadir.Dir) int {
	if len(dir.Cluster().Former) > 0 {
		return 0
	}
	return n.cfg.BootstrapExpect
}
