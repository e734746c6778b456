package testcluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// load is clients that write all the time, each to chains of its own, and
// remember what was acknowledged. Every write is conditional on the one before
// it, so that one whose fate is unknown cannot come late and undo another.
type load struct {
	t       *testing.T
	cancel  context.CancelFunc
	clients sync.WaitGroup
	writers []*writer
}

// writer is one client with its chain.
type writer struct {
	t     *testing.T
	api   *client.Client
	rng   *rand.Rand
	chain string

	sent       int            // the number of the last write
	generation uint64         // of the spec, as last known
	acked      int            // the last write of the spec that was acknowledged
	sum        string         // of the content, as last known
	stored     int            // the last write of the content that was acknowledged
	bodies     map[string]int // by hash: what was sent as content, acknowledged or not
	patience   time.Duration  // 0 = a failure is no matter

	acks, refusals, unknown, reads int
}

// startLoad starts clients that write through every node. With patience, a
// write that has not been acknowledged within it, retried by the client, is an error.
func startLoad(t *testing.T, c *testcluster.Cluster, seed int64, count int, patience time.Duration) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, cancel: cancel}
	for k := range count {
		rng := rand.New(rand.NewPCG(uint64(seed), uint64(100+k)))
		nodes := c.Nodes()
		rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		w := &writer{t: t, api: c.Client(nodes...), rng: rng, chain: fmt.Sprintf("w%d", k), bodies: map[string]int{}, patience: patience}
		w.put(ctx)
		w.store(ctx) // the first content has no other to be conditional on
		if w.acks != 2 {
			t.Fatalf("chain %s cannot be made", w.chain)
		}
		l.writers = append(l.writers, w)
		l.clients.Go(func() { w.run(ctx) })
	}
	return l
}

// stop ends the clients.
func (l *load) stop() {
	l.cancel()
	l.clients.Wait()
}

func (l *load) String() string {
	var acks, refusals, unknown, reads int
	for _, w := range l.writers {
		acks, refusals, unknown, reads = acks+w.acks, refusals+w.refusals, unknown+w.unknown, reads+w.reads
	}
	return fmt.Sprintf("%d writes acknowledged, %d refused, %d of unknown fate, %d linearizable reads", acks, refusals, unknown, reads)
}

// run writes and reads until ctx ends.
func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		switch w.rng.IntN(4) {
		case 0:
			w.look(ctx)
		case 1:
			w.store(ctx)
		default:
			w.put(ctx)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(w.rng.Int64N(int64(2 * time.Second)))):
		}
	}
}

// callMax is how long a client waits for one call.
const callMax = 20 * time.Second

// put changes the spec of the chain.
func (w *writer) put(ctx context.Context) {
	w.sent++
	calling, cancel := context.WithTimeout(ctx, max(callMax, w.patience))
	defer cancel()
	only := client.CreateOnly()
	if w.generation != 0 {
		only = client.IfGeneration(w.generation)
	}
	got, err := w.api.PutChain(calling, w.chain, api.Spec{Labels: map[string]string{"sent": strconv.Itoa(w.sent)}}, only)
	if err == nil {
		w.acks++
		w.generation, w.acked = got.Generation, w.sent
		return
	}
	w.failed(ctx, "spec", err)
}

// store changes the content of the chain.
func (w *writer) store(ctx context.Context) {
	w.sent++
	data, sum := content(uint64(w.sent), 1+w.rng.IntN(20_000))
	w.bodies[sum] = w.sent
	calling, cancel := context.WithTimeout(ctx, max(callMax, w.patience))
	defer cancel()
	only := client.Within(5 * time.Second)
	if w.sum != "" {
		only = client.IfSHA256(w.sum)
	}
	_, err := w.api.PutContent(calling, w.chain, bytes.NewReader(data), int64(len(data)), only)
	if err == nil {
		w.acks++
		w.sum, w.stored = sum, w.sent
		return
	}
	w.failed(ctx, "content", err)
}

// failed takes a write that was not acknowledged, and learns what is there now.
func (w *writer) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	p, answered := errors.AsType[*api.Problem](err)
	if answered && p.Code != api.OutcomeUnknown {
		w.refusals++
	} else {
		w.unknown++
	}
	if w.patience > 0 {
		w.t.Errorf("write %d, the %s of chain %s: %v", w.sent, what, w.chain, err)
	}
	w.look(ctx)
}

// look reads the chain. A linearizable read shows each write that was
// acknowledged before it began.
func (w *writer) look(ctx context.Context) {
	calling, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	got, err := w.api.Chain(calling, w.chain, client.At(api.Linearizable))
	if p, answered := errors.AsType[*api.Problem](err); answered && p.Code == api.UnknownChain {
		w.t.Errorf("chain %s is gone: write %d was acknowledged", w.chain, w.acked)
	}
	if err != nil {
		return
	}
	w.reads++
	w.found(got)
}

// found checks what was read against what was acknowledged, and goes on from it.
func (w *writer) found(got *api.Chain) {
	if spec, _ := strconv.Atoi(got.Spec.Labels["sent"]); spec < w.acked {
		w.t.Errorf("chain %s shows write %d of its spec: write %d was acknowledged", w.chain, spec, w.acked)
	} else {
		w.generation, w.acked = got.Generation, spec
	}
	stored, sum := 0, ""
	if got.Content != nil {
		sum = got.Content.SHA256
		stored = w.bodies[sum]
	}
	if stored < w.stored {
		w.t.Errorf("chain %s shows write %d of its content, %q: write %d was acknowledged", w.chain, stored, sum, w.stored)
	} else {
		w.sum, w.stored = sum, stored
	}
}

// check fails the test unless all that was acknowledged is there and every
// running node serves the same bytes.
func (l *load) check(c *testcluster.Cluster) {
	l.t.Helper()
	for _, w := range l.writers {
		got, err := c.Client().Chain(l.t.Context(), w.chain, client.At(api.Linearizable))
		if err != nil {
			l.t.Errorf("chain %s: %v", w.chain, err)
			continue
		}
		w.found(got)
		data, _ := content(uint64(w.stored), int(got.Content.Size))
		wantContent(l.t, c, w.chain, data, w.sum)
	}
}
