package fsm

import (
	"fmt"
	"math"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// announce issues the incarnation of a process (rule S2) and binds the node
// id to its instance (rule S14).
func (t *tx) announce(b *Announce) Result {
	if _, err := placement.ParseNodeID(string(b.Node)); err != nil {
		return refuse(placement.Invalid, "%v", err)
	}
	switch {
	case b.Role != placement.RoleServer:
		return refuse(placement.Unsupported, "role %q does not exist yet; use server", b.Role)
	case b.Instance == "" || b.Process == "":
		return refuse(placement.Invalid, "node %s announced itself without an instance or a process id", b.Node)
	case b.FeatureLevel < t.level:
		return refuse(placement.Unsupported, "the cluster is at feature level %d, node %s supports up to %d; upgrade it", t.level, b.Node, b.FeatureLevel)
	}
	if err := b.check(); err != nil {
		return refuse(placement.Invalid, "%v", err)
	}
	if other := t.nodeOfInstance(b.Instance); other != nil && other.ID != b.Node {
		return refuse(placement.NodeIDTaken, "the data directory of node %s cannot serve as node %s; start it under its own name", other.ID, b.Node)
	}
	old := t.node(b.Node)
	if old != nil && old.Instance != b.Instance && reachable(old.State) {
		return refuse(placement.NodeIDTaken, "node id %s belongs to another data directory whose node is %s; choose another --node-id", b.Node, old.State)
	}
	n := placement.Node{ID: b.Node, Eligibility: placement.Eligible, Weight: placement.ScoreOne}
	if old != nil {
		n = *old
	}
	n.Instance, n.Role, n.Zone, n.Labels = b.Instance, b.Role, b.Zone, labelsFromRecords(b.Labels)
	n.Addresses, n.CapacityBytes = placement.Addresses(b.Addresses), b.CapacityBytes
	n.Version, n.FeatureLevel, n.Capabilities = b.Version, b.FeatureLevel, capabilitiesFromRecords(b.Numbers, b.Texts)
	if old == nil || old.Process != b.Process || old.Instance != b.Instance {
		t.beginIncarnation(&n, b.Process)
	}
	if old == nil || !sameNode(old, &n) {
		t.putNode(&n)
	}
	t.endPause()
	return Result{Incarnation: n.Incarnation}
}

// check tells what of an announcement cannot be.
func (a *Announce) check() error {
	if a.CapacityBytes < 0 || a.CapacityBytes > 1<<62 {
		return fmt.Errorf("capacity: %d is not within 0..%d", a.CapacityBytes, int64(1<<62))
	}
	if err := labelsFromRecords(a.Labels).Check(); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	if err := capabilitiesFromRecords(a.Numbers, a.Texts).Check(); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for _, f := range []struct{ name, text string }{
		{"instance", a.Instance},
		{"process", a.Process},
		{"zone", a.Zone},
		{"version", a.Version},
		{"address", a.Addresses.Node},
		{"HTTP address", a.Addresses.HTTP},
		{"service address", a.Addresses.Service},
	} {
		if err := placement.CheckText(f.name, f.text); err != nil {
			return err
		}
	}
	return nil
}

// beginIncarnation starts a new run of the node: alive by its own word, and
// none of its copies confirmed.
func (t *tx) beginIncarnation(n *placement.Node, process string) {
	if n.State == placement.NodeAlive { // otherwise that was its fall
		t.fell(n)
	}
	n.Process, n.Incarnation, n.Inventoried = process, placement.Incarnation(t.draw()), false
	n.State, n.Since, n.Unreachable = placement.NodeAlive, t.now, placement.Never
	t.eachOn(n.ID, func(c *placement.Chain, h *placement.Holder) bool {
		h.Unconfirmed, h.Since = true, t.now
		return true
	})
}

// eachOn calls change with a writable copy of each chain held by node, and
// stores it when change answers true.
func (t *tx) eachOn(node placement.NodeID, change func(*placement.Chain, *placement.Holder) bool) {
	v := t.live()
	var chains []*placement.Chain
	v.ChainsOn(node, func(c *placement.Chain, _ *placement.Holder) bool {
		chains = append(chains, c)
		return true
	})
	for _, old := range chains {
		c := old.Clone()
		if change(c, c.Holder(node)) {
			t.putChain(c)
		}
	}
}

func (t *tx) nodeOfInstance(instance string) *placement.Node {
	var found *placement.Node
	t.nodes.Scan(func(_ placement.NodeID, n *placement.Node) bool {
		if n.Instance == instance {
			found = n
		}
		return found == nil
	})
	return found
}

// reachable tells whether a node in that state may still be running.
func reachable(s placement.NodeState) bool {
	return s != placement.NodeDead && s != placement.NodeLeft
}

// sameNode tells whether an announcement changed nothing.
func sameNode(x, y *placement.Node) bool {
	return x.Incarnation == y.Incarnation && x.Instance == y.Instance && x.Role == y.Role && x.State == y.State &&
		x.Zone == y.Zone && x.Addresses == y.Addresses && x.CapacityBytes == y.CapacityBytes &&
		x.Version == y.Version && x.FeatureLevel == y.FeatureLevel &&
		slices.Equal(x.Labels, y.Labels) && slices.Equal(x.Capabilities, y.Capabilities)
}

// observe commits what the leader saw of a node's liveness.
func (t *tx) observe(b *Observe) Result {
	old := t.node(b.Node)
	switch {
	case old == nil:
		return unknownNode(b.Node)
	case old.Incarnation != b.Incarnation:
		return refuse(placement.StaleEpoch, "node %s is at incarnation %d, not %d", b.Node, old.Incarnation, b.Incarnation)
	case old.State == placement.NodeLeft:
		return refuse(placement.StaleDecision, "node %s has left", b.Node)
	case old.State == b.State:
		return Result{}
	}
	n := *old
	switch b.State {
	case placement.NodeAlive:
		// A node that was given up tells anew what it holds before its lost
		// copies count again.
		n.Inventoried = old.Inventoried && old.State == placement.NodeSuspect
		n.Unreachable = placement.Never
	case placement.NodeSuspect, placement.NodeSick, placement.NodeDead:
		if n.Unreachable == placement.Never {
			n.Unreachable = t.now
			t.fell(&n)
		}
	default:
		return refuse(placement.Invalid, "state: %q cannot be observed", b.State)
	}
	n.State, n.Since = b.State, t.now
	t.putNode(&n)
	if n.State == placement.NodeAlive {
		t.endPause()
	} else if old.Unreachable == placement.Never {
		t.beginPause(n.ID)
	}
	return Result{}
}

// pauseWindow is how close together nodes must vanish to count as one event
// (rule S12).
const pauseWindow = 60e9

// beginPause begins a repair pause when, with the node that has just become
// unreachable, too much has vanished at once. Nodes that vanish on its heels
// belong to it (rule S12).
func (t *tx) beginPause(id placement.NodeID) {
	if t.pause != nil {
		if t.now.Sub(t.pause.Since) <= pauseWindow && !contains(t.pause.Nodes, id) {
			p := *t.pause
			p.Nodes = append(slices.Clone(p.Nodes), id)
			t.pause = &p
		}
		return
	}
	if gone := t.goneAtOnce(); gone != nil {
		t.pause = &placement.RepairPause{Since: t.now, Until: t.now.Add(t.config.RepairPauseMax), Nodes: gone}
		t.touchConfig()
	}
}

// endPause ends a repair pause when half of what vanished is back.
func (t *tx) endPause() {
	if t.pause == nil {
		return
	}
	back := 0
	for _, id := range t.pause.Nodes {
		if n := t.node(id); n == nil || n.State == placement.NodeAlive {
			back++
		}
	}
	if 2*back >= len(t.pause.Nodes) {
		t.pause = nil
		t.touchConfig()
	}
}

// goneAtOnce returns the nodes that became unreachable within the window, if
// they are at least max(2, 40 %) of the members or make up a whole zone of at
// least two; else nil.
func (t *tx) goneAtOnce() []placement.NodeID {
	var gone []placement.NodeID
	members := 0
	zones := new(zoneCount)
	t.nodes.Scan(func(id placement.NodeID, n *placement.Node) bool {
		if n.State == placement.NodeLeft {
			return true
		}
		members++
		recent := n.State != placement.NodeAlive && t.now.Sub(n.Unreachable) <= pauseWindow
		if recent {
			gone = append(gone, id)
		}
		zones.add(n.Zone, recent)
		return true
	})
	if len(gone) >= max(2, int(math.Ceil(0.4*float64(members)))) || zones.anyWhole() {
		return gone
	}
	return nil
}

// zoneCount counts nodes, and those that are gone, per named zone.
type zoneCount struct {
	names       []string
	total, gone []int
}

func (z *zoneCount) add(name string, gone bool) {
	if name == "" {
		return
	}
	i := 0
	for i < len(z.names) && z.names[i] != name {
		i++
	}
	if i == len(z.names) {
		z.names, z.total, z.gone = append(z.names, name), append(z.total, 0), append(z.gone, 0)
	}
	z.total[i]++
	if gone {
		z.gone[i]++
	}
}

func (z *zoneCount) anyWhole() bool {
	for i := range z.names {
		if z.total[i] >= 2 && z.gone[i] == z.total[i] {
			return true
		}
	}
	return false
}

// lose marks lost what has been out of reach, or unconfirmed, for the chain's
// repair delay (rules S1 and S2).
func (t *tx) lose(b *Lose) Result {
	n := t.node(b.Node)
	if n == nil {
		return unknownNode(b.Node)
	}
	if n.Incarnation != b.Incarnation {
		return refuse(placement.StaleEpoch, "node %s is at incarnation %d, not %d", b.Node, n.Incarnation, b.Incarnation)
	}
	t.loseDue(n)
	return Result{}
}

func (t *tx) loseDue(n *placement.Node) {
	v := t.live()
	var due []placement.ChainID
	v.ChainsOn(n.ID, func(c *placement.Chain, h *placement.Holder) bool {
		if Due(&v, n, c, h) {
			due = append(due, c.ID)
		}
		return true
	})
	for _, id := range due {
		c := t.chain(id).Clone()
		t.loseCopy(c, n.ID)
		t.putChain(c)
	}
}

// Due tells whether the copy h of c on n has been out of reach, or
// unconfirmed, for the chain's repair delay, so that it counts as lost.
func Due(v *placement.View, n *placement.Node, c *placement.Chain, h *placement.Holder) bool {
	if h.Lost {
		return false
	}
	delay := v.Config.RepairDelayFor(c.Spec)
	switch {
	case n.State == placement.NodeLeft:
		return true
	case n.State != placement.NodeAlive:
		return v.Now.Sub(n.Unreachable) >= delay
	default:
		return h.Unconfirmed && v.Now.Sub(h.Since) >= delay
	}
}

// leave takes a node's word that it goes for good.
func (t *tx) leave(b *Leave) Result {
	old := t.node(b.Node)
	if old == nil {
		return unknownNode(b.Node)
	}
	if old.Instance != b.Instance {
		return refuse(placement.StaleEpoch, "node %s is another instance now", b.Node)
	}
	if b.Incarnation != 0 && b.Incarnation != old.Incarnation {
		return refuse(placement.StaleEpoch, "node %s is at incarnation %d, not %d: it has started again since it said that it leaves", b.Node, old.Incarnation, b.Incarnation)
	}
	if old.State == placement.NodeLeft {
		return Result{}
	}
	n := *old
	n.State, n.Since, n.Unreachable = placement.NodeLeft, t.now, t.now
	t.putNode(&n)
	t.loseDue(&n)
	return Result{}
}

// removeNode forgets a node, and with allow_data_loss the last copies on it.
func (t *tx) removeNode(b *RemoveNode) Result {
	n := t.node(b.Node)
	if n == nil {
		return unknownNode(b.Node)
	}
	if reachable(n.State) {
		return refuse(placement.NodeNotEmpty, "node %s is %s; only a node that is dead or has left can be removed", b.Node, n.State)
	}
	if b.AllowDataLoss && t.op.Reason == "" {
		return refuse(placement.Invalid, "reason: allow_data_loss needs one")
	}
	v := t.live()
	var last *placement.Chain
	v.ChainsOn(b.Node, func(c *placement.Chain, h *placement.Holder) bool {
		if h.Phase != placement.Pulling && !currentElsewhere(c, b.Node) {
			last = c
		}
		return last == nil
	})
	if last != nil && !b.AllowDataLoss {
		return refuse(placement.LastCopy, "node %s has the only remaining copy of chain %s; bring it back, or remove it with --allow-data-loss and a reason", b.Node, last.ID)
	}
	t.eachOn(b.Node, func(c *placement.Chain, h *placement.Holder) bool {
		lastCopy := h.Phase != placement.Pulling && !currentElsewhere(c, b.Node)
		t.forgetHolder(c, b.Node, placement.ReasonNodeRemoved)
		if lastCopy {
			t.giveUp(c, b.Node)
		}
		return true
	})
	t.dropStrays(b.Node)
	t.nodes.Delete(b.Node)
	t.dropFromGuard(b.Node)
	t.changed(Change{t.draw(), ChangeNode, string(b.Node), true})
	t.endPause()
	return Result{}
}

// giveUp records that the last copy of c went with a node. When no holder that
// has bytes is left, those that pull have nothing to pull from: the chain
// counts again as one that never had a copy (rule S1).
func (t *tx) giveUp(c *placement.Chain, node placement.NodeID) {
	t.record(c, placement.Decision{
		Kind: placement.KindDrop, Cause: placement.CauseForced, Chain: c.ID, From: node,
		ScoreFrom: placement.NoScore, ScoreTo: placement.NoScore,
		Reason: placement.Reason{Name: placement.ReasonAllowDataLoss, Detail: t.op.Reason},
	}, placement.Accepted)
	if slices.ContainsFunc(c.Holders, func(h placement.Holder) bool { return h.Phase != placement.Pulling }) {
		return
	}
	for len(c.Moves) > 0 {
		t.callOff(c, &c.Moves[0], placement.ReasonAllowDataLoss, "no copy is left to pull from")
	}
	c.Holders, c.EverReady, c.Content = nil, false, nil
}

// currentElsewhere tells whether another node is listed, lost or not, with a
// ready copy of the current content.
func currentElsewhere(c *placement.Chain, node placement.NodeID) bool {
	return slices.ContainsFunc(c.Holders, func(h placement.Holder) bool {
		return h.Node != node && h.Phase == placement.Ready && h.SHA256 == c.SHA256()
	})
}
