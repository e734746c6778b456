package fsm

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Apply applies one entry and returns an answer per operation. An error wraps
// [ErrFatal]: nothing was changed and the node must stop. Entries at or below
// the applied index are skipped with no answers, so that a log may be
// replayed over a state that survived.
func (m *Machine) Apply(index, term uint64, data []byte) ([]Result, error) {
	if index <= m.s.index {
		return nil, nil
	}
	b, err := DecodeBatch(data)
	if err == nil && b.Level > m.s.level {
		err = fmt.Errorf("%w: the entry is of feature level %d, the state of %d", ErrFatal, b.Level, m.s.level)
	}
	if err != nil {
		return nil, fmt.Errorf("log entry %d: %w", index, err)
	}
	before := m.View()
	m.s.index, m.s.term = index, term
	m.s.now = max(m.s.now, min(b.Now, lastInstant), firstInstant)
	m.s.expire()
	results := make([]Result, len(b.Ops))
	t := &tx{state: m.s, batch: &b}
	for i := range b.Ops {
		t.op = &b.Ops[i]
		results[i] = t.run()
	}
	m.publish(before)
	return results, nil
}

// Cluster time begins at firstInstant, so that zero can mean never, and stops
// at lastInstant, 146 years later, so that no sum with a duration overflows.
const (
	firstInstant = placement.Time(time.Millisecond)
	lastInstant  = placement.Time(1 << 62)
)

// tx is one operation being applied.
type tx struct {
	*state
	batch *Batch
	op    *Op
}

// run answers a retried request from memory, and applies everything else.
func (t *tx) run() Result {
	req := t.op.Request
	if req.Key == "" {
		return t.answer()
	}
	if old, ok := t.requests.Get(req.Key); ok {
		return old.repeat(req)
	}
	if t.requests.Len() >= RequestsMax || t.reqBytes >= RequestBytesMax {
		return refuse(placement.Overloaded, "the request table is full; wait for request_ttl (%v) and retry", t.config.RequestTTL)
	}
	r := t.answer()
	t.remember(req, r)
	return r
}

// answer applies the operation and completes its answer.
func (t *tx) answer() Result {
	r := t.apply()
	r.Revision, r.Detail = t.rev, clip(r.Detail)
	return r
}

// apply checks that the cluster is born, then does the operation.
func (t *tx) apply() Result {
	if t.batch.Term != 0 && t.batch.Term != t.term {
		return refuse(placement.StaleTerm, "made in term %d, the entry is of term %d", t.batch.Term, t.term)
	}
	if _, ok := t.op.Body.(*Genesis); !ok && t.clusterID == "" {
		return refuse(placement.NotReady, "the cluster has not been founded yet; retry in a moment")
	}
	switch b := t.op.Body.(type) {
	case *Genesis:
		return t.genesis(b)
	case *Announce, *Observe, *Lose, *Leave, *RemoveNode, *SetEligibility, *SetWeight:
		return t.applyNode(b)
	case *PutChain:
		return t.putSpec(b)
	case *PutChains:
		return t.putSpecs(b)
	case *DeleteChain:
		return t.deleteChain(b)
	case *Report:
		return t.report(b)
	case *Decide:
		return t.decide(b.Decision.decision())
	case *CommitContent:
		return t.commitContent(b)
	case *PurgeOrphan:
		return t.purgeOrphan(b)
	default:
		return t.applyCluster(b)
	}
}

// applyNode does the operations about one node.
func (t *tx) applyNode(body Body) Result {
	switch b := body.(type) {
	case *Announce:
		return t.announce(b)
	case *Observe:
		return t.observe(b)
	case *Lose:
		return t.lose(b)
	case *Leave:
		return t.leave(b)
	case *RemoveNode:
		return t.removeNode(b)
	case *SetEligibility:
		return t.setEligibility(b)
	case *SetWeight:
		return t.setWeight(b)
	}
	return refuse(placement.Unsupported, "operation of kind %d has no effect", body.kind())
}

// applyCluster does the operations about the cluster as a whole.
func (t *tx) applyCluster(body Body) Result {
	switch b := body.(type) {
	case *PutConfig:
		return t.putConfig(b)
	case *SetFreeze:
		return t.setFreeze(b)
	case *Thaw:
		return t.thaw()
	case *ResumeRepair:
		return t.resumeRepair()
	case *Force:
		return t.force(b)
	case *RaiseLevel:
		return t.raiseLevel(b)
	case *ReleaseGuard:
		return t.releaseGuard()
	case *SetHeartbeat:
		return t.setHeartbeat(b)
	}
	// DecodeBatch lets only known kinds through.
	return refuse(placement.Unsupported, "operation of kind %d has no effect", body.kind())
}

// clip bounds a text for people, at the border of a character.
func clip(s string) string {
	if len(s) <= DetailMax {
		return s
	}
	return strings.ToValidUTF8(s[:DetailMax], "")
}

func refuse(code placement.Code, format string, args ...any) Result {
	return Result{Code: code, Detail: fmt.Sprintf(format, args...)}
}

func refused(v placement.Verdict) Result { return Result{Code: v.Code, Detail: v.Detail} }

func unknownChain(id placement.ChainID) Result {
	return refuse(placement.UnknownChain, "chain %s does not exist", id)
}

func unknownNode(id placement.NodeID) Result {
	return refuse(placement.UnknownNode, "node %s is not a member", id)
}

// errFounded is the refusal of a second Genesis.
var errFounded = errors.New("the cluster is founded already")

func (t *tx) genesis(b *Genesis) Result {
	if t.clusterID != "" {
		return refuse(placement.Exists, "%v, with id %s", errFounded, t.clusterID)
	}
	if b.ClusterID == "" || b.Name == "" || b.Lineage == "" {
		return refuse(placement.Invalid, "a cluster needs an id, a name and a lineage")
	}
	t.clusterID, t.name, t.lineage = b.ClusterID, b.Name, b.Lineage
	t.touchConfig()
	return Result{}
}

// touchConfig gives configuration and freeze a new generation, which makes
// decisions made before it stale (rule S11).
func (s *state) touchConfig() {
	s.configGen = placement.Generation(s.draw())
	s.changed(Change{placement.Revision(s.configGen), ChangeConfig, "", false})
}

func (t *tx) putConfig(b *PutConfig) Result {
	if b.IfGeneration != 0 && b.IfGeneration != t.configGen {
		return refuse(placement.StaleGeneration, "the configuration is at generation %d, not %d; read it again", t.configGen, b.IfGeneration)
	}
	c := placement.Config(b.Config)
	if err := c.Validate(); err != nil {
		return refuse(placement.Invalid, "%v", err)
	}
	if c != t.config {
		t.config = c
		t.timers = max(t.timers, t.now.Add(max(c.Cooldown, c.ConstraintCooldown))) // one may be longer now
		t.touchConfig()
	}
	return Result{}
}

func (t *tx) setFreeze(b *SetFreeze) Result {
	if b.For < 0 || b.For > placement.DurationMax {
		return refuse(placement.Invalid, "for: %v is not within 0s..%v", b.For, placement.DurationMax)
	}
	f := &placement.Freeze{Reason: t.op.Reason, Actor: t.op.Actor, Since: t.now}
	if b.For > 0 {
		f.Until = t.now.Add(b.For)
	}
	t.freezing = f
	t.touchConfig()
	return Result{}
}

func (t *tx) thaw() Result {
	if t.freezing != nil {
		t.freezing = nil
		t.touchConfig()
	}
	return Result{}
}

func (t *tx) resumeRepair() Result {
	if t.pause != nil {
		t.pause = nil
		t.touchConfig()
	}
	return Result{}
}

func (t *tx) raiseLevel(b *RaiseLevel) Result {
	if b.Level <= t.level {
		return refuse(placement.Invalid, "level: the state is at feature level %d already", t.level)
	}
	t.level = b.Level
	t.touchConfig()
	return Result{}
}

func (t *tx) releaseGuard() Result {
	if t.guard != nil {
		t.guard = nil
		t.touchConfig()
	}
	return Result{}
}

// heartbeatMax bounds a heartbeat: an election must come to an end.
const heartbeatMax = time.Minute

// setHeartbeat leaves the generation of the configuration as it is: no
// decision depends on a heartbeat.
func (t *tx) setHeartbeat(b *SetHeartbeat) Result {
	if b.Timeout <= 0 || b.Timeout > heartbeatMax {
		return refuse(placement.Invalid, "heartbeat: %v is not above 0s and at most %v", b.Timeout, heartbeatMax)
	}
	if b.Timeout != t.heartbeat.Timeout {
		t.heartbeat = placement.Heartbeat{Timeout: b.Timeout, Reason: t.op.Reason, Since: t.now}
		t.changed(Change{t.draw(), ChangeConfig, "", false})
	}
	return Result{}
}

// force queues an operator's move; the scheduler opens it when it can.
func (t *tx) force(b *Force) Result {
	c := t.chain(b.Chain)
	if c == nil {
		return unknownChain(b.Chain)
	}
	v := t.live()
	if b.From == "" && b.To == "" {
		return refuse(placement.Invalid, "from: give from, to, or both")
	}
	if b.From != "" && c.Holder(b.From) == nil {
		return refuse(placement.NotHolder, "node %s does not hold chain %s", b.From, b.Chain)
	}
	if b.To != "" {
		if verdict := v.EligibleTarget(c, b.To); !verdict.OK() {
			return refused(verdict)
		}
	}
	for i := range t.forced {
		if t.forced[i].Chain == b.Chain {
			return refuse(placement.MoveOpen, "a forced move of chain %s is queued already", b.Chain)
		}
	}
	if len(t.forced) >= ForcedMax {
		return refuse(placement.Overloaded, "%d forced moves are queued already", len(t.forced))
	}
	t.forced = append(t.forced[:len(t.forced):len(t.forced)], placement.Forced{
		ID: t.draw(), Chain: b.Chain, From: b.From, To: b.To,
		Actor: t.op.Actor, Reason: t.op.Reason, Expires: t.now.Add(t.config.ForcedTTL),
	})
	return Result{Chain: c}
}
