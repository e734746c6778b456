package fsm

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"time"

	"github.com/tidwall/btree"

	"github.com/holdfast-cluster/holdfast/placement"
)

// A snapshot is a magic with a format version, then records, each a kind, a
// length and deterministic CBOR, then an end record and the SHA-256 of all
// before it. The first record is the header and counts the others; chains come
// many to a record (frames.go).
const (
	snapshotMagic   = "HOLDFAST-STATE\x00\x01"
	recordBytesMax  = 64 << 20
	snapshotBufSize = 256 << 10
)

type recordKind uint8

const (
	recHeader recordKind = iota + 1
	recNode
	recChains
	recTombstone
	recStray
	recRequest
	recDecision
	recEnd
)

type headerRecord struct {
	ClusterID string               `cbor:"1,keyasint"`
	Name      string               `cbor:"2,keyasint"`
	Lineage   string               `cbor:"3,keyasint"`
	Level     int                  `cbor:"4,keyasint"`
	Revision  placement.Revision   `cbor:"5,keyasint"`
	Index     uint64               `cbor:"6,keyasint"`
	Term      uint64               `cbor:"7,keyasint"`
	Now       placement.Time       `cbor:"8,keyasint"`
	Config    configRecord         `cbor:"9,keyasint"`
	ConfigGen placement.Generation `cbor:"10,keyasint"`
	Freeze    *freezeRecord        `cbor:"11,keyasint,omitempty"`
	Pause     *pauseRecord         `cbor:"12,keyasint,omitempty"`
	Guard     []placement.NodeID   `cbor:"13,keyasint,omitempty"`
	Forced    []forcedRecord       `cbor:"14,keyasint,omitempty"`
	Counts    [5]int               `cbor:"15,keyasint"` // nodes, chains, tombstones, strays, requests
	History   int                  `cbor:"16,keyasint"`
	Heartbeat *heartbeatRecord     `cbor:"17,keyasint,omitempty"` // nil = never committed
}

func (v *View) header() headerRecord {
	return headerRecord{
		ClusterID: v.ClusterID, Name: v.ClusterName, Lineage: v.Lineage, Level: v.FeatureLevel,
		Revision: v.Revision, Index: v.Index, Term: v.Term, Now: v.Now,
		Config: configRecord(v.Config), ConfigGen: v.ConfigGeneration,
		Freeze: (*freezeRecord)(v.Freeze), Pause: (*pauseRecord)(v.RepairPause), Guard: v.RestoreGuard,
		Forced:  convert(v.Forced, func(f placement.Forced) forcedRecord { return forcedRecord(f) }),
		Counts:  [5]int{v.Nodes.Len(), v.Chains.Len(), v.tombstones.Len(), v.strays.Len(), v.requests.Len()},
		History: v.decisions.len(), Heartbeat: recordHeartbeat(v.Heartbeat),
	}
}

// recordWriter writes records and hashes them; the first error sticks.
type recordWriter struct {
	w    *bufio.Writer
	sum  hash.Hash
	n    int64
	err  error
	body bytes.Buffer
	head [1 + binary.MaxVarintLen64]byte
}

func (w *recordWriter) bytes(p []byte) {
	if w.err == nil {
		var n int
		n, w.err = w.w.Write(p)
		w.n += int64(n)
		w.sum.Write(p)
	}
}

func (w *recordWriter) record(kind recordKind, body any) bool {
	w.body.Reset()
	if err := modes.enc.MarshalToBuffer(body, &w.body); err != nil && w.err == nil {
		w.err = err
	}
	w.bytes(binary.AppendUvarint(append(w.head[:0], byte(kind)), uint64(w.body.Len())))
	w.bytes(w.body.Bytes())
	return w.err == nil
}

// chains writes all chains in frames.
func (w *recordWriter) chains(all placement.Table[placement.ChainID, *placement.Chain]) {
	f := newFrame()
	all.Ascend("", func(_ placement.ChainID, c *placement.Chain) bool {
		f.add(c)
		if f.full() {
			w.record(recChains, &f.frameRecord)
			f.clear()
			runtime.Gosched() // an Apply that waits for a processor gets this one
		}
		return w.err == nil
	})
	if len(f.IDs) > 0 {
		w.record(recChains, &f.frameRecord)
	}
}

// WriteTo streams the state as a snapshot. The same state gives the same
// bytes on every node (invariant same-state).
func (v *View) WriteTo(out io.Writer) (int64, error) {
	w := &recordWriter{w: bufio.NewWriterSize(out, snapshotBufSize), sum: sha256.New()}
	w.bytes([]byte(snapshotMagic))
	w.record(recHeader, v.header())
	v.Nodes.Ascend("", func(_ placement.NodeID, n *placement.Node) bool { return w.record(recNode, nodeToRecord(n)) })
	w.chains(v.Chains)
	v.tombstones.Scan(func(_ placement.ChainID, t Tombstone) bool { return w.record(recTombstone, tombstoneRecord(t)) })
	v.strays.Scan(func(_ string, s Stray) bool { return w.record(recStray, strayRecord(s)) })
	v.requests.Scan(func(_ string, r *request) bool {
		return w.record(recRequest, requestRecord{r.key, r.hash, r.expires, r.answer})
	})
	for i := range v.decisions.len() {
		w.record(recDecision, historyToRecord(&v.decisions.at(i).value))
	}
	w.bytes([]byte{byte(recEnd)})
	sum := w.sum.Sum(nil)
	w.bytes(sum)
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err != nil {
		return w.n, fmt.Errorf("write snapshot: %w", w.err)
	}
	return w.n, nil
}

// errSnapshot is what a damaged or foreign snapshot is refused with.
var errSnapshot = errors.New("the snapshot cannot be used")

// Restore replaces the state by that of a snapshot. A damaged, foreign or
// newer snapshot is an error that wraps [ErrFatal] and leaves the state alone.
func (m *Machine) Restore(in io.Reader) error {
	s, err := readSnapshot(in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	before := m.View()
	m.s = s
	m.publish(before)
	return nil
}

// hashingReader hashes what is read through it.
type hashingReader struct {
	r   *bufio.Reader
	sum hash.Hash
}

func (r *hashingReader) full(p []byte) error {
	if _, err := io.ReadFull(r.r, p); err != nil {
		return fmt.Errorf("%w: it ends early", errSnapshot)
	}
	r.sum.Write(p)
	return nil
}

// ReadByte makes the reader usable for varints.
func (r *hashingReader) ReadByte() (byte, error) {
	var one [1]byte
	err := r.full(one[:])
	return one[0], err
}

// next returns the next record; its bytes may be used as buf when they are no
// longer needed.
func (r *hashingReader) next(buf []byte) (recordKind, []byte, error) {
	kind, err := r.ReadByte()
	if err != nil || recordKind(kind) == recEnd {
		return recordKind(kind), nil, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > recordBytesMax {
		return 0, nil, fmt.Errorf("%w: a record's length is damaged", errSnapshot)
	}
	if uint64(cap(buf)) < size {
		// Grown step by step, so that a damaged length costs no memory.
		var grown bytes.Buffer
		if _, err := io.CopyN(&grown, r.r, int64(size)); err != nil {
			return 0, nil, fmt.Errorf("%w: it ends early", errSnapshot)
		}
		r.sum.Write(grown.Bytes())
		return recordKind(kind), grown.Bytes(), nil
	}
	buf = buf[:size]
	return recordKind(kind), buf, r.full(buf)
}

func readSnapshot(in io.Reader) (*state, error) {
	r := &hashingReader{r: bufio.NewReaderSize(in, snapshotBufSize), sum: sha256.New()}
	magic := make([]byte, len(snapshotMagic))
	if err := r.full(magic); err != nil {
		return nil, err
	}
	if string(magic) != snapshotMagic {
		return nil, fmt.Errorf("%w: it is not a snapshot of this format", errSnapshot)
	}
	l := &loading{state: newState(), names: map[placement.NodeID]placement.NodeID{}, at: map[placement.NodeID]*onNode{}}
	buf := make([]byte, 0, 64<<10)
	for first := true; ; first = false {
		kind, body, err := r.next(buf)
		if err != nil {
			return nil, err
		}
		if cap(body) > cap(buf) {
			buf = body
		}
		if first != (kind == recHeader) {
			return nil, fmt.Errorf("%w: its records are out of order", errSnapshot)
		}
		if kind == recEnd {
			break
		}
		if err := l.take(kind, body); err != nil {
			return nil, err
		}
	}
	sum := r.sum.Sum(nil)
	got := make([]byte, len(sum))
	if err := r.full(got); err != nil {
		return nil, err
	}
	if !bytes.Equal(got, sum) {
		return nil, fmt.Errorf("%w: its checksum does not match", errSnapshot)
	}
	if _, err := r.r.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows its end", errSnapshot)
	}
	return l.state, l.complete()
}

// loading is a state while its snapshot is read.
type loading struct {
	*state
	head  headerRecord
	names map[placement.NodeID]placement.NodeID // each node's name is kept once
	at    map[placement.NodeID]*onNode          // what the chains come to on each node
}

// take adds one record of a snapshot to the state.
func (s *loading) take(kind recordKind, body []byte) error {
	switch kind {
	case recHeader:
		if err := unpack(body, &s.head); err != nil {
			return err
		}
		return s.takeHeader(&s.head)
	case recNode:
		return load(body, func(r *nodeRecord) { s.nodes.Set(s.name(r.ID), r.node()) })
	case recChains:
		return s.takeChains(body)
	case recTombstone:
		return load(body, func(r *tombstoneRecord) { s.bury(Tombstone(*r)) })
	case recStray:
		return load(body, func(r *strayRecord) { s.strays.Set(strayKey(r.Node, r.Chain, r.Epoch), Stray(*r)) })
	case recRequest:
		return load(body, func(r *requestRecord) {
			s.setRequest(&request{key: r.Key, hash: r.Hash, expires: r.Expires, answer: r.Answer})
		})
	case recDecision:
		return load(body, func(r *historyRecord) { s.decisions.push(r.Revision, *r.record()) })
	default:
		return fmt.Errorf("%w: it has a record of kind %d, which this build does not know; upgrade this node", errSnapshot, kind)
	}
}

// takeChains adds the chains of one frame.
func (s *loading) takeChains(body []byte) error {
	var f frameReader
	if err := unpack(body, &f.frameRecord); err != nil {
		return err
	}
	for i, name := range f.Nodes {
		f.Nodes[i] = s.name(name)
	}
	for _, r := range f.Rest {
		for i := range r.Departed {
			r.Departed[i].Node, r.Departed[i].Copy = s.name(r.Departed[i].Node), s.name(r.Departed[i].Copy)
		}
	}
	for _, r := range f.Specs {
		spec := r.spec()
		f.specs = append(f.specs, s.specs.share(&spec))
	}
	for range f.IDs {
		c, err := f.next()
		if err != nil {
			return err
		}
		s.add(c)
	}
	if !f.done() {
		return fmt.Errorf("%w: a frame has more than its chains", errSnapshot)
	}
	return nil
}

// add adds a chain. Chains come in id order, so that every list that names one
// grows at its end: that is quicker than state.account.
func (s *loading) add(c *placement.Chain) {
	s.chains.Load(c.ID, c)
	for i := range c.Holders {
		h := &c.Holders[i]
		n := s.at[h.Node]
		if n == nil {
			n = s.on.change(h.Node)
			s.at[h.Node] = n
		}
		n.chains.Load(c.ID, struct{}{})
		n.usage = n.usage.Add(holderUsage(c, h))
	}
	s.countMoves(c, +1)
	s.timers = max(s.timers, timersOf(c, &s.config))
}

// tight returns the map without the room that loading left: each node of the
// tree that was split keeps the memory of both halves until it is copied.
func tight[K cmp.Ordered, V any](m *btree.Map[K, V]) *btree.Map[K, V] {
	m = m.Copy()
	m.ScanMut(func(K, V) bool { return true })
	return m
}

// name returns the one copy of a node's name.
func (s *loading) name(id placement.NodeID) placement.NodeID {
	if known, ok := s.names[id]; ok {
		return known
	}
	s.names[id] = id
	return id
}

func load[T any](body []byte, set func(*T)) error {
	var rec T
	if err := unpack(body, &rec); err != nil {
		return err
	}
	set(&rec)
	return nil
}

func unpack(body []byte, rec any) error {
	if err := modes.dec.Unmarshal(body, rec); err != nil {
		return fmt.Errorf("%w: a record cannot be read: %w", errSnapshot, err)
	}
	return nil
}

func (s *state) takeHeader(h *headerRecord) error {
	if h.Level < 1 || h.Level > Level {
		return fmt.Errorf("%w: it is of feature level %d, this build knows up to %d; upgrade this node", errSnapshot, h.Level, Level)
	}
	s.clusterID, s.name, s.lineage, s.level = h.ClusterID, h.Name, h.Lineage, h.Level
	s.rev, s.index, s.term, s.now = h.Revision, h.Index, h.Term, h.Now
	s.config, s.configGen = placement.Config(h.Config), h.ConfigGen
	s.freezing, s.pause = (*placement.Freeze)(h.Freeze), (*placement.RepairPause)(h.Pause)
	s.guard = h.Guard
	s.heartbeat = h.Heartbeat.heartbeat()
	s.forced = convert(h.Forced, func(f forcedRecord) placement.Forced { return placement.Forced(f) })
	s.changes = ring[Change]{}
	s.changesCut = s.rev // changes before a snapshot are not kept: readers list anew
	s.swept = s.now / placement.Time(time.Second)
	return nil
}

// complete checks that all records that the header counted were there.
func (s *loading) complete() error {
	s.chains = tight(s.chains)
	s.on.nodes.Scan(func(_ placement.NodeID, n *onNode) bool {
		n.chains = tight(n.chains)
		return true
	})
	got := [5]int{s.nodes.Len(), s.chains.Len(), s.tombstones.Len(), s.strays.Len(), s.requests.Len()}
	if got != s.head.Counts || s.decisions.len() != s.head.History {
		return fmt.Errorf("%w: it lacks records that its header counts", errSnapshot)
	}
	return nil
}
