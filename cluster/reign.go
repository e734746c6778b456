package cluster

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
)

// Times of a reign.
const (
	barrierTimeout = 5 * time.Second
	barrierRetry   = 100 * time.Millisecond
	configTimeout  = 5 * time.Second
	proposeTimeout = 10 * time.Second
	lookGap        = 5 * time.Millisecond // least time between two looks: a busy log wakes the leader all the time
	lookGapMax     = 50 * time.Millisecond
	lookShare      = 20          // looks that come to nothing take one part in so many of the time
	tickEvery      = time.Second // while a timer runs (rule S13)
	slowTickEvery  = time.Minute // while only tombstones wait
)

// reign is the time during which this node leads in one term, from the
// barrier to the loss of leadership.
type reign struct {
	node     *Node
	raft     *raft.Raft
	term     uint64
	began    time.Time // won the election
	clock    *leaderClock
	proposer *proposer
	proofs   *proofs
	health   *health
	nudge    chan struct{} // size 1: something was sighted
	changing chan struct{} // size 1: held while the raft configuration is changed
	ended    <-chan struct{}

	// Of the loop's goroutine.
	planning planning
	sighted  placement.Time // when the sightings were last compared with the state
	nudged   bool           // something was sighted since
	ticked   placement.Time
}

// leadership starts a reign when raft makes this node leader, and ends it when
// raft takes that back: one at a time, the old one waited for.
func (n *Node) leadership(ctx context.Context) error {
	defer close(n.unled)
	live := n.live.Load()
	r := live.raft()
	observer, leave := n.watchLeader(r)
	defer func() { leave() }()
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-observer:
			n.leaders.ring()
		case one := <-n.restores:
			stop()
			minded := live.mind(ctx)
			one.result <- n.restore(r, one)
			minded()
			if stop = func() {}; r.State() == raft.Leader {
				stop = n.startReign(ctx, r)
			}
		case one := <-n.retimes:
			stop()
			leave()
			stop = func() {}
			err := n.exchange(ctx, live, one)
			one.result <- err
			if err != nil {
				return err
			}
			r = live.raft()
			observer, leave = n.watchLeader(r)
			n.leaders.ring()
		case leads := <-r.LeaderCh():
			stop() // two in a row that say yes: lost and won again in between
			stop = func() {}
			if leads {
				stop = n.startReign(ctx, r)
			}
			n.leaders.ring()
		}
	}
}

// watchLeader returns a channel that gets raft's news about who leads.
func (n *Node) watchLeader(r *raft.Raft) (news chan raft.Observation, leave func()) {
	news = make(chan raft.Observation, 16)
	observer := raft.NewObserver(news, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r.RegisterObserver(observer)
	return news, func() { r.DeregisterObserver(observer) }
}

// startReign starts a reign and returns how to end it, which waits.
func (n *Node) startReign(ctx context.Context, r *raft.Raft) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.cfg.Metrics.Elections.Add(1)
		n.cfg.Metrics.FirstDecisionSeconds.Set(math.NaN()) // that of an earlier reign is not this one's
		n.lead(ctx, r, time.Now())
	}()
	return func() {
		cancel()
		<-done
	}
}

// lead is one reign, from the election to its end.
func (n *Node) lead(ctx context.Context, r *raft.Raft, began time.Time) {
	term, ok := n.barrier(ctx, r)
	if !ok {
		return
	}
	clock := newLeaderClock(n.cfg.Elapsed, n.View().Now)
	reign := &reign{
		node: n, raft: r, term: term, began: began, clock: clock,
		proposer: newProposer(n, clock, r), proofs: newProofs(n, r, term), health: newHealth(), planning: planning{planner: scheduler.NewPlanner()},
		nudge: make(chan struct{}, 1), changing: make(chan struct{}, 1), ended: ctx.Done(),
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { reign.proposer.run(ctx) })
	parts.Go(func() { reign.proofs.run(ctx) })
	if !reign.found(ctx) {
		return
	}
	n.log.Info("leading", "term", term, "after", time.Since(began))
	n.reign.Store(reign)
	n.leaders.ring()
	defer func() {
		n.reign.Store(nil)
		n.leaders.ring()
		n.log.Info("not leading any more", "term", term)
	}()
	parts.Go(func() { reign.probe(ctx) })
	parts.Go(func() { reign.keepMembers(ctx) })
	parts.Go(func() { reign.keepPace(ctx) })
	reign.loop(ctx)
}

// barrier waits until everything that was committed before is applied, and
// returns the term in which that was so.
func (n *Node) barrier(ctx context.Context, r *raft.Raft) (term uint64, ok bool) {
	for ctx.Err() == nil {
		term := r.CurrentTerm()
		waiting, cancel := context.WithTimeout(ctx, barrierTimeout)
		err := n.await(waiting, func() raft.Future { return r.Barrier(barrierTimeout) })
		cancel()
		if err == nil && r.CurrentTerm() == term && r.State() == raft.Leader {
			return term, true
		}
		if ctx.Err() == nil {
			n.log.Warn("the barrier of a new leader failed", "term", term, "error", err)
		}
		sleep(ctx, barrierRetry)
	}
	return 0, false
}

// found commits the first entry of the reign: the tick that carries cluster
// time on, and in a new cluster its birth.
func (r *reign) found(ctx context.Context) bool {
	select {
	case <-r.node.member: // the cluster id is on disk
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		var ops []fsm.Op
		if r.node.View().ClusterID == "" {
			ops = []fsm.Op{{
				Actor: nodeActor(r.node.cfg.Node), Reason: "the cluster is founded",
				Body: &fsm.Genesis{ClusterID: r.node.clusterID(), Name: r.node.cfg.Cluster, Lineage: uuid.NewString()},
			}}
		}
		proposing, cancel := context.WithTimeout(ctx, proposeTimeout)
		results, err := r.proposer.propose(proposing, fence{}, ops...)
		cancel()
		if err == nil && (len(results) == 0 || results[0].OK()) {
			r.ticked = r.clock.read()
			return true
		}
		if ctx.Err() == nil {
			r.node.log.Warn("the first entry of a new leader failed", "term", r.term, "error", err, "results", results)
		}
		sleep(ctx, barrierRetry)
	}
	return false
}

// loop looks, decides and sleeps until leadership is lost.
func (r *reign) loop(ctx context.Context) {
	for ctx.Err() == nil {
		view := r.node.View()
		began, gap := time.Now(), lookGap
		if !r.look(ctx, view) {
			gap = min(max(gap, lookShare*time.Since(began)), lookGapMax)
		}
		if !r.planning.more {
			r.rest(ctx, view)
		}
		sleep(ctx, gap)
	}
}

// rest waits for a reason to look again: the state changed since view, a
// sighting, or time.
func (r *reign) rest(ctx context.Context, view *fsm.View) {
	timer := time.NewTimer(min(view.Config.TickInterval, clockStepMax/4))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-view.Next():
	case <-r.nudge:
		r.nudged = true
	case <-r.node.live.Load().gossip.Changed():
		r.nudged = true
	case <-timer.C:
	}
}

// look takes one look at everything: sightings, plan, time. It tells whether
// that came, or may soon come, to something.
func (r *reign) look(ctx context.Context, view *fsm.View) (busy bool) {
	now := r.clock.read()
	if interval := view.Config.TickInterval; r.nudged || now.Sub(r.sighted) >= interval {
		r.nudged, r.sighted = false, now
		if ops := r.sightings(view); len(ops) > 0 {
			r.propose(ctx, r.fenceOf(view), ops)
			return true // the next look sees the state that this made
		}
	}
	if r.planDue(view, now) {
		busy = r.plan(ctx, view) || r.planning.more
	}
	if r.tickDue(r.node.View(), r.clock.read()) {
		r.propose(ctx, fence{}, nil)
	}
	return busy
}

// tickDue tells whether cluster time must be committed now, so that a change of
// leader cannot lose it: every second while a timer runs (rule S13), every
// minute for tombstones, which live for days. A cluster in which nothing waits
// on time stays silent.
func (r *reign) tickDue(view *fsm.View, now placement.Time) bool {
	age := now.Sub(r.ticked)
	return age >= tickEvery && timerRuns(view, now) || age >= slowTickEvery && view.TombstoneCount() > 0
}

func timerRuns(view *fsm.View, now placement.Time) bool {
	if now < view.TimersUntil() || view.RequestCount() > 0 || view.Freeze != nil && view.Freeze.Until != placement.Never ||
		view.RepairPause != nil || len(view.Forced) > 0 {
		return true
	}
	waits := false
	view.Nodes.Ascend("", func(id placement.NodeID, n *placement.Node) bool {
		waits = n.State != placement.NodeAlive && n.State != placement.NodeLeft || n.DrainDeadline != placement.Never ||
			n.Eligibility == placement.NodeQuarantined || view.Usage(id).Unconfirmed > 0
		return !waits
	})
	return waits
}

// fenceOf binds a batch to this term and to the configuration of the view.
func (r *reign) fenceOf(view *fsm.View) fence { return fence{r.term, view.ConfigGeneration} }

// propose commits operations of the leader itself; a failure is logged, and
// the next look decides anew.
func (r *reign) propose(ctx context.Context, f fence, ops []fsm.Op) []fsm.Result {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := r.proposer.propose(ctx, f, ops...)
	if err != nil {
		if ctx.Err() == nil {
			r.node.log.Warn("a proposal of the leader failed", "operations", len(ops), "error", err)
		}
		sleep(ctx, barrierRetry)
		return nil
	}
	r.ticked = r.clock.read()
	return results
}

// lockMembership lets one change of the membership happen at a time.
func (r *reign) lockMembership(ctx context.Context) error {
	select {
	case r.changing <- struct{}{}:
		return nil
	case <-r.ended:
		return r.node.notLeader()
	case <-ctx.Done():
		return fmt.Errorf("another change of the membership is under way: %w", ctx.Err())
	}
}

func (r *reign) unlockMembership() { <-r.changing }

// servers returns the latest raft configuration, committed or not.
func (r *reign) servers() []raft.Server {
	return r.raft.GetConfiguration().Configuration().Servers
}

// change makes one change of the raft configuration, on the configuration
// that the caller has just looked at, and waits until it is committed.
func (r *reign) change(ctx context.Context, what string, begin func(prev uint64) raft.IndexFuture) error {
	ctx, cancel := context.WithTimeout(ctx, configTimeout)
	defer cancel()
	prev := r.raft.GetConfiguration().Index()
	if err := r.node.await(ctx, func() raft.Future { return begin(prev) }); err != nil {
		return fmt.Errorf("%s in the raft configuration: %w", what, err)
	}
	return nil
}
