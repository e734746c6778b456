package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// What design section 8 says of single writes.
const (
	etcdWrites   = 4100 // a second; measured elsewhere, on the machine of the design
	writeReach   = 2
	writeServers = 3
	ownChains    = 8 // of each client
)

// Write measures single writes through HTTP: clients that change chains' specs
// one after another, each write committed on three servers before it is
// answered. Servers and clients share the machine.
func Write(ctx context.Context, cfg Config) (_ *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, remove, err := cfg.directory()
	if err != nil {
		return nil, err
	}
	defer remove()
	cfg.progress("starting %d agents", writeServers)
	a, err := newAgents(ctx, dir, writeServers, writeServers, cfg.Clients)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	d, err := openDisk(dir)
	if err != nil {
		return nil, err
	}
	defer d.close()
	leader := a.leader()
	if leader == nil {
		return nil, errors.New("leadership changed meanwhile; run it again")
	}
	calls, err := a.client(leader)
	if err != nil {
		return nil, err
	}
	if _, err := calls.Freeze(ctx, 0, "only writes are measured"); err != nil {
		return nil, err
	}
	direct, err := a.writers(ctx, cfg.Clients, "d", leader)
	if err != nil {
		return nil, err
	}
	spread, err := a.writers(ctx, cfg.Clients, "s", a.all...)
	if err != nil {
		return nil, err
	}
	cfg.progress("%d clients write", cfg.Clients)
	if err := direct.measure(min(cfg.Length, time.Second/2)); err != nil { // chains are made, connections opened
		return nil, err
	}
	direct.count, direct.spent = 0, 0
	short := func(length time.Duration) error { return d.measure(min(length, time.Second/2)) }
	if err := inTurn(ctx, cfg.Length, direct.measure, spread.measure, short); err != nil {
		return nil, err
	}
	return writeReport(cfg, direct, spread, d), nil
}

func writeReport(cfg Config, direct, spread *crowd, d *disk) *Report {
	r := new(Report)
	r.add(
		Figure{Key: "clients", What: "clients", Value: float64(cfg.Clients)},
		Figure{Key: "servers", What: "servers", Value: writeServers},
		Figure{
			Key: "writes_per_second", What: "writes answered, clients ask the leader", Value: direct.rate(), Unit: PerSecond,
			Goal: AtLeast, Limit: etcdWrites, Reach: writeReach, Against: "of etcd, measured elsewhere",
		},
		Figure{
			Key: "spread_writes_per_second", What: "writes answered, clients ask all nodes", Value: spread.rate(), Unit: PerSecond,
			Limit: direct.rate(), Against: "asking the leader",
		},
		Figure{
			Key: "fsyncs_per_second", What: "writes of a page, each synced", Value: d.rate(), Unit: PerSecond,
			Limit: direct.rate(), Against: "writes answered",
		},
	)
	r.note("A write gives a chain another label. The cluster is frozen, so that nothing else is done; servers and clients are in this process.")
	return r
}

// writers is so many clients, each of which changes chains of its own in turn,
// through one of the agents.
func (a *agents) writers(ctx context.Context, count int, prefix string, through ...*agent.Agent) (*crowd, error) {
	var all []*client.Client
	for _, one := range through {
		c, err := a.client(one)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	writes := make([]int, count)
	desired := 1
	return &crowd{size: count, do: func(caller int) (int, error) {
		writes[caller]++
		id := fmt.Sprintf("%s-%d-%d", prefix, caller, writes[caller]%ownChains)
		spec := api.Spec{Desired: &desired, Labels: map[string]string{"n": strconv.Itoa(writes[caller])}}
		_, err := all[caller%len(all)].PutChain(ctx, id, spec)
		return 1, err
	}}, nil
}
