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

// EncodeBatch returns the bytes of a log entry: the feature level in one
// byte, then the batch. It refuses what breaks the limits of this file.
func EncodeBatch(b Batch) ([]byte, error) {
	if len(b.Ops) > BatchOpsMax {
		return nil, fmt.Errorf("a batch of %d operations: at most %d fit one log entry", len(b.Ops), BatchOpsMax)
	}
	rec := batchRecord{Now: b.Now, Term: b.Term, ConfigAt: b.ConfigAt}
	if !b.Wall.IsZero() {
		rec.WallMs = b.Wall.UnixMilli()
	}
	for _, op := range b.Ops {
		if err := op.check(); err != nil {
			return nil, err
		}
		body, err := modes.enc.Marshal(op.Body)
		if err != nil {
			return nil, fmt.Errorf("encode operation: %w", err)
		}
		rec.Ops = append(rec.Ops, opRecord{op.Body.kind(), op.Actor, op.Reason, op.Request.Key, op.Request.Hash, body})
	}
	data, err := modes.enc.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	if len(data) >= BatchBytesMax {
		return nil, fmt.Errorf("the entry has %d bytes: at most %d are allowed", len(data)+1, BatchBytesMax)
	}
	return append([]byte{byte(max(b.Level, 1))}, data...), nil
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

// EncodedSize returns how many bytes an operation adds to an entry.
func EncodedSize(op Op) (int, error) {
	body, err := modes.enc.Marshal(op.Body)
	if err != nil {
		return 0, fmt.Errorf("encode operation: %w", err)
	}
	return len(body) + len(op.Actor) + len(op.Reason) + len(op.Request.Key) + len(op.Request.Hash) + 32, nil
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
	var rec batchRecord
	if err := modes.dec.Unmarshal(data[1:], &rec); err != nil {
		return Batch{}, fmt.Errorf("%w: the entry cannot be read: %w", ErrFatal, err)
	}
	b := Batch{Level: level, Now: rec.Now, Term: rec.Term, ConfigAt: rec.ConfigAt}
	if rec.WallMs != 0 {
		b.Wall = time.UnixMilli(rec.WallMs).UTC()
	}
	for i, r := range rec.Ops {
		body := newBody(r.Kind)
		if body == nil {
			return Batch{}, fmt.Errorf("%w: operation %d of the entry is of kind %d, which this build does not know; upgrade this node", ErrFatal, i, r.Kind)
		}
		if err := modes.dec.Unmarshal(r.Body, body); err != nil {
			return Batch{}, fmt.Errorf("%w: operation %d of the entry cannot be read: %w", ErrFatal, i, err)
		}
		if raise, ok := body.(*RaiseLevel); ok && raise.Level > Level {
			return Batch{}, fmt.Errorf("%w: the cluster rises to feature level %d, this build knows up to %d; upgrade this node", ErrFatal, raise.Level, Level)
		}
		b.Ops = append(b.Ops, Op{r.Actor, r.Reason, Request{r.Key, r.Hash}, body})
	}
	return b, nil
}
