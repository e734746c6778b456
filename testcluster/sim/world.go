package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
	"github.com/holdfast-cluster/holdfast/testcluster/invariant"
)

// Options says what is simulated. A zero field lets the seed choose.
type Options struct {
	Seed   uint64
	Nodes  int
	Chains int           // chains at the start
	Steps  int           // length of the safety phase
	Pace   time.Duration // what a step of it takes
	Trace  bool          // keep a log of what happens, for people
	Quiet  bool          // nothing happens by chance: a story says what does
}

// World is one simulated cluster.
type World struct {
	Options
	rng     *rand.Rand
	machine *fsm.Machine
	check   *invariant.Checker
	base    []byte  // a snapshot of the past
	tail    []entry // what was committed since
	index   uint64

	now   placement.Time // the world's time, since its beginning
	clock placement.Time // cluster time as the leader counts it (rule S13)
	skew  time.Duration  // by how much the leader's wall clock is wrong
	start time.Time

	term    uint64
	cursor  scheduler.Cursor
	planner *scheduler.Planner // of the present leader
	scorer  scheduler.PlacementScorer
	facts   placement.Facts
	sampled int // one plan in so many is compared with Decide; 0 = none

	nodes  []*node
	zones  int            // 0 = none
	odd    bool           // wishes may contradict each other
	mail   []letter       // reports on their way to the log
	late   []fsm.Batch    // batches that reach the log later than they were made
	moods  map[string]int // how often a kind of fault strikes, see chance
	calm   bool           // the liveness phase: nothing goes wrong any more
	holds  bool           // the leader's plans get stuck on their way to the log
	made   int            // chains ever created
	writes int            // contents ever written
	keys   int            // keys ever given to a command
	broken error          // what a fault's own commit met

	saved []byte // a snapshot that an operator may restore
	// lineages counts the restores; turned holds the contents that the last one
	// brought back, whose bytes may have been superseded everywhere.
	lineages int
	turned   map[placement.ChainID]placement.Revision
	spoiled  map[placement.ChainID]bool // lost the last disk that was to keep it

	// Faults counts what was injected, by kind.
	Faults map[string]int
	// Refusals counts the operations that Apply refused, by code.
	Refusals map[string]int
	log      []string
	told     placement.Revision // up to where the log tells of decisions
}

// entry is one entry of the log.
type entry struct {
	index, term uint64
	data        []byte
}

// New builds the world of a seed.
func New(o Options) *World {
	w := &World{
		Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15)),
		machine: fsm.New(), check: invariant.New(), term: 1, scorer: scorer.New(), planner: scheduler.NewPlanner(),
		moods: map[string]int{}, Faults: map[string]int{}, Refusals: map[string]int{}, spoiled: map[placement.ChainID]bool{},
		start: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if !w.Quiet {
		w.draw()
	}
	for i := range w.Nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	return w
}

// Run lives through both phases. The error names the invariant that broke.
func (w *World) Run() error {
	err := w.found(w.config())
	for range w.Chains {
		if err == nil {
			err = w.apply(w.newChain())
		}
	}
	for i := 0; i < w.Steps && err == nil; i++ {
		w.inject()
		if err = w.broken; err == nil {
			err = w.step(w.Pace)
		}
	}
	if err == nil {
		w.heal()
		if err = w.broken; err == nil {
			err = w.settle()
		}
	}
	if err != nil {
		return fmt.Errorf("seed %d at %v: %w", w.Seed, w.Elapsed(), err)
	}
	return nil
}

// Elapsed returns how long the world has lived.
func (w *World) Elapsed() time.Duration { return time.Duration(w.now) }

// Commits returns how many entries its log has.
func (w *World) Commits() uint64 { return w.index }

// Decisions counts the accepted decisions by cause and kind.
func (w *World) Decisions() map[string]int { return w.check.Decisions }

// Log returns what happened, if Trace is set.
func (w *World) Log() []string { return w.log }

func (w *World) note(format string, args ...any) {
	if w.Trace {
		w.log = append(w.log, fmt.Sprintf("%9.2fs ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// found begins the cluster and starts its nodes.
func (w *World) found(cfg placement.Config) error {
	if err := w.apply(
		fsm.Op{Actor: "sim", Reason: "birth", Body: &fsm.Genesis{ClusterID: "c", Name: "sim", Lineage: "l1"}},
		fsm.Op{Actor: "sim", Reason: "birth", Body: fsm.NewPutConfig(cfg)},
	); err != nil {
		return err
	}
	for _, n := range w.nodes {
		n.start()
	}
	return nil
}

// apply commits operations as one entry of the present term.
func (w *World) apply(ops ...fsm.Op) error {
	return w.commit(fsm.Batch{Now: w.clock, Ops: ops}, w.term)
}

// commit puts a batch into the log, as an entry of term, and feeds the checker.
func (w *World) commit(b fsm.Batch, term uint64) error {
	b.Wall = w.start.Add(w.Elapsed() + w.skew)
	data, err := fsm.EncodeBatch(b)
	if err != nil {
		return err
	}
	w.index++
	results, err := w.machine.Apply(w.index, term, data)
	if err != nil {
		return err
	}
	if w.base != nil {
		w.tail = append(w.tail, entry{w.index, term, data})
	}
	if err := w.check.Entry(w.index, term, data); err != nil {
		return err
	}
	for _, r := range results {
		if !r.OK() {
			w.note("refused %s: %s", r.Code, r.Detail)
			w.Refusals[string(r.Code)]++
		}
	}
	w.tell()
	return nil
}

// step lives through one tick: the leader looks, the nodes work. The leader's
// clock throws away what exceeds two seconds, except in the liveness phase,
// where a long step stands for many looks that found nothing.
func (w *World) step(d time.Duration) error {
	w.now += placement.Time(d)
	if !w.calm {
		d = min(d, 2*time.Second)
	}
	w.clock += placement.Time(d)
	if err := w.lead(); err != nil {
		return err
	}
	first := 0
	if !w.calm && !w.Quiet {
		first = w.rng.IntN(len(w.nodes))
	}
	for i := range w.nodes {
		if err := w.nodes[(first+i)%len(w.nodes)].work(); err != nil {
			return err
		}
	}
	if err := w.deliver(); err != nil {
		return err
	}
	if w.chance("", 120) {
		return w.examine()
	}
	return nil
}

func (w *World) node(id placement.NodeID) *node {
	for _, n := range w.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}
