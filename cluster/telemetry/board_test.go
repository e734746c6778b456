package telemetry

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/placement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a board of node "own" with a clock that the test turns.
type rig struct {
	board       *Board
	now         time.Duration
	reading     placement.Sample
	incarnation placement.Incarnation
	spread      []func() []byte
	about       []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{now: time.Hour, reading: Unknown()}
	var err error
	r.board, err = New(Config{
		Node: "own", Elapsed: func() time.Duration { return r.now }, Read: func() placement.Sample { return r.reading },
		Incarnation: func() placement.Incarnation { return r.incarnation }, Show: func(placement.Sample) {},
		Spread: func(about string, message func() []byte) {
			r.about, r.spread = append(r.about, about), append(r.spread, message)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// say makes the message of a node about its load.
func say(t *testing.T, node placement.NodeID, incarnation placement.Incarnation, sequence uint64, load float64, age time.Duration) []byte {
	t.Helper()
	s := Unknown()
	s.Load = load
	b, err := encode(node, stamp{incarnation, sequence}, s)
	if err != nil {
		t.Fatal(err)
	}
	return message(b, age)
}

// load is what the facts say of a node, NaN for nothing.
func (r *rig) load(node placement.NodeID) float64 {
	s, ok := r.board.Facts().Sample(node)
	if !ok {
		return math.NaN()
	}
	return s.Load
}

// later lets time pass, enough for new facts.
func (r *rig) later(d time.Duration) { r.now += d }

// The newest sample of a node's newest process stands, in whatever order they
// come, and only news is passed on.
func TestNewestStands(t *testing.T) {
	r := newRig(t)
	for i, row := range []struct {
		incarnation placement.Incarnation
		sequence    uint64
		load, want  float64
		news        bool
	}{
		{5, 2, 1, 1, true},
		{5, 1, 2, 1, false},
		{5, 2, 3, 1, false},
		{4, 99, 4, 1, false},
		{0, 100, 5, 1, false}, // a process that is not let in yet
		{5, 3, 6, 6, true},
		{6, 1, 7, 7, true},
		{5, 4, 8, 7, false},
	} {
		before := len(r.spread)
		r.board.Heard(say(t, "n1", row.incarnation, row.sequence, row.load, 0))
		r.later(3 * time.Second)
		if got := r.load("n1"); got != row.want || len(r.spread) > before != row.news {
			t.Errorf("%d: load %v, passed on %v; want %v, %v", i, got, len(r.spread) > before, row.want, row.news)
		}
	}
	r.board.Heard(say(t, "own", 9, 9, 9, 0))
	if _, ok := r.board.Facts().Sample("own"); ok || len(r.about) != 3 {
		t.Errorf("a node is told its own sample by others: passed on %v", r.about)
	}
}

// A sample is unknown once it is 15 s old, in the facts that come next, counted from when its node said it:
// through a chain of nodes that pass it on, and for all of them after the node
// has fallen silent.
func TestOldSamplesVanish(t *testing.T) {
	a, b := newRig(t), newRig(t)
	b.now = 5 * time.Minute // clocks have nothing in common
	a.board.Heard(say(t, "n1", 1, 1, 2, 4*time.Second))
	if got := a.load("n1"); got != 2 {
		t.Fatalf("load %v", got)
	}
	a.later(10 * time.Second)
	b.board.Heard(a.spread[0]())
	b.board.HeardEverything(a.board.Everything())
	if got := b.load("n1"); got != 2 || a.load("n1") != 2 {
		t.Fatalf("after 14 s: %v, and %v passed on", a.load("n1"), got)
	}
	for _, r := range []*rig{a, b} {
		r.later(2100 * time.Millisecond)
		if got := r.load("n1"); !math.IsNaN(got) {
			t.Errorf("after 16.1 s: load %v", got)
		}
	}
	b.board.Heard(a.spread[0]())
	b.board.HeardEverything(pack(nil, say(t, "n1", 1, 1, 2, 16*time.Second)))
	b.later(2 * time.Second)
	if got := b.load("n1"); !math.IsNaN(got) || len(b.board.Everything()) != 0 {
		t.Errorf("an old message brought it back: load %v", got)
	}
	b.board.Heard(say(t, "n1", 0, 1, 3, 0))
	b.later(2 * time.Second)
	if got := b.load("n1"); got != 3 {
		t.Errorf("a node that begins anew: load %v", got)
	}
}

// Facts that say the same are the same table, and are renewed no more often
// than a node publishes, after the first: refreshed, changed and lost samples.
func TestSameFactsAreTheSameTable(t *testing.T) {
	r := newRig(t)
	if got := r.board.Facts(); got.Samples != nil {
		t.Fatalf("facts of nothing: %v", got)
	}
	r.board.Heard(say(t, "n1", 1, 1, 1, 0))
	r.board.Heard(say(t, "n2", 1, 1, 1, 0))
	first := r.board.Facts()
	for i := range uint64(10) {
		r.later(5 * time.Second)
		r.board.Heard(say(t, "n1", 1, 2+i, 1, 0))
		r.board.Heard(say(t, "n2", 1, 2+i, 1, 0))
		if got := r.board.Facts(); got.Samples != first.Samples {
			t.Fatal("a refresh makes another table")
		}
	}
	r.board.Heard(say(t, "n1", 1, 100, 2, 0))
	second := r.board.Facts()
	if second.Samples == first.Samples {
		t.Fatal("a change makes no other table")
	}
	r.board.Heard(say(t, "n1", 1, 101, 3, 0))
	if r.board.Facts().Samples != second.Samples {
		t.Error("facts are renewed at once")
	}
	r.later(2 * time.Second)
	if got := r.load("n1"); got != 3 {
		t.Errorf("after 2 s: load %v", got)
	}
	if s, ok := first.Sample("n1"); !ok || s.Load != 1 {
		t.Errorf("facts that were handed out have changed: %+v", s)
	}
	full := r.board.Facts()
	r.later(15 * time.Second)
	if got := r.board.Facts(); got.Samples == full.Samples || got.Samples.Len() != 0 {
		t.Errorf("the samples have not vanished: %v", got)
	}
}

// A node publishes every two seconds while it changes, every five while not,
// and at once when the cluster has let it in; ten minutes in a bubble.
func TestPublishing(t *testing.T) {
	count := func(d time.Duration, read func(at time.Duration) placement.Sample) int {
		published := 0
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			elapsed := func() time.Duration { return time.Since(began) }
			b, err := New(Config{
				Node: "own", Elapsed: elapsed, Read: func() placement.Sample { return read(elapsed()) },
				Incarnation: func() placement.Incarnation { return 1 }, Show: func(placement.Sample) {},
				Spread: func(string, func() []byte) { published++ },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		return published
	}
	still := count(10*time.Minute, func(time.Duration) placement.Sample { return placement.Sample{Load: 1, FreeBytes: 1 << 40} })
	if still < 105 || still > 135 {
		t.Errorf("a still node published %d times in 10 min", still)
	}
	busy := count(10*time.Minute, func(at time.Duration) placement.Sample { return placement.Sample{Load: at.Seconds()} })
	if busy < 270 || busy > 340 {
		t.Errorf("a changing node published %d times in 10 min", busy)
	}
}

// A thousand nodes publish at most 100 samples a second, and samples live long
// enough for that.
func TestLargeClustersSpeakLess(t *testing.T) {
	r := newRig(t)
	for i := range 1000 {
		r.board.Heard(say(t, placement.NodeID(fmt.Sprint("n", i)), 1, 1, 1, 0))
	}
	if got := r.board.every(); got != 10*time.Second {
		t.Errorf("every %v", got)
	}
	r.later(49 * time.Second)
	if got := r.board.Facts().Samples.Len(); got != 1000 {
		t.Errorf("after 49 s %d samples are left", got)
	}
	if got := len(r.board.Everything()); got > 60_000 {
		t.Errorf("a full exchange takes %d bytes", got)
	}
	for i := range 2 * nodesMax {
		r.board.Heard(say(t, placement.NodeID(fmt.Sprint("x", i)), 1, 1, 1, 0))
	}
	if got := len(r.board.entries); got != nodesMax {
		t.Errorf("the board remembers %d nodes", got)
	}
}

// Nodes that measure round trips to each other find places whose distances have
// the order of those round trips, and what is no coordinate moves nobody: three
// locators at 2, 20 and 21 ms, a minute of probes.
func TestPlaces(t *testing.T) {
	names := []string{"a", "b", "c"}
	rtt := map[string]time.Duration{"ab": 2 * time.Millisecond, "ac": 20 * time.Millisecond, "bc": 21 * time.Millisecond}
	at := map[string]*locator{}
	for _, name := range names {
		l, err := newLocator(mode(t))
		if err != nil {
			t.Fatal(err)
		}
		at[name] = l
	}
	for _, bad := range []pong{
		{Vec: make([]float32, dimensions-1), Error: 1},
		{Vec: append(make([]float32, dimensions-1), 11), Error: 1},
		{Vec: append(make([]float32, dimensions-1), float32(math.NaN())), Error: 1},
		{Vec: make([]float32, dimensions), Error: 1, Height: -1},
		{Vec: make([]float32, dimensions), Error: 1, Adjustment: float32(math.Inf(1))},
		{Vec: make([]float32, dimensions), Error: -1},
		{Vec: make([]float32, dimensions), Error: 2},
	} {
		b, err := cbor.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		if at["a"].observe("b", time.Millisecond, b); at["a"].measured.Load() != 0 {
			t.Fatalf("%+v is taken for a place", bad)
		}
	}
	at["a"].observe("b", time.Millisecond, make([]byte, pongMax+1))
	at["a"].observe("b", time.Minute, at["b"].answer())
	if at["a"].measured.Load() != 0 || at["a"].settle(nil) != nil {
		t.Fatal("a node is placed by nothing")
	}
	for range 60 {
		for _, x := range names {
			for _, y := range names {
				if x != y {
					at[x].observe(y, rtt[min(x, y)+max(x, y)], at[y].answer())
				}
			}
		}
	}
	samples := map[placement.NodeID]placement.Sample{}
	for _, name := range names {
		samples[placement.NodeID(name)] = placement.Sample{Coordinate: at[name].settle(nil)}
	}
	facts := placement.Facts{Samples: placement.TableOf(samples)}
	for pair, want := range rtt {
		got, ok := facts.RTT(placement.NodeID(pair[:1]), placement.NodeID(pair[1:]))
		if !ok || math.Abs(float64(got-want)) > max(0.25*float64(want), float64(1500*time.Microsecond)) {
			t.Errorf("%s: %v, %v; want about %v", pair, got, ok, want)
		}
	}
	if c := samples["c"].Coordinate; at["c"].settle(c) != c {
		t.Error("a node that does not move has another place")
	}
}
