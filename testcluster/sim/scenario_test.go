package sim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Each file of testdata/scenarios tells a story about one rule: nothing happens
// in it by chance, every invariant is checked on every operation, and every plan
// is held against the full Decide. A command prints what happened while it ran:
//
//	cluster nodes=3 [zones= cooldown= repair_delay= deadline= swap= moves_max= capacity=]
//	chain c1 desired=2 [min_ready= size= cooldown=]   create it, or change its spec
//	put c1 [late]                 new content, stored on disks, then committed
//	advance 70s                   the leader and the nodes live on, in steps of 0.5 s
//	pause 10m                     everything stands still, and wakes up
//	crash | restart | cut | join n1, start n1 [new-disk]
//	pulls n1 take=6m | fail | well
//	reports n1 stuck | free       its reports do not reach the log; they do
//	plans stuck | free            the same for the leader's plans
//	arrive                        the oldest batch that is stuck reaches the log
//	leader-change [commits]       what the old one appended is committed first
//	scores n1=0.1 n2=0.9          what a scorer thinks of the nodes, for any chain
//	drain | cordon | uncordon | maintain | remove [allow-data-loss] | purge c1 n1 …
//	move c1 [from=n1] [to=n2], delete c1, freeze, thaw, config cooldown=10s …
//	save, restore, release-guard, resume-repair
//	replica                       a replica that was restored from a snapshot leads
//	show                          chains, nodes and disks
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			if err := s.run(t, d); err != nil {
				t.Fatalf("%s: %s: %v\n%s", d.Pos, d.Cmd, err, s.news())
			}
			return s.news() + s.shown()
		})
	})
}

// story is a world that is told what happens.
type story struct {
	*World
	read  int // how much of the log has been printed
	shows string
}

// news is what has happened since the last call.
func (s *story) news() string {
	lines := s.log[s.read:]
	s.read = len(s.log)
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

func (s *story) shown() string {
	text := s.shows
	s.shows = ""
	return text
}

func (s *story) run(t *testing.T, d *datadriven.TestData) error {
	t.Helper()
	if d.Cmd == "cluster" {
		return s.begin(t, d)
	}
	name := ""
	if len(d.CmdArgs) > 0 {
		name = d.CmdArgs[0].Key
	}
	switch d.Cmd {
	case "advance", "pause":
		span, err := time.ParseDuration(name)
		if err != nil {
			return err
		}
		if d.Cmd == "pause" {
			return s.step(span)
		}
		for end := s.now.Add(span); s.now < end; {
			if err := s.step(500 * time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	case "show":
		s.shows = s.picture()
		return nil
	case "scores":
		o := opinions{s.World, map[placement.NodeID]float64{}}
		for _, a := range d.CmdArgs {
			var f float64
			if _, err := fmt.Sscan(a.Vals[0], &f); err != nil {
				return err
			}
			o.of[placement.NodeID(a.Key)] = f
		}
		s.scorer = o
		return nil
	}
	if n := s.node(placement.NodeID(name)); n != nil {
		return s.toNode(d, n)
	}
	return s.toCluster(d, name)
}

// begin founds a cluster in which nothing happens by chance.
func (s *story) begin(t *testing.T, d *datadriven.TestData) error {
	t.Helper()
	nodes, zones, capacity := 3, 0, 1<<20
	d.MaybeScanArgs(t, "nodes", &nodes)
	d.MaybeScanArgs(t, "zones", &zones)
	d.MaybeScanArgs(t, "capacity", &capacity)
	s.World = New(Options{Nodes: nodes, Quiet: true, Trace: true})
	s.sampled, s.scorer, s.read = 1, nil, 0
	for i, n := range s.nodes {
		n.wears.capacity = int64(capacity)
		if zones > 0 {
			n.zone = fmt.Sprintf("z%d", i%zones+1)
		}
	}
	cfg, err := configured(d, placement.DefaultConfig())
	if err != nil {
		return err
	}
	if err := s.found(cfg); err != nil {
		return err
	}
	return s.step(500 * time.Millisecond)
}

// configured changes the configuration as the arguments of a command say.
func configured(d *datadriven.TestData, cfg placement.Config) (placement.Config, error) {
	for _, a := range d.CmdArgs {
		var err error
		switch a.Key {
		case "cooldown":
			cfg.Cooldown, err = time.ParseDuration(a.Vals[0])
		case "repair_delay":
			cfg.RepairDelay, err = time.ParseDuration(a.Vals[0])
		case "deadline":
			cfg.MoveDeadline, err = time.ParseDuration(a.Vals[0])
		case "swap":
			cfg.SwapMode = placement.SwapMode(a.Vals[0])
		case "moves_max":
			_, err = fmt.Sscan(a.Vals[0], &cfg.MovesMax)
			cfg.BalanceMovesMax, cfg.DrainMovesMax = cfg.MovesMax, cfg.MovesMax
		}
		if err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// toNode does the commands about one node.
func (s *story) toNode(d *datadriven.TestData, n *node) error {
	how := ""
	if len(d.CmdArgs) > 1 {
		how = d.CmdArgs[1].Key
	}
	switch d.Cmd {
	case "crash":
		n.crash()
	case "start", "restart":
		if n.up {
			n.crash()
		}
		if how == "new-disk" {
			n.wipe()
		}
		n.start()
	case "cut":
		n.cut, n.down = true, s.now
	case "join":
		n.cut = false
	case "reports":
		n.holds = how == "stuck"
	case "pulls":
		n.slow, n.fails = 0, how == "fail"
		if how == "take" {
			var err error
			n.slow, err = time.ParseDuration(d.CmdArgs[1].Vals[0])
			return err
		}
	case "drain", "cordon", "uncordon", "maintain":
		return s.order(&fsm.SetEligibility{Node: n.id, Eligibility: map[string]placement.Eligibility{
			"drain": placement.Draining, "cordon": placement.Cordoned, "uncordon": placement.Eligible, "maintain": placement.Maintenance,
		}[d.Cmd]})
	case "remove":
		return s.order(&fsm.RemoveNode{Node: n.id, AllowDataLoss: how == "allow-data-loss"})
	case "purge":
		return s.order(&fsm.PurgeOrphan{Node: n.id, Chain: placement.ChainID(how)})
	default:
		return fmt.Errorf("%s is no command about a node", d.Cmd)
	}
	return nil
}

// toCluster does the commands about chains and the cluster.
func (s *story) toCluster(d *datadriven.TestData, name string) error {
	id := placement.ChainID(name)
	switch d.Cmd {
	case "chain":
		return s.chain(d, id)
	case "delete":
		return s.order(&fsm.DeleteChain{Chain: id})
	case "put":
		op := s.stage(s.machine.View().Chain(id))
		if d.HasArg("late") {
			s.late = append(s.late, fsm.Batch{Now: s.clock, Ops: []fsm.Op{op}})
			return nil
		}
		return s.apply(op)
	case "move":
		body := &fsm.Force{Chain: id}
		for _, a := range d.CmdArgs[1:] {
			if a.Key == "from" {
				body.From = placement.NodeID(a.Vals[0])
			} else {
				body.To = placement.NodeID(a.Vals[0])
			}
		}
		return s.order(body)
	case "config":
		cfg, err := configured(d, s.machine.View().Config)
		if err != nil {
			return err
		}
		return s.order(fsm.NewPutConfig(cfg))
	case "freeze":
		return s.order(&fsm.SetFreeze{})
	case "thaw":
		return s.order(&fsm.Thaw{})
	case "release-guard":
		return s.order(&fsm.ReleaseGuard{})
	case "resume-repair":
		return s.order(&fsm.ResumeRepair{})
	}
	return s.toLog(d, name)
}

// toLog does the commands about the leader and its log.
func (s *story) toLog(d *datadriven.TestData, how string) error {
	switch d.Cmd {
	case "plans":
		s.holds = how == "stuck"
		return nil
	case "arrive":
		return s.arrive()
	case "leader-change":
		for how == "commits" && len(s.late) > 0 {
			if err := s.arrive(); err != nil {
				return err
			}
		}
		return s.elect()
	case "save":
		return s.save()
	case "restore":
		return s.restore()
	case "replica":
		state, err := encoded(s.machine)
		if err != nil {
			return err
		}
		replica := fsm.New()
		if err := replica.Restore(bytes.NewReader(state)); err != nil {
			return err
		}
		s.machine = replica
		return s.elect()
	}
	return fmt.Errorf("%s is no command", d.Cmd)
}

// chain creates a chain or changes its spec.
func (s *story) chain(d *datadriven.TestData, id placement.ChainID) error {
	spec := placement.Spec{Desired: 2}
	for _, a := range d.CmdArgs[1:] {
		var err error
		switch a.Key {
		case "desired":
			_, err = fmt.Sscan(a.Vals[0], &spec.Desired)
		case "min_ready":
			_, err = fmt.Sscan(a.Vals[0], &spec.MinReady)
		case "size":
			_, err = fmt.Sscan(a.Vals[0], &spec.SizeBytes)
		default:
			err = fmt.Errorf("%s is no word of a chain's spec", a.Key)
		}
		if err != nil {
			return err
		}
	}
	return s.order(fsm.NewPutChain(id, spec))
}

// order commits what an operator wants.
func (s *story) order(body fsm.Body) error {
	return s.apply(fsm.Op{Actor: "operator", Reason: "the story", Body: body})
}

// picture shows the state and the disks.
func (s *story) picture() string {
	var b strings.Builder
	v := s.machine.View()
	for _, c := range s.chains() {
		fmt.Fprintf(&b, "%s desired %d, live %d, %s\n", c.ID, c.Spec.Desired, v.LiveCount(c), v.HealthOf(c))
		for _, h := range c.Holders {
			fmt.Fprintf(&b, "  %s %s epoch %d%s%s\n", h.Node, h.Phase, h.Epoch, mark(h.Lost, " lost"), mark(h.Unconfirmed, " unconfirmed"))
		}
		for _, m := range c.Moves {
			fmt.Fprintf(&b, "  move %s%s%s, %s\n", m.Cause, mark(m.From != "", " from "+string(m.From)), " to "+string(m.To), m.Phase)
		}
	}
	for _, n := range s.nodes {
		m := v.Node(n.id)
		if m == nil {
			fmt.Fprintf(&b, "%s removed\n", n.id)
			continue
		}
		fmt.Fprintf(&b, "%s %s%s, on disk:", n.id, m.State, mark(m.Eligibility != placement.Eligible, " "+string(m.Eligibility)))
		for _, c := range n.disk {
			fmt.Fprintf(&b, " %s@%d%s", c.Chain, c.Epoch, mark(c.SHA256 != "", " "+c.SHA256[:min(4, len(c.SHA256))]))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s%s%s", mark(v.RestoreGuard != nil, fmt.Sprintf("restore guard: %v\n", v.RestoreGuard)),
		mark(v.RepairPause != nil, "repair pause\n"), mark(v.Freeze != nil, "frozen\n"))
	return b.String()
}

func mark(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// opinions is a scorer to which a node is as good for any chain.
type opinions struct {
	w  *World
	of map[placement.NodeID]float64
}

// Score implements scheduler.PlacementScorer.
func (o opinions) Score(_ placement.ChainID, n placement.NodeID) (float64, bool) {
	score, ok := o.of[n]
	return score, ok
}

// BestAlternative implements scheduler.PlacementScorer.
func (o opinions) BestAlternative(_ placement.ChainID, exclude []placement.NodeID) (best placement.NodeID, score float64, ok bool) {
	for _, n := range o.w.nodes {
		if s, known := o.of[n.id]; known && (!ok || s > score) && !contains(exclude, n.id) {
			best, score, ok = n.id, s, true
		}
	}
	return best, score, ok
}

func contains(list []placement.NodeID, n placement.NodeID) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}
