package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
)

// exchange is one request while it is served: what the middleware has read of
// it, and how the answer stands. It belongs to the request's goroutine.
type exchange struct {
	server    *Server
	route     *route
	w         http.ResponseWriter // of the present attempt
	r         *http.Request
	forwarded bool // another node has passed it on: it is answered here or not at all
	caller    Caller

	level    string // consistency
	revision uint64 // of a blocking read; meaningless without blocking
	blocking bool
	wait     time.Duration
	timeout  time.Duration
	until    time.Time // when the wait for a leader is over
	resumed  bool      // wait is what broken attempts have left of it
	since    uint64    // of a list of changes; 0 = not one, or not a number
	lineage  string    // the history that the client speaks of, "" = not said
	reason   string    // of the query

	body    []byte
	fields  *fieldTable
	request fsm.Request // of a write

	gate     *gate // that it is within, nil = none
	bodies   *gate // that holds what is reserved for the body
	reserved int64

	status int      // of a good answer
	again  api.Code // why the attempt must be repeated elsewhere: no-leader or outcome-unknown
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange) //nolint:errcheck,forcetypeassert // ServeHTTP has put it there
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &outcomeWriter{ResponseWriter: w}
	pattern := ""
	if isClean(r.URL.EscapedPath()) { // the mux would redirect, in HTML
		_, pattern = s.mux.Handler(r)
	}
	rt := s.routes[pattern]
	done := s.metrics.begin(rt, r.Method)
	defer func() { done(out.code()) }()
	defer s.recoverPanic(out, r)
	s.limitBody(out, r)
	if rt == nil { // what has no row in the table of roles does not exist
		s.writeProblem(out, s.noRoute(out, r))
		return
	}
	x, p := s.open(out, r, rt)
	defer x.leave()
	if p != nil {
		s.writeProblem(out, p)
		return
	}
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if s.needsLeader(x) {
		s.viaLeader(out, x)
		return
	}
	if s.ahead(x) && s.askOnce(out, x) {
		return
	}
	s.mux.ServeHTTP(out, x.r)
}

// recoverPanic turns a panic into an answer, if none has begun, and a word to
// who watches over the server.
func (s *Server) recoverPanic(w *outcomeWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // the standard library compares it so
		panic(v)
	}
	s.cfg.OnError(fmt.Errorf("panic in %s %s: %v\n%s", r.Method, r.URL.Path, v, debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
	s.writeProblem(w, api.NewProblem(api.Internal, "the server failed on this request; its log says where"))
}

// isClean tells whether a path has neither empty nor dotted steps in it.
func isClean(p string) bool {
	c := path.Clean(p)
	return p == c || c != "/" && p == c+"/"
}

// noRoute tells an unknown path from a known one with another method.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) *api.Problem {
	var allowed []string
	if !isClean(r.URL.EscapedPath()) {
		return api.NewProblem(api.NotFound, "nothing is at %.200q: the path has //, . or .. in it", r.URL.Path)
	}
	for _, m := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		q := *r
		q.Method = m
		if _, pattern := s.mux.Handler(&q); pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if allowed == nil {
		return api.NewProblem(api.NotFound, "nothing is at %.200q", r.URL.Path)
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	return api.NewProblem(api.MethodNotAllowed, "%s is not possible at %.200q; use %s", r.Method, r.URL.Path, list)
}

// open reads what is common to all requests. The exchange is to be left, also
// after a problem.
func (s *Server) open(w http.ResponseWriter, r *http.Request, rt *route) (*exchange, *api.Problem) {
	x := &exchange{
		server: s, route: rt, w: w, r: r, status: http.StatusOK, fields: &s.fields,
		forwarded: fromPeer(r) && r.Header.Get(api.HeaderForwarded) != "",
		lineage:   r.Header.Get(api.HeaderLineage),
	}
	p := s.admit(x)
	if p == nil {
		p = x.readQuery()
	}
	if p == nil {
		p = x.enter()
	}
	if p == nil {
		p = x.plainBody()
	}
	if p != nil || rt.kind != write {
		return x, p
	}
	if p = x.readBody(w); p == nil {
		p = x.readKey()
	}
	return x, p
}

// plainBody refuses a body that is packed: nothing here unpacks it, and a
// content would be stored as something that it is not.
func (x *exchange) plainBody() *api.Problem {
	for _, coding := range x.r.Header.Values("Content-Encoding") {
		if !strings.EqualFold(coding, "identity") {
			return api.InvalidField("Content-Encoding", "Content-Encoding: %.40q is not taken; send the bytes as they are", coding)
		}
	}
	return nil
}

// readBody takes the body into memory: it is hashed, and may be sent again.
func (x *exchange) readBody(w http.ResponseWriter) *api.Problem {
	limit := x.route.bodyMax
	if limit == 0 {
		limit = api.BodyBytesMax
	}
	if x.r.Body == nil || x.r.Body == http.NoBody {
		return nil
	}
	size := x.r.ContentLength
	if size < 0 || size > limit {
		size = limit
	}
	timeout := x.server.limits.BodyTimeout + time.Duration(size/bodyBytesSecond)*time.Second
	control := http.NewResponseController(w)
	bounded := control.SetReadDeadline(time.Now().Add(timeout)) == nil // a request of this process has no connection
	body, err := io.ReadAll(&reserving{http.MaxBytesReader(w, x.r.Body, limit), x})
	full, refused := errors.AsType[*api.Problem](err)
	switch {
	case refused:
		return full
	case errors.Is(err, os.ErrDeadlineExceeded):
		return api.InvalidField("body", "the body did not arrive within %v", timeout)
	case err != nil && int64(len(body)) >= limit:
		return api.NewProblem(api.TooLarge, "the body has more than the %d bytes allowed", limit)
	case err != nil:
		return api.InvalidField("body", "the body could not be read: %v", err)
	case bounded:
		_ = control.SetReadDeadline(time.Time{}) // the connection lives on
	}
	x.body = body
	return nil
}

// readKey takes the idempotency key, or makes one up, and hashes the request
// (rule S20).
func (x *exchange) readKey() *api.Problem {
	key := x.r.Header.Get(api.HeaderIdempotencyKey)
	if key == "" {
		key = rand.Text()
	}
	if p := checkText(api.HeaderIdempotencyKey, key, api.KeyBytesMax); p != nil {
		return p
	}
	x.request = fsm.Request{Key: key, Hash: requestHash(x.r.Method, x.r.URL.Path, x.body)}
	return nil
}

func requestHash(method, at string, body []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", method, at)
	h.Write(body)
	return h.Sum(nil)
}

// checkText refuses a text that is too long or has control characters.
func checkText(field, text string, limit int) *api.Problem {
	if len(text) > limit {
		return api.InvalidField(field, "%s: %d bytes given, at most %d are allowed", field, len(text), limit)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return api.InvalidField(field, "%s: control characters are not allowed", field)
	}
	return nil
}

// outcomeWriter remembers the status of the answer.
type outcomeWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers and passes on.
func (w *outcomeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write passes on.
func (w *outcomeWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap gives http.ResponseController the writer beneath.
func (w *outcomeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *outcomeWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
