package fsm

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// A snapshot has its chains in frames, in id order. A frame names each node,
// hash and spec once; a chain is a run of numbers that points at them, so that
// a million chains are read and written without reflection on each. A frame
// ends where a function of the state alone says, so that the same state has
// the same bytes.
const (
	frameChains = 1024 // of one frame at most
	frameSpecs  = 128  // different ones of one frame at most: they may be large
)

type frameRecord struct {
	IDs     []placement.ChainID `cbor:"1,keyasint"`
	Nodes   []placement.NodeID  `cbor:"2,keyasint,omitempty"` // in the order of first use, as the next two
	Hashes  []string            `cbor:"3,keyasint,omitempty"`
	Specs   []specRecord        `cbor:"4,keyasint"`
	Numbers []byte              `cbor:"5,keyasint"` // varints, see frame.add
	Rest    []restRecord        `cbor:"6,keyasint,omitempty"`
}

// restRecord is what few chains have.
type restRecord struct {
	Chain      int               `cbor:"1,keyasint"` // its place in the frame
	Moves      []moveRecord      `cbor:"2,keyasint,omitempty"`
	Backoffs   []backoffRecord   `cbor:"3,keyasint,omitempty"`
	Quarantine *quarantineRecord `cbor:"4,keyasint,omitempty"`
	Departed   []departureRecord `cbor:"5,keyasint,omitempty"`
}

// Marks of a chain and of a holder in a frame. A holder's phase is added to
// its marks.
const (
	markEverReady = 1 << iota
	markContent
)

const (
	markPhase = 3
	markLost  = 1 << (iota + 1)
	markUnconfirmed
)

// frame is a frame that is being written.
type frame struct {
	frameRecord
	nodes, hashes map[string]uint64 // their places, from 1; 0 is ""
	specs         []*placement.Spec
	seen          map[*placement.Spec]uint64 // places of specs that chains share
}

func newFrame() *frame {
	return &frame{nodes: map[string]uint64{}, hashes: map[string]uint64{}, seen: map[*placement.Spec]uint64{}}
}

// clear empties the frame and keeps its memory.
func (f *frame) clear() {
	clear(f.nodes)
	clear(f.hashes)
	clear(f.seen)
	f.specs = f.specs[:0]
	f.frameRecord = frameRecord{f.IDs[:0], f.Nodes[:0], f.Hashes[:0], f.Specs[:0], f.Numbers[:0], f.Rest[:0]}
}

func (f *frame) full() bool { return len(f.IDs) == frameChains || len(f.Specs) == frameSpecs }

// add writes one more chain.
func (f *frame) add(c *placement.Chain) {
	marks := uint64(0)
	if c.EverReady {
		marks |= markEverReady
	}
	if c.Content != nil {
		marks |= markContent
	}
	if len(c.Moves)+len(c.Backoffs)+len(c.Departed) > 0 || c.Quarantine != nil {
		f.Rest = append(f.Rest, restRecord{
			len(f.IDs),
			convert(c.Moves, func(m placement.Move) moveRecord { return moveRecord(m) }),
			convert(c.Backoffs, func(b placement.Backoff) backoffRecord { return backoffRecord(b) }),
			(*quarantineRecord)(c.Quarantine),
			convert(c.Departed, func(d placement.Departure) departureRecord { return departureRecord(d) }),
		})
	}
	f.IDs = append(f.IDs, c.ID)
	f.number(f.spec(c.Spec), uint64(c.Generation), uint64(c.Revision), uint64(c.LastDecision),
		signed(c.LastRebalance), signed(c.LastConstraint), signed(c.Failures), marks)
	if c.Content != nil {
		f.number(uint64(c.Content.Version), signed(c.Content.Size), place(c.Content.SHA256, f.hashes, &f.Hashes))
	}
	f.number(uint64(len(c.Holders)))
	for i := range c.Holders {
		h := &c.Holders[i]
		marks := uint64(h.Phase)
		if h.Lost {
			marks |= markLost
		}
		if h.Unconfirmed {
			marks |= markUnconfirmed
		}
		f.number(place(h.Node, f.nodes, &f.Nodes), place(h.Source, f.nodes, &f.Nodes), place(h.SHA256, f.hashes, &f.Hashes),
			uint64(h.Epoch), signed(h.Since), signed(h.SizeBytes), marks)
	}
}

func (f *frame) number(list ...uint64) {
	for _, n := range list {
		f.Numbers = binary.AppendUvarint(f.Numbers, n)
	}
}

// signed is a number that is hardly ever negative.
func signed[T ~int32 | ~int64](n T) uint64 { return uint64(n) } //nolint:gosec // and back in the same way

// place returns where a word stands in a table, and puts it there.
func place[T ~string](word T, places map[string]uint64, table *[]T) uint64 {
	if word == "" {
		return 0
	}
	at, ok := places[string(word)]
	if !ok {
		*table = append(*table, word)
		at = uint64(len(*table))
		places[string(word)] = at
	}
	return at
}

// spec returns where an equal spec stands in the frame, and puts it there.
func (f *frame) spec(s *placement.Spec) uint64 {
	at, ok := f.seen[s]
	if !ok {
		i := slices.IndexFunc(f.specs, func(other *placement.Spec) bool { return sameSpec(other, s) })
		if i < 0 {
			i = len(f.specs)
			f.specs, f.Specs = append(f.specs, s), append(f.Specs, specToRecord(*s))
		}
		at = uint64(i) //nolint:gosec // at most frameSpecs
		f.seen[s] = at
	}
	return at
}

// frameReader reads the chains of a frame, one after the other.
type frameReader struct {
	frameRecord
	specs []*placement.Spec
	at    int // chains read
	bad   bool
}

// next returns the next chain; its id is not checked.
func (f *frameReader) next() (*placement.Chain, error) {
	c := &placement.Chain{ID: f.IDs[f.at]}
	c.Spec = pick(f, f.specs)
	c.Generation, c.Revision = placement.Generation(f.number()), placement.Revision(f.number())
	c.LastDecision = placement.Revision(f.number())
	c.LastRebalance, c.LastConstraint = placement.Time(f.number()), placement.Time(f.number()) //nolint:gosec // see signed
	c.Failures = int32(f.number())                                                             //nolint:gosec // see signed
	marks := f.number()
	c.EverReady = marks&markEverReady != 0
	if marks&markContent != 0 {
		c.Content = &placement.Content{Version: placement.Revision(f.number()), Size: int64(f.number()), SHA256: word(f, f.Hashes)} //nolint:gosec // see signed
	}
	n := f.number()
	if n > uint64(len(f.Numbers)) || marks > markEverReady|markContent {
		f.bad = true
	}
	if !f.bad && n > 0 {
		c.Holders = make([]placement.Holder, n)
	}
	for i := range c.Holders {
		c.Holders[i] = f.holder()
		f.bad = f.bad || i > 0 && c.Holders[i-1].Node >= c.Holders[i].Node
	}
	f.rest(c)
	if f.bad {
		return nil, fmt.Errorf("%w: chain %.40q cannot be read", errSnapshot, c.ID)
	}
	f.at++
	return c, nil
}

func (f *frameReader) holder() placement.Holder {
	h := placement.Holder{
		Node: word(f, f.Nodes), Source: word(f, f.Nodes), SHA256: word(f, f.Hashes), Epoch: placement.Epoch(f.number()),
		Since: placement.Time(f.number()), SizeBytes: int64(f.number()), //nolint:gosec // see signed
	}
	marks := f.number()
	h.Phase, h.Lost, h.Unconfirmed = placement.Phase(marks&markPhase), marks&markLost != 0, marks&markUnconfirmed != 0
	f.bad = f.bad || h.Phase == 0 || marks > markPhase|markLost|markUnconfirmed
	return h
}

// rest adds what few chains have.
func (f *frameReader) rest(c *placement.Chain) {
	if len(f.Rest) == 0 || f.Rest[0].Chain != f.at {
		return
	}
	r := f.Rest[0]
	f.Rest = f.Rest[1:]
	c.Moves = convert(r.Moves, func(m moveRecord) placement.Move { return placement.Move(m) })
	c.Backoffs = convert(r.Backoffs, func(b backoffRecord) placement.Backoff { return placement.Backoff(b) })
	c.Quarantine = (*placement.Quarantine)(r.Quarantine)
	c.Departed = convert(r.Departed, func(d departureRecord) placement.Departure { return placement.Departure(d) })
}

// number returns the next number; the first that is not there makes all that
// follow zero.
func (f *frameReader) number() uint64 {
	n, size := binary.Uvarint(f.Numbers)
	if size <= 0 || f.bad {
		f.bad = true
		return 0
	}
	f.Numbers = f.Numbers[size:]
	return n
}

// word returns the word of a table that the next number points at.
func word[T ~string](f *frameReader, table []T) T {
	n := f.number()
	if n > uint64(len(table)) {
		f.bad = true
	}
	if n == 0 || f.bad {
		return ""
	}
	return table[n-1]
}

// pick returns the entry of a table whose place is the next number.
func pick[T any](f *frameReader, table []*T) *T {
	n := f.number()
	if n >= uint64(len(table)) {
		f.bad = true
		return new(T)
	}
	return table[n]
}

// done tells whether the frame had nothing but its chains.
func (f *frameReader) done() bool { return len(f.Numbers) == 0 && len(f.Rest) == 0 }
