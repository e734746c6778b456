package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// The leader's probes.
const (
	probeEvery   = time.Second
	probeTimeout = time.Second
	probesMax    = 128 // at once
	// behindMax is how many entries a server may lack of what was committed
	// when it was asked, and still count as caught up.
	behindMax = 256
)

// probeRequest asks a process whether it can work (rule S18).
type probeRequest struct {
	Instance    string                `json:"instance"`
	Incarnation placement.Incarnation `json:"incarnation"`
}

// probeAnswer comes from a process that can.
type probeAnswer struct {
	Index uint64 `json:"index"` // last entry in its log
}

// answerProbe answers the leader's probe: through the holder loop, and with a
// write to the data directory. Another instance or run of the node is not the
// one that was asked for.
func (n *Node) answerProbe(ctx context.Context, asked probeRequest) (probeAnswer, error) {
	live := n.live.Load()
	own := n.ownIncarnation()
	if live == nil || asked.Instance != n.instance() || asked.Incarnation != own {
		return probeAnswer{}, fmt.Errorf("this is instance %s, incarnation %d", n.instance(), own)
	}
	check := n.checkDisk
	if live.loop != nil {
		check = live.loop.Probe
	}
	if err := check(ctx); err != nil {
		return probeAnswer{}, err
	}
	return probeAnswer{Index: live.raft().LastIndex()}, nil
}

// prober probes all members, each about once a second.
type prober struct {
	reign  *reign
	slots  chan struct{}
	flying sync.WaitGroup

	mu   sync.Mutex
	busy map[placement.NodeID]bool
}

// probe probes every member, this node included, until ctx ends.
func (r *reign) probe(ctx context.Context) {
	p := &prober{reign: r, slots: make(chan struct{}, probesMax), busy: map[placement.NodeID]bool{}}
	defer p.flying.Wait()
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		var due []*placement.Node
		r.node.View().Nodes.Ascend("", func(_ placement.NodeID, n *placement.Node) bool {
			if n.State != placement.NodeLeft {
				due = append(due, n)
			}
			return true
		})
		for _, n := range due {
			p.start(ctx, n)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// start probes one node, unless it is being probed or too many are.
func (p *prober) start(ctx context.Context, n *placement.Node) {
	p.mu.Lock()
	taken := p.busy[n.ID]
	p.busy[n.ID] = true
	p.mu.Unlock()
	if taken {
		return
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	p.flying.Go(func() {
		p.once(ctx, n)
		<-p.slots
		p.mu.Lock()
		delete(p.busy, n.ID)
		p.mu.Unlock()
	})
}

// once probes a node and notes the result.
func (p *prober) once(ctx context.Context, n *placement.Node) {
	r := p.reign
	committed := r.raft.CommitIndex()
	_, throws := r.clock.readThrows()
	asking, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	answer, err := r.ask(asking, n)
	if ctx.Err() != nil {
		return // the reign is over
	}
	now, after := r.clock.readThrows()
	switch {
	case err == nil:
		r.health.succeeded(n.ID, n.Incarnation, after, answer, answer.Index+behindMax < committed, time.Now())
		r.node.cfg.Metrics.Probe(true)
	case after != throws:
		return // this process stood still meanwhile: that says nothing about the node
	default:
		r.health.failed(n.ID, n.Incarnation, now, after, err)
		r.node.cfg.Metrics.Probe(false)
	}
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// ask sends the probe, or answers it here if the node is this one.
func (r *reign) ask(ctx context.Context, n *placement.Node) (probeAnswer, error) {
	request := probeRequest{n.Instance, n.Incarnation}
	if n.Instance == r.node.instance() {
		return r.node.answerProbe(ctx, request)
	}
	return call[probeAnswer](ctx, r.node, r.node.addressOf(n.Instance), methodProbe, request)
}
