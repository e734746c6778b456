package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// Cargo is what rides on the gossip. Its methods must not block, nor keep the
// bytes they are given; what they are given comes from the network and may be
// anything.
type Cargo interface {
	// Heard gets a message that some node has spread.
	Heard(message []byte)
	// Everything returns what a node gets in a full exchange: at its start, and
	// now and then.
	Everything() []byte
	// HeardEverything gets what Everything has returned elsewhere.
	HeardEverything(everything []byte)
	// Answer returns what goes with the answer to a probe.
	Answer() []byte
	// Measured gets the round trip of a probe that was answered directly, and
	// the answer.
	Measured(node string, rtt time.Duration, answer []byte)
}

// passOnMult times ⌈log10(living members + 1)⌉ is how often a node sends a
// message on before it lets go of it. It is memberlist's own default: with half
// of it a node of a small cluster misses one message in thirty, and now and then
// three samples of a neighbour in a row.
const passOnMult = 4

// Spread sends a message to others, a few at a time, in the rest of packets of
// gossip, in place of what it has not yet sent about the same thing. A message
// is made whenever it is sent, always in the same length. It may be called
// before Run.
func (g *Gossip) Spread(about string, message func() []byte) {
	g.queue.QueueBroadcast(spreading{about, message})
}

// spreading is a message under way, as memberlist wants it.
type spreading struct {
	about   string
	message func() []byte
}

// Name is what newer messages take the place of.
func (s spreading) Name() string { return s.about }

// Message returns the bytes to send.
func (s spreading) Message() []byte { return s.message() }

// Invalidates is not asked: Name says it.
func (s spreading) Invalidates(memberlist.Broadcast) bool { return false }

// Finished is told when the message has been sent often enough.
func (s spreading) Finished() {}

// none is no cargo.
type none struct{}

// Heard forgets the message.
func (none) Heard([]byte) {}

// Everything returns nothing.
func (none) Everything() []byte { return nil }

// HeardEverything forgets it.
func (none) HeardEverything([]byte) {}

// Answer returns nothing.
func (none) Answer() []byte { return nil }

// Measured forgets it.
func (none) Measured(string, time.Duration, []byte) {}
