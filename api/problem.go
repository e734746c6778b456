package api

import (
	"fmt"
	"strings"
)

// ProblemType is the media type of every error answer (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is the one shape of an error answer.
type Problem struct {
	Type   string     `json:"type"`  // "urn:holdfast:" and the code
	Title  string     `json:"title"` // the code in words
	Status int        `json:"status"`
	Detail string     `json:"detail"` // one line: what, which, what to do
	Code   Code       `json:"code"`
	Field  NullString `json:"field"`  // the offending field, parameter or header
	Leader *Leader    `json:"leader"` // whom the answering node takes for the leader
}

// NewProblem returns the problem of a code with words for people.
func NewProblem(code Code, format string, args ...any) *Problem {
	return &Problem{
		Type:   "urn:holdfast:" + string(code),
		Title:  strings.ReplaceAll(string(code), "-", " "),
		Status: Status(code),
		Detail: fmt.Sprintf(format, args...),
		Code:   code,
	}
}

// InvalidField returns the problem of a field with a bad value.
func InvalidField(field, format string, args ...any) *Problem {
	p := NewProblem(Invalid, format, args...)
	p.Field = NullString(field)
	return p
}

// Error returns the detail, the field it is about and the code.
func (p *Problem) Error() string {
	if p.Field != "" && !strings.HasPrefix(p.Detail, string(p.Field)) {
		return fmt.Sprintf("%s: %s (%s)", p.Field, p.Detail, p.Code)
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// Leader says which node leads, and where its API is.
type Leader struct {
	Node string `json:"node"`
	HTTP string `json:"http"` // host:port, after https:// if it speaks TLS
}
