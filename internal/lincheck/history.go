package lincheck

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sync"
	"time"
)

// Never is the return of an operation whose outcome is unknown.
const Never = math.MaxInt64

// Kind says what an operation does to its chain.
type Kind string

// Kinds of operations.
const (
	Put         Kind = "put"          // creates the chain or replaces its spec
	Delete      Kind = "delete"       // deletes the chain
	Read        Kind = "read"         // reads the chain
	PutContent  Kind = "put-content"  // stores bytes
	ReadContent Kind = "read-content" // reads bytes
)

// Outcome says what the client knows of how an operation ended.
type Outcome string

// Outcomes. Refused is an answer of the state machine, which the order of
// operations must explain; Failed says that nothing was done or read, for
// another reason; Unknown leaves that open.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused"
	Failed  Outcome = "failed"
	Unknown Outcome = "unknown"
)

// Op is one operation of one client on one chain.
type Op struct {
	Client int    `json:"client"`
	Kind   Kind   `json:"kind"`
	Chain  string `json:"chain"`
	Key    string `json:"key,omitempty"`  // of a write
	Sent   int    `json:"sent"`           // requests under that key
	Value  string `json:"value"`          // what a write writes, unique in the history: a label, or the SHA-256 of a content
	IfGen  uint64 `json:"if_generation"`  // 0 = no condition
	IfSHA  string `json:"if_sha256"`      // "" = no condition
	IfNone bool   `json:"create_only"`    //
	Level  string `json:"level"`          // consistency of a read
	After  uint64 `json:"after_revision"` // of a blocking read, 0 = not one
	Node   string `json:"node"`           // that was asked, last
	// Life tells the processes of a node apart: 0 if the node may have been
	// restarted in between.
	Life int `json:"life"`

	Call   int64   `json:"call"`   // nanoseconds since the history began
	Return int64   `json:"return"` // Never = unknown
	Result Outcome `json:"result"`
	Code   string  `json:"code"` // of a refusal or failure
	Answer Answer  `json:"answer"`
}

// Answer is what the cluster said.
type Answer struct {
	Exists      bool   `json:"exists"`
	Created     bool   `json:"created"`
	Generation  uint64 `json:"generation"` // 0 = not said
	Revision    uint64 `json:"revision"`   // 0 = not said
	Value       string `json:"value"`
	Content     string `json:"content"` // SHA-256
	Lineage     string `json:"lineage"`
	KnownLeader string `json:"known_leader"` // the header as it stands
	LastContact string `json:"last_contact"` // the header as it stands
	InTime      bool   `json:"in_time"`      // a blocking read was answered before its wait was over
}

// writes tells whether the operation changes its chain if it succeeds.
func (o *Op) writes() bool { return o.Kind != Read && o.Kind != ReadContent }

// acked tells whether the operation is a write that was acknowledged.
func (o *Op) acked() bool { return o.writes() && o.Result == OK }

// String is the operation in one line.
func (o *Op) String() string {
	until := "never answered"
	if o.Return != Never {
		until = time.Duration(o.Return).Truncate(time.Microsecond).String()
	}
	return fmt.Sprintf("client %d, %v to %s, through %s: %s = %s", o.Client, time.Duration(o.Call).Truncate(time.Microsecond), until, o.Node, o.request(), o.answer())
}

func (o *Op) request() string {
	text := string(o.Kind) + " " + o.Chain
	switch {
	case o.writes() && o.Kind != Delete:
		text += fmt.Sprintf(" %.12s", o.Value)
	case !o.writes():
		text += " " + o.Level
	}
	if o.IfGen != 0 {
		text += fmt.Sprintf(" if at %d", o.IfGen)
	}
	if o.IfSHA != "" {
		text += fmt.Sprintf(" if it is %.12s", o.IfSHA)
	}
	if o.IfNone {
		text += " if it is not there"
	}
	if o.After != 0 {
		text += fmt.Sprintf(" after %d", o.After)
	}
	return text
}

func (o *Op) answer() string {
	a := o.Answer
	switch {
	case o.Result != OK:
		return string(o.Result) + " " + o.Code
	case o.Kind == ReadContent:
		return fmt.Sprintf("%.12s", a.Content)
	case o.Kind == Read && !a.Exists:
		return fmt.Sprintf("nothing, at revision %d", a.Revision)
	}
	return fmt.Sprintf("ok %s generation %d content %.12s, at revision %d", a.Value, a.Generation, a.Content, a.Revision)
}

// History collects operations.
type History struct {
	mu  sync.Mutex
	ops []Op
}

// Add records an operation that has ended, or been given up.
func (h *History) Add(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Ops returns what was recorded so far. The caller must not change it.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ops[:len(h.ops):len(h.ops)]
}

// Save writes operations as JSON, one a line.
func Save(path string, ops []Op) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("saving a history: %w", err)
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	for i := range ops {
		if err := enc.Encode(&ops[i]); err != nil {
			return fmt.Errorf("saving a history in %s: %w", path, err)
		}
	}
	return f.Close()
}
