package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/voters"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Times of the membership.
const (
	membersEvery  = 500 * time.Millisecond
	stabilization = 10 * time.Second // design section 5: a dead voter is replaced after so long (rule S16)
)

// roster is what one reign remembers of the servers besides the state: who
// was a member before it was removed, and who never announced itself.
type roster struct {
	named    map[string]placement.NodeID // by instance, as seen in this reign
	nameless map[string]placement.Time   // by instance, since when the state does not know it
}

// keepMembers makes the raft configuration follow the voter plan, one change
// at a time, until ctx ends.
func (r *reign) keepMembers(ctx context.Context) {
	known := roster{map[string]placement.NodeID{}, map[string]placement.Time{}}
	for ctx.Err() == nil {
		again := false
		if r.lockMembership(ctx) == nil {
			again = r.nextMember(ctx, known)
			r.raiseLevel(ctx)
			r.unlockMembership()
		}
		if !again {
			sleep(ctx, membersEvery)
		}
	}
}

// nextMember makes the next change, and tells whether it made one.
func (r *reign) nextMember(ctx context.Context, known roster) bool {
	input := r.electorate(r.node.View(), known)
	change, ok := voters.Plan(input)
	if !ok {
		return false
	}
	r.node.log.Info("changing the raft configuration", "action", change.Action, "instance", change.ID, "reason", change.Reason)
	if err := r.makeChange(ctx, change); err != nil {
		if ctx.Err() == nil {
			r.node.log.Warn("a change of the raft configuration failed", "action", change.Action, "instance", change.ID, "error", err)
		}
		return false
	}
	return true
}

func (r *reign) makeChange(ctx context.Context, c voters.Change) error {
	id := raft.ServerID(c.ID)
	address := raft.ServerAddress(r.configuredAddress(id))
	return r.change(ctx, string(c.Action), func(prev uint64) raft.IndexFuture {
		switch c.Action {
		case voters.AddNonvoter:
			return r.raft.AddNonvoter(id, address, prev, configTimeout)
		case voters.Promote:
			return r.raft.AddVoter(id, address, prev, configTimeout)
		case voters.Demote:
			return r.raft.DemoteVoter(id, prev, configTimeout)
		case voters.Remove:
			return r.raft.RemoveServer(id, prev, configTimeout)
		case voters.Transfer:
			return transferFuture{r.raft.LeadershipTransferToServer(id, address)}
		}
		panic("cluster: the voter plan has an action that is not known here")
	})
}

// configuredAddress returns a server's address in the configuration, or as it
// is known otherwise.
func (r *reign) configuredAddress(id raft.ServerID) string {
	for _, s := range r.servers() {
		if s.ID == id {
			return string(s.Address)
		}
	}
	return r.node.addressOf(string(id))
}

// electorate gathers what the voter plan depends on.
func (r *reign) electorate(view *fsm.View, known roster) voters.Input {
	now, throws := r.clock.readThrows()
	in := voters.Input{
		Leader: r.node.instance(), MaxVoters: view.Config.MaxVoters,
		StabilizationTime: stabilization, DeadServerTimeout: view.Config.DeadServerTimeout,
	}
	nodes := nodesByInstance(view)
	for _, s := range r.servers() {
		e := voters.Server{ID: string(s.ID), Member: true, Voter: s.Suffrage == raft.Voter}
		if n := nodes[e.ID]; n != nil {
			known.named[e.ID] = n.ID
			delete(known.nameless, e.ID)
			r.judge(&e, n, now, throws)
		} else {
			e.Healthy = e.ID == in.Leader
			e.Remove = known.unnamed(e.ID, now, view.Config.DeadServerTimeout)
		}
		in.Servers = append(in.Servers, e)
	}
	in.Floor = floorOf(r.node.cfg.BootstrapExpect, in.Servers)
	return in
}

// judge fills in what state and probes say of a server.
func (r *reign) judge(e *voters.Server, n *placement.Node, now placement.Time, throws int) {
	e.Zone = n.Zone
	if n.State == placement.NodeLeft {
		e.Remove = "it left"
		return
	}
	seen := r.health.of(n.ID, n.Incarnation, throws)
	self := e.ID == r.node.instance()
	e.Healthy = self || n.State == placement.NodeAlive && seen.failures == 0
	e.CaughtUp = self || !seen.caughtUp.IsZero()
	if e.Healthy {
		e.StableFor = now.Sub(n.Since)
	}
	if n.State == placement.NodeDead {
		e.DeadFor = max(now.Sub(n.Since), 1)
	}
}

// unnamed says why a server that the state does not know must go: its node was
// removed, or it stands in the first configuration and never came.
func (k roster) unnamed(instance string, now placement.Time, timeout time.Duration) string {
	if id, ok := k.named[instance]; ok {
		return "node " + string(id) + " was removed"
	}
	since, ok := k.nameless[instance]
	if !ok {
		k.nameless[instance] = now
		return ""
	}
	if now.Sub(since) >= timeout {
		return "it never announced itself"
	}
	return ""
}

// floorOf is the number of voters below which failures never bring a cluster
// (rule S16). A node that only joined does not know how its cluster began, and
// takes the voters that there are.
func floorOf(expect int, servers []voters.Server) int {
	if expect > 0 {
		return min(3, expect)
	}
	count := 0
	for _, s := range servers {
		if s.Voter {
			count++
		}
	}
	return min(3, count)
}

// transferFuture is a hand-over in the place of a change.
type transferFuture struct{ raft.Future }

// Index is not known of a hand-over.
func (transferFuture) Index() uint64 { return 0 }
