package fsm

import (
	"encoding/binary"
	"math"
	"time"
)

// Major types of CBOR, as the first byte of an item has them.
const (
	cborUnsigned = 0 << 5
	cborNegative = 1 << 5
	cborBytes    = 2 << 5
	cborText     = 3 << 5
	cborArray    = 4 << 5
	cborMap      = 5 << 5
)

// quick reads the entries that this build writes, several times as fast as the
// general decoder: entries come in hundreds of decisions, on every server. It
// knows their frame and the decision, fields in the order of their numbers.
// Anything else makes it bad, and the general decoder has the word: quick never
// says what is wrong, and what it reads, the other reads the same.
type quick struct {
	data    []byte // what is left
	bad     bool
	words   [64]string // read before: an entry says most of its words many times
	decides []Decide   // room for those that come
}

// quickBatch reads a batch, or answers false.
func quickBatch(data []byte) (b Batch, ok bool) {
	q := quick{data: data}
	left := q.head(cborMap)
	number(&q, &left, 1, &b.Now)
	var wallMs int64
	number(&q, &left, 2, &wallMs)
	natural(&q, &left, 3, &b.Term)
	natural(&q, &left, 4, &b.ConfigAt)
	if q.field(&left, 5) {
		n := q.head(cborArray)
		q.bad = q.bad || n > BatchOpsMax
		for i := uint64(0); i < n && !q.bad; i++ {
			if b.Ops == nil {
				b.Ops = make([]Op, n)
			}
			q.op(&b.Ops[i], n-i)
		}
	}
	if wallMs != 0 {
		b.Wall = time.UnixMilli(wallMs).UTC()
	}
	return b, !q.bad && left == 0 && len(q.data) == 0
}

// op reads an operation, the first of so many that are left.
func (q *quick) op(op *Op, ops uint64) {
	left := q.head(cborMap)
	var kind uint64
	natural(q, &left, 1, &kind)
	text(q, &left, 2, &op.Actor)
	text(q, &left, 3, &op.Reason)
	text(q, &left, 4, &op.Request.Key)
	if q.field(&left, 5) {
		op.Request.Hash = append([]byte{}, q.take(q.head(cborBytes))...)
	}
	switch {
	case !q.field(&left, 6) || left != 0 || kind > math.MaxUint8:
		q.bad = true
	case opKind(kind) == opDecide:
		if len(q.decides) == 0 {
			q.decides = make([]Decide, ops)
		}
		q.decide(&q.decides[0])
		op.Body, q.decides = &q.decides[0], q.decides[1:]
	default:
		if op.Body = newBody(opKind(kind)); op.Body == nil {
			q.bad = true
			return
		}
		rest, err := modes.dec.UnmarshalFirst(q.data, op.Body)
		q.data, q.bad = rest, q.bad || err != nil
	}
}

func (q *quick) decide(b *Decide) {
	if left := q.head(cborMap); left != 1 || !q.field(&left, 1) {
		q.bad = true
		return
	}
	d, left := &b.Decision, q.head(cborMap)
	text(q, &left, 1, &d.Kind)
	text(q, &left, 2, &d.Cause)
	text(q, &left, 3, &d.Chain)
	natural(q, &left, 4, &d.ChainRevision)
	natural(q, &left, 5, &d.Move)
	text(q, &left, 6, &d.From)
	text(q, &left, 7, &d.To)
	text(q, &left, 8, &d.Source)
	text(q, &left, 9, &d.Mode)
	number(q, &left, 10, &d.ScoreFrom)
	number(q, &left, 11, &d.ScoreTo)
	natural(q, &left, 12, &d.Forced)
	if q.field(&left, 13) {
		reason := q.head(cborMap)
		text(q, &reason, 1, &d.Reason.Name)
		text(q, &reason, 2, &d.Reason.Detail)
		q.bad = q.bad || reason != 0
	}
	q.bad = q.bad || left != 0
}

// field tells whether the next of the fields that are left is that one, and
// takes its number.
func (q *quick) field(left *uint64, number byte) bool {
	if *left == 0 || len(q.data) == 0 || q.data[0] != number {
		return false
	}
	*left, q.data = *left-1, q.data[1:]
	return true
}

// text reads a field that is a text, if it is the next.
func text[T ~string](q *quick, left *uint64, field byte, to *T) {
	if !q.field(left, field) {
		return
	}
	raw := q.take(q.head(cborText))
	if len(raw) == 0 {
		return
	}
	known := &q.words[(len(raw)+int(raw[0])*5+int(raw[len(raw)-1])*11)%len(q.words)]
	if *known != string(raw) {
		*known = string(raw)
	}
	*to = T(*known)
}

// natural reads a field that is a number without a sign, if it is the next.
func natural[T ~uint64](q *quick, left *uint64, field byte, to *T) {
	if q.field(left, field) {
		*to = T(q.head(cborUnsigned))
	}
}

// number reads a field that is a number with a sign, if it is the next.
func number[T ~int64](q *quick, left *uint64, field byte, to *T) {
	if !q.field(left, field) {
		return
	}
	var n uint64
	negative := len(q.data) > 0 && q.data[0]&0xe0 == cborNegative
	if negative {
		n = q.head(cborNegative)
	} else {
		n = q.head(cborUnsigned)
	}
	q.bad = q.bad || n > math.MaxInt64
	if *to = T(n); negative { //nolint:gosec // not above MaxInt64, or bad
		*to = -1 - *to
	}
}

// head reads the beginning of an item of that major type: its number, or its
// length.
func (q *quick) head(major byte) uint64 {
	if len(q.data) == 0 || q.data[0]&0xe0 != major {
		q.bad = true
		return 0
	}
	short := q.data[0] & 0x1f
	q.data = q.data[1:]
	if short < 24 {
		return uint64(short)
	}
	if short > 27 {
		q.bad = true
		return 0
	}
	var wide [8]byte
	size := 1 << (short - 24)
	copy(wide[8-size:], q.take(uint64(size)))
	return binary.BigEndian.Uint64(wide[:])
}

// take takes the next bytes; none if there are fewer.
func (q *quick) take(n uint64) []byte {
	if n > uint64(len(q.data)) {
		q.bad = true
		return nil
	}
	part := q.data[:n]
	q.data = q.data[n:]
	return part
}
