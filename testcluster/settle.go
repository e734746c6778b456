package testcluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Bounds of waiting, in the bubble's time.
const (
	leaderMax  = 30 * time.Second
	settleMax  = 20 * time.Minute // copies are lost after a minute, targets back off for more
	quietFor   = 2 * time.Second  // four looks of the leader
	waitStep   = 5 * time.Millisecond
	settleStep = 50 * time.Millisecond
	verifyMax  = time.Second
)

// WaitFor waits until ok says yes, at most so long, and fails the test if it
// does not, with what was waited for and the state.
func (c *Cluster) WaitFor(what string, most time.Duration, ok func() bool) {
	c.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(waitStep) {
		if time.Since(began) >= most {
			c.t.Fatalf("not within %v: %s\n%s", most, what, c.describe())
		}
	}
}

// WaitLeader waits until a node leads that a quorum has just confirmed, and
// returns its number.
func (c *Cluster) WaitLeader() int {
	c.t.Helper()
	leader := 0
	c.WaitFor("a leader", leaderMax, func() bool {
		leader = c.Leader()
		return leader != 0 && c.confirmed(leader)
	})
	return leader
}

// confirmed tells whether a quorum follows node i now.
func (c *Cluster) confirmed(i int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), verifyMax)
	defer cancel()
	_, err := c.Node(i).Node().Read(ctx, cluster.Linearizable)
	return err == nil
}

// Settle waits for peace, and fails the test with the state if it does not
// come within 20 minutes of the bubble's time: a node leads; the state knows
// who runs and who does not; every chain is healthy, or has a copy on every
// node that may hold one while there are too few; no move is open and nothing
// has been decided for a while; and every node that the leader reaches has
// applied the same entry and has the same state.
func (c *Cluster) Settle() {
	c.t.Helper()
	began, calmSince, decided := time.Now(), time.Now(), placement.Revision(0)
	for {
		c.checkEnds()
		leader, why := c.unsettled()
		now := c.newest().Decided()
		if why != "" || now != decided {
			calmSince, decided = time.Now(), now
		}
		if why == "" && time.Since(calmSince) < quietFor {
			why = "decisions are being made"
		}
		if why == "" {
			why = c.apart(leader)
		}
		if why == "" {
			break
		}
		if time.Since(began) > settleMax {
			c.t.Fatalf("not settled within %v: %s\n%s", settleMax, why, c.describe())
		}
		time.Sleep(settleStep)
	}
	c.CheckSame()
}

// unsettled returns the leader, or why there is no peace yet.
func (c *Cluster) unsettled() (leader int, why string) {
	if leader = c.Leader(); leader == 0 {
		return 0, "nobody leads"
	}
	v, able := c.View(leader), 0
	for _, m := range c.all() {
		if why := c.unknown(v, leader, m); why != "" {
			return 0, why
		}
		if n := v.Node(placement.NodeID(m.name)); n != nil && n.State == placement.NodeAlive && n.Eligibility == placement.Eligible {
			able++
		}
	}
	v.Chains.Ascend("", func(_ placement.ChainID, ch *placement.Chain) bool {
		why = restless(v, ch, able)
		return why == ""
	})
	return leader, why
}

// unknown returns what the state does not know of a node, if anything.
func (c *Cluster) unknown(v *fsm.View, leader int, m *member) string {
	n := v.Node(placement.NodeID(m.name))
	s, running := m.status()
	switch {
	case running && c.together(leader, m.number):
		if n == nil || n.State != placement.NodeAlive || n.Incarnation != s.Incarnation || !n.Inventoried && !m.external {
			return fmt.Sprintf("node %s runs and is not known as alive, with its inventory", m.name)
		}
	case n != nil && n.State != placement.NodeDead && n.State != placement.NodeLeft:
		return fmt.Sprintf("node %s is out of reach and is known as %s", m.name, n.State)
	}
	return ""
}

// restless returns what keeps a chain from peace, if anything. able is how
// many nodes may hold copies.
func restless(v *fsm.View, ch *placement.Chain, able int) string {
	if len(ch.Moves) > 0 {
		return fmt.Sprintf("chain %s has open moves", ch.ID)
	}
	for i := range ch.Holders {
		if h := &ch.Holders[i]; h.Phase != placement.Ready {
			return fmt.Sprintf("chain %s is %s on %s", ch.ID, h.Phase, h.Node)
		}
	}
	health := v.HealthOf(ch)
	lacking := health == placement.HealthUnder || health == placement.HealthUnplaceable
	if health == placement.HealthHealthy || lacking && v.LiveCount(ch) == able {
		return ""
	}
	return fmt.Sprintf("chain %s is %s, with %d live copies of %d", ch.ID, health, v.LiveCount(ch), ch.Spec.Desired)
}

// apart returns which nodes have not applied the same entry, if any.
func (c *Cluster) apart(leader int) string {
	index := c.View(leader).Index
	for _, m := range c.all() {
		if got := m.view().Index; m.running() && c.together(leader, m.number) && got != index {
			return fmt.Sprintf("node %s has applied index %d, the leader %d", m.name, got, index)
		}
	}
	return ""
}

// CheckSame fails the test if a node, running or not, has another state than
// any node has had after the same entry, in a single byte of its encoding, or
// if the sums in the state are not those of its chains. Settle and the end of
// the test call it.
func (c *Cluster) CheckSame() {
	c.t.Helper()
	if c.audit == nil {
		return
	}
	for _, m := range c.all() {
		c.audit.report(c.audit.state(m.name, m.view()))
	}
	c.audit.report(c.audit.accounts())
}

// describe returns the state for people.
func (c *Cluster) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "after %v:\n", c.age())
	for _, m := range c.all() {
		if s, ok := m.status(); ok {
			fmt.Fprintf(&b, "  %s leads=%t term=%d applied=%d committed=%d voters=%v incarnation=%d\n", m.name, s.IsLeader, s.Term, s.Index, s.CommitIndex, s.Voters, s.Incarnation)
		} else {
			fmt.Fprintf(&b, "  %s does not run, applied=%d\n", m.name, m.view().Index)
		}
	}
	v := c.newest()
	fmt.Fprintf(&b, "  the state at index %d, revision %d, cluster time %.3f s:\n", v.Index, v.Revision, v.Now.Seconds())
	v.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		fmt.Fprintf(&b, "    node %s %s %s incarnation=%d inventoried=%t\n", id, n.State, n.Eligibility, n.Incarnation, n.Inventoried)
		return true
	})
	shown := 0
	v.Chains.Ascend("", func(id placement.ChainID, ch *placement.Chain) bool {
		fmt.Fprintf(&b, "    chain %s %s, desired %d\n", id, v.HealthOf(ch), ch.Spec.Desired)
		for _, h := range ch.Holders {
			fmt.Fprintf(&b, "      on %s %s epoch=%d lost=%t unconfirmed=%t\n", h.Node, h.Phase, h.Epoch, h.Lost, h.Unconfirmed)
		}
		for _, m := range ch.Moves {
			fmt.Fprintf(&b, "      move %d %s %s from=%s to=%s\n", m.ID, m.Cause, m.Phase, m.From, m.To)
		}
		shown++
		return shown < 30
	})
	shown = 0
	v.Decisions(0, func(r *placement.Record) bool {
		d := r.Decision
		fmt.Fprintf(&b, "    %.3f s term %d: %s %s %s %s→%s %s: %s\n", r.At.Seconds(), r.Term, d.Cause, d.Kind, d.Chain, d.From, d.To, d.Reason, r.Verdict)
		shown++
		return shown < 20
	})
	return b.String()
}
