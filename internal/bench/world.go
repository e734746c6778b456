package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// What a built state is made of.
const (
	copies     = 3
	zones      = copies
	tenants    = 100 // different specs
	copyBytes  = 1 << 20
	lineage    = "bench"
	headroom   = 4 // capacity of a node, in multiples of what it holds
	healthyRun = 0.2
)

// world is a state machine that is fed as the log would feed it.
type world struct {
	machine *fsm.Machine
	now     placement.Time
	nodes   []placement.NodeID
	chains  int
}

func chainName(i int) placement.ChainID {
	return placement.ChainID(fmt.Sprintf("chain-%07d", i))
}

func nodeName(i int) placement.NodeID {
	return placement.NodeID(fmt.Sprintf("node-%04d", i))
}

// newWorld returns a state of so many chains with three ready and confirmed
// copies each, spread evenly over the nodes of three zones. It is what the
// log's operations would have made, one node and one chain after the other, but
// it is written down as a snapshot and restored: that takes seconds, not minutes.
func newWorld(ctx context.Context, cfg Config) (*world, error) {
	cfg.progress("building a state of %d chains on %d nodes", cfg.Chains, cfg.Nodes)
	w := &world{machine: fsm.New(), now: founded.Add(time.Hour), chains: cfg.Chains} // nothing cools any more
	for i := range cfg.Nodes {
		w.nodes = append(w.nodes, nodeName(i))
	}
	view := w.outline()
	reader, writer := io.Pipe()
	defer context.AfterFunc(ctx, func() { reader.Close() })()
	var written sync.WaitGroup
	written.Go(func() {
		_, err := view.WriteTo(writer)
		writer.CloseWithError(err)
	})
	err := w.machine.Restore(reader)
	reader.Close() // in case that it has failed: nothing is read any more
	written.Wait()
	return w, err
}

// founded is when everything in a built state happened.
const founded = placement.Time(time.Second)

// What the operations that make a built state draw from the one counter: each
// chain is put, and each of its copies adopted and then reported ready.
const (
	perGenesis = 1 // the configuration's generation
	perNode    = 2 // incarnation, revision
	perChain   = 2 // generation, revision
	perCopy    = 5 // epoch, move, revision; decision, revision
)

// outline is the view whose snapshot is restored. Its chains are made when
// they are asked for.
func (w *world) outline() *fsm.View {
	v := *fsm.New().View()
	v.ClusterID, v.ClusterName, v.Lineage = "bench", "bench", lineage
	v.ConfigGeneration, v.Index, v.Term, v.Now = perGenesis, 1, 1, w.now
	v.Revision = placement.Revision(perGenesis + perNode*len(w.nodes) + (perChain+perCopy*copies)*w.chains)
	nodes := make(map[placement.NodeID]*placement.Node, len(w.nodes))
	for i, id := range w.nodes {
		v.Revision++ // its inventory is complete
		nodes[id] = w.node(i, v.Revision)
	}
	v.Nodes = placement.TableOf(nodes)
	v.Chains = w.generated()
	return &v
}

func (w *world) node(i int, revision placement.Revision) *placement.Node {
	a := w.announcement(i)
	return &placement.Node{
		ID: a.Node, Instance: a.Instance, Process: a.Process, Role: a.Role, FeatureLevel: a.FeatureLevel,
		Incarnation: placement.Incarnation(perGenesis + perNode*i + 1), Inventoried: true, Revision: revision,
		State: placement.NodeAlive, Since: founded, Unreachable: placement.Never,
		Eligibility: placement.Eligible, Weight: placement.ScoreOne,
		Zone: a.Zone, Addresses: addresses(a.Node), CapacityBytes: a.CapacityBytes,
	}
}

// announcement is what the i-th node says of itself.
func (w *world) announcement(i int) *fsm.Announce {
	id := w.nodes[i]
	a := &fsm.Announce{
		Node: id, Instance: "disk-" + string(id), Process: "run-1", Role: placement.RoleServer, FeatureLevel: fsm.Level,
		Zone:          fmt.Sprintf("zone-%d", i%zones),
		CapacityBytes: int64(headroom*copies*(w.chains/len(w.nodes)+1)) * copyBytes,
	}
	a.SetAddresses(addresses(id))
	return a
}

func addresses(id placement.NodeID) placement.Addresses {
	return placement.Addresses{Node: string(id) + ":7400", HTTP: string(id) + ":7401"}
}

// generated is the chains of a built state, made when they are asked for.
type generated struct {
	*world
	specs []*placement.Spec // which chains share
}

func (w *world) generated() generated {
	g := generated{world: w}
	for i := range min(tenants, w.chains) {
		s := specOf(i)
		g.specs = append(g.specs, &s)
	}
	return g
}

// Len implements placement.Table.
func (g generated) Len() int { return g.chains }

// Get implements placement.Table.
func (g generated) Get(id placement.ChainID) (*placement.Chain, bool) {
	if i := g.from(id); i < g.chains && chainName(i) == id {
		return g.chain(i), true
	}
	return nil, false
}

// Ascend implements placement.Table.
func (g generated) Ascend(pivot placement.ChainID, visit func(placement.ChainID, *placement.Chain) bool) {
	for i := g.from(pivot); i < g.chains; i++ {
		if c := g.chain(i); !visit(c.ID, c) {
			return
		}
	}
}

// from returns the number of the first chain that is not before id.
func (g generated) from(id placement.ChainID) int {
	return sort.Search(g.chains, func(i int) bool { return chainName(i) >= id })
}

func (g generated) chain(i int) *placement.Chain {
	drawn := perGenesis + perNode*len(g.nodes) + (perChain+perCopy*copies)*i
	c := &placement.Chain{ID: chainName(i), Generation: placement.Generation(drawn + 1), Spec: g.specs[i%len(g.specs)], EverReady: true}
	drawn += perChain
	for _, n := range g.holders(i) {
		c.Holders = append(c.Holders, placement.Holder{
			Node: g.nodes[n], Epoch: placement.Epoch(drawn + 1), Phase: placement.Ready, Since: founded, SizeBytes: copyBytes,
		})
		drawn += perCopy
		c.LastDecision, c.Revision = placement.Revision(drawn-1), placement.Revision(drawn)
	}
	return c
}

// holders returns which nodes hold the i-th chain, in order: one of each zone,
// each node of a zone in its turn. In the next round the zones are shifted
// against each other, so that the chains of one node do not all share the
// same two others.
func (w *world) holders(i int) []int {
	list := make([]int, zones)
	for z := range zones {
		size := (len(w.nodes) - z + zones - 1) / zones // nodes of the zone
		list[z] = z + zones*((i+z*(i/size))%size)
	}
	slices.Sort(list)
	return list
}

// specOf is the spec of the i-th chain.
func specOf(i int) placement.Spec {
	s, _ := placement.Spec{ // it has no fault
		Desired: copies, SizeBytes: copyBytes, Weight: int64(placement.ScoreOne),
		Labels: placement.Labels{{Key: "tenant", Value: fmt.Sprintf("t%02d", i%tenants)}},
	}.Normalize()
	return s
}

// apply applies one entry whose operations must all be accepted.
func (w *world) apply(bodies ...fsm.Body) error {
	b := fsm.Batch{Now: w.now}
	for _, body := range bodies {
		b.Ops = append(b.Ops, op(body))
	}
	data, err := fsm.EncodeBatch(b)
	if err != nil {
		return err
	}
	return w.enter(data)
}

// enter applies the bytes of an entry.
func (w *world) enter(data []byte) error {
	results, err := w.machine.Apply(w.machine.View().Index+1, 1, data)
	if err != nil {
		return err
	}
	for _, r := range results {
		if !r.OK() {
			return fmt.Errorf("an operation was refused: %s: %s", r.Code, r.Detail)
		}
	}
	return nil
}

// lose lets a node be dead for the repair delay. between is called while it is
// dead and its copies do not count as lost yet.
func (w *world) lose(id placement.NodeID, between func() error) (dead, lost time.Duration, err error) {
	view := w.machine.View()
	incarnation := view.Node(id).Incarnation
	if dead, err = timed(func() error {
		return w.apply(&fsm.Observe{Node: id, Incarnation: incarnation, State: placement.NodeDead})
	}); err != nil {
		return 0, 0, err
	}
	if err := between(); err != nil {
		return 0, 0, err
	}
	w.now = w.now.Add(view.Config.RepairDelay)
	lost, err = timed(func() error { return w.apply(&fsm.Lose{Node: id, Incarnation: incarnation}) })
	return dead, lost, err
}

// facts is what healthy nodes say of themselves.
func (w *world) facts() placement.Facts {
	samples := make(map[placement.NodeID]placement.Sample, len(w.nodes))
	for _, id := range w.nodes {
		n := w.machine.View().Node(id)
		samples[id] = placement.Sample{Load: healthyRun, FreeBytes: n.CapacityBytes, MemoryFreeBytes: -1}
	}
	return placement.Facts{Samples: placement.TableOf(samples)}
}

// timed returns how long do took.
func timed(do func() error) (time.Duration, error) {
	started := time.Now()
	err := do()
	return time.Since(started), err
}
