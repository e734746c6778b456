package telemetry

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/holdfast-cluster/holdfast/placement"
)

// A message is the age of a sample, two bytes in units of 10 ms, and the
// sample as its node wrote it: who passes it on changes the age only.
const (
	ageLen     = 2
	ageUnit    = 10 * time.Millisecond
	messageMax = 256
)

// statement is a sample as it travels. Fields of later versions are ignored.
// What is unknown is left out.
type statement struct {
	Node        string  `cbor:"1,keyasint"`
	Incarnation uint64  `cbor:"2,keyasint"` // 0 = not known yet; orders statements before Sequence
	Sequence    uint64  `cbor:"3,keyasint"`
	Load        *uint32 `cbor:"4,keyasint,omitempty"` // in loadStep
	Free        *uint64 `cbor:"5,keyasint,omitempty"` // bytes
	Memory      *uint64 `cbor:"6,keyasint,omitempty"` // bytes
	Vec         []int32 `cbor:"7,keyasint,omitempty"` // in placeStep, as the next two
	Height      int32   `cbor:"8,keyasint,omitempty"`
	Adjustment  int32   `cbor:"9,keyasint,omitempty"`
}

var errStatement = errors.New("telemetry: not a sample")

// lenient returns the decoder of what others say: bounded, and content with
// fields that it does not know (rule S19).
func lenient() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 4, MaxArrayElements: 16, MaxMapPairs: 32,
	}.DecMode()
}

// stamp orders the statements of one node.
type stamp struct {
	incarnation placement.Incarnation
	sequence    uint64
}

func (s stamp) after(t stamp) bool {
	return s.incarnation > t.incarnation || s.incarnation == t.incarnation && s.sequence > t.sequence
}

// encode returns a rounded sample as it travels, without its age.
func encode(node placement.NodeID, at stamp, s placement.Sample) ([]byte, error) {
	w := statement{Node: string(node), Incarnation: uint64(at.incarnation), Sequence: at.sequence}
	if !math.IsNaN(s.Load) {
		steps := uint32(math.Round(s.Load / loadStep))
		w.Load = &steps
	}
	if s.FreeBytes >= 0 {
		free := uint64(s.FreeBytes)
		w.Free = &free
	}
	if s.MemoryFreeBytes >= 0 {
		memory := uint64(s.MemoryFreeBytes)
		w.Memory = &memory
	}
	if c := s.Coordinate; c != nil {
		for _, v := range c.Vec {
			w.Vec = append(w.Vec, placeSteps(v))
		}
		w.Height, w.Adjustment = placeSteps(c.Height), placeSteps(c.Adjustment)
	}
	return cbor.Marshal(w)
}

func placeSteps(seconds float64) int32 { return int32(math.Round(seconds / placeStep)) }

// decode reads what encode or a later version wrote. A value that cannot be is
// unknown; a statement that cannot be is refused.
func decode(mode cbor.DecMode, b []byte) (node placement.NodeID, at stamp, s placement.Sample, err error) {
	var w statement
	if len(b) > messageMax-ageLen || mode.Unmarshal(b, &w) != nil {
		return "", stamp{}, placement.Sample{}, errStatement
	}
	if node, err = placement.ParseNodeID(w.Node); err != nil {
		return "", stamp{}, placement.Sample{}, errStatement
	}
	s = Unknown()
	if w.Load != nil && *w.Load <= loadMax/loadStep {
		s.Load = float64(*w.Load) * loadStep
	}
	if w.Free != nil && *w.Free <= bytesMax {
		s.FreeBytes = int64(*w.Free)
	}
	if w.Memory != nil && *w.Memory <= bytesMax {
		s.MemoryFreeBytes = int64(*w.Memory)
	}
	c := placement.Coordinate{Height: placeSeconds(w.Height), Adjustment: placeSeconds(w.Adjustment)}
	for _, v := range w.Vec {
		c.Vec = append(c.Vec, placeSeconds(v))
	}
	if plausible(c.Vec, c.Height, c.Adjustment) {
		s.Coordinate = &c
	}
	return node, stamp{placement.Incarnation(w.Incarnation), w.Sequence}, s, nil
}

func placeSeconds(steps int32) float64 { return float64(steps) / (1 / placeStep) }

// Unknown is the sample of a node that measures nothing.
func Unknown() placement.Sample {
	return placement.Sample{Load: math.NaN(), FreeBytes: -1, MemoryFreeBytes: -1}
}

// message puts the age before a statement.
func message(statement []byte, age time.Duration) []byte {
	units := min(max(age/ageUnit, 0), math.MaxUint16)
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, ageLen+len(statement)), uint16(units)), statement...)
}

// open splits a message.
func open(message []byte) (statement []byte, age time.Duration, err error) {
	if len(message) <= ageLen || len(message) > messageMax {
		return nil, 0, errStatement
	}
	return message[ageLen:], time.Duration(binary.BigEndian.Uint16(message)) * ageUnit, nil
}

// pack joins messages, each with its length before it.
func pack(packed, message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(packed, uint16(len(message))), message...)
}

// unpack calls visit for each message, until one is cut short.
func unpack(packed []byte, visit func(message []byte)) {
	for len(packed) >= 2 {
		n := int(binary.BigEndian.Uint16(packed))
		if packed = packed[2:]; n > len(packed) {
			return
		}
		visit(packed[:n])
		packed = packed[n:]
	}
}
