package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/cluster/gossip"
	"github.com/holdfast-cluster/holdfast/cluster/logstore"
	"github.com/holdfast-cluster/holdfast/cluster/pace"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/transport"
)

// diskPatience is how long the end of a node waits for a disk that hangs.
const diskPatience = time.Second

// start opens and starts everything in order. What it has begun when it fails
// is in the crew, which the caller stops.
func (n *Node) start(ctx context.Context, crew *crew) error {
	live := &live{entered: make(chan struct{})}
	if err := n.openDir(crew, live); err != nil {
		return err
	}
	if err := n.mux.Bind(); err != nil {
		return err
	}
	close(n.bound)
	n.log.Info("starting", "address", n.Address(), "cluster", n.cfg.Cluster, "cluster_id", n.clusterID(), "instance", n.instance(),
		"expect", n.cfg.BootstrapExpect, "join", n.cfg.Join, "profile", n.cfg.Profile, "data", n.cfg.DataDir)
	crew.run("node port", n.mux.Run)
	if err := n.startRaft(crew, live); err != nil {
		return err
	}
	var err error
	if live.entry, err = newEntry(n, live); err != nil {
		return err
	}
	if err := n.makeParts(live); err != nil {
		return err
	}
	n.live.Store(live)
	crew.opened("calls", n.calls.close)
	crew.run("way into the cluster", live.entry.run)
	close(live.entered)
	crew.run("rpc", func(ctx context.Context) error {
		return transport.ServeRPC(ctx, n.mux.Accept(transport.KindRPC), n.serveCall)
	})
	crew.run("gossip", n.runGossip)
	crew.run("telemetry", n.board.Run)
	crew.run("enrolment", n.enrol)
	if live.loop != nil {
		crew.run("holder loop", live.loop.Run)
	}
	crew.run("leadership", n.leadership)
	crew.run("timers", n.lag.watch)
	crew.run("patience", n.patience)
	crew.run("death of a leader", n.bereft)
	crew.run("gauges", n.gauges)
	return ctx.Err()
}

// Check says at once what would end Run after a slow start: a data directory
// that another process has, or a node port that is not free. It keeps nothing.
func (n *Node) Check() error {
	used, err := datadir.InUse(n.cfg.DataDir)
	if used {
		err = fmt.Errorf("data directory %s is in use by another process: %w", n.cfg.DataDir, datadir.ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", n.cfg.Node, err)
	}
	port, err := transport.New(transport.Config{Network: n.cfg.Network, Listen: n.cfg.Listen, Advertise: n.cfg.Advertise, Identity: n.identity})
	if err == nil {
		err = port.Bind()
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", n.cfg.Node, err)
	}
	return port.Close()
}

// openDir locks and checks the data directory.
func (n *Node) openDir(crew *crew, live *live) error {
	dir, err := datadir.Open(n.cfg.DataDir, datadir.Options{Gate: n.cfg.Gate})
	if err != nil {
		return err
	}
	live.dir = dir
	crew.opened("data directory", func() {
		for _, busy := range []chan struct{}{n.diskBusy, n.contentBusy} { // a check may be under way
			select {
			case busy <- struct{}{}:
			case <-time.After(diskPatience):
			}
		}
		if err := dir.Close(); err != nil {
			n.log.Error("close the data directory", "error", err)
		}
	})
	if err := dir.BindNode(string(n.cfg.Node)); err != nil {
		return err
	}
	if err := dir.BindName(n.cfg.Cluster); err != nil {
		return err
	}
	_, pledged, err := dir.Pledge()
	if err != nil {
		return err
	}
	if dir.Fresh() && !pledged && n.expect(dir) == 0 && len(n.cfg.Join) == 0 {
		return fmt.Errorf("data directory %s is new: give bootstrap-expect to begin a cluster, or join to enter one", dir.Path())
	}
	n.id.Store(&ids{dir.Instance(), dir.Cluster().ID, dir.Cluster().Former})
	if !dir.Fresh() {
		close(n.member)
	}
	return nil
}

// startRaft opens raft's storage and starts raft. Until the node is a member
// raft is idle: it has no configuration, and admit lets nobody speak to it.
func (n *Node) startRaft(crew *crew, live *live) error {
	dir, err := live.dir.Sub("raft")
	if err != nil {
		return err
	}
	live.store, err = logstore.Open(logstore.Config{
		Path: filepath.Join(dir, "log.db"), MustExist: !live.dir.Fresh(),
		WriteLimit: logstore.WriteLimit(pace.Longest), Gate: n.cfg.Gate,
	})
	if err != nil {
		return err
	}
	crew.opened("raft log", func() {
		if err := live.store.Close(); err != nil {
			n.log.Error("close the raft log", "error", err)
		}
	})
	if err := checkMember(live); err != nil {
		return err
	}
	if err := forgetRestores(dir); err != nil {
		return err
	}
	live.snapshots, err = logstore.OpenSnapshots(dir, n.cfg.Gate, n.log.Named("snapshot"))
	if err != nil {
		return err
	}
	damaged, err := logstore.CheckJoint(live.store, live.snapshots, dir)
	if err != nil {
		return err
	}
	if len(damaged) > 0 {
		n.log.Warn("damaged raft snapshots were set aside; the log had all that they had", "snapshots", damaged, "in", dir)
	}
	heartbeat, err := n.firstHeartbeat(live)
	if err == nil {
		err = n.startEngine(live, heartbeat)
	}
	if err != nil {
		return err
	}
	crew.opened("raft", func() {
		if err := live.engine.Load().stop(n); err != nil {
			n.log.Error("stop raft", "error", err)
		}
	})
	n.log.Info("raft runs", "heartbeat", heartbeat, "lease", pace.Lease(heartbeat))
	return nil
}

// checkMember refuses a log whose cluster is not known any more. It is made
// before the file that names the cluster only by who pledges to found one.
func checkMember(live *live) error {
	last, err := live.store.LastIndex()
	if err != nil || last == 0 || !live.dir.Fresh() {
		return err
	}
	_, pledged, err := live.dir.Pledge()
	if err != nil || pledged {
		return err
	}
	return fmt.Errorf("data directory %s has a raft log of %d entries, but its file cluster is missing: restore the file, or remove the node and start it with an empty data directory", live.dir.Path(), last)
}

// makeParts makes what runs on top of raft.
func (n *Node) makeParts(live *live) error {
	timing := gossip.LANTiming()
	switch n.cfg.Profile {
	case ProfileLocal:
		timing = gossip.LocalTiming()
	case ProfileWAN:
		timing = gossip.WANTiming()
	default: // lan
	}
	var err error
	live.gossip, err = gossip.New(gossip.Config{
		NodeID: string(n.cfg.Node), Cluster: n.cfg.Cluster, Mux: n.mux, Network: n.cfg.Network,
		Meta: n.gossipMeta(), Seeds: n.cfg.Join, Known: n.knownAddresses, Cargo: n.board,
		Keys: n.cfg.GossipKeys, Timing: timing, Logger: n.log.Named("gossip"),
	})
	if err != nil || n.cfg.Runner == nil {
		return err
	}
	h := &holding{node: n}
	live.loop, err = holder.New(holder.Config{
		Runner: n.cfg.Runner, State: h, Reports: h, Space: n.cfg.Space, CheckDisk: n.checkWork,
		MaxPulls: n.cfg.MaxPulls, Logger: n.log.Named("holder"),
	})
	return err
}

func (n *Node) gossipMeta() gossip.Meta {
	return gossip.Meta{
		ClusterID: n.clusterID(), Instance: n.instance(), Node: n.Address(), HTTP: n.cfg.HTTP,
		Role: gossip.Server, FeatureMin: 1, FeatureMax: fsm.Level,
	}
}

// runGossip gossips once the node is a member: before that it only pledges
// and joins (rule S15).
func (n *Node) runGossip(ctx context.Context) error {
	select {
	case <-n.member:
	case <-ctx.Done():
		return nil
	}
	g := n.live.Load().gossip
	if err := g.UpdateMeta(n.gossipMeta()); err != nil {
		return err
	}
	return g.Run(ctx)
}

// knownAddresses returns the node addresses of all members in the state and in
// the raft configuration: after a restart the state is empty until a leader
// says what is committed, and there may be none before the others are found.
func (n *Node) knownAddresses() []string {
	var all []string
	for _, s := range n.live.Load().raft().GetConfiguration().Configuration().Servers {
		all = append(all, string(s.Address))
	}
	n.View().Nodes.Ascend("", func(_ placement.NodeID, node *placement.Node) bool {
		if node.State != placement.NodeLeft && node.Addresses.Node != "" {
			all = append(all, node.Addresses.Node)
		}
		return true
	})
	return all
}

// neighbours returns the members that gossip shows.
func (n *Node) neighbours() []gossip.Member {
	live := n.live.Load()
	if live == nil {
		return nil
	}
	return live.gossip.Members()
}

// handOver ends a reign in good order: cluster time is committed, then
// leadership goes to another server, if there is one (rule S13).
func (n *Node) handOver() {
	r := n.reign.Load()
	if r == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTimeout)
	defer cancel()
	if _, err := r.proposer.propose(ctx, fence{}); err != nil {
		n.log.Warn("the last tick is not committed", "error", err)
	}
	if err := n.transfer(ctx, r.raft); err != nil {
		n.log.Info("leadership is not handed over", "error", err)
	}
}

// handOverTimeout bounds the end of a reign.
const handOverTimeout = 5 * time.Second

// transferTries is how often a leader offers leadership to others: raft picks
// one that is up to date, which may have died a moment ago.
const transferTries = 3

// transfer hands leadership to another server.
func (n *Node) transfer(ctx context.Context, r *raft.Raft) error {
	var err error
	for range transferTries {
		if r.State() != raft.Leader {
			return nil
		}
		if err = n.await(ctx, func() raft.Future { return handingOver{r.LeadershipTransfer(), n.cfg.Metrics.HandOvers} }); err == nil {
			return nil
		}
		if !sleep(ctx, 10*time.Millisecond) {
			break
		}
	}
	return fmt.Errorf("hand leadership over: %w", err)
}

// handingOver counts a transfer when it has succeeded: whoever began it may not
// wait for that, because its reign ends with it.
type handingOver struct {
	raft.Future
	handed Counter
}

// Error implements raft.Future.
func (h handingOver) Error() error {
	err := h.Future.Error()
	if err == nil {
		h.handed.Add(1)
	}
	return err
}

// await makes a call of raft and waits for its future, at most until ctx ends.
// The call itself ends by then or when this node stops to lead.
func (n *Node) await(ctx context.Context, begin func() raft.Future) error {
	if !n.calls.enter() {
		return ErrStopped
	}
	result := make(chan error, 1)
	go func() { // the gate waits for it before raft is shut down
		defer n.calls.leave()
		result <- begin().Error()
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return errors.Join(ErrOutcomeUnknown, ctx.Err())
	}
}
