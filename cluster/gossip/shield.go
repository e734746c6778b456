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

// How many complaints of memberlist pass in how long.
const (
	complaintsMax   = 10
	complaintsEvery = 10 * time.Second
)

// complaints passes on what memberlist logs, but not more than a few of its
// warnings: whoever can send a packet causes one, and must not fill the disk.
type complaints struct {
	next io.Writer

	mu    sync.Mutex
	since time.Time
	said  int
}

// Write passes a line on, or leaves it out.
func (c *complaints) Write(line []byte) (int, error) {
	if !bytes.HasPrefix(line, []byte("[ERR]")) && !bytes.HasPrefix(line, []byte("[WARN]")) {
		return c.next.Write(line)
	}
	c.mu.Lock()
	if now := time.Now(); now.Sub(c.since) >= complaintsEvery {
		if left := c.said - complaintsMax; left > 0 {
			fmt.Fprintf(c.next, "[WARN] memberlist: %d more complaints were left out\n", left)
		}
		c.since, c.said = now, 0
	}
	c.said++
	pass := c.said <= complaintsMax
	c.mu.Unlock()
	if !pass {
		return len(line), nil
	}
	return c.next.Write(line)
}
