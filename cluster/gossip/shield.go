package gossip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// Types of memberlist's messages that hold others.
const (
	typeCompound = 7
	typeCompress = 9
	typeChecksum = 12 // with 4 bytes of it
	typeLabel    = 244
)

// packed reports whether something in a plain packet is compressed. No node
// compresses; but memberlist would unpack whatever it gets, to any size, before
// it knows who has sent it.
func packed(b []byte) bool {
	if len(b) >= 2 && b[0] == typeLabel {
		b = b[min(len(b), 2+int(b[1])):]
	}
	if len(b) >= 5 && b[0] == typeChecksum {
		b = b[5:]
	}
	return holdsPacked(b)
}

func holdsPacked(b []byte) bool {
	if len(b) < 2 || b[0] != typeCompound {
		return len(b) > 0 && b[0] == typeCompress
	}
	count, sizes := int(b[1]), b[2:]
	if len(sizes) < 2*count {
		return false // memberlist refuses it
	}
	parts := sizes[2*count:]
	for i := range count {
		size := int(binary.BigEndian.Uint16(sizes[2*i:]))
		if len(parts) < size {
			return false // memberlist stops here, too
		}
		if holdsPacked(parts[:size]) {
			return true
		}
		parts = parts[size:]
	}
	return false
}

// How many complaints of one kind pass in how long.
const (
	complaintsMax   = 10
	complaintsEvery = 10 * time.Second
)

// allowance lets a few complaints pass: whoever can send a packet causes one,
// and must not fill the disk.
type allowance struct {
	mu    sync.Mutex
	since time.Time
	said  int
}

// pass reports whether one more may be said, and how many were left out before
// it.
func (a *allowance) pass() (ok bool, left int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.since) >= complaintsEvery {
		left = max(0, a.said-complaintsMax)
		a.since, a.said = now, 0
	}
	a.said++
	return a.said <= complaintsMax, left
}

// complaints passes on what memberlist logs, but of its warnings only as many
// as are allowed.
type complaints struct {
	next    io.Writer
	allowed allowance
}

// Write passes a line on, or leaves it out.
func (c *complaints) Write(line []byte) (int, error) {
	if !bytes.HasPrefix(line, []byte("[ERR]")) && !bytes.HasPrefix(line, []byte("[WARN]")) {
		return c.next.Write(line)
	}
	ok, left := c.allowed.pass()
	if left > 0 {
		fmt.Fprintf(c.next, "[WARN] memberlist: %d more complaints were left out\n", left)
	}
	if !ok {
		return len(line), nil
	}
	return c.next.Write(line)
}
