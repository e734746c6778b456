package fsm

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Limits of one log entry. hashicorp/raft suggests at most 512 KiB an entry
// and does not enforce it.
const (
	BatchBytesMax = 512 << 10
	BatchOpsMax   = 512
	ItemsMax      = 4096 // of one PutChains (rule S20)
	ActorMax      = 128
	ReasonMax     = 1024
	KeyMax        = 192
	DetailMax     = 512 // of an answer's words, and of a failure's
	HashBytes     = 32  // of a request: a SHA-256
	entryFrame    = 64  // bytes of an entry around its operations, at most
)

// codec holds the one encoding and the one decoding mode of log and snapshot.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

// modes is built once: cbor's modes are immutable after that.
var modes = newCodec()

func newCodec() codec {
	enc, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		// A text that is no UTF-8 must not stop every node for ever.
		UTF8:             cbor.UTF8DecodeInvalid,
		MaxArrayElements: 1 << 20,
		MaxMapPairs:      1 << 16,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return codec{enc, dec}
}

// batchRecord and opRecord are a batch while it is read.
type batchRecord struct {
	Now      placement.Time       `cbor:"1,keyasint,omitempty"`
	WallMs   int64                `cbor:"2,keyasint,omitempty"`
	Term     uint64               `cbor:"3,keyasint,omitempty"`
	ConfigAt placement.Generation `cbor:"4,keyasint,omitempty"`
	Ops      []opRecord           `cbor:"5,keyasint,omitempty"`
}

type opRecord struct {
	Kind   opKind          `cbor:"1,keyasint"`
	Actor  string          `cbor:"2,keyasint"`
	Reason string          `cbor:"3,keyasint"`
	Key    string          `cbor:"4,keyasint,omitempty"`
	Hash   []byte          `cbor:"5,keyasint,omitempty"`
	Body   cbor.RawMessage `cbor:"6,keyasint"`
}

// Encoded is an operation as an entry carries it.
type Encoded struct{ record []byte }

// encoding is opRecord while it is written: the body goes in as it is.
type encoding struct {
	Kind   opKind `cbor:"1,keyasint"`
	Actor  string `cbor:"2,keyasint"`
	Reason string `cbor:"3,keyasint"`
	Key    string `cbor:"4,keyasint,omitempty"`
	Hash   []byte `cbor:"5,keyasint,omitempty"`
	Body   Body   `cbor:"6,keyasint"`
}

// Encode returns the operation's bytes. It refuses what breaks the limits of
// this file.
func (op Op) Encode() (Encoded, error) {
	if err := op.check(); err != nil {
		return Encoded{}, err
	}
	if b, ok := op.Body.(*Decide); ok {
		w := writer{make([]byte, 0, 256)}
		w.decide(&op, &b.Decision)
		return Encoded{w.data}, nil
	}
	data, err := op.encode()
	if err != nil {
		return Encoded{}, fmt.Errorf("encode operation: %w", err)
	}
	return Encoded{data}, nil
}

// encode writes any operation.
func (op Op) encode() ([]byte, error) {
	return modes.enc.Marshal(encoding{op.Body.kind(), op.Actor, op.Reason, op.Request.Key, op.Request.Hash, op.Body})
}

// Size returns how many bytes the operation adds to an entry.
func (e Encoded) Size() int { return len(e.record) }

// EncodedSize returns how many bytes an operation adds to an entry.
func EncodedSize(op Op) (int, error) {
	e, err := op.Encode()
	return e.Size(), err
}

// EncodeBatch returns the bytes of a log entry: the feature level in one
// byte, then the batch. It refuses what breaks the limits of this file.
func EncodeBatch(b Batch) ([]byte, error) {
	ops := make([]Encoded, len(b.Ops))
	for i, op := range b.Ops {
		var err error
		if ops[i], err = op.Encode(); err != nil {
			return nil, err
		}
	}
	return EncodeEntry(b, ops)
}

// EncodeEntry is EncodeBatch with operations that are encoded already, in the
// place of b's own.
func EncodeEntry(b Batch, ops []Encoded) ([]byte, error) {
	if len(ops) > BatchOpsMax {
		return nil, fmt.Errorf("a batch of %d operations: at most %d fit one log entry", len(ops), BatchOpsMax)
	}
	size := entryFrame
	for _, e := range ops {
		size += len(e.record)
	}
	w := writer{append(make([]byte, 0, size), byte(max(b.Level, 1)))}
	w.batch(&b, ops)
	if len(w.data) > BatchBytesMax {
		return nil, fmt.Errorf("the entry has %d bytes: at most %d are allowed", len(w.data), BatchBytesMax)
	}
	return w.data, nil
}

// check refuses what no entry may carry: beyond the limits of this file, or
// what would stop the node that reads it.
func (op Op) check() error {
	raise, raises := op.Body.(*RaiseLevel)
	switch {
	case op.Body == nil:
		return errors.New("an operation has no body")
	case len(op.Actor) > ActorMax || len(op.Reason) > ReasonMax || len(op.Request.Key) > KeyMax:
		return fmt.Errorf("actor, reason or idempotency key is too long: at most %d, %d and %d bytes", ActorMax, ReasonMax, KeyMax)
	case op.Request.Key != "" && len(op.Request.Hash) != HashBytes:
		return fmt.Errorf("the hash of a request has %d bytes, not the %d of a SHA-256", len(op.Request.Hash), HashBytes)
	case raises && raise.Level > Level:
		return fmt.Errorf("feature level %d is above what this build knows (%d)", raise.Level, Level)
	}
	return nil
}

// DecodeBatch reads a log entry, strictly: an unknown level, operation or
// field is an error that wraps [ErrFatal].
func DecodeBatch(data []byte) (Batch, error) {
	if len(data) == 0 {
		return Batch{}, fmt.Errorf("%w: the entry is empty", ErrFatal)
	}
	level := int(data[0])
	if level < 1 || level > Level {
		return Batch{}, fmt.Errorf("%w: the entry is of feature level %d, this build knows up to %d; upgrade this node", ErrFatal, level, Level)
	}
	b, ok := quickBatch(data[1:])
	if !ok {
		var err error
		if b, err = decodeBatch(data[1:]); err != nil {
			return Batch{}, fmt.Errorf("%w: %w", ErrFatal, err)
		}
	}
	b.Level = level
	for _, op := range b.Ops {
		if raise, ok := op.Body.(*RaiseLevel); ok && raise.Level > Level {
			return Batch{}, fmt.Errorf("%w: the cluster rises to feature level %d, this build knows up to %d; upgrade this node", ErrFatal, raise.Level, Level)
		}
	}
	return b, nil
}

// decodeBatch reads any batch, or says why it cannot be read.
func decodeBatch(data []byte) (Batch, error) {
	var rec batchRecord
	if err := modes.dec.Unmarshal(data, &rec); err != nil {
		return Batch{}, fmt.Errorf("the entry cannot be read: %w", err)
	}
	b := Batch{Now: rec.Now, Term: rec.Term, ConfigAt: rec.ConfigAt}
	if rec.WallMs != 0 {
		b.Wall = time.UnixMilli(rec.WallMs).UTC()
	}
	for i, r := range rec.Ops {
		body := newBody(r.Kind)
		if body == nil {
			return Batch{}, fmt.Errorf("operation %d of the entry is of kind %d, which this build does not know; upgrade this node", i, r.Kind)
		}
		if err := modes.dec.Unmarshal(r.Body, body); err != nil {
			return Batch{}, fmt.Errorf("operation %d of the entry cannot be read: %w", i, err)
		}
		b.Ops = append(b.Ops, Op{r.Actor, r.Reason, Request{r.Key, r.Hash}, body})
	}
	return b, nil
}
