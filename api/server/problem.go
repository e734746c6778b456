package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// problemError lets huma write a problem as it is.
type problemError struct{ *api.Problem }

// GetStatus gives huma the status.
func (p problemError) GetStatus() int { return p.Status }

// ContentType gives huma the media type.
func (problemError) ContentType(string) string { return api.ProblemType }

// problem turns an error into an answer. Errors that ask for another attempt
// mark the exchange, whose answer is then thrown away.
func (s *Server) problem(ctx context.Context, err error) problemError {
	x := exchangeOf(ctx)
	p := s.describe(ctx, err)
	if p.Code == api.NoLeader || p.Code == api.OutcomeUnknown {
		x.again = p.Code
	}
	s.dress(x.w, p)
	return problemError{p}
}

func (s *Server) describe(ctx context.Context, err error) *api.Problem {
	var p *api.Problem
	var r *Refusal
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &r):
		return refusal(r.Code, r.Detail)
	case errors.Is(err, ErrNotLeader):
		return api.NewProblem(api.NoLeader, "no leader is known that takes requests; retry in a moment")
	case errors.Is(err, ErrOutcomeUnknown):
		return api.NewProblem(api.OutcomeUnknown, "the write may or may not have been applied; retry with the same Idempotency-Key")
	case ctx.Err() != nil:
		return api.NewProblem(api.NotReady, "the request was given up: %v", context.Cause(ctx))
	}
	s.cfg.OnError(fmt.Errorf("answering a request: %w", err))
	return api.NewProblem(api.Internal, "the server failed on this request; its log says where")
}

// textMax bounds the words of an answer: they may quote the request.
const textMax = 1000

// oneLine is a text without what would break the line that it is printed in.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > textMax {
		text = strings.ToValidUTF8(text[:textMax], "") + " …"
	}
	return text
}

// dress puts the words into one line and adds the headers that repeat the
// problem, and the leader.
func (s *Server) dress(w http.ResponseWriter, p *api.Problem) {
	p.Detail, p.Field = oneLine(p.Detail), api.NullString(oneLine(string(p.Field)))
	w.Header().Set(api.HeaderCode, string(p.Code))
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	if l := s.cfg.Leadership.Status().Leader; l != nil && p.Leader == nil {
		p.Leader = &api.Leader{Node: string(l.Node), HTTP: l.HTTP}
	}
}

// writeProblem writes an error answer.
func (s *Server) writeProblem(w http.ResponseWriter, p *api.Problem) {
	s.dress(w, p)
	writeJSON(w, p.Status, api.ProblemType, p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client is gone if this fails
}

// fieldName finds the field that a refusal of the state begins with.
var fieldName = regexp.MustCompile(`^([a-z][a-z0-9_]*): `)

// refusal is the problem of a code of the state machine.
func refusal(code placement.Code, detail string) *api.Problem {
	p := api.NewProblem(api.Code(code), "%s", detail)
	if m := fieldName.FindStringSubmatch(detail); m != nil && code == placement.Invalid {
		p.Field = api.NullString(m[1])
	}
	return p
}

// refused is the problem of an operation's result, or nil.
func refused(r fsm.Result) error {
	if r.OK() {
		return nil
	}
	return refusal(r.Code, r.Detail)
}

func unknownChain(id placement.ChainID) error {
	return api.NewProblem(api.UnknownChain, "chain %s does not exist", id)
}

func unknownNode(id placement.NodeID) error {
	return api.NewProblem(api.UnknownNode, "node %s is not a member", id)
}

// errorf is fmt.Errorf for texts that become part of a problem.
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

func sortedNames[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
