package placement

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// ChainID names a chain: 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a
// letter or digit. It is never a path (rule S6).
type ChainID string

// NodeID names a node: the alphabet of [ChainID], 1 to 64 characters.
type NodeID string

// Limits of identifiers, in bytes.
const (
	ChainIDMax = 128
	NodeIDMax  = 64
)

// ParseChainID returns s as a chain id, or an error that says what is wrong.
func ParseChainID(s string) (ChainID, error) {
	if err := checkID("chain id", s, ChainIDMax); err != nil {
		return "", err
	}
	return ChainID(s), nil
}

// ParseNodeID returns s as a node id, or an error that says what is wrong.
func ParseNodeID(s string) (NodeID, error) {
	if err := checkID("node id", s, NodeIDMax); err != nil {
		return "", err
	}
	return NodeID(s), nil
}

func checkID(what, s string, limit int) error {
	if s == "" {
		return fmt.Errorf("%s is empty: give 1 to %d of A-Z a-z 0-9 . _ -", what, limit)
	}
	if len(s) > limit {
		return fmt.Errorf("%s %.20q… has %d characters: at most %d are allowed", what, s, len(s), limit)
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '-') {
			return fmt.Errorf("%s %q: character %q at %d is not allowed; use A-Z a-z 0-9 . _ - and begin with a letter or digit", what, s, c, i+1)
		}
	}
	return nil
}

// Revision is the one replicated counter (rule S4). Generations, epochs, move
// ids and incarnations are drawn from it, so none of them ever repeats within
// a lineage.
type Revision uint64

// Generation is the revision at which a chain's spec (or the configuration)
// last changed. If-Match compares it.
type Generation uint64

// Epoch fences one assignment of one chain to one node. A report that carries
// another epoch changes nothing.
type Epoch uint64

// MoveID names one move.
type MoveID uint64

// Incarnation numbers one run of a node's process. Apply issues it when the
// process announces itself (rule S2).
type Incarnation uint64

// Time is cluster time: nanoseconds since the cluster's birth on the clock
// that only the leader stamps (rule S13). The clock starts above zero, so the
// zero value can mean [Never].
type Time int64

// Never is the cluster time of what has not happened.
const Never Time = 0

// Add returns the time d after t; [Never] stays never.
func (t Time) Add(d time.Duration) Time {
	if t == Never {
		return Never
	}
	return t + Time(d)
}

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Seconds returns t in seconds since birth.
func (t Time) Seconds() float64 { return time.Duration(t).Seconds() }

// Score says how good a node is for a chain, in millionths: 0 to 1,000,000.
// Scores are compared as integers so that 0.9−0.7 and 0.6−0.4 behave alike.
type Score int64

// Bounds of a score.
const (
	ScoreOne Score = 1_000_000
	NoScore  Score = -1 // no opinion, or not recorded
)

// ScoreOf rounds f to millionths. NaN and ±Inf are no opinion: ok is false. A
// finite value outside [0,1] is clamped to it.
func ScoreOf(f float64) (s Score, ok bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return NoScore, false
	}
	return Score(math.Round(min(max(f, 0), 1) * float64(ScoreOne))), true
}

// Float returns the score in [0,1]; [NoScore] gives 0.
func (s Score) Float() float64 { return float64(max(s, 0)) / float64(ScoreOne) }

// String prints the score with up to six decimals, "-" for [NoScore].
func (s Score) String() string {
	if s == NoScore {
		return "-"
	}
	return strconv.FormatFloat(s.Float(), 'f', -1, 64)
}
