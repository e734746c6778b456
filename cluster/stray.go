package cluster

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// errStray is what a leader hears of a server whose state is not the cluster's.
var errStray = errors.New("the server's newest snapshot was never committed")

// stray tells whether the leader's entries contradict the newest snapshot here,
// and then ends the node. That is so after a restore that broke off: raft takes a
// restored state before a majority has it, and if another is elected without it,
// it was never committed. raft itself would refuse the entries for ever, or apply
// what follows on top of that state.
func (n *Node) stray(live *live, r *raft.Raft, a *raft.AppendEntriesRequest) bool {
	if len(a.Entries) == 0 || a.Entries[0].Index > r.AppliedIndex() || a.Term < r.CurrentTerm() {
		return false
	}
	list, err := live.snapshots.List()
	if err != nil || len(list) == 0 || list[0].Index < a.Entries[0].Index {
		return false
	}
	at := list[0].Index - a.Entries[0].Index
	if at >= uint64(len(a.Entries)) || a.Entries[at].Term == list[0].Term {
		return false
	}
	n.castOut(fmt.Errorf("%w: a restore was broken off, and the cluster went on without it; the content here is kept: let the node in again with holdfast raft recover --rejoin --data-dir %s", errStray, n.cfg.DataDir))
	return true
}
