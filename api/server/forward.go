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
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Waits between two attempts to reach a leader: short, for they add to the time
// that a failover takes.
const (
	retryMin = 10 * time.Millisecond
	retryMax = 50 * time.Millisecond
)

// attemptMin is the least time that a request which waits for a leader's
// answer is given.
const attemptMin = time.Second

// lagMax is how long a client that has seen more than this node waits for it
// before the leader is asked.
const lagMax = time.Second

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
		ctx, cancel := context.WithTimeout(x.r.Context(), x.timeout+x.newsWait())
		defer cancel()
		s.mux.ServeHTTP(w, x.r.WithContext(ctx))
		return
	}
	unknown := false
	x.until = time.Now().Add(x.timeout)
	for backoff := retryMin; ; backoff = min(2*backoff, retryMax) {
		begin := time.Now()
		code := s.attempt(w, x)
		if code == "" {
			return
		}
		if code == api.OutcomeUnknown && !unknown {
			unknown = true
			if end := begin.Add(s.cfg.State.View().Config.RequestTTL / 2); end.Before(x.until) {
				x.until = end
			}
		}
		if time.Until(x.until) <= backoff || !sleep(x.r.Context(), backoff) {
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

// newsWait is how long an attempt may take beside the wait for a leader.
func (x *exchange) newsWait() time.Duration {
	if x.route.kind == write {
		return 0
	}
	return x.wait
}

// attempt tries once, here or at the leader. It answers "" when the request
// has been answered, else why not: no-leader (nothing was done) or
// outcome-unknown.
func (s *Server) attempt(w http.ResponseWriter, x *exchange) api.Code {
	ctx, cancel := context.WithDeadline(x.r.Context(), x.until.Add(x.newsWait()))
	defer cancel()
	status := s.cfg.Leadership.Status()
	if status.IsLeader {
		x.again, x.status = "", http.StatusOK
		x.w = &attemptWriter{w: w, x: x, header: http.Header{}}
		s.mux.ServeHTTP(x.w, x.r.WithContext(ctx))
		return x.again
	}
	wait, stop := context.WithDeadline(ctx, x.until)
	defer stop()
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

// forward passes the request on to the leader and its answer back. It gives
// up when another leader is known, or when half the time has gone: a frozen
// leader and a dead connection say nothing.
func (s *Server) forward(ctx context.Context, w http.ResponseWriter, x *exchange, leader Leader) api.Code {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, min(x.timeout, max(x.timeout/2, attemptMin))+x.newsWait())
	defer cancel()
	self, unwatch := s.watchLeader(leader, cancel)
	defer unwatch()
	resp, code := s.roundTrip(ctx, s.outgoing(ctx, x, leader, self), x.route.kind == write)
	if code != "" {
		x.resume(time.Since(begin))
		return code
	}
	defer resp.Body.Close()
	if x.route.kind != write {
		unwatch() // an answer that has begun is as good as whole
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

// resume takes what a broken attempt has waited for news off that wait, so
// that the next goes on with the rest and still has time to find a leader.
func (x *exchange) resume(waited time.Duration) {
	waited = min(waited, x.newsWait())
	if waited > 0 {
		x.wait -= waited
		x.until = x.until.Add(waited)
		x.resumed = true
	}
}

// watchLeader calls changed, once, when another leader or term is known than
// the one given. The caller calls stop, as often as it likes. It returns the
// name of this node, too.
func (s *Server) watchLeader(leader Leader, changed func()) (self placement.NodeID, stop func()) {
	news, now := s.cfg.Leadership.LeaderChanged(), s.cfg.Leadership.Status()
	self, term := now.Node, now.Term
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for !now.IsLeader && (now.Leader == nil || now.Leader.Node == leader.Node && now.Term == term) {
			select {
			case <-done:
				return
			case <-news:
			}
			news, now = s.cfg.Leadership.LeaderChanged(), s.cfg.Leadership.Status()
		}
		changed()
	}()
	return self, sync.OnceFunc(func() { close(done); <-ended })
}

// outgoing is the request as the leader gets it.
func (s *Server) outgoing(ctx context.Context, x *exchange, leader Leader, self placement.NodeID) *http.Request {
	out := x.r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = "http", leader.Address, leader.Address, ""
	dropHopHeaders(out.Header)
	s.vouch(out.Header, x, self)
	out.Body, out.ContentLength = http.NoBody, 0
	if x.resumed {
		q := out.URL.Query()
		q.Set("wait", x.wait.String())
		out.URL.RawQuery = q.Encode()
	}
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

// ahead tells whether the client has seen more than this node: only a leader
// can then say whether there is such a place. A short lag is waited for.
func (s *Server) ahead(x *exchange) bool {
	if x.route.kind != read || x.since == 0 || x.forwarded {
		return false
	}
	v := s.cfg.State.View()
	status := s.cfg.Leadership.Status()
	if status.IsLeader || status.Leader == nil || x.lineage != "" && x.lineage != v.Lineage || uint64(v.Revision) >= x.since {
		return false
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(x.r.Context(), min(x.wait, lagMax))
	defer cancel()
	_, err := s.reach(ctx, x.since, v.Lineage)
	x.resume(time.Since(begin))
	return err != nil
}

// askOnce lets the leader answer, if one is known and does. It answers false
// when it has not.
func (s *Server) askOnce(w http.ResponseWriter, x *exchange) bool {
	leader := s.cfg.Leadership.Status().Leader
	return leader != nil && s.forward(x.r.Context(), w, x, *leader) == ""
}

// catchUp returns the node's own state once it is as new as the consistency
// asks, for what is answered here but must not be stale: it asks the leader
// for its revision and waits until that is applied.
func (s *Server) catchUp(x *exchange) (*fsm.View, error) {
	if x.level == api.Stale {
		return s.own(x)
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, unwatch := s.watchLeader(leader, cancel)
	defer unwatch()
	url := "http://" + leader.Address + "/v1/config?consistency=" + x.level + "&timeout=" + x.timeout.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, errorf("asking the leader at %q: %w", leader.Address, err)
	}
	s.vouch(req.Header, x, status.Node)
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
