package fsm

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// benchChains is the size of the big benchmarks; the limits of the design are
// for a million.
var benchChains = flag.Int("chains", 100_000, "chains of the big benchmarks")

// bigRig is a state of so many chains with three ready copies each, on as many
// nodes as keep every node at a thousand holders, at most a thousand.
func bigRig(b *testing.B, chains int) *rig {
	b.Helper()
	nodes := min(max(chains/300, 6), 1000)
	var names []placement.NodeID
	for i := range nodes {
		names = append(names, placement.NodeID(fmt.Sprintf("n%04d", i)))
	}
	r := newRig(b, names...)
	r.configure(func(c *placement.Config) {
		c.MovesMax, c.BalanceMovesMax, c.NodeMovesInMax, c.NodeMovesOutMax = 1<<20, 1<<20, 1<<20, 1<<20
		c.Cooldown = 0
	})
	wish, _ := spec(3).Normalize()
	for i := range chains {
		c := &placement.Chain{
			ID: placement.ChainID(fmt.Sprintf("chain-%07d", i)), EverReady: true, Holders: make([]placement.Holder, 0, 3),
		}
		c.Spec = &wish
		c.Generation = placement.Generation(r.m.s.draw())
		for k := range 3 {
			c.Holders = append(c.Holders, placement.Holder{
				Node: names[(i+k*nodes/3)%nodes], Phase: placement.Ready, Epoch: placement.Epoch(r.m.s.draw()), Since: r.now, SizeBytes: 1 << 20,
			})
		}
		r.m.s.putChain(c)
	}
	r.batch(Batch{})
	return r
}

// decisions is one entry of a decision for each of the chains.
func decisions(b *testing.B, r *rig, ids []placement.ChainID, body func(*placement.Chain) Body) []byte {
	b.Helper()
	var ops []Op
	for _, id := range ids {
		ops = append(ops, Op{Actor: "scheduler", Reason: "below-floor", Body: body(r.is(id))})
	}
	data, err := EncodeBatch(Batch{Now: r.now, Term: r.term, ConfigAt: r.m.View().ConfigGeneration, Ops: ops})
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkApplyDecisions: scheduler batches of 100 decisions that open and
// call off balance moves of chains here and there among many (250,000 a second
// are wanted, so that the log stays the slower part).
func BenchmarkApplyDecisions(b *testing.B) {
	r := bigRig(b, *benchChains)
	open := func(c *placement.Chain) Body {
		var to placement.NodeID
		r.m.View().Nodes.Ascend(c.Holders[0].Node, func(n placement.NodeID, _ *placement.Node) bool {
			to = n
			return c.Holder(n) != nil
		})
		return r.move(placement.CauseBalance, c.ID, c.Holders[0].Node, to)
	}
	callOff := func(c *placement.Chain) Body { return r.ends(placement.KindCallOff, c.ID, placement.ReasonTargetLost) }
	const n = 100
	ids := make([]placement.ChainID, n)
	done := 0
	b.ReportAllocs()
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		for i := range ids {
			ids[i] = placement.ChainID(fmt.Sprintf("chain-%07d", (round*99_991+i*7919)%*benchChains))
		}
		for _, body := range []func(*placement.Chain) Body{open, callOff} {
			data := decisions(b, r, ids, body)
			b.StartTimer()
			results, err := r.m.Apply(r.m.View().Index+1, r.term, data)
			b.StopTimer()
			if err != nil || !results[0].OK() || !results[n-1].OK() {
				b.Fatal(err, results[0], results[n-1])
			}
			done += n
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "decisions/s")
}

// BenchmarkApplyTick: an entry without operations on many chains: what
// publishing a view costs.
func BenchmarkApplyTick(b *testing.B) {
	r := bigRig(b, *benchChains)
	data, err := EncodeBatch(Batch{Now: r.now})
	if err != nil {
		b.Fatal(err)
	}
	index := r.m.View().Index
	b.ReportAllocs()
	for b.Loop() {
		index++
		if _, err := r.m.Apply(index, 1, data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkView: taking a view of many chains.
func BenchmarkView(b *testing.B) {
	r := bigRig(b, *benchChains)
	b.ReportAllocs()
	for b.Loop() {
		if r.m.View() == nil {
			b.Fatal("no view")
		}
	}
}

// BenchmarkSnapshot: writing many chains.
func BenchmarkSnapshot(b *testing.B) {
	v := bigRig(b, *benchChains).m.View()
	b.ReportAllocs()
	for b.Loop() {
		n, err := v.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

// BenchmarkRestore: reading many chains.
func BenchmarkRestore(b *testing.B) {
	r := bigRig(b, *benchChains)
	data := r.bytes()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := New().Restore(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyStall: how long entries of 100 new specs take while a snapshot
// of many chains streams, beside the same entries without one (limit 5 ms at a
// million). On a machine that does other things too, only the difference tells.
func BenchmarkApplyStall(b *testing.B) {
	r := bigRig(b, *benchChains)
	round := 0
	apply := func() time.Duration {
		round++
		var ops []Op
		for j := range 100 {
			id := placement.ChainID(fmt.Sprintf("chain-%07d", (round*99_991+j*7919)%*benchChains))
			ops = append(ops, Op{Body: NewPutChain(id, spec(3+round%2))})
		}
		data, err := EncodeBatch(Batch{Now: r.now, Ops: ops})
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if _, err := r.m.Apply(r.m.View().Index+1, 1, data); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	var alone, during []time.Duration
	for b.Loop() {
		done := make(chan error, 1)
		v := r.m.View()
		go func() {
			_, err := v.WriteTo(io.Discard)
			done <- err
		}()
		n := 0
		for running := true; running; n++ {
			during = append(during, apply())
			select {
			case err := <-done:
				running = false
				if err != nil {
					b.Fatal(err)
				}
			default:
			}
		}
		for range n {
			alone = append(alone, apply())
		}
	}
	reportStalls(b, "snapshot", during)
	reportStalls(b, "alone", alone)
}

// reportStalls reports how long each of many entries took.
func reportStalls(b *testing.B, name string, took []time.Duration) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	slices.Sort(took)
	b.ReportMetric(ms(took[len(took)-1]), "ms-max-"+name)
	b.ReportMetric(ms(took[len(took)*999/1000]), "ms-p99.9-"+name)
	b.ReportMetric(ms(took[len(took)/2]), "ms-p50-"+name)
}

// heap is how many bytes are in use.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkMemory: what a chain with three copies takes, in a state that grew
// and in one that was restored.
func BenchmarkMemory(b *testing.B) {
	n := float64(*benchChains)
	for b.Loop() {
		before := heap()
		r := bigRig(b, *benchChains)
		b.ReportMetric((heap()-before)/n, "B/chain")
		data := r.bytes()
		before = heap()
		m := New()
		if err := m.Restore(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((heap()-before)/n, "B/chain-restored")
		runtime.KeepAlive(r)
		runtime.KeepAlive(m)
		runtime.KeepAlive(data)
	}
}

// BenchmarkPutChains: 10,000 new chains, in id order and in four entries, beside
// many that are there (200,000 a second are wanted).
func BenchmarkPutChains(b *testing.B) {
	r := bigRig(b, *benchChains)
	const n, each = 10_000, 2_500
	b.ReportAllocs()
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		var entries [][]byte
		for from := 0; from < n; from += each {
			body := new(PutChains)
			for i := range each {
				id := placement.ChainID(fmt.Sprintf("chain-%07d-%05d", round%*benchChains, from+i))
				body.Items = append(body.Items, *NewPutChain(id, placement.Spec{Labels: placement.Labels{{Key: "team", Value: "blue"}}}))
			}
			data, err := EncodeBatch(Batch{Now: r.now, Ops: []Op{{Actor: actor, Body: body}}})
			if err != nil {
				b.Fatal(err)
			}
			entries = append(entries, data)
		}
		b.StartTimer()
		for _, data := range entries {
			if _, err := r.m.Apply(r.m.View().Index+1, 1, data); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "chains/s")
}

// BenchmarkPage: a page of 100 chains from the middle of many.
func BenchmarkPage(b *testing.B) {
	v := bigRig(b, *benchChains).m.View()
	for i := 0; b.Loop(); i++ {
		n := 0
		v.Chains.Ascend(placement.ChainID(fmt.Sprintf("chain-%07d", i*99_991%(*benchChains-100))), func(placement.ChainID, *placement.Chain) bool {
			n++
			return n < 100
		})
		if n != 100 {
			b.Fatal("a short page")
		}
	}
}
