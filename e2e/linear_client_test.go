//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/internal/lincheck"
)

// Times of the clients.
const (
	keyPatience = 15 * time.Second // retries end well within request_ttl, 60 s
	leaderWait  = 2 * time.Second  // ?timeout=
)

// world is what the clients know of each other: what was seen last, so that
// conditions hold often enough.
type world struct {
	f       *fleet
	history *lincheck.History
	began   time.Time

	mu    sync.Mutex
	last  map[string]lincheck.Answer // of each chain
	found []string                   // broken promises that a single client sees
}

func (w *world) now() int64 { return int64(time.Since(w.began)) }

// learn takes note of an answer.
func (w *world) learn(op *lincheck.Op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.last[op.Chain]
	if op.Result != lincheck.OK || op.Answer.Revision < a.Revision {
		return
	}
	a.Revision = op.Answer.Revision
	if op.Answer.Generation != 0 {
		a.Generation = op.Answer.Generation
	}
	if op.Answer.Content != "" {
		a.Content = op.Answer.Content
	}
	w.last[op.Chain] = a
}

func (w *world) known(chain string) lincheck.Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[chain]
}

func (w *world) broken(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = append(w.found, fmt.Sprintf(format, args...))
}

// user is one client: it sends one operation after the other.
type user struct {
	*world
	id   int
	rng  *rand.Rand
	sent int
}

// Chains of the workload. Registers are created, replaced and deleted, and
// have no content; blobs are never deleted, and have.
func (w *world) registers() []string { return []string{"reg-0", "reg-1", "reg-2", "reg-3", "reg-4"} }
func (w *world) blobs() []string     { return []string{"blob-0", "blob-1", "blob-2"} }

// run sends operations until ctx ends; one that is under way is finished.
func (u *user) run(ctx context.Context) {
	for {
		pause := time.Duration(20+u.rng.IntN(120)) * time.Millisecond
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		u.one(u.draw())
	}
}

// draw chooses an operation.
func (u *user) draw() *request {
	u.sent++
	op := lincheck.Op{Client: u.id, Chain: u.registers()[u.rng.IntN(len(u.registers()))]}
	blob := u.rng.IntN(3) == 0
	if blob {
		op.Chain = u.blobs()[u.rng.IntN(len(u.blobs()))]
	}
	last := u.known(op.Chain)
	switch n := u.rng.IntN(100); {
	case n < 55 || blob && n < 70:
		op.Kind = lincheck.Read
		op.Level = []string{api.Linearizable, api.Linearizable, api.FromLeader, api.Stale, api.Stale}[u.rng.IntN(5)]
		if blob && u.rng.IntN(2) == 0 {
			op.Kind = lincheck.ReadContent
		} else if op.Level != api.Linearizable && u.rng.IntN(4) == 0 {
			op.After = last.Revision
		}
	case blob:
		op.Kind = lincheck.PutContent
		if u.rng.IntN(2) == 0 {
			op.IfSHA = last.Content
		}
	case n < 63:
		op.Kind = lincheck.Delete
	default:
		op.Kind = lincheck.Put
		switch u.rng.IntN(5) {
		case 0:
			op.IfNone = true
		case 1, 2:
			op.IfGen = last.Generation
		}
	}
	return u.request(op)
}

// request is an operation and how it is sent.
type request struct {
	op   lincheck.Op
	wait time.Duration // of a blocking read
	spec api.Spec
	body []byte
}

// request completes an operation with the value that it writes.
func (u *user) request(op lincheck.Op) *request {
	r := &request{op: op}
	name := fmt.Sprintf("c%d-%d", u.id, u.sent)
	switch op.Kind {
	case lincheck.Put:
		desired := 1
		r.op.Value = name
		r.spec = api.Spec{Desired: &desired, Labels: map[string]string{"v": name}}
		r.body, _ = json.Marshal(map[string]any{"spec": map[string]any{"desired": 1, "labels": r.spec.Labels}}) // of plain values
	case lincheck.PutContent:
		r.body = bytes.Repeat([]byte(name+"\n"), 1+u.rng.IntN(2000))
		sum := sha256.Sum256(r.body)
		r.op.Value = hex.EncodeToString(sum[:])
	}
	if op.After != 0 {
		r.wait = time.Duration(100+u.rng.IntN(900)) * time.Millisecond
	}
	return r
}

// one sends an operation in one of several manners and records it.
func (u *user) one(r *request) {
	op := &r.op
	op.Return = lincheck.Never
	way := u.rng.IntN(10)
	if op.Kind == lincheck.PutContent || op.Kind == lincheck.Put || op.Kind == lincheck.Delete {
		op.Key = fmt.Sprintf("k%d-%d-%d", u.began.UnixNano(), u.id, u.sent)
	}
	op.Call = u.now()
	switch {
	case op.Key == "" && way < 7 || op.After != 0 || op.Level == api.Stale:
		u.attempt(r, 1+u.rng.IntN(u.f.count), time.Duration(1+u.rng.IntN(2))*time.Second+r.wait)
	case op.Key == "" || way < 3:
		u.library(r)
	case way < 5: // once, and without a key half of the time
		if u.rng.IntN(2) == 0 {
			op.Key = ""
		}
		u.attempt(r, 1+u.rng.IntN(u.f.count), time.Duration(300+u.rng.IntN(2500))*time.Millisecond)
	case way < 6:
		u.twice(r)
	default:
		u.untilKnown(r)
		if way == 9 && (op.Result == lincheck.OK || op.Result == lincheck.Refused) {
			op.Return = u.now()
			again := *r
			u.untilKnown(&again)
			u.alike(r, &again)
		}
	}
	if op.Result != lincheck.Unknown && op.Return == lincheck.Never {
		op.Return = u.now()
	}
	u.learn(op)
	u.history.Add(*op)
}

// untilKnown repeats a write under its key, each time through a random node,
// until its outcome is known or its time is over.
func (u *user) untilKnown(r *request) {
	until := time.Now().Add(keyPatience)
	maybe := false
	for {
		u.attempt(r, 1+u.rng.IntN(u.f.count), time.Duration(500+u.rng.IntN(2500))*time.Millisecond)
		switch maybe = maybe || r.op.Result == lincheck.Unknown; {
		case r.op.Result == lincheck.OK, r.op.Result == lincheck.Refused, time.Now().After(until):
			if r.op.Result == lincheck.Failed && maybe {
				r.op.Result = lincheck.Unknown
			}
			return
		}
		<-time.After(time.Duration(20+u.rng.IntN(100)) * time.Millisecond)
	}
}

// twice sends the same write through two nodes at once. Who gets no answer
// asks again.
func (u *user) twice(r *request) {
	a, b := *r, *r
	other := user{world: u.world, id: u.id, rng: rand.New(rand.NewPCG(u.rng.Uint64(), 1))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		other.untilKnown(&b)
		b.op.Return = u.now()
	}()
	u.untilKnown(&a)
	a.op.Return = u.now()
	<-done
	u.alike(&a, &b)
	if known := b.op.Result == lincheck.OK || b.op.Result == lincheck.Refused; known && (b.op.Return < a.op.Return || a.op.Result == lincheck.Unknown || a.op.Result == lincheck.Failed) {
		a = b
	}
	if a.op.Result == lincheck.Unknown || b.op.Result == lincheck.Unknown && a.op.Result == lincheck.Failed {
		a.op.Result, a.op.Return = lincheck.Unknown, lincheck.Never
	}
	sent := a.op.Sent + b.op.Sent
	r.op = a.op
	r.op.Sent = sent
}

// alike reports a write that was answered twice under one key, and not alike
// (rule S20).
func (u *user) alike(a, b *request) {
	final := func(o lincheck.Outcome) bool { return o == lincheck.OK || o == lincheck.Refused }
	x, y := &a.op, &b.op
	if !final(x.Result) || !final(y.Result) {
		return
	}
	same := x.Result == y.Result && x.Code == y.Code && x.Answer.Created == y.Answer.Created
	if x.Answer.Generation != 0 && y.Answer.Generation != 0 {
		same = same && x.Answer.Generation == y.Answer.Generation
	}
	if x.Answer.Revision != 0 && y.Answer.Revision != 0 {
		same = same && x.Answer.Revision == y.Answer.Revision
	}
	if !same {
		u.broken("applied-twice: one request, %s, was answered\n\t%v\n\t%v", x.Key, x, y)
	}
}

// attempt sends a request once, to one node, and reads the answer.
func (u *user) attempt(r *request, node int, patience time.Duration) {
	op := &r.op
	life := u.f.life(node)
	op.Sent++
	op.Node, op.Answer = fmt.Sprintf("n%d", node), lincheck.Answer{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	connected := false // a request with a key may be sent twice: the error of the second says nothing of the first
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	began := time.Now()
	resp, err := u.f.http.Do(u.http(ctx, r, node))
	if err != nil {
		op.Result, op.Code = lincheck.Unknown, "no answer"
		if !connected || op.Kind == lincheck.Read || op.Kind == lincheck.ReadContent {
			op.Result = lincheck.Failed
		}
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	op.Answer.InTime = time.Since(began) < r.wait*9/10
	if op.Life = life; u.f.life(node) != life {
		op.Life = 0
	}
	u.judge(r, resp, body, err)
}

// http is the request for one node.
func (u *user) http(ctx context.Context, r *request, node int) *http.Request {
	op := &r.op
	method, path, query := http.MethodGet, "/v1/chains/"+op.Chain, url.Values{}
	switch op.Kind {
	case lincheck.Put:
		method = http.MethodPut
	case lincheck.Delete:
		method = http.MethodDelete
		query.Set("reason", "linear")
	case lincheck.PutContent:
		method, path = http.MethodPut, path+"/content"
	case lincheck.ReadContent:
		path += "/content"
	}
	query.Set("timeout", leaderWait.String())
	if op.Level != "" {
		query.Set("consistency", op.Level)
	}
	if op.After != 0 {
		query.Set("revision", strconv.FormatUint(op.After, 10))
		query.Set("wait", r.wait.String())
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+u.f.api(node)+path+"?"+query.Encode(), bytes.NewReader(r.body))
	if err != nil {
		panic(err) // of parts made here
	}
	if op.Key != "" {
		req.Header.Set(api.HeaderIdempotencyKey, op.Key)
	}
	switch {
	case op.IfGen != 0:
		req.Header.Set("If-Match", fmt.Sprintf("%q", strconv.FormatUint(op.IfGen, 10)))
	case op.IfSHA != "":
		req.Header.Set("If-Match", fmt.Sprintf("%q", op.IfSHA))
	case op.IfNone:
		req.Header.Set("If-None-Match", "*")
	}
	return req
}

// judge reads an answer into the operation.
func (u *user) judge(r *request, resp *http.Response, body []byte, err error) {
	op, a := &r.op, &r.op.Answer
	a.Revision, _ = strconv.ParseUint(resp.Header.Get(api.HeaderRevision), 10, 64)
	a.Lineage, a.KnownLeader = resp.Header.Get(api.HeaderLineage), resp.Header.Get(api.HeaderKnownLeader)
	a.LastContact = resp.Header.Get(api.HeaderLastContact)
	op.Code = resp.Header.Get(api.HeaderCode)
	reads := op.Kind == lincheck.Read || op.Kind == lincheck.ReadContent
	switch {
	case err != nil && reads:
		op.Result, op.Code = lincheck.Failed, "broke off"
	case err != nil:
		op.Result, op.Code = lincheck.Unknown, "broke off"
	case resp.StatusCode >= http.StatusBadRequest:
		u.refusal(op, api.Code(op.Code))
	case op.Kind == lincheck.ReadContent:
		sum := sha256.Sum256(body)
		op.Result, a.Exists, a.Content = lincheck.OK, true, hex.EncodeToString(sum[:])
		if tag := resp.Header.Get("ETag"); tag != strconv.Quote(a.Content) {
			u.broken("content: %v\n\thas the ETag %s", op, tag)
		}
	case op.Kind == lincheck.Delete:
		op.Result = lincheck.OK
	case op.Kind == lincheck.PutContent:
		var put api.ContentPut
		if json.Unmarshal(body, &put) != nil || put.SHA256 != op.Value {
			u.broken("content: %v\n\twas answered %s", op, body)
		}
		op.Result, a.Revision, a.Content = lincheck.OK, put.Version, put.SHA256
	default:
		var c api.Chain
		if json.Unmarshal(body, &c) != nil {
			u.broken("answer: %v\n\twas answered %s", op, body)
		}
		a.Created = resp.StatusCode == http.StatusCreated
		u.shown(op, &c)
	}
}

// shown reads a chain into the answer.
func (u *user) shown(op *lincheck.Op, c *api.Chain) {
	a := &op.Answer
	op.Result, a.Exists, a.Generation, a.Value = lincheck.OK, true, c.Generation, c.Spec.Labels["v"]
	if c.Content != nil {
		a.Content = c.Content.SHA256
	}
	if op.Kind == lincheck.Put && a.Value != op.Value {
		if op.Sent == 1 {
			u.broken("answer: %v\n\tshows another spec than was sent", op)
		}
		a.Generation, a.Value = 0, "" // an answer too long to be remembered whole
	}
}

// refusal tells an answer of the state machine from one that says nothing was
// done and from one that leaves it open.
func (u *user) refusal(op *lincheck.Op, code api.Code) {
	reads := op.Kind == lincheck.Read || op.Kind == lincheck.ReadContent
	switch code {
	case api.UnknownChain:
		switch {
		case op.Kind == lincheck.Put && op.Sent > 1: // it was put, remembered without its chain, and deleted since
			op.Result = lincheck.OK
		case reads:
			op.Result = lincheck.OK
		default:
			op.Result = lincheck.Refused
		}
	case api.StaleGeneration, api.StaleContent, api.Exists:
		op.Result = lincheck.Refused
	case api.NoLeader, api.TooFewHolders, api.Overloaded, api.NoLiveCopy, api.NoSpace:
		op.Result = lincheck.Failed
	case api.OutcomeUnknown, api.NotReady, api.Internal:
		op.Result = lincheck.Unknown
	default:
		op.Result = lincheck.Unknown
		u.broken("answer: %v\n\tis no answer to such a request", op)
	}
	if reads && op.Result == lincheck.Unknown {
		op.Result = lincheck.Failed
	}
	if code == api.Internal {
		u.broken("answer: %v", op)
	}
}

// library sends an operation through package client, which repeats it by
// itself.
func (u *user) library(r *request) {
	op := &r.op
	nodes := u.rng.Perm(u.f.count)
	for i := range nodes {
		nodes[i]++
	}
	c := u.f.client(5*time.Second, nodes...)
	op.Sent, op.Node = 2, "any" // at least one
	var at client.Meta
	opts := []client.CallOption{client.Within(leaderWait), client.WithMeta(&at)}
	if op.Level != "" {
		opts = append(opts, client.At(op.Level))
	}
	if op.Key != "" {
		opts = append(opts, client.Key(op.Key))
	}
	switch {
	case op.IfGen != 0:
		opts = append(opts, client.IfGeneration(op.IfGen))
	case op.IfSHA != "":
		opts = append(opts, client.IfSHA256(op.IfSHA))
	case op.IfNone:
		opts = append(opts, client.CreateOnly())
	}
	ctx, cancel := context.WithTimeout(context.Background(), keyPatience)
	defer cancel()
	err := u.call(ctx, c, r, opts)
	op.Answer.Created = at.Created
	if op.Kind != lincheck.PutContent && op.Kind != lincheck.Delete {
		op.Answer.Revision = at.Revision
	}
	op.Answer.Lineage, op.Answer.KnownLeader, op.Answer.LastContact = at.Lineage, strconv.FormatBool(at.KnownLeader), at.LastContact.String()
	if err == nil {
		return
	}
	op.Code, op.Result = err.Error(), lincheck.Unknown
	p, ok := errors.AsType[*api.Problem](err)
	reads := op.Kind == lincheck.Read || op.Kind == lincheck.ReadContent
	if !reads {
		op.Answer = lincheck.Answer{}
	}
	switch {
	case reads && (!ok || p.Code != api.UnknownChain):
		op.Result = lincheck.Failed
	case ok && (p.Code == api.StaleGeneration || p.Code == api.Exists || p.Code == api.StaleContent || p.Code == api.UnknownChain):
		op.Code = string(p.Code)
		u.refusal(op, p.Code)
	}
}

// call makes the call of the library that the operation is.
func (u *user) call(ctx context.Context, c *client.Client, r *request, opts []client.CallOption) error {
	op := &r.op
	switch op.Kind {
	case lincheck.Put:
		chain, err := c.PutChain(ctx, op.Chain, r.spec, opts...)
		if err == nil {
			u.shown(op, chain)
		}
		return err
	case lincheck.Delete:
		done, err := c.DeleteChain(ctx, op.Chain, "linear", opts...)
		if err == nil {
			op.Result, op.Answer.Revision = lincheck.OK, done.Revision
		}
		return err
	case lincheck.PutContent:
		put, err := c.PutContent(ctx, op.Chain, bytes.NewReader(r.body), int64(len(r.body)), opts...)
		if err == nil {
			op.Result, op.Answer.Revision, op.Answer.Content = lincheck.OK, put.Version, put.SHA256
		}
		return err
	case lincheck.Read:
		chain, err := c.Chain(ctx, op.Chain, opts...)
		if err == nil {
			u.shown(op, chain)
		}
		return err
	default:
		content, err := c.Content(ctx, op.Chain, opts...)
		if err != nil {
			return err
		}
		defer content.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, content); err != nil {
			return err
		}
		op.Result, op.Answer.Exists, op.Answer.Content = lincheck.OK, true, hex.EncodeToString(sum.Sum(nil))
		return nil
	}
}
