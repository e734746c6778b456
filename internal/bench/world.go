package bench

import (
	"context"
	"fmt"
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
	itemsMax   = 2048 // of one operation while a state is built
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
// copies each, spread evenly over the nodes of three zones. The log's own
// operations make it: nodes announce themselves, chains are put in batches,
// the nodes' inventories bring their copies in, and reports make them ready.
func newWorld(ctx context.Context, cfg Config) (*world, error) {
	w := &world{machine: fsm.New(), now: placement.Time(time.Second), chains: cfg.Chains}
	cfg.progress("building a state of %d chains on %d nodes", cfg.Chains, cfg.Nodes)
	if err := w.apply(&fsm.Genesis{ClusterID: "bench", Name: "bench", Lineage: lineage}); err != nil {
		return nil, err
	}
	for i := range cfg.Nodes {
		if err := w.announce(i, cfg.Nodes); err != nil {
			return nil, err
		}
	}
	for from := 0; from < cfg.Chains; from += itemsMax {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := w.put(from, min(from+itemsMax, cfg.Chains)); err != nil {
			return nil, err
		}
	}
	for i := range w.nodes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := w.hold(i); err != nil {
			return nil, err
		}
	}
	w.now = w.now.Add(time.Hour) // nothing cools any more
	if err := w.apply(); err != nil {
		return nil, err
	}
	return w, nil
}

// apply applies one entry whose operations must all be accepted.
func (w *world) apply(bodies ...fsm.Body) error {
	b := fsm.Batch{Now: w.now}
	for _, body := range bodies {
		b.Ops = append(b.Ops, fsm.Op{Actor: "bench", Reason: "bench", Body: body})
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
		for i, code := range r.Items {
			if code != placement.Accepted {
				return fmt.Errorf("item %d was refused: %s", i, code)
			}
		}
	}
	return nil
}

func (w *world) announce(i, nodes int) error {
	id := nodeName(i)
	a := &fsm.Announce{
		Node: id, Instance: "disk-" + string(id), Process: "run-1", Role: placement.RoleServer, FeatureLevel: fsm.Level,
		Zone:          fmt.Sprintf("zone-%d", i%zones),
		CapacityBytes: int64(headroom*copies*(w.chains/nodes+1)) * copyBytes,
	}
	a.SetAddresses(placement.Addresses{Node: string(id) + ":7400", HTTP: string(id) + ":7401"})
	w.nodes = append(w.nodes, id)
	return w.apply(a)
}

// put creates the chains from first until before end.
func (w *world) put(first, end int) error {
	items := new(fsm.PutChains)
	for i := first; i < end; i++ {
		items.Items = append(items.Items, *fsm.NewPutChain(chainName(i), specOf(i, 1)))
	}
	return w.apply(items)
}

// specOf is the spec of the i-th chain.
func specOf(i int, weight int64) placement.Spec {
	return placement.Spec{
		Desired: copies, SizeBytes: copyBytes, Weight: weight * int64(placement.ScoreOne),
		Labels: placement.Labels{{Key: "tenant", Value: fmt.Sprintf("t%02d", i%tenants)}},
	}
}

// on returns the chains that the i-th node holds, in order: of each chain, one
// node of each zone holds a copy, and the nodes of a zone hold equally many.
func (w *world) on(i int) []int {
	size := (len(w.nodes) - i%zones + zones - 1) / zones // nodes of the same zone
	var held []int
	for c := i / zones; c < w.chains; c += size {
		held = append(held, c)
	}
	return held
}

// hold lets the i-th node report its copies: the inventory makes the state
// list them, a second report confirms them under the epochs that they got.
func (w *world) hold(i int) error {
	id, held := w.nodes[i], w.on(i)
	incarnation := w.machine.View().Node(id).Incarnation
	report := func() *fsm.Report {
		return &fsm.Report{Node: id, Lineage: lineage, Incarnation: incarnation, Revision: w.machine.View().Revision}
	}
	for first := true; first || len(held) > 0; first = false {
		part := held[:min(itemsMax, len(held))]
		inventory, ready := report(), report()
		inventory.Inventory = true
		if !first {
			inventory.After = chainName(part[0] - 1)
		}
		if held = held[len(part):]; len(held) > 0 {
			inventory.Until = chainName(part[len(part)-1])
		}
		for _, c := range part {
			inventory.Items = append(inventory.Items, fsm.ReportItem{Chain: chainName(c), Phase: fsm.ReportReady, SizeBytes: copyBytes})
		}
		if err := w.apply(inventory); err != nil {
			return fmt.Errorf("inventory of node %s: %w", id, err)
		}
		view := w.machine.View()
		for _, c := range part {
			h := view.Chain(chainName(c)).Holder(id)
			if h == nil {
				return fmt.Errorf("node %s reported a copy of chain %s, and the state does not list it", id, chainName(c))
			}
			ready.Items = append(ready.Items, fsm.ReportItem{Chain: chainName(c), Epoch: h.Epoch, Phase: fsm.ReportReady, SizeBytes: copyBytes})
		}
		if err := w.apply(ready); err != nil {
			return fmt.Errorf("report of node %s: %w", id, err)
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
