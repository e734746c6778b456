package fsm

import (
	"encoding/binary"
	"math"
)

// writer appends the frame of an entry, and an operation that is a decision, as
// the general encoder would write them. It is to writing what quick is to
// reading.
type writer struct{ data []byte }

// batch appends a batch with operations that are encoded already.
func (w *writer) batch(b *Batch, ops []Encoded) {
	m := w.open()
	w.numberIf(m, 1, int64(b.Now))
	if !b.Wall.IsZero() {
		w.numberIf(m, 2, b.Wall.UnixMilli())
	}
	w.naturalIf(m, 3, b.Term)
	w.naturalIf(m, 4, uint64(b.ConfigAt))
	if len(ops) > 0 {
		w.field(m, 5, cborArray, uint64(len(ops)))
	}
	for _, op := range ops {
		w.data = append(w.data, op.record...)
	}
}

// decide appends a decision with what it came with. op has been checked.
func (w *writer) decide(op *Op, d *decisionRecord) {
	m := w.open()
	w.natural(m, 1, uint64(opDecide))
	w.text(m, 2, op.Actor)
	w.text(m, 3, op.Reason)
	w.textIf(m, 4, op.Request.Key)
	if hash := op.Request.Hash; len(hash) > 0 {
		w.field(m, 5, cborBytes, uint64(len(hash)))
		w.data = append(w.data, hash...)
	}
	w.field(m, 6, cborMap, 1)
	w.data = append(w.data, 1)
	w.decision(d)
}

func (w *writer) decision(d *decisionRecord) {
	m := w.open()
	w.text(m, 1, string(d.Kind))
	w.text(m, 2, string(d.Cause))
	w.text(m, 3, string(d.Chain))
	w.natural(m, 4, uint64(d.ChainRevision))
	w.naturalIf(m, 5, uint64(d.Move))
	w.textIf(m, 6, string(d.From))
	w.textIf(m, 7, string(d.To))
	w.textIf(m, 8, string(d.Source))
	w.textIf(m, 9, string(d.Mode))
	w.numberIf(m, 10, int64(d.ScoreFrom))
	w.numberIf(m, 11, int64(d.ScoreTo))
	w.naturalIf(m, 12, uint64(d.Forced))
	w.data[m]++
	w.data = append(w.data, 13)
	m = w.open()
	w.textIf(m, 1, string(d.Reason.Name))
	w.textIf(m, 2, d.Reason.Detail)
}

// open appends an empty map and returns where it stands. It may get up to 23
// fields: its first byte counts them.
func (w *writer) open() int {
	w.data = append(w.data, cborMap)
	return len(w.data) - 1
}

// field appends the beginning of a field to the map that stands at m.
func (w *writer) field(m int, field, major byte, n uint64) {
	w.data[m]++
	w.data = append(w.data, field)
	switch {
	case n < 24:
		w.data = append(w.data, major|byte(n))
	case n <= math.MaxUint8:
		w.data = append(w.data, major|24, byte(n))
	case n <= math.MaxUint16:
		w.data = binary.BigEndian.AppendUint16(append(w.data, major|25), uint16(n))
	case n <= math.MaxUint32:
		w.data = binary.BigEndian.AppendUint32(append(w.data, major|26), uint32(n))
	default:
		w.data = binary.BigEndian.AppendUint64(append(w.data, major|27), n)
	}
}

func (w *writer) natural(m int, field byte, n uint64) { w.field(m, field, cborUnsigned, n) }

func (w *writer) naturalIf(m int, field byte, n uint64) {
	if n != 0 {
		w.natural(m, field, n)
	}
}

func (w *writer) numberIf(m int, field byte, n int64) {
	if n < 0 {
		w.field(m, field, cborNegative, uint64(-1-n)) //nolint:gosec // not below zero
		return
	}
	w.naturalIf(m, field, uint64(n))
}

func (w *writer) text(m int, field byte, s string) {
	w.field(m, field, cborText, uint64(len(s)))
	w.data = append(w.data, s...)
}

func (w *writer) textIf(m int, field byte, s string) {
	if s != "" {
		w.text(m, field, s)
	}
}
