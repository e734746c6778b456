package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
)

// Waits between two attempts to reach a leader: short, for they add to the time
// that a failover takes.
const (
	retryMin = 10 * time.Millisecond
	retryMax = 50 * time.Millisecond
)

// answerBytesMax bounds the answer to a forwarded write, which is read whole
// before any of it is passed on, so that one that breaks off can be had again.
const answerBytesMax = 16 << 20

// needsLeader tells whether the request is answered from the leader's state.
func (s *Server) needsLeader(x *exchange) bool {
	switch x.route.kind {
	case write, leaderOnly:
		return true
	case read:
		return x.level != api.Stale
	default:
		return false
	}
}

// viaLeader answers a request here if this node leads and otherwise passes it
// on, and tries again while no leader takes it (rules S20 and S21): a read as
// often as ?timeout= allows, a write whose fate is unknown under the same key
// for no longer than half the time for which answers are remembered.
func (s *Server) viaLeader(w http.ResponseWriter, x *exchange) {
	if x.forwarded {
		ctx, cancel := x.attemptContext()
		defer cancel()
		s.mux.ServeHTTP(w, x.r.WithContext(ctx))
		return
	}
	wait, cancel := context.WithTimeout(x.r.Context(), x.timeout)
	defer cancel()
	unknown := false
	for backoff := retryMin; ; backoff = min(2*backoff, retryMax) {
		code := s.attempt(wait, w, x)
		if code == "" {
			return
		}
		if code == api.OutcomeUnknown && !unknown {
			unknown = true
			ttl := s.cfg.State.View().Config.RequestTTL
			wait, cancel = context.WithTimeout(wait, ttl/2)
			defer cancel() //nolint:gocritic // reached once: unknown is set
		}
		if !sleep(wait, backoff) {
			break
		}
	}
	x.w = w
	s.writeProblem(w, noAnswer(unknown, x.timeout))
}

// noAnswer says how a request ended that no leader answered.
func noAnswer(unknown bool, timeout time.Duration) *api.Problem {
	if unknown {
		return api.NewProblem(api.OutcomeUnknown, "the write was sent and no answer came within %v; retry with the same Idempotency-Key to learn its fate", timeout)
	}
	return api.NewProblem(api.NoLeader, "no leader took the request within %v; retry, or give a longer ?timeout=", timeout)
}

// attemptContext bounds one attempt: the wait for a leader and, of a read,
// the wait for news.
func (x *exchange) attemptContext() (context.Context, context.CancelFunc) {
	limit := x.timeout
	if x.route.kind != write {
		limit += x.wait
	}
	return context.WithTimeout(x.r.Context(), limit)
}

// attempt tries once, here or at the leader. It answers "" when the request
// has been answered, else why not: no-leader (nothing was done) or
// outcome-unknown.
func (s *Server) attempt(wait context.Context, w http.ResponseWriter, x *exchange) api.Code {
	ctx, cancel := x.attemptContext()
	defer cancel()
	status := s.cfg.Leadership.Status()
	if status.IsLeader {
		x.again, x.status = "", http.StatusOK
		x.w = &attemptWriter{w: w, x: x, header: http.Header{}}
		s.mux.ServeHTTP(x.w, x.r.WithContext(ctx))
		return x.again
	}
	leader, err := s.cfg.Leadership.WaitLeader(wait)
	if err != nil || leader.Node == status.Node {
		return api.NoLeader
	}
	return s.forward(ctx, w, x, leader)
}

// attemptWriter throws the answer away when the attempt has to be repeated.
type attemptWriter struct {
	w      http.ResponseWriter
	x      *exchange
	header http.Header
}

// Header returns the headers of this attempt.
func (a *attemptWriter) Header() http.Header { return a.header }

// WriteHeader passes the attempt's headers on, unless it is repeated.
func (a *attemptWriter) WriteHeader(status int) {
	if a.x.again == "" {
		maps.Copy(a.w.Header(), a.header)
		a.w.WriteHeader(status)
	}
}

// Write passes on, unless the attempt is repeated.
func (a *attemptWriter) Write(p []byte) (int, error) {
	if a.x.again != "" {
		return len(p), nil
	}
	return a.w.Write(p)
}

// forward passes the request on to the leader and its answer back.
func (s *Server) forward(ctx context.Context, w http.ResponseWriter, x *exchange, leader Leader) api.Code {
	resp, code := s.roundTrip(ctx, s.outgoing(ctx, x, leader), x.route.kind == write)
	if code != "" {
		return code
	}
	defer resp.Body.Close()
	if x.route.kind != write {
		copyHead(w, resp)
		if _, err := io.Copy(w, resp.Body); err != nil {
			panic(http.ErrAbortHandler) // part of the answer is out already
		}
		return ""
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return api.OutcomeUnknown
	}
	copyHead(w, resp)
	_, _ = w.Write(body) // the client is gone if this fails
	return ""
}

// outgoing is the request as the leader gets it.
func (s *Server) outgoing(ctx context.Context, x *exchange, leader Leader) *http.Request {
	out := x.r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = "http", leader.Address, leader.Address, ""
	dropHopHeaders(out.Header)
	out.Header.Set(api.HeaderForwarded, string(s.cfg.Leadership.Status().Node))
	out.Body, out.ContentLength = http.NoBody, 0
	if x.route.kind == write {
		out.Header.Set(api.HeaderIdempotencyKey, x.request.Key)
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	}
	return out
}

// roundTrip sends a request to the leader. A code instead of an answer says
// that it did not lead, or could not be reached: no-leader if nothing was
// sent or nothing can have been changed, else outcome-unknown.
func (s *Server) roundTrip(ctx context.Context, req *http.Request, writes bool) (*http.Response, api.Code) {
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}
	resp, err := s.cfg.Leadership.NodeTransport().RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		var dial *net.OpError
		dialed := sent.Load() || !errors.As(err, &dial) || dial.Op != "dial"
		if writes && dialed {
			return nil, api.OutcomeUnknown
		}
		return nil, api.NoLeader
	}
	switch code := api.Code(resp.Header.Get(api.HeaderCode)); code {
	case api.NoLeader, api.OutcomeUnknown:
		_ = resp.Body.Close() // what it says is in the header
		return nil, code
	default:
		return resp, ""
	}
}

func copyHead(w http.ResponseWriter, resp *http.Response) {
	dropHopHeaders(resp.Header)
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
}

// dropHopHeaders removes what concerns one connection only (RFC 9110, 7.6.1).
func dropHopHeaders(h http.Header) {
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
}

// catchUp returns the node's own state once it is as new as the consistency
// asks, for what is answered here but must not be stale: it asks the leader
// for its revision and waits until that is applied.
func (s *Server) catchUp(x *exchange) (*fsm.View, error) {
	if x.level == api.Stale {
		return s.cfg.State.View(), nil
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.timeout)
	defer cancel()
	for backoff := retryMin; ; backoff = min(2*backoff, retryMax) {
		v, err := s.catchUpOnce(ctx, x)
		if err == nil || !errors.Is(err, ErrNotLeader) {
			return v, err
		}
		if !sleep(ctx, backoff) {
			return nil, noAnswer(false, x.timeout)
		}
	}
}

func (s *Server) catchUpOnce(ctx context.Context, x *exchange) (*fsm.View, error) {
	status := s.cfg.Leadership.Status()
	if status.IsLeader {
		return s.cfg.State.Read(ctx, x.level == api.Linearizable)
	}
	leader, err := s.cfg.Leadership.WaitLeader(ctx)
	if err != nil || leader.Node == status.Node || x.forwarded {
		return nil, ErrNotLeader
	}
	url := "http://" + leader.Address + "/v1/config?consistency=" + x.level + "&timeout=" + x.timeout.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, errorf("asking the leader at %q: %w", leader.Address, err)
	}
	req.Header.Set(api.HeaderForwarded, string(status.Node))
	if auth := x.r.Header.Get("Authorization"); auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, code := s.roundTrip(ctx, req, false)
	if code != "" {
		return nil, ErrNotLeader
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, ErrNotLeader
	}
	at, err := number(api.HeaderRevision, resp.Header.Get(api.HeaderRevision))
	if err != nil {
		return nil, err
	}
	return s.reach(ctx, at, resp.Header.Get(api.HeaderLineage))
}

// reach waits until the node's own state has got to a revision of a lineage.
func (s *Server) reach(ctx context.Context, at uint64, lineage string) (*fsm.View, error) {
	for {
		v := s.cfg.State.View()
		if v.Lineage == lineage && uint64(v.Revision) >= at {
			return v, nil
		}
		select {
		case <-v.Next():
		case <-ctx.Done():
			return nil, ErrNotLeader
		}
	}
}

// sleep waits for d and answers false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
