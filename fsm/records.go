package fsm

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// The records are the codec: placement's types with numbered fields. Where a
// record converts to its type directly, the compiler keeps the two in step.

type labelRecord struct {
	Key   string `cbor:"1,keyasint"`
	Value string `cbor:"2,keyasint,omitempty"`
}

func labelsToRecords(l placement.Labels) []labelRecord {
	return convert(l, func(x placement.Label) labelRecord { return labelRecord(x) })
}

func labelsFromRecords(l []labelRecord) placement.Labels {
	return convert(l, func(x labelRecord) placement.Label { return placement.Label(x) })
}

type numberRecord struct {
	Key    string  `cbor:"1,keyasint"`
	Number float64 `cbor:"2,keyasint"`
}

// capabilitiesToRecords parts capabilities into numbers and texts, so that no
// record can be both.
func capabilitiesToRecords(list placement.Capabilities) (numbers []numberRecord, texts []labelRecord) {
	for _, c := range list {
		if c.IsNumber {
			numbers = append(numbers, numberRecord{c.Key, c.Number})
		} else {
			texts = append(texts, labelRecord{c.Key, c.Text})
		}
	}
	return numbers, texts
}

func capabilitiesFromRecords(numbers []numberRecord, texts []labelRecord) placement.Capabilities {
	var list placement.Capabilities
	for _, r := range numbers {
		list = append(list, placement.Capability{Key: r.Key, Number: r.Number, IsNumber: true})
	}
	for _, r := range texts {
		list = append(list, placement.Capability{Key: r.Key, Text: r.Value})
	}
	slices.SortStableFunc(list, func(a, b placement.Capability) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

// convert maps a slice; an empty one becomes nil, so that a state has the
// same bytes whether or not it went through a snapshot.
func convert[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

func same[T any](x T) T { return x }

type addressesRecord struct {
	Node    string `cbor:"1,keyasint,omitempty"`
	HTTP    string `cbor:"2,keyasint,omitempty"`
	Service string `cbor:"3,keyasint,omitempty"`
}

type specRecord struct {
	Desired     int              `cbor:"1,keyasint,omitempty"`
	MinReady    int              `cbor:"2,keyasint,omitempty"`
	SizeBytes   int64            `cbor:"3,keyasint,omitempty"`
	Weight      int64            `cbor:"4,keyasint,omitempty"`
	Labels      []labelRecord    `cbor:"5,keyasint,omitempty"`
	Policy      placement.Policy `cbor:"6,keyasint,omitempty"`
	Floor       *float64         `cbor:"7,keyasint,omitempty"`
	Gap         *float64         `cbor:"8,keyasint,omitempty"`
	Cooldown    *time.Duration   `cbor:"9,keyasint,omitempty"`
	RepairDelay *time.Duration   `cbor:"10,keyasint,omitempty"`
	Require     []string         `cbor:"11,keyasint,omitempty"`
	Prefer      []string         `cbor:"12,keyasint,omitempty"`

	Spread       placement.Spread `cbor:"13,keyasint,omitempty"`
	MaxPerZone   int              `cbor:"14,keyasint,omitempty"`
	AntiAffinity []string         `cbor:"15,keyasint,omitempty"`
	Colocate     []string         `cbor:"16,keyasint,omitempty"`
	Near         []string         `cbor:"17,keyasint,omitempty"`
}

func specToRecord(s placement.Spec) specRecord {
	return specRecord{
		s.Desired, s.MinReady, s.SizeBytes, s.Weight, labelsToRecords(s.Labels), s.Policy,
		s.Floor, s.Gap, s.Cooldown, s.RepairDelay, s.Require, s.Prefer,
		s.Spread, s.MaxPerZone, s.AntiAffinity, s.Colocate, s.Near,
	}
}

func (r specRecord) spec() placement.Spec {
	return placement.Spec{
		Desired: r.Desired, MinReady: r.MinReady, SizeBytes: r.SizeBytes, Weight: r.Weight,
		Labels: labelsFromRecords(r.Labels), Policy: r.Policy, Floor: r.Floor, Gap: r.Gap,
		Cooldown: r.Cooldown, RepairDelay: r.RepairDelay,
		Require: convert(r.Require, same[string]), Prefer: convert(r.Prefer, same[string]),
		Spread: r.Spread, MaxPerZone: r.MaxPerZone, AntiAffinity: convert(r.AntiAffinity, same[string]),
		Colocate: convert(r.Colocate, same[string]), Near: convert(r.Near, same[string]),
	}
}

type configRecord struct {
	ScoreFloor         float64            `cbor:"1,keyasint"`
	LazyFloor          float64            `cbor:"2,keyasint"`
	HysteresisGap      float64            `cbor:"3,keyasint"`
	Cooldown           time.Duration      `cbor:"4,keyasint"`
	ConstraintCooldown time.Duration      `cbor:"5,keyasint"`
	TickInterval       time.Duration      `cbor:"6,keyasint"`
	RepairDelay        time.Duration      `cbor:"7,keyasint"`
	RepairPauseMax     time.Duration      `cbor:"8,keyasint"`
	SickAfter          time.Duration      `cbor:"9,keyasint"`
	SwapMode           placement.SwapMode `cbor:"10,keyasint"`
	MovesMax           int                `cbor:"11,keyasint"`
	BalanceMovesMax    int                `cbor:"12,keyasint"`
	DrainMovesMax      int                `cbor:"13,keyasint"`
	NodeMovesInMax     int                `cbor:"14,keyasint"`
	NodeMovesOutMax    int                `cbor:"15,keyasint"`
	RepairMovesInMax   int                `cbor:"16,keyasint"`
	MoveDeadline       time.Duration      `cbor:"17,keyasint"`
	QuarantineAfter    int                `cbor:"18,keyasint"`
	BackoffMin         time.Duration      `cbor:"19,keyasint"`
	BackoffMax         time.Duration      `cbor:"20,keyasint"`
	DropGrace          time.Duration      `cbor:"21,keyasint"`
	RequestTTL         time.Duration      `cbor:"22,keyasint"`
	TombstoneTTL       time.Duration      `cbor:"23,keyasint"`
	ForcedTTL          time.Duration      `cbor:"24,keyasint"`
	MaxVoters          int                `cbor:"25,keyasint"`
	DeadServerTimeout  time.Duration      `cbor:"26,keyasint"`
	WriteCopies        int                `cbor:"27,keyasint"`
	ContentSizeMax     int64              `cbor:"28,keyasint"`
	MoveBandwidth      int64              `cbor:"29,keyasint"`
	MoveHorizon        time.Duration      `cbor:"30,keyasint"`
}

type reasonRecord struct {
	Name   placement.ReasonName `cbor:"1,keyasint,omitempty"`
	Detail string               `cbor:"2,keyasint,omitempty"`
}

type decisionRecord struct {
	Kind          placement.Kind     `cbor:"1,keyasint"`
	Cause         placement.Cause    `cbor:"2,keyasint"`
	Chain         placement.ChainID  `cbor:"3,keyasint"`
	ChainRevision placement.Revision `cbor:"4,keyasint"`
	Move          placement.MoveID   `cbor:"5,keyasint,omitempty"`
	From          placement.NodeID   `cbor:"6,keyasint,omitempty"`
	To            placement.NodeID   `cbor:"7,keyasint,omitempty"`
	Source        placement.NodeID   `cbor:"8,keyasint,omitempty"`
	Mode          placement.SwapMode `cbor:"9,keyasint,omitempty"`
	ScoreFrom     placement.Score    `cbor:"10,keyasint,omitempty"`
	ScoreTo       placement.Score    `cbor:"11,keyasint,omitempty"`
	Forced        placement.Revision `cbor:"12,keyasint,omitempty"`
	Reason        reasonRecord       `cbor:"13,keyasint"`
}

func decisionToRecord(d placement.Decision) decisionRecord {
	return decisionRecord{
		d.Kind, d.Cause, d.Chain, d.ChainRevision, d.Move, d.From, d.To, d.Source, d.Mode,
		d.ScoreFrom, d.ScoreTo, d.Forced, reasonRecord(d.Reason),
	}
}

func (r decisionRecord) decision() placement.Decision {
	return placement.Decision{
		Kind: r.Kind, Cause: r.Cause, Chain: r.Chain, ChainRevision: r.ChainRevision, Move: r.Move,
		From: r.From, To: r.To, Source: r.Source, Mode: r.Mode, ScoreFrom: r.ScoreFrom, ScoreTo: r.ScoreTo,
		Forced: r.Forced, Reason: placement.Reason(r.Reason),
	}
}
