package fsm

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"runtime"
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

// balanceMoves is one entry that opens n balance moves.
func balanceMoves(b *testing.B, r *rig, n int) []byte {
	b.Helper()
	var ops []Op
	for i := range n {
		c := r.is(placement.ChainID(fmt.Sprintf("chain-%07d", i)))
		var to placement.NodeID
		r.m.View().Nodes.Ascend(c.Holders[0].Node, func(n placement.NodeID, _ *placement.Node) bool {
			to = n
			return c.Holder(n) != nil
		})
		ops = append(ops, Op{Actor: "scheduler", Reason: "below-floor", Body: r.move(placement.CauseBalance, c.ID, c.Holders[0].Node, to)})
	}
	data, err := EncodeBatch(Batch{Now: r.now, Term: r.term, ConfigAt: r.m.View().ConfigGeneration, Ops: ops})
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkApplyDecisions: a scheduler batch of 100 balance moves on 10,000
// chains, opened and called off in turn.
func BenchmarkApplyDecisions(b *testing.B) {
	r := bigRig(b, 10_000)
	const n = 100
	index := r.m.View().Index
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		data := balanceMoves(b, r, n)
		b.StartTimer()
		index++
		results, err := r.m.Apply(index, r.term, data)
		b.StopTimer()
		if err != nil || !results[0].OK() || !results[n-1].OK() {
			b.Fatal(err, results[0], results[n-1])
		}
		for i := range n {
			r.do(r.ends(placement.KindCallOff, placement.ChainID(fmt.Sprintf("chain-%07d", i)), placement.ReasonTargetLost))
		}
		index = r.m.View().Index
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
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

// BenchmarkApplyStall: the longest that one entry of 100 new specs takes while
// a snapshot of many chains streams (limit 5 ms at a million).
func BenchmarkApplyStall(b *testing.B) {
	r := bigRig(b, *benchChains)
	var worst time.Duration
	for b.Loop() {
		done := make(chan error)
		v := r.m.View()
		go func() {
			_, err := v.WriteTo(io.Discard)
			done <- err
		}()
		for i, running := 0, true; running; i++ {
			var ops []Op
			for j := range 100 {
				ops = append(ops, Op{Body: NewPutChain(placement.ChainID(fmt.Sprintf("chain-%07d", (i*99_991+j*7919)%*benchChains)), spec(3+i%2))})
			}
			data, err := EncodeBatch(Batch{Now: r.now, Ops: ops})
			if err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			if _, err := r.m.Apply(r.m.View().Index+1, 1, data); err != nil {
				b.Fatal(err)
			}
			worst = max(worst, time.Since(start))
			select {
			case err := <-done:
				running = false
				if err != nil {
					b.Fatal(err)
				}
			default:
			}
		}
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "ms-worst")
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
