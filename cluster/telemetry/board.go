package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Times of publishing; they grow with the cluster, see every.
const (
	readEvery    = time.Second
	changedEvery = 2 * time.Second
	sameEvery    = 5 * time.Second
	knownFor     = 15 * time.Second
	perNode      = 10 * time.Millisecond // of changedEvery: at most 100 samples a second in all
	nodesMax     = 8192                  // that a board remembers
)

// Config says whose board it is.
type Config struct {
	// Node is the own node.
	Node placement.NodeID
	// Read returns the readings of this moment. It must not block.
	Read func() placement.Sample
	// Incarnation returns that of this process, 0 until it is known.
	Incarnation func() placement.Incarnation
	// Spread hands a message to gossip in place of the last one about the same
	// node; it is asked for when it is sent. It must not block.
	Spread func(about string, message func() []byte)
	// Show gets the own averages with each reading.
	Show func(placement.Sample)
	// Elapsed is the monotonic clock.
	Elapsed func() time.Duration
}

// Board is what one node knows of all. Make one with [New].
type Board struct {
	cfg     Config
	mode    cbor.DecMode
	locator *locator

	mu      sync.Mutex // never held while anything outside is called
	entries map[placement.NodeID]entry
	changed bool            // entries say something else than facts
	expires time.Duration   // no entry does before
	facts   placement.Facts // as last handed out
	made    time.Duration   // when facts was
}

// entry is what is known of one node.
type entry struct {
	stamp     stamp
	sample    placement.Sample
	statement []byte        // as its node wrote it
	said      time.Duration // when, by the own clock
}

// New returns an empty board. It starts nothing.
func New(cfg Config) (*Board, error) {
	b := &Board{cfg: cfg, entries: map[placement.NodeID]entry{}}
	var err error
	if b.mode, err = lenient(); err == nil {
		b.locator, err = newLocator(b.mode)
	}
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	return b, nil
}

// Run reads the own node and publishes what it says, until ctx ends.
func (b *Board) Run(ctx context.Context) error {
	own := &publisher{board: b, last: Unknown()}
	for {
		own.read()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(readEvery - readEvery/8 + rand.N(readEvery/4)):
		}
	}
}

// publisher publishes the own samples. It belongs to the goroutine of Run.
type publisher struct {
	board  *Board
	smooth smoother
	last   placement.Sample // published
	stamp  stamp            // of last
	at     time.Duration    // of last
}

// read takes a reading and publishes a sample if one is due.
func (p *publisher) read() {
	b := p.board
	now := b.cfg.Elapsed()
	average := p.smooth.add(b.cfg.Read(), now)
	b.cfg.Show(average)
	next := settle(p.last, average)
	next.Coordinate = b.locator.settle(p.last.Coordinate)
	incarnation := b.cfg.Incarnation()
	pause := sameEvery
	if !sameSample(next, p.last) || incarnation != p.stamp.incarnation {
		pause = changedEvery
	}
	// Readings are readEvery apart, give or take an eighth: half of one early is
	// the nearest.
	if p.stamp.sequence > 0 && now-p.at < max(pause, b.every())-readEvery/2 {
		return
	}
	p.last, p.at = next, now
	p.stamp = stamp{incarnation, p.stamp.sequence + 1}
	if statement, err := encode(b.cfg.Node, p.stamp, next); err == nil { // numbers and a short name always encode
		b.take(b.cfg.Node, entry{p.stamp, next, statement, now}, true)
	}
}

// every is how often a changing sample is published in a cluster as large as
// this board.
func (b *Board) every() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return every(len(b.entries))
}

func every(nodes int) time.Duration { return max(changedEvery, time.Duration(nodes)*perNode) }

// knownIn is how old a sample may be in a cluster of so many nodes.
func knownIn(nodes int) time.Duration { return max(knownFor, 5*every(nodes)) }

// take notes a sample if it is news, and passes it on if it should.
func (b *Board) take(node placement.NodeID, e entry, spread bool) {
	now := b.cfg.Elapsed()
	b.mu.Lock()
	old, known := b.entries[node]
	if known && !e.stamp.after(old.stamp) || !known && len(b.entries) >= nodesMax ||
		now-e.said > knownIn(len(b.entries)) {
		b.mu.Unlock()
		return
	}
	if !known || !sameSample(old.sample, e.sample) {
		b.changed = true
	} else {
		e.sample = old.sample // the same coordinate, not another like it
	}
	if len(b.entries) == 0 || e.said+knownFor < b.expires {
		b.expires = e.said + knownFor
	}
	b.entries[node] = e
	b.mu.Unlock()
	if !spread {
		return
	}
	b.cfg.Spread(string(node), func() []byte { return message(e.statement, b.cfg.Elapsed()-e.said) })
}

// Facts returns what is known now. The same facts are the same table: it is a
// pointer that can be compared. They are renewed no more often than a node
// publishes.
func (b *Board) Facts() placement.Facts {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Elapsed()
	b.expire(now)
	if !b.changed || b.facts.Samples != nil && now-b.made < every(len(b.entries)) {
		return b.facts
	}
	samples := make(map[placement.NodeID]placement.Sample, len(b.entries))
	for node, e := range b.entries {
		samples[node] = e.sample
	}
	b.facts = placement.Facts{Samples: &table{placement.TableOf(samples)}}
	b.changed, b.made = false, now
	return b.facts
}

// table makes a table comparable.
type table struct {
	placement.Table[placement.NodeID, placement.Sample]
}

// expire forgets samples that are too old. It walks over them only when one
// may be.
func (b *Board) expire(now time.Duration) {
	if now <= b.expires {
		return
	}
	limit := knownIn(len(b.entries))
	oldest := now
	for node, e := range b.entries {
		if now-e.said > limit {
			delete(b.entries, node)
			b.locator.client.ForgetNode(string(node))
			b.changed = true
			continue
		}
		oldest = min(oldest, e.said)
	}
	b.expires = oldest + limit
}

// Heard takes a message of gossip. What is news is passed on.
func (b *Board) Heard(msg []byte) { b.hear(msg, true) }

func (b *Board) hear(msg []byte, spread bool) {
	statement, age, err := open(msg)
	if err != nil {
		return
	}
	node, at, sample, err := decode(b.mode, statement)
	if err != nil || node == b.cfg.Node { // what the own node says is known better here
		return
	}
	b.take(node, entry{at, sample, bytes.Clone(statement), b.cfg.Elapsed() - age}, spread)
}

// Everything returns all samples for a full exchange.
func (b *Board) Everything() []byte {
	now := b.cfg.Elapsed()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	var packed []byte
	for _, e := range b.entries {
		packed = pack(packed, message(e.statement, now-e.said))
	}
	return packed
}

// HeardEverything takes the other side of a full exchange. It is not passed on:
// who has not heard it has its own.
func (b *Board) HeardEverything(packed []byte) {
	unpack(packed, func(msg []byte) { b.hear(msg, false) })
}

// Answer returns what goes with the answer to a probe: where this node lies.
func (b *Board) Answer() []byte { return b.locator.answer() }

// Measured takes the round trip of a probe and what came with its answer.
func (b *Board) Measured(node string, rtt time.Duration, answer []byte) {
	b.locator.observe(node, rtt, answer)
}
