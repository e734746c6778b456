package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/scheduler"
	"github.com/holdfast-cluster/holdfast/scheduler/scorer"
)

// Any node takes a content, gives back exactly its bytes and parts of them,
// and all wanted copies appear: a chain is created and filled at once through
// a node that does not lead, and read through each.
func TestContentThroughAnyNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		others := []string{"n1", "n2", "n3"}
		want := text(3*chunkBytes + 17)
		desired := 3
		through := others[0]
		if through == w.leader().name {
			through = others[1]
		}
		c := w.client(through)
		if _, err := c.PutChain(t.Context(), "web", api.Spec{Desired: &desired}); err != nil {
			t.Fatal(err)
		}
		put, err := c.PutContent(t.Context(), "web", bytes.NewReader(want), int64(len(want)))
		if err != nil {
			t.Fatal(err)
		}
		if len(put.Holders) != 2 || put.Size != int64(len(want)) || put.Version == 0 {
			t.Errorf("got %+v, want 2 holders, the size and a version", put)
		}
		for _, name := range others {
			got, err := w.get(name, "web")
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("through %s: %d bytes, %v; want the %d bytes that were put", name, len(got), err, len(want))
			}
			got, err = w.get(name, "web", client.Range(chunkBytes-5, 10))
			if err != nil || !bytes.Equal(got, want[chunkBytes-5:chunkBytes+5]) {
				t.Errorf("a part through %s: %q, %v", name, got, err)
			}
		}
		if chain := w.healthy("web"); chain.Content == nil || chain.Content.SHA256 != put.SHA256 || len(chain.Holders) != 3 {
			t.Errorf("got %+v, want three holders of %s", chain, put.SHA256)
		}
		empty, err := c.PutContent(t.Context(), "web", bytes.NewReader(nil), 0)
		if err != nil || empty.Size != 0 {
			t.Errorf("an empty content: %+v, %v", empty, err)
		}
		if got, err := w.get("n1", "web"); err != nil || len(got) != 0 {
			t.Errorf("an empty content reads as %d bytes, %v", len(got), err)
		}
	})
}

// A conditional PUT on another content than the present one changes nothing,
// and the retry of one that was applied is answered as the first time although
// its condition does not hold any more.
func TestPutOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("web", 2)
		c := w.client()
		put := func(body string, opts ...client.CallOption) (*api.ContentPut, error) {
			return c.PutContent(t.Context(), "web", strings.NewReader(body), int64(len(body)), opts...)
		}
		one, err := put("one")
		if err != nil {
			t.Fatal(err)
		}
		two, err := put("two", client.IfSHA256(one.SHA256), client.Key("k"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := put("two", client.IfSHA256(one.SHA256), client.Key("k"))
		if err != nil || again.Version != two.Version {
			t.Errorf("the retry: %+v, %v; want version %d", again, err, two.Version)
		}
		if _, err := put("three", client.IfSHA256(one.SHA256)); !is(err, api.StaleContent) {
			t.Errorf("a stale condition: %v, want %s", err, api.StaleContent)
		}
		if _, err := put("three", client.IfSHA256(one.SHA256), client.Key("k")); !is(err, api.IdempotencyMismatch) {
			t.Errorf("another body under the same key: %v, want %s", err, api.IdempotencyMismatch)
		}
		if got, err := w.get("n2", "web"); err != nil || string(got) != "two" {
			t.Errorf("got %q, %v; want two", got, err)
		}
	})
}

// Without enough disks nothing is stored and the client is told to come back:
// one of two holders is gone. What the other one stored meanwhile is abandoned.
func TestTooFewHolders(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		gone, stays := w.twoHolders("web")
		w.net.Kill(gone.name)
		gone.Kill()
		<-gone.done
		began := time.Now()
		_, err := w.client(stays.name).PutContent(t.Context(), "web", strings.NewReader("new"), 3, client.Within(3*time.Second))
		if !is(err, api.TooFewHolders) {
			t.Errorf("got %v, want %s", err, api.TooFewHolders)
		}
		if took := time.Since(began); took < 3*time.Second || took > 20*time.Second {
			t.Errorf("it gave up after %v, wanted about 3s (and retries of the client)", took)
		}
		w.until("nothing of it stays on "+stays.name, func() bool { return len(w.staged(stays)) == 0 })
		if c, err := w.client(stays.name).Chain(t.Context(), "web"); err != nil || c.Content != nil {
			t.Errorf("got %+v, %v; want no content", c, err)
		}
	})
}

// A holder that hangs does not fail a PUT that others can take: the state calls
// it alive, but nothing passes between it and the node that is asked, which
// would take it next after itself. It leaves no trace in the answer.
func TestFrozenHolder(t *testing.T) {
	for _, size := range []int{0, 7, 3 * chunkBytes} {
		inBubble(t, func(t *testing.T, w *world) {
			w.startAll()
			w.chain("web", 3)
			asked, frozen := w.leader(), w.agents["n1"]
			if asked == frozen {
				frozen = w.agents["n2"]
			}
			w.net.Cut(asked.name, frozen.name)
			began := time.Now()
			put, err := w.client(asked.name).PutContent(t.Context(), "web", bytes.NewReader(text(size)), int64(size))
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 2*acceptPatience {
				t.Errorf("%d bytes took %v, want about %v", size, took, acceptPatience)
			}
			if len(put.Holders) != 2 || slices.Contains(put.Holders, frozen.name) {
				t.Errorf("%d bytes went to %v, want two nodes without %s", size, put.Holders, frozen.name)
			}
			w.net.Heal()
			w.healthy("web")
			if got, err := w.get(frozen.name, "web"); err != nil || !bytes.Equal(got, text(size)) {
				t.Errorf("got %d bytes of %d, %v", len(got), size, err)
			}
		})
	}
}

// A holder that hangs has not accepted, however long it is waited for: of two
// holders, one stops answering on a connection that was used before. The PUT
// is refused at its deadline and names it.
func TestFrozenHolderCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		frozen, asked := w.twoHolders("web")
		c := w.client(asked.name)
		if _, err := c.PutContent(t.Context(), "web", strings.NewReader("old"), 3); err != nil {
			t.Fatal(err)
		}
		w.net.Cut(asked.name, frozen.name)
		began := time.Now()
		_, err := c.PutContent(t.Context(), "web", strings.NewReader("new"), 3, client.Within(3*time.Second))
		if want := "node " + frozen.name + " "; !is(err, api.TooFewHolders) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s and %q", err, api.TooFewHolders, want)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it gave up after %v, wanted about 3s (and retries of the client)", took)
		}
		w.net.Heal()
		if got, err := w.get(frozen.name, "web"); err != nil || string(got) != "old" {
			t.Errorf("got %q, %v; want old", got, err)
		}
	})
}

// A PUT waits for a holder that is out of reach: one of two is cut off from
// everybody while it is asked, and when it comes back the PUT succeeds.
func TestHolderReturns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		gone, stays := w.twoHolders("web")
		third := w.otherThan(gone, stays)
		w.net.Partition([]string{gone.name}, []string{stays.name, third.name, "browser"})
		failed := make(chan error, 1)
		go func() {
			_, err := w.client(stays.name).PutContent(t.Context(), "web", strings.NewReader("new"), 3, client.Within(time.Minute))
			failed <- err
		}()
		w.until("it is not alive", func() bool {
			n := stays.Node().View().Node(placement.NodeID(gone.name))
			return n != nil && n.State != placement.NodeAlive
		})
		select {
		case err := <-failed:
			t.Fatalf("it ended with %v before there were two", err)
		default:
		}
		w.net.Heal()
		if err := <-failed; err != nil {
			t.Error(err)
		}
	})
}

// An upload to a node that the state no longer calls reachable ends, and says
// so, although it was accepted: one of two holders is killed after it was asked.
func TestUnreachableDoesNotCount(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		gone, stays := w.twoHolders("web")
		chain := stays.Node().View().Chain("web")
		p := &put{}
		cancelled := map[placement.NodeID]bool{}
		for _, h := range chain.Holders {
			begun := make(chan struct{})
			close(begun)
			p.uploads = append(p.uploads, &upload{node: h.Node, epoch: h.Epoch, begun: begun, cancel: func() { cancelled[h.Node] = true }})
		}
		if p.settle(stays.Node().View(), chain); len(p.uploads) != 2 {
			t.Fatalf("%d uploads are left while both nodes are alive", len(p.uploads))
		}
		w.net.Kill(gone.name)
		gone.Kill()
		<-gone.done
		id := placement.NodeID(gone.name)
		w.until("it is not alive", func() bool { return stays.Node().View().Node(id).State != placement.NodeAlive })
		p.settle(stays.Node().View(), chain)
		if len(p.uploads) != 1 || p.uploads[0].node == id || !cancelled[id] || len(cancelled) != 1 {
			t.Errorf("%d uploads are left, cancelled are %v; want that to %s ended", len(p.uploads), cancelled, id)
		}
	})
}

// The retry of a PUT is answered as the first time, also about the disks that
// have the bytes: it is sent through each node, which stores them on its own
// disk first.
func TestPutAnswersOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("web", 3)
		var first *api.ContentPut
		for _, name := range []string{"n3", "n1", "n2"} {
			put, err := w.client(name).PutContent(t.Context(), "web", strings.NewReader("one"), 3, client.Key("k"))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = put
				w.healthy("web") // by now all three have it
			}
			if diff := cmp.Diff(first, put); diff != "" || len(put.Holders) != 2 {
				t.Errorf("through %s, other than the first time or not two holders %v: %s", name, put.Holders, diff)
			}
		}
	})
}

// Of two PUTs on the same content one wins, and nothing of the other stays on
// any disk when its client is told: both are begun before either ends.
func TestTwoWriters(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("web", 3)
		bodies := []string{"the winner's bytes", "the loser's bytes"}
		var pipes []*io.PipeWriter
		answers := make([]chan error, 2)
		for i, body := range bodies {
			r, pipe := io.Pipe()
			pipes, answers[i] = append(pipes, pipe), make(chan error, 1)
			go func() {
				_, err := w.client("n1").PutContent(t.Context(), "web", r, int64(len(body)))
				answers[i] <- err
			}()
			if _, err := io.WriteString(pipe, body[:4]); err != nil {
				t.Fatal(err)
			}
		}
		for i, body := range bodies {
			io.WriteString(pipes[i], body[4:])
			pipes[i].Close()
			err := <-answers[i]
			if i == 0 && err != nil || i == 1 && !is(err, api.StaleContent) {
				t.Errorf("writer %d: got %v", i, err)
			}
		}
		for _, m := range w.agents {
			if _, _, err := m.store.open.Load().Open("web", sumOf(bodies[1])); err == nil {
				t.Errorf("%s still has the loser's bytes", m.name)
			}
		}
		if got, err := w.get("n2", "web"); err != nil || string(got) != bodies[0] {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// A disk that goes away in the middle of a PUT fails it with words for the
// client, leaves nothing behind, and a second PUT succeeds once there are
// enough holders again.
func TestHolderDiesMidway(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		dies, stays := w.twoHolders("web")
		body := text(40 * chunkBytes)
		reader, writer := io.Pipe()
		failed := make(chan error, 1)
		go func() {
			_, err := w.client(stays.name).PutContent(t.Context(), "web", reader, int64(len(body)))
			reader.CloseWithError(errors.New("nobody reads any more"))
			failed <- err
		}()
		if _, err := writer.Write(body[:len(body)/2]); err != nil {
			t.Fatal(err)
		}
		w.net.Kill(dies.name)
		dies.Kill()
		<-dies.done
		writer.Write(body[len(body)/2:])
		writer.Close()
		if err := <-failed; !is(err, api.TooFewHolders) || !strings.Contains(err.Error(), "node "+dies.name) {
			t.Errorf("got %v, want %s naming node %s", err, api.TooFewHolders, dies.name)
		}
		w.until("nothing of it stays on "+stays.name, func() bool { return len(w.staged(stays)) == 0 })
		w.net.Revive(dies.name)
		w.start(int(dies.name[1] - '0'))
		w.healthy("web")
		if _, err := w.client(stays.name).PutContent(t.Context(), "web", bytes.NewReader(body), int64(len(body))); err != nil {
			t.Error(err)
		}
		if got, err := w.get(dies.name, "web"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("got %d bytes, %v; want all", len(got), err)
		}
	})
}

// A reader gets all bytes although the node that they come from dies midway:
// the rest comes from another live copy. The bytes are read through the node
// without a copy.
func TestSourceDiesMidway(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		one, two := w.twoHolders("web")
		third := w.otherThan(one, two)
		want := text(64 * chunkBytes)
		if _, err := w.client(one.name).PutContent(t.Context(), "web", bytes.NewReader(want), int64(len(want))); err != nil {
			t.Fatal(err)
		}
		c, err := w.client(third.name).Content(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := make([]byte, len(want)/4)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		first := one // the source that is asked first has the lower name
		if two.name < one.name {
			first = two
		}
		w.net.Kill(first.name)
		first.Kill()
		<-first.done
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(slices.Concat(got, rest), want) {
			t.Errorf("got %d bytes, %v; want all %d", len(got)+len(rest), err, len(want))
		}
	})
}

// A reader gets all bytes although the node that they come from hangs, midway or
// before the first byte: the rest comes from another live copy. The bytes are read
// through the node without a copy, and nothing passes any more between it and the
// first source, which the state goes on to call alive.
func TestSourceHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		one, two := w.twoHolders("web")
		third := w.otherThan(one, two)
		want := text(64 * chunkBytes)
		if _, err := w.client(one.name).PutContent(t.Context(), "web", bytes.NewReader(want), int64(len(want))); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		c, err := w.client(third.name).Content(ctx, "web")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := make([]byte, len(want)/4)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		w.net.Cut(third.name, min(one.name, two.name)) // the source that is asked first
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(slices.Concat(got, rest), want) {
			t.Errorf("midway: got %d bytes, %v; want all %d", len(got)+len(rest), err, len(want))
		}
		again, err := w.client(third.name).Content(ctx, "web", client.At(api.Stale)) // the leader may be the one that hangs
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got, err := io.ReadAll(again); err != nil || !bytes.Equal(got, want) {
			t.Errorf("from the first byte on: got %d bytes, %v; want all %d", len(got), err, len(want))
		}
		w.net.Heal()
	})
}

// Rot in the copy that is asked first must never come out of the node without a
// copy as a whole answer, though the other copy has the last bytes: the reader
// sees it break off, and gets the right bytes once the rotten copy is gone.
func TestRotIsNotRelayed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		one, two := w.twoHolders("web")
		third := w.otherThan(one, two)
		want := text(64 * chunkBytes)
		if _, err := w.client(one.name).PutContent(t.Context(), "web", bytes.NewReader(want), int64(len(want))); err != nil {
			t.Fatal(err)
		}
		first := one // the source that is asked first has the lower name
		if two.name < one.name {
			first = two
		}
		rotten := bytes.Clone(want)
		rotten[1] ^= 4
		found := false
		for _, path := range w.files() {
			if b, err := os.ReadFile(path); err == nil && bytes.Equal(b, want) && strings.HasPrefix(path, filepath.Join(w.root, first.name)) {
				found = os.WriteFile(path, rotten, 0o600) == nil
			}
		}
		if !found {
			t.Fatalf("no file of %s has the content", first.name)
		}
		if got, err := w.get(third.name, "web"); err == nil {
			t.Errorf("%d bytes came as a whole answer, right ones: %t", len(got), bytes.Equal(got, want))
		}
		w.until("the rotten copy is not asked", func() bool {
			got, err := w.get(third.name, "web")
			if err == nil && !bytes.Equal(got, want) {
				t.Error("rot came as a whole answer")
			}
			return err == nil
		})
	})
}

// The API answers before the node is ready, and says so; a request that needs
// a leader waits and is refused in words. Only one of three machines runs.
func TestAnswersBeforeReady(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		m := w.start(1)
		w.until("the port is bound", func() bool { return m.HTTPAddr() != "" })
		get := func(path string) int {
			resp, err := (&http.Client{Transport: w.web}).Get("http://" + m.HTTPAddr() + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			return resp.StatusCode
		}
		for path, want := range map[string]int{
			"/livez": 200, "/readyz": 503, "/v1/status?consistency=stale": 200, "/v1/chains/web?timeout=1s": 503, "/metrics": 200,
		} {
			if got := get(path); got != want {
				t.Errorf("%s: got %d, want %d", path, got, want)
			}
		}
		select {
		case <-m.Ready():
			t.Error("ready without a cluster")
		default:
		}
	})
}

// Told to stop, a leader hands over first: the next write through another node
// is accepted at once, a watcher of events is let go, and Run returns nil.
func TestStopsInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		old := w.leader()
		next := w.otherThan(old, old)
		resp, err := (&http.Client{Transport: w.web}).Get("http://" + old.HTTPAddr() + "/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		began := time.Now()
		old.cancel()
		<-old.done
		if old.err != nil {
			t.Errorf("Run returned %v", old.err)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("stopping took %v with nothing but a watcher there", took)
		}
		if _, err := io.ReadAll(resp.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the event stream ended with %v", err)
		}
		began = time.Now()
		if _, err := w.client(next.name).PutChain(t.Context(), "after", api.Spec{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("the next write took %v", took)
		}
	})
}

// A write that is under way when the agent is told to stop is finished: its
// second half comes a moment later. New connections are not taken.
func TestFinishesWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("web", 3)
		m := w.leader()
		r, pipe := io.Pipe()
		answer := make(chan error, 1)
		go func() {
			_, err := w.client(m.name).PutContent(t.Context(), "web", r, 8)
			answer <- err
		}()
		if _, err := io.WriteString(pipe, "some"); err != nil {
			t.Fatal(err)
		}
		w.pass(100 * time.Millisecond) // the request arrives
		m.cancel()
		w.pass(drainPatience / 2)
		if conn, err := w.web.DialContext(t.Context(), "tcp", m.HTTPAddr()); err == nil {
			conn.Close()
			t.Error("it still takes connections")
		}
		io.WriteString(pipe, "more")
		if err := <-answer; err != nil {
			t.Error(err)
		}
		<-m.done
		if m.err != nil {
			t.Error(m.err)
		}
	})
}

// Killed, an agent ends at once, whatever is under way.
func TestKill(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("web", 3)
		m := w.leader()
		r, pipe := io.Pipe()
		answer := make(chan error, 1)
		go func() {
			_, err := w.client(m.name).PutContent(t.Context(), "web", r, 8)
			answer <- err
		}()
		if _, err := io.WriteString(pipe, "some"); err != nil {
			t.Fatal(err)
		}
		w.pass(100 * time.Millisecond) // the request arrives
		m.cancel()                     // it begins to stop in good order, and would wait
		began := time.Now()
		m.Kill()
		<-m.done
		if took := time.Since(began); took > 100*time.Millisecond || m.err != nil {
			t.Errorf("it ended after %v with %v", took, m.err)
		}
		pipe.Close()
		if err := <-answer; err == nil {
			t.Error("the write succeeded")
		}
	})
}

// What cannot be bound ends Run with an error that names it.
func TestPortInUse(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		m := w.start(1)
		w.until("the port is bound", func() bool { return m.HTTPAddr() != "" })
		second := w.start(2, func(c *Config) { c.Cluster.Network, c.HTTP = w.net.Host("n1", nodeIP(1)), nodeIP(1)+":7401" })
		<-second.done
		if want := "HTTP address 10.0.0.1:7401 is in use"; second.err == nil || !strings.Contains(second.err.Error(), want) {
			t.Errorf("got %v, want %q in it", second.err, want)
		}
	})
}

// Each contradiction is refused by New, and the message names the field.
func TestConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"runner: \"exec\"":       func(c *Config) { c.Runner = "exec" },
		"runner: Cluster":        func(c *Config) { c.Runner, c.Cluster.Runner = External, newStore() },
		"content-dir":            func(c *Config) { c.Runner, c.ContentDir = External, "x" },
		"disk-reserve":           func(c *Config) { c.DiskReserve = -1 },
		"http: \"nowhere\"":      func(c *Config) { c.HTTP = "nowhere" },
		"http: \"0.0.0.0:1\"":    func(c *Config) { c.HTTP = "0.0.0.0:1" },
		"http-advertise: \":1\"": func(c *Config) { c.HTTPAdvertise = ":1" },
		"node id is empty":       func(c *Config) { c.Cluster.Node = "" },
		"scorer: ":               func(c *Config) { c.Scorer, c.Cluster.Registry = scorer.New(), new(scheduler.Registry) },
		"measure the content":    func(c *Config) { c.Volume = func() (int64, int64, error) { return 0, 0, errors.New("broken") } },
	} {
		cfg := Config{}
		cfg.Cluster.Node, cfg.Cluster.DataDir, cfg.Cluster.BootstrapExpect = "n1", t.TempDir(), 1
		if _, err := New(cfg); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// twoHolders makes a chain with two copies and returns the machines that hold
// it: one that does not lead, and the other.
func (w *world) twoHolders(id string) (follower, other *member) {
	w.t.Helper()
	chain := w.chain(id, 2)
	one, two := w.agents[chain.Holders[0].Node], w.agents[chain.Holders[1].Node]
	if one == w.leader() {
		return two, one
	}
	return one, two
}

// otherThan returns a machine that is neither of two.
func (w *world) otherThan(one, two *member) *member {
	for _, m := range w.agents {
		if m != one && m != two {
			return m
		}
	}
	return nil
}

// staged lists what clients' PUTs have stored on a machine.
func (w *world) staged(m *member) []holder.Copy {
	w.t.Helper()
	held, err := m.store.Held(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var out []holder.Copy
	for _, c := range held {
		if c.Staged {
			out = append(out, c)
		}
	}
	return out
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// is tells whether err is the cluster's answer with that code.
func is(err error, code api.Code) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Code == code
}

// What the machine has is announced once with what the operator says, who goes
// first where they differ; what it reads is known to every server: three agents
// of the same made-up machine.
func TestMachineIsAnnounced(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll(func(c *Config) {
			c.Cluster.Capabilities = placement.Capabilities{{Key: "cores", Number: 4, IsNumber: true}, {Key: "gpu", Text: "a100"}}
			c.Machine.Reads = func() placement.Sample { return placement.Sample{Load: 0.5, FreeBytes: -1, MemoryFreeBytes: 1 << 30} }
		})
		want := placement.Capabilities{
			{Key: "cores", Number: 4, IsNumber: true}, {Key: "disk_bytes", Number: 100 << 30, IsNumber: true}, {Key: "gpu", Text: "a100"},
		}
		view := w.agents["n1"].Node().View()
		if diff := cmp.Diff(want, view.Node("n2").Capabilities); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		w.until("every server knows every machine", func() bool {
			for _, m := range w.agents {
				for of := range w.agents {
					s, _ := m.Node().Facts().Sample(placement.NodeID(of))
					if s.Load != 0.5 || s.MemoryFreeBytes != 1<<30 || s.FreeBytes < 80<<30 {
						return false
					}
				}
			}
			return true
		})
	})
}

// The operating system's word makes sense: this machine, whatever it is.
func TestThisMachine(t *testing.T) {
	m := thisMachine()
	if err := m.Has().Check(); err != nil {
		t.Error(err)
	}
	cores, _ := m.Has().Get(placement.CapabilityCores)
	memory, known := m.Has().Get(placement.CapabilityMemoryBytes)
	if s := m.Reads(); cores.Number < 1 || s.Load < 0 || known && float64(s.MemoryFreeBytes) > memory.Number {
		t.Errorf("%v, %+v", m.Has(), s)
	}
}
