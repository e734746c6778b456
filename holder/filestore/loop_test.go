package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// state is what the cluster says in these tests. It takes reports as text and
// makes a pulling duty ready when its copy is.
type state struct {
	mu     sync.Mutex
	duties holder.Duties
	change chan struct{}
	said   []string
}

func (s *state) set(list ...holder.Duty) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties.Index++
	s.duties.List = list
	close(s.change)
	s.change = make(chan struct{})
}

func (s *state) Duties(ctx context.Context, after uint64) (holder.Duties, error) {
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
			return holder.Duties{}, ctx.Err()
		}
	}
}

func (s *state) Report(_ context.Context, r holder.Report) (holder.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range r.Items {
		text := fmt.Sprintf("%s %d %s %.8s", i.Chain, i.Epoch, i.Phase, i.SHA256)
		if r.Inventory {
			text = "held " + text
		}
		s.said = append(s.said, strings.TrimSpace(text))
	}
	return holder.Answer{}, nil
}

func (s *state) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := strings.Join(s.said, ", ")
	s.said = nil
	return said
}

// pipes is a listener whose connections are net.Pipe, so that fake time runs.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// link serves a store inside a bubble and returns a client for it.
func link(t *testing.T, s *Store) Client {
	t.Helper()
	p := pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: s.Handler()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(p) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case p.conns <- far:
			return near, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		close(p.done)
		server.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return Client{HTTP: &http.Client{Transport: transport}}
}

func duty(chain placement.ChainID, phase placement.Phase, epoch placement.Epoch, c *placement.Content) holder.Duty {
	return holder.Duty{Assignment: assignment(chain, epoch, c, "n2"), Phase: phase, Settled: true}
}

// inBubble runs a loop on a real store, whose source n2 is another real store
// behind HTTP.
func inBubble(t *testing.T, scenario func(t *testing.T, st *state, here, n2 *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n2 := openStore(t, t.TempDir(), Config{})
		here := openStore(t, t.TempDir(), Config{Fetch: link(t, n2), ScrubRate: 1 << 40})
		st := &state{change: make(chan struct{}), duties: holder.Duties{
			Index: 1, Lineage: "l1", Incarnation: 7, DropGrace: 5 * time.Second, MoveDeadline: 10 * time.Minute,
		}}
		loop, err := holder.New(holder.Config{Runner: here, State: st, Reports: st, Space: here.Space, CheckDisk: func(context.Context) error { return here.CheckDisk() }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := loop.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("the loop ended with %v", err)
			}
		})
		running.Go(func() {
			if err := here.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("the store ended with %v", err)
			}
		})
		defer func() { cancel(); running.Wait() }()
		scenario(t, st, here, n2)
		if err := loop.Probe(t.Context()); err != nil {
			t.Errorf("probe: %v", err)
		}
	})
}

// settle lets the loop, the disk and the pipes come to rest.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A node's whole life on disk: it pulls a chain over HTTP, finds that its bytes
// rotted, reports it lost, pulls again under a new epoch, and drops it.
func TestLoopOnDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, st *state, here, n2 *Store) {
		b, c := content(50, 2<<20)
		receive(t, n2, Upload{Chain: "x", Epoch: 30}, b)
		st.set(duty("x", placement.Pulling, 40, c))
		settle(time.Second)
		if got, want := st.take(), "x 40 ready "+c.SHA256[:8]; got != want {
			t.Fatalf("reported %q, want %q", got, want)
		}
		st.set(duty("x", placement.Ready, 40, c))
		settle(time.Second)
		rot := bytes.Clone(b)
		rot[99] ^= 1
		if err := os.WriteFile(here.blobPath("x", c.SHA256), rot, 0o644); err != nil {
			t.Fatal(err)
		}
		settle(25 * time.Hour) // the daily pass of the scrubber
		if got, want := st.take(), "x 40 lost "+c.SHA256[:8]; !strings.HasPrefix(got, want) {
			t.Fatalf("reported %q, want %q", got, want)
		}
		st.set(duty("x", placement.Pulling, 50, c))
		settle(time.Second)
		st.set(duty("x", placement.Ready, 50, c))
		settle(2 * time.Minute)
		wantHeld(t, here, is("x", 50, c))
		wantBytes(t, here, "x", c, b)
		st.take()
		st.set(duty("x", placement.Dropping, 50, c))
		settle(4 * time.Second)
		wantBytes(t, here, "x", c, b) // serves out its grace
		settle(2 * time.Second)
		wantHeld(t, here)
		if got, want := st.take(), "x 50 dropped"; got != want {
			t.Fatalf("reported %q, want %q", got, want)
		}
	})
}

// S3: an uploaded version lies beside the current one through listings and
// reopenings until the state says which one stays; then the other goes.
func TestLoopKeepsUploads(t *testing.T) {
	for _, committed := range []bool{true, false} {
		inBubble(t, func(t *testing.T, st *state, here, n2 *Store) {
			b1, v1 := content(60, 1000)
			b2, v2 := content(61, 2000)
			b3, v3 := content(62, 3000)
			receive(t, n2, Upload{Chain: "x", Epoch: 30}, b1)
			st.set(duty("x", placement.Pulling, 40, v1))
			settle(time.Second)
			st.set(duty("x", placement.Ready, 40, v1))
			receive(t, here, Upload{Chain: "x", Epoch: 40, Base: v1.Version}, b2)
			settle(time.Hour)
			wantHeld(t, here, is("x", 40, v1), is("x", 40, v2))
			if st.take(); committed {
				st.set(duty("x", placement.Ready, 40, v2))
				settle(2 * time.Minute)
				wantHeld(t, here, is("x", 40, v2))
				wantBytes(t, here, "x", v2, b2)
			} else {
				receive(t, here, Upload{Chain: "x", Epoch: 40, Base: v1.Version}, b3)
				st.set(duty("x", placement.Ready, 40, v3))
				settle(2 * time.Minute)
				wantHeld(t, here, is("x", 40, v3))
				wantBytes(t, here, "x", v3, b3)
			}
			if got := st.take(); got != "" {
				t.Errorf("reported %q, want nothing", got)
			}
		})
	}
}

// S4: epoch 40 is dropped as slowly as can be, while the chain is assigned to
// the node again: the copy of epoch 41 stays, also when the drop comes last.
func TestLoopSlowDrop(t *testing.T) {
	inBubble(t, func(t *testing.T, st *state, here, n2 *Store) {
		b, c := content(70, 1000)
		receive(t, n2, Upload{Chain: "x", Epoch: 30}, b)
		st.set(duty("x", placement.Pulling, 40, c))
		settle(time.Second)
		old := wantHeld(t, here, is("x", 40, c))[0]
		release, err := here.acquire(t.Context(), "x") // holds every change of x back
		if err != nil {
			t.Fatal(err)
		}
		st.set(duty("x", placement.Dropping, 40, c))
		settle(10 * time.Second) // the drop waits for the disk
		st.set(duty("x", placement.Pulling, 41, c))
		settle(10 * time.Second)
		release()
		settle(10 * time.Second)
		if err := here.Drop(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, here, is("x", 41, c))
		wantBytes(t, here, "x", c, b)
	})
}
