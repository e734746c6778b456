//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/internal/lincheck"
)

// linearClients is how many clients send at once.
const linearClients = 10

// TestLinear: ten clients write, compare and set, delete and read a few chains
// at once, through all nodes of a real cluster and at every consistency, with
// retries under one key, while nodes are killed, paused or cut off. Nothing
// that they see contradicts rules S20 and S21, and when all is over, all nodes
// have the same state and every acknowledged content.
//
// `make linear` sets by HOLDFAST_LINEAR how long a run takes, and by
// HOLDFAST_LINEAR_RUNS, _NEMESIS, _NODES and _SEED how many runs there are, which
// nemeses (none, too), how many nodes, and the first seed.
func TestLinear(t *testing.T) {
	span, err := time.ParseDuration(cmp.Or(os.Getenv("HOLDFAST_LINEAR"), "10s"))
	if err != nil {
		t.Fatalf("HOLDFAST_LINEAR: %v", err)
	}
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("HOLDFAST_LINEAR_RUNS"), "1"))
	if err != nil {
		t.Fatalf("HOLDFAST_LINEAR_RUNS: %v", err)
	}
	nodes := []int{3, 5}
	if given := os.Getenv("HOLDFAST_LINEAR_NODES"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil {
			t.Fatalf("HOLDFAST_LINEAR_NODES: %v", err)
		}
		nodes = []int{n}
	}
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any bits will do
	if given := os.Getenv("HOLDFAST_LINEAR_SEED"); given != "" {
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("HOLDFAST_LINEAR_SEED: %v", err)
		}
	}
	why := noNamespaces()
	for _, kind := range strings.Fields(cmp.Or(os.Getenv("HOLDFAST_LINEAR_NEMESIS"), "kill stop netns mixed")) {
		t.Run(kind, func(t *testing.T) {
			if kind == "netns" && why != "" {
				t.Skipf("no partitions: %s", why)
			}
			fmt.Fprintln(t.Output(), "| run | nemesis | nodes | seed | put/delete/content/linearizable/leader/stale | ok/refused/failed/unknown | faults | porcupine |")
			for run := range runs {
				linear{kind: kind, nodes: nodes[run%len(nodes)], seed: seed + uint64(run), span: span, netns: why == ""}.run(t, run+1)
			}
			if why != "" {
				t.Logf("without partitions: %s", why)
			}
		})
	}
}

// linear is one run.
type linear struct {
	kind  string
	nodes int
	seed  uint64
	span  time.Duration
	netns bool
}

// nemeses returns the kinds of faults, and how many at once.
func (l linear) nemeses() (kinds []string, atOnce int) {
	switch {
	case l.kind == "none":
		return nil, 0
	case l.kind != "mixed":
		return []string{l.kind}, 1
	case l.netns:
		return []string{"kill", "stop", "netns"}, 2
	}
	return []string{"kill", "stop"}, 2
}

func (l linear) run(t *testing.T, number int) {
	t.Run(strconv.Itoa(number), func(t *testing.T) {
		t.Logf("seed %d", l.seed)
		f := launch(t, l.nodes, l.netns)
		w := &world{f: f, history: new(lincheck.History), began: time.Now(), last: map[string]lincheck.Answer{}}
		t.Cleanup(func() { l.keep(t, w) })
		rng := func(i uint64) *rand.Rand { return rand.New(rand.NewPCG(l.seed, i)) }
		first := &user{world: w, id: linearClients, rng: rng(linearClients)}
		first.fill()

		ctx, cancel := context.WithTimeout(t.Context(), l.span)
		defer cancel()
		kinds, atOnce := l.nemeses()
		n := &nemesis{f: f, kinds: kinds, faults: map[string]int{}}
		var all sync.WaitGroup
		for i := range atOnce {
			all.Go(func() { n.run(ctx, rng(uint64(100+i))) })
		}
		for i := range linearClients {
			u := &user{world: w, id: i, rng: rng(uint64(i))}
			all.Go(func() { u.run(ctx) })
		}
		watching, stop := context.WithCancel(t.Context())
		defer stop()
		sees, states := w.watch(watching), w.compare(watching)
		all.Wait()

		f.ready()
		first.rest()
		w.agree()
		sees.all()
		stop()
		<-states
		l.judge(t, w, n, number)
	})
}

// judge checks the history, prints a line of the table, and keeps the evidence
// of what is wrong.
func (l linear) judge(t *testing.T, w *world, n *nemesis, number int) {
	ops := w.history.Ops()
	v := lincheck.Check(ops, lincheck.Options{Undisturbed: l.kind == "none" || l.kind == "kill", Patience: time.Minute})
	kinds, outcomes := lincheck.Counts(ops)
	fmt.Fprintf(t.Output(), "| %d | %s | %d | %d | %s | %s | %v | %s, %d in %v |\n", number, l.kind, l.nodes, l.seed, kinds, outcomes, n,
		v.Porcupine, v.Ordered, v.Took.Round(time.Millisecond))
	for _, text := range w.found[:min(5, len(w.found))] {
		t.Error(text)
	}
	for _, one := range v.Violations[:min(5, len(v.Violations))] {
		t.Error(one)
	}
}

// keep saves the evidence of a run that failed where it outlives the test: the
// history and its picture, and the logs and data directories of the nodes.
func (l linear) keep(t *testing.T, w *world) {
	if !t.Failed() {
		return
	}
	dir, err := os.MkdirTemp("", "holdfast-linear-") //nolint:usetesting // people read it later
	if err != nil {
		t.Error(err)
		return
	}
	t.Logf("the history, its picture, and what the nodes leave are in %s", dir)
	for i := 1; i <= l.nodes; i++ {
		w.f.kill(i)
	}
	ops := w.history.Ops()
	v := lincheck.Check(ops, lincheck.Options{Patience: time.Minute})
	for _, err := range []error{
		lincheck.Save(filepath.Join(dir, "history.json"), ops),
		v.Draw(filepath.Join(dir, "history.html")),
		os.CopyFS(filepath.Join(dir, "nodes"), os.DirFS(w.f.dir)),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

// fill creates the blobs with their first content.
func (u *user) fill() {
	u.f.t.Helper()
	m, c := u.f, u.f.client(time.Minute, u.f.all()...)
	for _, id := range u.blobs() {
		op := lincheck.Op{Client: u.id, Kind: lincheck.Put, Chain: id, Key: client.NewKey(), Call: u.now(), Node: "any"}
		r := u.request(op)
		r.op.Value = "" // its labels stay empty
		three := 3
		chain, err := c.PutChain(m.t.Context(), id, api.Spec{Desired: &three}, client.Key(op.Key))
		if err != nil {
			m.t.Fatal(err)
		}
		r.op.Return, r.op.Result = u.now(), lincheck.OK
		r.op.Answer = lincheck.Answer{Exists: true, Created: true, Generation: chain.Generation, Revision: chain.Generation}
		u.history.Add(r.op)

		u.sent++
		r = u.request(lincheck.Op{Client: u.id, Kind: lincheck.PutContent, Chain: id, Key: client.NewKey(), Call: u.now()})
		r.op.Return = lincheck.Never
		m.eventually(time.Minute, "the first content is accepted", func() error {
			if u.attempt(r, 1+u.rng.IntN(m.count), 30*time.Second); r.op.Result != lincheck.OK {
				return fmt.Errorf("%v", &r.op)
			}
			return nil
		})
		r.op.Return = u.now()
		u.learn(&r.op)
		u.history.Add(r.op)
	}
}

func (f *fleet) all() []int {
	var list []int
	for i := 1; i <= f.count; i++ {
		list = append(list, i)
	}
	return list
}

// rest reads every chain at last, so that the history tells what is left of
// all writes, and every content through every node.
func (u *user) rest() {
	u.f.t.Helper()
	for _, id := range append(u.registers(), u.blobs()...) {
		r := &request{op: lincheck.Op{Client: u.id, Kind: lincheck.Read, Chain: id, Level: api.Linearizable}}
		u.f.eventually(time.Minute, "a linearizable read of "+id+" is answered", func() error {
			r.op.Call = u.now()
			u.attempt(r, 1+u.rng.IntN(u.f.count), 10*time.Second)
			if r.op.Return = u.now(); r.op.Result != lincheck.OK {
				return fmt.Errorf("%v", &r.op)
			}
			return nil
		})
		u.history.Add(r.op)
		if r.op.Answer.Content == "" {
			continue
		}
		for i := 1; i <= u.f.count; i++ {
			u.f.eventually(time.Minute, fmt.Sprintf("n%d serves the content of %s", i, id), func() error { return u.serves(i, id, r.op.Answer.Content) })
		}
	}
}

// serves tells whether a node serves the bytes of that hash.
func (u *user) serves(node int, id, sha string) error {
	content, err := u.f.client(0, node).Content(u.f.t.Context(), id, client.At(api.Linearizable))
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != sha {
		u.f.t.Errorf("acked-is-kept: n%d serves the content %s of %s, the state names %s", node, got, id, sha)
	}
	return nil
}

// agree waits until all nodes show the same chains and the same decisions, and
// holds the decisions to their order.
func (w *world) agree() {
	w.f.t.Helper()
	for _, path := range []string{"/v1/chains?consistency=stale&limit=1000", "/v1/decisions?consistency=stale&limit=1000"} {
		w.f.eventually(time.Minute, "all nodes show the same at "+path, func() error {
			var first []byte
			for i := 1; i <= w.f.count; i++ {
				body, err := w.get(i, path)
				switch {
				case err != nil:
					return err
				case first == nil:
					first = body
				case !bytes.Equal(first, body):
					return fmt.Errorf("n%d shows\n%.3000s\nand n1\n%.3000s", i, body, first)
				}
			}
			return nil
		})
	}
	list, err := w.f.client(keyPatience, w.f.all()...).Decisions(w.f.t.Context(), client.DecisionFilter{Limit: 1000})
	if err != nil {
		w.f.t.Fatal(err)
	}
	for i := 1; i < len(list.Decisions); i++ {
		newer, older := list.Decisions[i-1], list.Decisions[i]
		if newer.Index < older.Index || newer.Term < older.Term || newer.Revision < older.Revision {
			w.broken("history: the decision at revision %d, index %d, term %d stands after that at %d, %d, %d",
				newer.Revision, newer.Index, newer.Term, older.Revision, older.Index, older.Term)
		}
	}
}

// get returns what a node answers.
func (w *world) get(node int, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(w.f.t.Context(), http.MethodGet, "http://"+w.f.api(node)+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := w.f.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("n%d answers %s: %s", node, resp.Status, body)
	}
	return body, err
}
