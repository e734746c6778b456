package holder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/placement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeState hands out what the test set, when it changed.
type fakeState struct {
	mu     sync.Mutex
	duties Duties
	change chan struct{}
}

func newFakeState() *fakeState {
	return &fakeState{change: make(chan struct{}), duties: Duties{
		Index: 1, Revision: 1, Lineage: "l1", Incarnation: 7, DropGrace: 5 * time.Second, MoveDeadline: 10 * time.Minute,
	}}
}

// set changes the duties at the next index.
func (s *fakeState) set(change func(*Duties)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.Index++
	s.duties.Revision++
	s.duties.List = slices.Clone(s.duties.List)
	change(&s.duties)
	close(s.change)
	s.change = make(chan struct{})
}

func (s *fakeState) only(list ...Duty) { s.set(func(d *Duties) { d.List = list }) }

func (s *fakeState) Duties(ctx context.Context, after uint64) (Duties, error) {
	for {
		s.mu.Lock()
		d, change := s.duties, s.change
		s.mu.Unlock()
		if d.Index > after {
			return d, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return Duties{}, ctx.Err()
		}
	}
}

// fakeRunner keeps copies in memory. What it should do wrong is set by name.
type fakeRunner struct {
	mu      sync.Mutex
	copies  map[Copy]bool
	heldErr error
	pull    func(ctx context.Context, a Assignment) error
	drop    func(ctx context.Context, c Copy) error
	held    func(ctx context.Context)
	log     []string // pulls and drops, as begun and ended
}

func newFakeRunner(copies ...Copy) *fakeRunner {
	f := &fakeRunner{copies: map[Copy]bool{}}
	for _, c := range copies {
		f.copies[c] = true
	}
	return f
}

func (f *fakeRunner) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fakeRunner) put(c Copy, here bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if delete(f.copies, c); here {
		f.copies[c] = true
	}
}

func (f *fakeRunner) Pull(ctx context.Context, a Assignment) error {
	f.note("pull %s %d", a.Chain, a.Epoch)
	if f.pull != nil {
		if err := f.pull(ctx, a); err != nil {
			f.note("pull %s %d: %v", a.Chain, a.Epoch, err)
			return err
		}
	}
	f.put(Copy{Chain: a.Chain, Epoch: a.Epoch, SHA256: a.SHA256()}, true)
	f.note("pulled %s %d", a.Chain, a.Epoch)
	return nil
}

func (f *fakeRunner) Drop(ctx context.Context, c Copy) error {
	f.note("drop %s %d", c.Chain, c.Epoch)
	if f.drop != nil {
		if err := f.drop(ctx, c); err != nil {
			return err
		}
	}
	f.put(c, false)
	f.note("dropped %s %d", c.Chain, c.Epoch)
	return nil
}

func (f *fakeRunner) Held(ctx context.Context) ([]Copy, error) {
	f.mu.Lock()
	var list []Copy
	for c := range f.copies {
		list = append(list, c)
	}
	err, held := f.heldErr, f.held
	f.mu.Unlock()
	if held != nil {
		held(ctx)
	}
	return list, err
}

func (f *fakeRunner) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.log, ", ")
}

// fakeReports remembers reports as text, one line a report.
type fakeReports struct {
	mu    sync.Mutex
	fail  bool
	lines []string
	last  Report
}

func (f *fakeReports) Report(_ context.Context, r Report) (Answer, error) {
	var b strings.Builder
	if r.Inventory {
		fmt.Fprintf(&b, "inventory of %d/%s:", r.Incarnation, r.Lineage)
	}
	if r.NoSpace {
		b.WriteString(" no-space")
	}
	for _, i := range r.Items {
		fmt.Fprintf(&b, " %s %d %s %s", i.Chain, i.Epoch, i.Phase, shown(i.SHA256))
		if i.Phase == ReportPulling {
			fmt.Fprintf(&b, " %d of %d", i.BytesDone, i.BytesTotal)
		}
		if i.Error != "" {
			fmt.Fprintf(&b, " (%s)", i.Error)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail {
		f.lines = append(f.lines, "lost:"+b.String())
		return Answer{}, errors.New("no leader")
	}
	f.lines, f.last = append(f.lines, strings.TrimSpace(b.String())), r
	return Answer{}, nil
}

// take returns the lines since the last call.
func (f *fakeReports) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := strings.Join(f.lines, "\n")
	f.lines = nil
	return lines
}

// bench is one loop in one bubble.
type bench struct {
	t       *testing.T
	state   *fakeState
	runner  *fakeRunner
	reports *fakeReports
	loop    *Loop
}

// inBubble runs a loop over the copies in a bubble and ends it afterwards.
func inBubble(t *testing.T, cfg Config, copies []Copy, scenario func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, state: newFakeState(), runner: newFakeRunner(copies...), reports: &fakeReports{}}
		cfg.Runner, cfg.State, cfg.Reports = b.runner, b.state, b.reports
		loop, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.loop = loop
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- loop.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v, want context canceled", err)
			}
		}()
		synctest.Wait()
		scenario(b)
	})
}

func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wantReports compares the reports since the last call.
func (b *bench) wantReports(want ...string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.reports.take(); got != strings.Join(want, "\n") {
		b.t.Fatalf("reports:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func (b *bench) wantLog(want string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.runner.said(); got != want {
		b.t.Fatalf("runner did:\n%s\nwant:\n%s", got, want)
	}
}

func duty(id placement.ChainID, phase placement.Phase, epoch placement.Epoch, sha string) Duty {
	d := Duty{Phase: phase, Settled: true}
	d.Chain, d.Epoch, d.Sources = id, epoch, []Source{{"n2", "n2:7400"}}
	if sha != "" {
		d.Content = &placement.Content{SHA256: sha, Version: placement.Revision(epoch), Size: 100}
	}
	return d
}

// A life of one copy: the first inventory says what is here, an assignment is
// pulled and reported ready, and a dropping copy serves out its grace.
func TestLoopLife(t *testing.T) {
	inBubble(t, Config{}, []Copy{{Chain: "old", Epoch: 3, SHA256: "v0"}}, func(b *bench) {
		b.wantReports("inventory of 7/l1: old 3 ready v0")
		b.state.only(duty("old", placement.Ready, 3, "v0"), duty("a", placement.Pulling, 5, "v1"))
		b.wantReports("a 5 ready v1")
		b.state.only(duty("old", placement.Ready, 3, "v0"), duty("a", placement.Ready, 5, "v1"))
		b.pass(10 * time.Minute)
		b.wantReports() // quiet
		b.state.only(duty("old", placement.Ready, 3, "v0"), duty("a", placement.Dropping, 5, "v1"))
		b.pass(4900 * time.Millisecond)
		b.wantLog("pull a 5, pulled a 5")
		b.pass(200 * time.Millisecond)
		b.wantLog("pull a 5, pulled a 5, drop a 5, dropped a 5")
		b.wantReports("a 5 dropped -")
	})
}

// S1: a Held that fails is not "nothing held": nothing is reported, pulled or
// dropped until it works again.
func TestLoopHeldFails(t *testing.T) {
	inBubble(t, Config{}, []Copy{{Chain: "a", Epoch: 3, SHA256: "v1"}}, func(b *bench) {
		b.state.only(duty("a", placement.Ready, 3, "v1"))
		b.wantReports("inventory of 7/l1: a 3 ready v1")
		b.runner.mu.Lock()
		b.runner.heldErr = errors.New("input/output error")
		b.runner.mu.Unlock()
		b.runner.put(Copy{Chain: "a", Epoch: 3, SHA256: "v1"}, false)
		b.pass(5 * time.Minute)
		b.state.only(duty("a", placement.Ready, 3, "v1"), duty("b", placement.Pulling, 9, "v1"))
		b.pass(5 * time.Minute)
		b.wantReports()
		b.wantLog("")
		if err := b.loop.Probe(b.t.Context()); err == nil || !strings.Contains(err.Error(), "input/output error") {
			t.Errorf("probe of a node that cannot list its copies: %v", err)
		}
		b.runner.mu.Lock()
		b.runner.heldErr = nil
		b.runner.mu.Unlock()
		b.pass(61 * time.Second)
		got := b.reports.take()
		if !strings.Contains(got, "a 3 lost v1") || !strings.Contains(got, "b 9 ready v1") {
			b.t.Errorf("when it works again the reports are %q", got)
		}
	})
}

// S1: the view never goes back: an older one that orders a drop is ignored.
func TestLoopIgnoresOlderView(t *testing.T) {
	inBubble(t, Config{}, []Copy{{Chain: "a", Epoch: 3, SHA256: "v1"}}, func(b *bench) {
		b.state.only(duty("a", placement.Ready, 3, "v1"))
		synctest.Wait()
		r := newRun(b.t.Context(), b.loop.cfg)
		r.assigned(Duties{Index: 9, Incarnation: 7, List: []Duty{duty("a", placement.Ready, 3, "v1")}}, time.Now())
		r.assigned(Duties{Index: 8, Incarnation: 7, List: []Duty{duty("a", placement.Dropping, 3, "v1")}}, time.Now())
		if got := r.byID["a"].Phase; got != placement.Ready || r.duties.Index != 9 {
			t.Errorf("after an older view the duty is %s at index %d, want ready at 9", got, r.duties.Index)
		}
	})
}

// S1, S2: a copy of a chain without a duty is in each inventory until the
// state answers; a discard that names its epoch removes it, and only it.
func TestLoopStray(t *testing.T) {
	inBubble(t, Config{}, []Copy{{Chain: "a", Epoch: 3, SHA256: "v1"}, {Chain: "a", Epoch: 4, SHA256: "v1"}}, func(b *bench) {
		all := "inventory of 7/l1: a 3 ready v1 a 4 ready v1"
		b.wantReports(all)
		b.pass(time.Hour)
		if n := strings.Count(b.reports.take(), all); n < 50 {
			t.Errorf("%d inventories in an hour", n)
		}
		b.wantLog("")
		b.state.set(func(d *Duties) { d.Discard = []Discard{{"a", 3}} })
		b.wantLog("drop a 3, dropped a 3")
		b.wantReports("a 3 dropped -")
	})
}

// A deleted chain's copy is asked about soon, not at the next minute.
func TestLoopDutyDisappears(t *testing.T) {
	inBubble(t, Config{}, []Copy{{Chain: "a", Epoch: 3, SHA256: "v1"}}, func(b *bench) {
		b.state.only(duty("a", placement.Ready, 3, "v1"))
		b.pass(90 * time.Second)
		b.reports.take()
		b.state.only()
		b.pass(6 * time.Second)
		b.wantReports("inventory of 7/l1: a 3 ready v1")
	})
}

// S3: bytes that a PUT stored and committed while a listing was under way are
// not reported lost, though the listing did not see them.
func TestLoopStoredDuringListing(t *testing.T) {
	inBubble(t, Config{}, []Copy{{Chain: "a", Epoch: 40, SHA256: "v1"}}, func(b *bench) {
		b.state.only(duty("a", placement.Ready, 40, "v1"))
		b.pass(time.Second)
		b.reports.take()
		b.runner.mu.Lock()
		b.runner.held = func(context.Context) { time.Sleep(10 * time.Second) }
		b.runner.mu.Unlock()
		b.pass(60 * time.Second) // the listing of the minute is under way
		b.runner.put(Copy{Chain: "a", Epoch: 40, SHA256: "v2", Staged: true, Base: 40}, true)
		next := duty("a", placement.Ready, 40, "v2")
		next.Content.Version = 50
		b.state.only(next)
		b.pass(20 * time.Second)
		b.wantReports()
		b.wantLog("drop a 40, dropped a 40")
		if copies, err := b.loop.Copies(b.t.Context()); err != nil || len(copies) == 0 || copies[len(copies)-1].SHA256 != "v2" {
			t.Errorf("copies %v, %v: want v2 kept", copies, err)
		}
	})
}

// A report whose answer was lost is said again; a new incarnation and a new
// lineage ask for a complete inventory.
func TestLoopReportsAgain(t *testing.T) {
	inBubble(t, Config{}, nil, func(b *bench) {
		b.wantReports("inventory of 7/l1:")
		b.reports.fail = true
		b.state.only(duty("a", placement.Pulling, 5, "v1"))
		b.pass(2 * time.Second)
		if got := b.reports.take(); !strings.Contains(got, "lost: a 5 ready v1") {
			t.Fatalf("reports %q", got)
		}
		b.reports.mu.Lock()
		b.reports.fail = false
		b.reports.mu.Unlock()
		b.pass(10 * time.Second)
		b.wantReports("a 5 ready v1")
		b.state.set(func(d *Duties) { d.Incarnation = 8 })
		b.wantReports("inventory of 8/l1: a 5 ready v1", "a 5 ready v1")
		b.state.set(func(d *Duties) { d.Lineage = "l2" })
		b.wantReports("inventory of 8/l2: a 5 ready v1", "a 5 ready v1")
	})
}

// A process without an incarnation does nothing and says nothing.
func TestLoopWaitsForIncarnation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, runner, reports := newFakeState(), newFakeRunner(), &fakeReports{}
		state.duties.Incarnation = 0
		state.duties.List = []Duty{duty("a", placement.Pulling, 5, "v1")}
		loop, err := New(Config{Runner: runner, State: state, Reports: reports})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := loop.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v", err)
		}
		if runner.said() != "" || reports.take() != "" {
			t.Errorf("did %q, said %q", runner.said(), reports.take())
		}
	})
}

// A pull is tried three times with growing waits, then reported failed with
// its text; a full disk is reported at once, with the node's no-space mark.
func TestLoopFailures(t *testing.T) {
	inBubble(t, Config{}, nil, func(b *bench) {
		b.reports.take()
		b.runner.pull = func(context.Context, Assignment) error { return errors.New("connection refused") }
		b.state.only(duty("a", placement.Pulling, 5, "v1"))
		b.pass(2900 * time.Millisecond)
		b.wantReports()
		b.pass(200 * time.Millisecond)
		b.wantReports("a 5 failed v1 (connection refused)")
		b.state.only()
		b.pass(time.Hour)
		if n := strings.Count(b.runner.said(), "pull a 5,"); n != 3 {
			t.Errorf("%d tries, want 3: %s", n, b.runner.said())
		}
	})
	short := func() (int64, int64, error) { return 10, 20, nil }
	inBubble(t, Config{Space: short}, nil, func(b *bench) {
		b.wantReports("inventory of 7/l1: no-space")
		b.state.only(duty("a", placement.Pulling, 5, "v1"))
		b.wantReports("no-space a 5 failed v1 (no-space: 10 bytes are free and 20 are reserved; free some or lower --disk-reserve)")
		b.state.only(duty("empty", placement.Pulling, 6, ""))
		b.wantReports("no-space empty 6 ready -")
		b.wantLog("pull empty 6, pulled empty 6")
	})
}

// At most two pulls run at once, the oldest epochs first; progress goes out in
// one report for all of them, every tenth of the move deadline.
func TestLoopBoundsAndProgress(t *testing.T) {
	inBubble(t, Config{}, nil, func(b *bench) {
		b.reports.take()
		b.runner.pull = func(ctx context.Context, a Assignment) error {
			for done := range int64(100) {
				a.Progress(done+1, 100)
				select {
				case <-time.After(time.Second + time.Duration(a.Epoch)*50*time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
		b.state.only(duty("a", placement.Pulling, 9, "v1"), duty("b", placement.Pulling, 8, "v1"), duty("c", placement.Pulling, 7, "v1"))
		b.pass(121 * time.Second)
		b.wantReports(
			"b 8 pulling v1 43 of 100 c 7 pulling v1 45 of 100",
			"b 8 pulling v1 86 of 100 c 7 pulling v1 89 of 100")
		b.pass(30 * time.Second)
		b.wantReports("c 7 ready v1", "b 8 ready v1")
		if got, want := b.runner.said(), "pulled c 7, pull a 9, pulled b 8"; !strings.HasSuffix(got, want) {
			t.Errorf("runner did %s, want it to end in %s", got, want)
		}
	})
}

// Work on one chain is serial, and a pull whose duty changes is cancelled: the
// drop of epoch 40, slow as it is, is over before 41 is pulled (S4).
func TestLoopSerialPerChain(t *testing.T) {
	inBubble(t, Config{}, nil, func(b *bench) {
		b.reports.take()
		block := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		b.runner.pull = func(ctx context.Context, a Assignment) error {
			if a.Epoch == 40 {
				b.runner.put(Copy{Chain: "a", Epoch: 40, SHA256: "v1"}, true)
				return block(ctx)
			}
			return nil
		}
		b.runner.drop = func(context.Context, Copy) error { time.Sleep(time.Minute); return nil }
		b.state.only(duty("a", placement.Pulling, 40, "v1"))
		b.pass(time.Second)
		b.state.only(duty("a", placement.Dropping, 40, "v1"))
		b.pass(9500 * time.Millisecond) // the grace is over, the drop has begun
		b.state.only(duty("a", placement.Pulling, 41, "v1"))
		b.pass(57 * time.Second)
		b.wantLog("pull a 40, pull a 40: context canceled, drop a 40, dropped a 40, pull a 41, pulled a 41")
		b.wantReports("a 41 ready v1")
	})
}

// S18: the probe fails while a listing hangs, while the disk check hangs, and
// when the loop does not run; a node that works passes.
func TestLoopProbe(t *testing.T) {
	var mu sync.Mutex
	hung := false
	check := func(ctx context.Context) error {
		mu.Lock()
		wait := hung
		mu.Unlock()
		if wait {
			<-ctx.Done()
		}
		return nil
	}
	probe := func(t *testing.T, l *Loop) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return l.Probe(ctx)
	}
	inBubble(t, Config{CheckDisk: check}, nil, func(b *bench) {
		if err := probe(b.t, b.loop); err != nil {
			t.Errorf("probe of a node that works: %v", err)
		}
		mu.Lock()
		hung = true
		mu.Unlock()
		for range 3 * probesMax {
			if err := probe(b.t, b.loop); err == nil {
				t.Fatal("the probe passed while the disk hangs")
			}
		}
	})
	inBubble(t, Config{}, nil, func(b *bench) {
		b.runner.mu.Lock()
		b.runner.held = func(ctx context.Context) { <-ctx.Done() }
		b.runner.mu.Unlock()
		b.pass(10 * time.Minute)
		if err := probe(b.t, b.loop); err == nil || !strings.Contains(err.Error(), "has not ended") {
			t.Errorf("probe while the listing hangs: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Config{Runner: newFakeRunner(), State: newFakeState(), Reports: &fakeReports{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := probe(t, l); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("probe without a loop: %v", err)
		}
	})
}
