package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// bookFor is how long an address book is used: raft asks for an address with
// each message, and a cluster may have a thousand nodes.
const bookFor = 200 * time.Millisecond

// book says where each instance is, and which node it is in the state.
type book struct {
	made    time.Duration
	address map[string]string
	node    map[string]*placement.Node
}

// addressBook returns the present book. What is newer wins: gossip over the
// state over the raft configuration. The node itself is always in it: raft asks
// for that too.
func (n *Node) addressBook() *book {
	now := n.cfg.Elapsed()
	if b := n.book.Load(); b != nil && now-b.made < bookFor && len(b.node) == n.View().Nodes.Len() {
		return b
	}
	b := &book{made: now, address: map[string]string{n.instance(): n.Address()}, node: nodesByInstance(n.View())}
	if live := n.live.Load(); live != nil {
		for _, s := range live.raft().GetConfiguration().Configuration().Servers {
			b.address[string(s.ID)] = string(s.Address)
		}
	}
	for instance, node := range b.node {
		b.address[instance] = node.Addresses.Node
	}
	for _, m := range n.neighbours() {
		if m.Alive && m.Meta.Node != "" {
			b.address[m.Instance] = m.Meta.Node
		}
	}
	n.book.Store(b)
	return b
}

// addressOf returns where an instance is now, "" if nobody knows.
func (n *Node) addressOf(instance string) string { return n.addressBook().address[instance] }

// ServerAddr returns where a server is now, for raft: an address that changed
// must not lock a server out until the configuration is changed, which needs
// a quorum.
func (b bookOf) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if address := b.node.addressOf(string(id)); address != "" {
		return raft.ServerAddress(address), nil
	}
	return "", errNoAddress
}

// bookOf is a node's address book as raft's transport wants it.
type bookOf struct{ node *Node }

// nodesByInstance returns the nodes of the state by their data directory.
func nodesByInstance(view *fsm.View) map[string]*placement.Node {
	all := make(map[string]*placement.Node, view.Nodes.Len())
	view.Nodes.Ascend("", func(_ placement.NodeID, n *placement.Node) bool {
		all[n.Instance] = n
		return true
	})
	return all
}
