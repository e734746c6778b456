package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Times and bounds of enrolment.
const (
	enrolGap     = 100 * time.Millisecond // between two looks at a changing view
	enrolTimeout = 5 * time.Second        // for one call
	enrolAsk     = 3                      // addresses tried in one round without a known leader
)

// enrolment is what this process was told when it announced itself.
type enrolment struct {
	incarnation placement.Incarnation
	index       uint64 // a view from here on knows the incarnation
}

// announcement is what this process says of itself.
func (n *Node) announcement() joinRequest {
	a := fsm.Announce{
		Node: n.cfg.Node, Instance: n.instance(), Process: n.process, Role: placement.RoleServer,
		Zone: n.cfg.Zone, CapacityBytes: n.cfg.CapacityBytes, Version: n.cfg.Version, FeatureLevel: fsm.Level,
	}
	a.SetAddresses(n.addresses())
	a.SetLabels(n.cfg.Labels)
	a.SetCapabilities(n.cfg.Capabilities)
	return joinRequest{a}
}

func (n *Node) addresses() placement.Addresses {
	return placement.Addresses{Node: n.mux.AdvertiseAddr(), HTTP: n.cfg.HTTP, Service: n.cfg.Service}
}

// enrolled is set when the leader has let this process in. An incarnation
// counts once the local view has it too.
type enrolledState struct {
	bell
	now enrolment // under bell.mu
}

func (e *enrolledState) set(to enrolment) {
	e.mu.Lock()
	e.now = to
	e.mu.Unlock()
	e.ring()
}

func (e *enrolledState) get() enrolment {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// ownIncarnation returns the incarnation of this process, 0 until it is known.
func (n *Node) ownIncarnation() placement.Incarnation { return n.enrolled.get().incarnation }

// settledIn tells whether the state knows this process as it is. A view that
// is older than the answer says nothing.
func (n *Node) settledIn(view *fsm.View) bool {
	own := n.enrolled.get()
	if own.incarnation == 0 {
		return false
	}
	if view.Index < own.index || n.left.Load() {
		return true
	}
	self := view.Node(n.cfg.Node)
	return self != nil && self.Instance == n.instance() && self.Incarnation == own.incarnation && self.Addresses == n.addresses()
}

// enrol announces this process to the cluster, for ever: at the start, and
// whenever the state stops knowing it as it is.
func (n *Node) enrol(ctx context.Context) error {
	select {
	case <-n.member:
	case <-ctx.Done():
		return nil
	}
	var tries tries
	for {
		view, leaders := n.View(), n.leaders.heard()
		if n.settledIn(view) {
			tries.failures = 0
			select {
			case <-ctx.Done():
				return nil
			case <-view.Next():
				sleep(ctx, enrolGap)
			}
			continue
		}
		answer, err := n.askToJoin(ctx)
		if err == nil {
			n.log.Info("enrolled", "incarnation", answer.Incarnation)
			n.enrolled.set(enrolment{answer.Incarnation, answer.Index})
			continue
		}
		tries.failed()
		n.logEnrolment(tries, err)
		timer := time.NewTimer(retryPause(tries.failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-leaders:
			timer.Stop()
			sleep(ctx, time.Duration(rand.Int64N(int64(20*time.Millisecond))))
		}
	}
}

// tries counts the failures in a row to be let in.
type tries struct {
	failures int
	since    time.Time // of the first
}

func (t *tries) failed() {
	if t.failures++; t.failures == 1 {
		t.since = time.Now()
	}
}

// logEnrolment tells of a failure to be let in. A cluster that forms, or looks
// for a leader, lets nobody in for a moment: that is no warning before it has
// lasted. A refusal is one at once. Neither is repeated with each try.
func (n *Node) logEnrolment(t tries, err error) {
	about := "enrolment"
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		about = err.Error()
		if refused.Code == placement.Unsupported { // this build never will be
			n.castOut(err)
		}
	} else if time.Since(t.since) < formPatience {
		n.log.Debug("not let in yet", "attempts", t.failures, "error", err)
		return
	}
	if n.seldom.now(about) {
		n.log.Warn("the cluster does not let this node in yet", "attempts", t.failures, "error", err)
	}
}

// askToJoin asks the leader, or whoever may know it, to let this process in.
func (n *Node) askToJoin(ctx context.Context) (joinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	if n.reign.Load() != nil || n.leader() != nil {
		return askLeader(ctx, n, methodJoin, n.announcement(), n.acceptJoin)
	}
	err := n.notLeader()
	for _, addr := range n.othersToAsk(ctx) {
		var answer joinAnswer
		if answer, err = n.joinBy(ctx, addr); err == nil {
			return answer, nil
		}
	}
	return joinAnswer{}, err
}

// joinBy asks the node at addr, and the leader that it names.
func (n *Node) joinBy(ctx context.Context, addr string) (joinAnswer, error) {
	answer, err := call[joinAnswer](ctx, n, addr, methodJoin, n.announcement())
	if hint := leaderHint(err); hint != "" && hint != addr {
		answer, err = call[joinAnswer](ctx, n, hint, methodJoin, n.announcement())
	}
	return answer, fromWire(err)
}

// othersToAsk picks a few addresses at which other members may be.
func (n *Node) othersToAsk(ctx context.Context) []string {
	all := n.seedAddresses(ctx)
	n.View().Nodes.Ascend("", func(_ placement.NodeID, node *placement.Node) bool {
		all = append(all, node.Addresses.Node)
		return true
	})
	for _, m := range n.neighbours() {
		all = append(all, m.Meta.Node)
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(a string) bool { return a == "" || a == n.mux.AdvertiseAddr() })
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), enrolAsk)]
}

// seedAddresses resolves the seeds. A name that does not resolve stands for
// itself.
func (n *Node) seedAddresses(ctx context.Context) []string {
	var all []string
	for _, seed := range n.cfg.Join {
		addresses, err := n.cfg.Network.Resolve(ctx, seed)
		if err != nil || len(addresses) == 0 {
			addresses = []string{seed}
		}
		all = append(all, addresses...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
