package placement

import "fmt"

// Live tells whether h is a live copy of c (rule S2): ready, not lost,
// confirmed by its node's present incarnation, with the current content, on a
// node that is reachable in the state.
func (v *View) Live(c *Chain, h *Holder) bool { return LiveOn(c, h, v.Node(h.Node)) }

// LiveOn is [View.Live] for a caller that has looked up the holder's node, nil
// for one that is no member.
func LiveOn(c *Chain, h *Holder, n *Node) bool {
	return h.Phase == Ready && !h.Lost && !h.Unconfirmed && n != nil && n.State == NodeAlive && h.SHA256 == c.SHA256()
}

// LiveCount returns the number of live copies of c.
func (v *View) LiveCount(c *Chain) int {
	live := 0
	for i := range c.Holders {
		if v.Live(c, &c.Holders[i]) {
			live++
		}
	}
	return live
}

// PullingCount returns how many holders are pulling and not marked lost.
func (v *View) PullingCount(c *Chain) int {
	n := 0
	for i := range c.Holders {
		if h := &c.Holders[i]; h.Phase == Pulling && !h.Lost {
			n++
		}
	}
	return n
}

// Missing returns how many copies c lacks: desired less the pulling and ready
// holders that are not marked lost, a move's victim not counted (rules S2 and
// S8). Suspect and unconfirmed holders count: nothing is assigned in their
// place before they are lost. It is negative while there are too many.
func (v *View) Missing(c *Chain) int {
	victim := NodeID("")
	if m := c.Rebalance(); m != nil && (m.Phase == MoveWaiting || m.Phase == MovePulling) {
		victim = m.From
	}
	missing := c.Spec.Desired
	for i := range c.Holders {
		h := &c.Holders[i]
		if h.Phase != Dropping && !h.Lost && h.Node != victim {
			missing--
		}
	}
	return missing
}

// MinReady returns how many live copies a voluntary drop of c must leave
// (invariant min-ready): the spec's number, or desired for place-first and
// desired−1 but at least 1 for evict-first; with content never less than its
// write copies.
func (v *View) MinReady(c *Chain, mode SwapMode) int {
	n := c.Spec.MinReady
	if n == 0 {
		n = c.Spec.Desired
		if mode == EvictFirst {
			n = max(c.Spec.Desired-1, 1)
		}
	}
	if c.Content != nil {
		n = max(n, v.Config.WriteCopiesFor(c.Spec))
	}
	return n
}

// MayDrop tells whether the holder on node may be dropped voluntarily: what
// remains must keep never-last and min-ready. A copy that is not live may go
// whenever enough live ones remain.
func (v *View) MayDrop(c *Chain, node NodeID, mode SwapMode) Verdict {
	left := v.LiveCount(c)
	if h := c.Holder(node); h != nil && v.Live(c, h) {
		left--
	}
	if left < 1 {
		return Refuse(LastCopy, "chain %s would be left without a live copy", c.ID)
	}
	if want := v.MinReady(c, mode); left < want {
		return Refuse(BelowMinReady, "chain %s would be left with %d live copies, min_ready is %d", c.ID, left, want)
	}
	return Verdict{}
}

// EligibleHolder tells whether node may go on holding c, by committed state
// only (so that Apply can check it): it must be there and satisfy the chain's
// required expressions. A cordoned node may; a draining one is the drain
// arm's business.
func (v *View) EligibleHolder(c *Chain, node NodeID) (reason string, ok bool) {
	n := v.Node(node)
	if n == nil {
		return "the node is not a member", false
	}
	if expr := n.misses(c); expr != "" {
		return fmt.Sprintf("the node does not satisfy %q", expr), false
	}
	return "", true
}

// misses returns the first required expression of c that the node does not
// satisfy, "" if there is none.
func (n *Node) misses(c *Chain) string {
	for _, expr := range c.Spec.Require {
		if !n.Matches(expr) {
			return expr
		}
	}
	return ""
}

// EligibleTarget tells whether node may be given a copy of c: alive, able,
// eligible, satisfying the chain, not holding it in any phase, not backed off
// and with room for the bytes (rule S10).
func (v *View) EligibleTarget(c *Chain, node NodeID) Verdict {
	switch o := v.hindrance(c, node, v.Node(node)); o.code {
	case Accepted:
		return Verdict{}
	case OverCapacity:
		u := v.Usage(node)
		return Refuse(OverCapacity, "node %s has %d of %d bytes used or reserved, the copy takes %d", node, u.UsedBytes+u.ReservedBytes, v.Node(node).CapacityBytes, c.SizeBytes())
	default:
		return Refuse(o.code, "node %s %s", node, o)
	}
}

// TargetCode is the code of [View.EligibleTarget] without its words: it
// allocates nothing.
func (v *View) TargetCode(c *Chain, node NodeID) Code {
	return v.hindrance(c, node, v.Node(node)).code
}

// hindrance is why a node may not be given a copy, in words that all nodes in
// the same position share: form says it of "the node", value is what it names.
type hindrance struct {
	code        Code
	form, value string
}

// String returns the words, to be read after the node's name.
func (h hindrance) String() string {
	if h.value == "" {
		return h.form
	}
	return fmt.Sprintf(h.form, h.value)
}

// hindrance is the single wording of what makes a target eligible; n is nil
// when the node is not a member.
func (v *View) hindrance(c *Chain, node NodeID, n *Node) hindrance {
	if n == nil {
		return hindrance{UnknownNode, "is not a member", ""}
	}
	if c.Holder(node) != nil {
		return hindrance{AlreadyHolder, "already holds chain %s", string(c.ID)}
	}
	if h := n.hindrance(); h.code != Accepted {
		return h
	}
	if c.BackedOff(node, v.Now) {
		return hindrance{Cooling, "failed for chain %s a while ago", string(c.ID)}
	}
	if expr := n.misses(c); expr != "" {
		return hindrance{IneligibleTarget, "does not satisfy %q", expr}
	}
	if u := v.Usage(node); n.CapacityBytes > 0 && u.UsedBytes+u.ReservedBytes+c.SizeBytes() > n.CapacityBytes {
		return hindrance{OverCapacity, "has no room for one more copy of the chain", ""}
	}
	return hindrance{}
}

// Open tells whether the node may be given copies of some chains, its room
// aside.
func (n *Node) Open() bool { return n.hindrance().code == Accepted }

// hindrance is why the node may be given no copy of any chain.
func (n *Node) hindrance() hindrance {
	switch {
	case n.State != NodeAlive:
		return hindrance{IneligibleTarget, "is %s", string(n.State)}
	case n.Eligibility != Eligible:
		return hindrance{IneligibleTarget, "is %s", string(n.Eligibility)}
	case !n.Inventoried:
		return hindrance{IneligibleTarget, "has not reported its inventory yet", ""}
	case n.Weight == 0:
		return hindrance{IneligibleTarget, "has weight 0", ""}
	case n.NoSpace:
		return hindrance{IneligibleTarget, "has reached its disk reserve", ""}
	}
	return hindrance{}
}

// CoolingUntil returns the cluster time until which balance leaves c alone,
// or [Never]. Exactly at that time it is eligible again.
func (v *View) CoolingUntil(c *Chain) Time {
	return c.LastRebalance.Add(v.Config.CooldownFor(c.Spec))
}

// Budget tells whether one more move of that cause from and to those nodes
// fits the budgets (design section 4). from is "" for a repair.
func (v *View) Budget(cause Cause, from, to NodeID) Verdict {
	cfg, open := v.Config, v.OpenMoves
	switch {
	case open.Total >= cfg.MovesMax:
		return Refuse(BudgetCluster, "%d moves are open, moves_max is %d", open.Total, cfg.MovesMax)
	case cause == CauseBalance && open.Balance >= cfg.BalanceMovesMax:
		return Refuse(BudgetCluster, "%d balance moves are open, balance_moves_max is %d", open.Balance, cfg.BalanceMovesMax)
	case cause == CauseDrain && open.Drain >= cfg.DrainMovesMax:
		return Refuse(BudgetCluster, "%d drain moves are open, drain_moves_max is %d", open.Drain, cfg.DrainMovesMax)
	}
	in := v.Usage(to)
	if from == "" {
		if in.RepairsIn >= cfg.RepairMovesInMax {
			return Refuse(BudgetNode, "node %s has %d open repairs in, repair_moves_in_max is %d", to, in.RepairsIn, cfg.RepairMovesInMax)
		}
		return Verdict{}
	}
	if in.MovesIn >= cfg.NodeMovesInMax {
		return Refuse(BudgetNode, "node %s has %d open moves in, node_moves_in_max is %d", to, in.MovesIn, cfg.NodeMovesInMax)
	}
	if out := v.Usage(from).MovesOut; out >= cfg.NodeMovesOutMax {
		return Refuse(BudgetNode, "node %s has %d open moves out, node_moves_out_max is %d", from, out, cfg.NodeMovesOutMax)
	}
	return Verdict{}
}
