package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
	"github.com/holdfast-cluster/holdfast/testcluster/invariant"
)

// Options says what is simulated. The zero value of a field lets the seed
// choose.
type Options struct {
	Seed   uint64
	Nodes  int           // 1..9
	Chains int           // chains at the start
	Faulty time.Duration // length of the safety phase; default 20 min
	Calm   time.Duration // how long the liveness phase may take; default 4 h
}

// World is one simulated cluster.
type World struct {
	Options
	rng     *rand.Rand
	machine *fsm.Machine
	check   *invariant.Checker
	now     placement.Time
	start   time.Time
	index   uint64
	term    uint64
	cursor  scheduler.Cursor
	planner *scheduler.Planner // of the present leader
	scorer  scheduler.PlacementScorer
	facts   placement.Facts
	nodes   []*node
	zones   int         // 0 = none
	late    []fsm.Batch // batches that reach the log later than they were made
	calm    bool
	made    int    // chains ever created
	writes  int    // contents ever written
	keys    int    // keys ever given to a command
	saved   []byte // a snapshot that may be restored
	// lineages counts the restores; turned holds the contents that the last one
	// brought back, whose bytes may have been superseded everywhere.
	lineages int
	turned   map[placement.ChainID]placement.Revision
	broken   error

	// Faults counts what was injected, by kind.
	Faults map[string]int
	// Refusals counts the operations that Apply refused, by code.
	Refusals map[string]int
	log      []string
}

// tick is how much time one step takes.
const tick = 250 * time.Millisecond

// New builds the world of a seed.
func New(o Options) *World {
	w := &World{
		Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15)),
		machine: fsm.New(), check: invariant.New(), term: 1, scorer: scorer.New(), planner: scheduler.NewPlanner(), Faults: map[string]int{}, Refusals: map[string]int{},
		start: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if w.Nodes == 0 {
		w.Nodes = 3 + w.rng.IntN(5)
	}
	if w.Chains == 0 {
		w.Chains = 1 + w.rng.IntN(20)
	}
	if w.Faulty == 0 {
		w.Faulty = 20 * time.Minute
	}
	if w.Calm == 0 {
		w.Calm = 4 * time.Hour
	}
	w.zones = w.rng.IntN(4)
	for i := range w.Nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	return w
}

// Run lives through both phases. The error names the invariant that broke.
func (w *World) Run() error {
	if err := w.found(); err != nil {
		return err
	}
	for w.elapsed() < w.Faulty {
		w.inject()
		if w.broken != nil {
			return w.failed(w.broken)
		}
		if err := w.step(); err != nil {
			return w.failed(err)
		}
	}
	w.heal()
	if err := w.settle(); err != nil {
		return w.failed(err)
	}
	return nil
}

func (w *World) elapsed() time.Duration { return time.Duration(w.now) }

// Log returns the last things that happened, for a failed run.
func (w *World) Log() []string { return w.log[max(0, len(w.log)-120):] }

func (w *World) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%9.2fs ", w.now.Seconds())+fmt.Sprintf(format, args...))
	if len(w.log) > 4096 {
		w.log = append([]string(nil), w.log[2048:]...)
	}
}

func (w *World) failed(err error) error {
	return fmt.Errorf("seed %d at %v: %w", w.Seed, w.elapsed(), err)
}

// found commits the first operations of the cluster and its chains.
func (w *World) found() error {
	cfg := placement.DefaultConfig()
	cfg.RepairDelay = []time.Duration{2 * time.Second, 10 * time.Second, time.Minute}[w.rng.IntN(3)]
	cfg.Cooldown = []time.Duration{0, 30 * time.Second, 5 * time.Minute}[w.rng.IntN(3)]
	cfg.BackoffMin, cfg.BackoffMax = 10*time.Second, 10*time.Minute
	cfg.MoveDeadline = []time.Duration{20 * time.Second, 5 * time.Minute}[w.rng.IntN(2)]
	if w.rng.IntN(3) == 0 {
		cfg.SwapMode = placement.EvictFirst
	}
	if w.rng.IntN(3) == 0 {
		cfg.MovesMax, cfg.BalanceMovesMax, cfg.DrainMovesMax = 4, 2, 2
	}
	if err := w.apply(
		fsm.Op{Actor: "sim", Reason: "birth", Body: &fsm.Genesis{ClusterID: "c", Name: "sim", Lineage: "l1"}},
		fsm.Op{Actor: "sim", Reason: "birth", Body: fsm.NewPutConfig(cfg)},
	); err != nil {
		return w.failed(err)
	}
	for _, n := range w.nodes {
		n.start()
	}
	for range w.Chains {
		if err := w.apply(w.newChain()); err != nil {
			return w.failed(err)
		}
	}
	return nil
}

func (w *World) newChain() fsm.Op {
	w.made++
	return fsm.Op{Actor: "sim", Reason: "create", Body: fsm.NewPutChain(placement.ChainID(fmt.Sprintf("c%03d", w.made)), w.spec())}
}

// apply commits operations as one entry of the present term.
func (w *World) apply(ops ...fsm.Op) error {
	return w.commit(fsm.Batch{Now: w.now, Ops: ops})
}

// commit puts a batch into the log and feeds the checker.
func (w *World) commit(b fsm.Batch) error {
	b.Wall = w.start.Add(w.elapsed())
	data, err := fsm.EncodeBatch(b)
	if err != nil {
		return err
	}
	w.index++
	results, err := w.machine.Apply(w.index, w.term, data)
	if err != nil {
		return err
	}
	if err := w.check.Entry(w.index, w.term, data); err != nil {
		return err
	}
	for i, r := range results {
		if !r.OK() {
			w.note("refused %T: %s %s", b.Ops[i].Body, r.Code, r.Detail)
			w.Refusals[string(r.Code)]++
		}
	}
	return nil
}

// step lives through one tick: the leader looks, the nodes work.
func (w *World) step() error {
	w.now += placement.Time(tick)
	if w.calm {
		w.now += placement.Time(3 * tick) // nothing happens by chance any more
	}
	if err := w.lead(); err != nil {
		return err
	}
	for _, n := range w.nodes {
		if err := n.work(); err != nil {
			return err
		}
	}
	if w.rng.IntN(40) == 0 {
		if err := w.examine(); err != nil {
			return err
		}
	}
	return nil
}

// lead does what a leader does in its loop.
func (w *World) lead() error {
	if err := w.apply(w.sightings()...); err != nil {
		return err
	}
	if !w.calm && w.rng.IntN(4) == 0 {
		return nil // it is busy elsewhere: the next plan has more changes to follow
	}
	v := w.machine.View()
	in := scheduler.Input{View: &v.View, Facts: w.facts, Now: v.Now, Config: v.Config, Scorer: w.scorer, Cursor: w.cursor, Work: w.work()}
	plan := w.planner.Plan(in, w.changes(v))
	if _, moody := w.scorer.(noise); moody {
		// it never says the same twice
	} else if full := scheduler.Decide(in); !reflect.DeepEqual(plan, full) {
		return fmt.Errorf("incremental is not full (rule S25): the planner plans %+v, Decide %+v", plan, full)
	}
	w.cursor = plan.Next
	batch := fsm.Batch{Now: w.now, Term: w.term, ConfigAt: v.ConfigGeneration}
	for _, d := range plan.Decisions {
		w.note("decide %s %s %s %s→%s (%s)", d.Cause, d.Kind, d.Chain, d.From, d.To, d.Reason)
		batch.Ops = append(batch.Ops, fsm.Op{Actor: "scheduler", Reason: d.Reason.String(), Body: fsm.NewDecide(d)})
	}
	if len(batch.Ops) == 0 {
		return nil
	}
	if !w.calm && w.chance("late plan", 30) {
		w.late = append(w.late, batch)
		return nil
	}
	return w.commit(batch)
}

// sightings is what the leader commits about the nodes it cannot reach.
func (w *World) sightings() []fsm.Op {
	v := w.machine.View()
	var ops []fsm.Op
	for _, n := range w.nodes {
		m := v.Node(n.id)
		if m == nil {
			continue
		}
		state := n.seenAs(m, w.now)
		if state != m.State {
			w.note("observe %s %s", n.id, state)
			ops = append(ops, fsm.Op{Actor: "leader", Reason: "probe", Body: &fsm.Observe{Node: n.id, Incarnation: m.Incarnation, State: state}})
		}
		due := false
		v.ChainsOn(n.id, func(c *placement.Chain, h *placement.Holder) bool {
			due = fsm.Due(&v.View, m, c, h)
			return !due
		})
		if due {
			w.note("lose %s", n.id)
			ops = append(ops, fsm.Op{Actor: "leader", Reason: "out of reach", Body: &fsm.Lose{Node: n.id, Incarnation: m.Incarnation}})
		}
	}
	return ops
}

// examine checks what is too costly to check on every operation: that the
// snapshot is the state, that the sums add up, and that no committed content
// has left all disks.
func (w *World) examine() error {
	v := w.machine.View()
	if err := invariant.Accounting(v); err != nil {
		return err
	}
	var first, second bytes.Buffer
	if _, err := v.WriteTo(&first); err != nil {
		return err
	}
	copied := fsm.New()
	if err := copied.Restore(bytes.NewReader(first.Bytes())); err != nil {
		return err
	}
	if _, err := copied.View().WriteTo(&second); err != nil {
		return err
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		return fmt.Errorf("same-state: a state has other bytes after its snapshot was restored")
	}
	if w.rng.IntN(8) == 0 {
		w.Faults["snapshot restored"]++
		if err := w.machine.Restore(bytes.NewReader(first.Bytes())); err != nil {
			return err
		}
	}
	return w.contentKept(v)
}

// contentKept checks acked-is-kept on the fake disks.
func (w *World) contentKept(v *fsm.View) error {
	var err error
	v.Chains.Ascend("", func(id placement.ChainID, c *placement.Chain) bool {
		if c.Content == nil || w.turned[id] == c.Content.Version {
			return true
		}
		for _, n := range w.nodes {
			if n.has(id, c.SHA256()) {
				return true
			}
		}
		err = fmt.Errorf("acked-is-kept: the content of chain %s, version %d, is on no disk", id, c.Content.Version)
		return false
	})
	return err
}
