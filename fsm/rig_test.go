package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// rig is a machine that is fed operation by operation.
type rig struct {
	testing.TB
	m    *Machine
	now  placement.Time
	term uint64
}

const (
	lineage = "lineage-1"
	actor   = "tester"
)

// newRig returns a founded cluster of the given nodes, each with its (empty)
// inventory reported, a second old.
func newRig(t testing.TB, nodes ...placement.NodeID) *rig {
	t.Helper()
	r := &rig{TB: t, m: New(), now: placement.Time(time.Second), term: 1}
	r.do(&Genesis{ClusterID: "cluster-1", Name: "test", Lineage: lineage})
	for _, n := range nodes {
		r.start(n, "disk-"+string(n), "run-1")
		r.inventory(n)
	}
	return r
}

// batch applies one entry.
func (r *rig) batch(b Batch) []Result {
	r.Helper()
	if b.Now == 0 {
		b.Now = r.now
	}
	data, err := EncodeBatch(b)
	if err != nil {
		r.Fatalf("encode: %v", err)
	}
	results, err := r.m.Apply(r.m.View().Index+1, r.term, data)
	if err != nil {
		r.Fatalf("apply: %v", err)
	}
	return results
}

// try applies one operation and returns its answer.
func (r *rig) try(body Body) Result {
	r.Helper()
	return r.batch(Batch{Ops: []Op{{Actor: actor, Reason: "test", Body: body}}})[0]
}

// do applies one operation, which must be accepted.
func (r *rig) do(body Body) Result {
	r.Helper()
	res := r.try(body)
	if !res.OK() {
		r.Fatalf("%T %+v was refused: %s: %s", body, body, res.Code, res.Detail)
	}
	return res
}

// refuses applies one operation, which must be refused with that code.
func (r *rig) refuses(code placement.Code, body Body) {
	r.Helper()
	if res := r.try(body); res.Code != code {
		r.Fatalf("%T %+v was answered %q (%s), want %q", body, body, res.Code, res.Detail, code)
	}
}

// pass lets cluster time pass.
func (r *rig) pass(d time.Duration) {
	r.Helper()
	r.now = r.now.Add(d)
	r.batch(Batch{})
}

// announce is what a process of a node says when it starts.
func (r *rig) announce(n placement.NodeID, disk, run string) *Announce {
	a := &Announce{Node: n, Instance: disk, Process: run, Role: placement.RoleServer, FeatureLevel: Level}
	a.SetAddresses(placement.Addresses{Node: string(n) + ":7400"})
	return a
}

func (r *rig) start(n placement.NodeID, disk, run string) {
	r.Helper()
	r.do(r.announce(n, disk, run))
}

func (r *rig) zone(n placement.NodeID, zone string) {
	r.Helper()
	a := r.announce(n, "disk-"+string(n), r.m.View().Node(n).Process)
	a.Zone = zone
	r.do(a)
}

func (r *rig) capable(n placement.NodeID, list placement.Capabilities) {
	r.Helper()
	a := r.announce(n, "disk-"+string(n), r.m.View().Node(n).Process)
	a.SetCapabilities(list)
	r.do(a)
}

// report sends a report of the node's present incarnation.
func (r *rig) report(n placement.NodeID, inventory bool, items ...ReportItem) Result {
	r.Helper()
	v := r.m.View()
	return r.do(&Report{
		Node: n, Lineage: v.Lineage, Incarnation: v.Node(n).Incarnation, Inventory: inventory,
		Items: items, Revision: v.Revision,
	})
}

// inventory reports all that the state lists as ready on n, and more.
func (r *rig) inventory(n placement.NodeID, more ...ReportItem) Result {
	r.Helper()
	v := r.m.View()
	v.ChainsOn(n, func(c *placement.Chain, h *placement.Holder) bool {
		if h.Phase != placement.Pulling {
			more = append(more, ReportItem{Chain: c.ID, Epoch: h.Epoch, Phase: ReportReady, SHA256: h.SHA256, SizeBytes: h.SizeBytes})
		}
		return true
	})
	return r.report(n, true, more...)
}

// is returns the chain.
func (r *rig) is(id placement.ChainID) *placement.Chain { return r.m.View().Chain(id) }

// holder returns the chain's holder on n; the test ends when there is none.
func (r *rig) holder(id placement.ChainID, n placement.NodeID) placement.Holder {
	r.Helper()
	h := r.is(id).Holder(n)
	if h == nil {
		r.Fatalf("node %s does not hold chain %s: %s", n, id, r.picture(id))
	}
	return *h
}

// ready reports the copy that n pulls as complete.
func (r *rig) ready(id placement.ChainID, n placement.NodeID) {
	r.Helper()
	c := r.is(id)
	r.report(n, false, ReportItem{Chain: id, Epoch: r.holder(id, n).Epoch, Phase: ReportReady, SHA256: c.SHA256(), SizeBytes: c.SizeBytes()})
}

// dropped reports the copy on n as gone, as told.
func (r *rig) dropped(id placement.ChainID, n placement.NodeID) {
	r.Helper()
	r.report(n, false, ReportItem{Chain: id, Epoch: r.holder(id, n).Epoch, Phase: ReportDropped})
}

// decision fills in what every decision carries.
func (r *rig) decision(kind placement.Kind, cause placement.Cause, id placement.ChainID, from, to placement.NodeID) placement.Decision {
	d := placement.Decision{
		Kind: kind, Cause: cause, Chain: id, From: from, To: to, Mode: placement.PlaceFirst,
		ScoreFrom: placement.NoScore, ScoreTo: placement.NoScore, Reason: placement.Reason{Name: "test"},
	}
	v := r.m.View()
	c := v.Chain(id)
	if c == nil {
		return d
	}
	d.ChainRevision = c.Revision
	for i := range c.Holders {
		if h := &c.Holders[i]; v.Live(c, h) {
			d.Source = h.Node
		}
	}
	return d
}

func (r *rig) assign(id placement.ChainID, to placement.NodeID) *Decide {
	return NewDecide(r.decision(placement.KindAssign, placement.CauseRepair, id, "", to))
}

func (r *rig) move(cause placement.Cause, id placement.ChainID, from, to placement.NodeID) *Decide {
	return NewDecide(r.decision(placement.KindOpenMove, cause, id, from, to))
}

// evict is an evict-first move.
func (r *rig) evict(cause placement.Cause, id placement.ChainID, from, to placement.NodeID) *Decide {
	d := r.decision(placement.KindOpenMove, cause, id, from, to)
	d.Mode = placement.EvictFirst
	return NewDecide(d)
}

// ends completes or calls off the chain's first open move.
func (r *rig) ends(kind placement.Kind, id placement.ChainID, why placement.ReasonName) *Decide {
	d := r.decision(kind, placement.CauseBalance, id, "", "")
	if c := r.is(id); len(c.Moves) > 0 {
		d.Move = c.Moves[0].ID
	}
	d.Reason.Name = why
	return NewDecide(d)
}

func (r *rig) drop(id placement.ChainID, from placement.NodeID) *Decide {
	return NewDecide(r.decision(placement.KindDrop, placement.CauseExcess, id, from, ""))
}

// chain creates a chain with ready copies on the given nodes.
func (r *rig) chain(id placement.ChainID, spec placement.Spec, nodes ...placement.NodeID) {
	r.Helper()
	r.do(NewPutChain(id, spec))
	for _, n := range nodes {
		r.do(r.assign(id, n))
		r.ready(id, n)
	}
}

// sha is a content's hash.
func sha(version int) string { return fmt.Sprintf("%064x", version) }

// stored commits content that those holders have stored.
func (r *rig) stored(id placement.ChainID, version int, nodes ...placement.NodeID) *CommitContent {
	v := r.m.View()
	c := v.Chain(id)
	b := &CommitContent{Chain: id, SHA256: sha(version), Size: int64(100 + version)}
	if c.Content != nil {
		b.Base = c.Content.Version
	}
	for _, n := range nodes {
		b.Holders = append(b.Holders, StoredCopy{n, v.Node(n).Incarnation, r.holder(id, n).Epoch})
	}
	return b
}

// observe commits what the leader sees of n.
func (r *rig) observe(n placement.NodeID, s placement.NodeState) {
	r.Helper()
	r.do(&Observe{n, r.m.View().Node(n).Incarnation, s})
}

// loses lets n be dead for the repair delay, and marks its copies lost.
func (r *rig) loses(n placement.NodeID) {
	r.Helper()
	r.observe(n, placement.NodeDead)
	r.pass(r.m.View().Config.RepairDelay)
	r.do(&Lose{n, r.m.View().Node(n).Incarnation})
}

// configure changes the configuration.
func (r *rig) configure(change func(*placement.Config)) {
	r.Helper()
	c := r.m.View().Config
	change(&c)
	r.do(NewPutConfig(c))
}

// bytes is the state as its snapshot.
func (r *rig) bytes() []byte {
	r.Helper()
	return viewBytes(r, r.m.View())
}

func viewBytes(t testing.TB, v *View) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := v.WriteTo(&out); err != nil {
		t.Fatalf("write snapshot: %v", err)
	}
	return out.Bytes()
}

// still is the state without what a refused decision may change: where in the
// log it is, the time, and the history of decisions.
func (r *rig) still() []byte {
	r.Helper()
	v := *r.m.View()
	v.Index, v.Term, v.Now, v.Revision = 0, 0, 0, 0
	v.decisions = ring[placement.Record]{}
	chains := map[placement.ChainID]*placement.Chain{}
	v.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		chains[id] = c.Clone()
		chains[id].LastDecision = 0
		return true
	})
	v.Chains = placement.TableOf(chains)
	return viewBytes(r, &v)
}

// picture shows a chain in one line: "a:ready b:pulling live=1 moves=…".
func (r *rig) picture(id placement.ChainID) string {
	v := r.m.View()
	c := v.Chain(id)
	if c == nil {
		return "no chain"
	}
	var words []string
	for _, h := range c.Holders {
		w := string(h.Node) + ":" + h.Phase.String()
		if h.Lost {
			w += "+lost"
		}
		if h.Unconfirmed {
			w += "+unconfirmed"
		}
		words = append(words, w)
	}
	for _, m := range c.Moves {
		words = append(words, fmt.Sprintf("%s(%s→%s %s)", m.Cause, m.From, m.To, m.Phase))
	}
	return strings.Join(words, " ")
}

// wants compares a chain's picture.
func (r *rig) wants(id placement.ChainID, want string) {
	r.Helper()
	if got := r.picture(id); got != want {
		r.Fatalf("chain %s is\n got %s\nwant %s", id, got, want)
	}
}

// answers returns what the last inventory answer said of the chain's copy.
func answerFor(res Result, id placement.ChainID) CopyVerdict {
	for _, a := range res.Copies {
		if a.Chain == id {
			return a.Verdict
		}
	}
	return ""
}

func spec(desired int) placement.Spec { return placement.Spec{Desired: desired} }
