package server

import (
	"context"
	"strconv"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
)

// reasonOf returns why a write is made: as the body says, or the query.
func (x *exchange) reasonOf(body api.NullString) (string, error) {
	reason := string(body)
	if reason == "" {
		reason = x.reason
	}
	if p := checkText("reason", reason, api.ReasonBytesMax); p != nil {
		return "", p
	}
	return reason, nil
}

// mustReason is reasonOf for acts that need one.
func (x *exchange) mustReason(body api.NullString, act string) (string, error) {
	reason, err := x.reasonOf(body)
	if err == nil && reason == "" {
		return "", api.InvalidField("reason", "reason: %s needs one", act)
	}
	return reason, err
}

// propose commits one operation of the request and returns its answer, or
// its refusal as an error.
func (s *Server) propose(ctx context.Context, reason string, body fsm.Body) (fsm.Result, error) {
	r, err := s.submit(ctx, reason, exchangeOf(ctx).request, body)
	if err != nil {
		return r, err
	}
	return r, refused(r)
}

// submit commits one operation under a request and returns its answer.
func (s *Server) submit(ctx context.Context, reason string, req fsm.Request, body fsm.Body) (fsm.Result, error) {
	op := fsm.Op{Actor: actor(ctx), Reason: reason, Request: req, Body: body}
	results, err := s.cfg.Writer.Propose(ctx, op)
	if err != nil {
		return fsm.Result{}, err
	}
	s.stampWrite(exchangeOf(ctx), results[0])
	return results[0], nil
}

// actor returns who makes the request, bounded.
func actor(ctx context.Context) string {
	name := exchangeOf(ctx).caller.Name
	return name[:min(len(name), fsm.ActorMax)]
}

// stampWrite writes the headers of a write: a read at that revision sees it.
func (s *Server) stampWrite(x *exchange, r fsm.Result) {
	v := s.cfg.State.View()
	s.stamp(x, v)
	x.w.Header().Set(api.HeaderRevision, strconv.FormatUint(uint64(r.Revision), 10))
}

// done answers an act that has nothing to show.
func done(r fsm.Result) *api.Done { return &api.Done{Revision: uint64(r.Revision)} }
