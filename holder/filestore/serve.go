package filestore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/holdfast-cluster/holdfast/placement"
)

// suspectsMax is how many contents may wait to be looked at: more are left to
// the scrubber.
const suspectsMax = 16

// OpenToServe is Open for a reader that cannot check the bytes itself. Who reads
// from the first byte to the last gets an error in the place of the last ones
// if the bytes are not those of the hash: rot is never passed off as content.
// The content is then looked at without waiting for the scrubber. A part of a
// content is not checked.
func (s *Store) OpenToServe(chain placement.ChainID, sha string) (io.ReadSeekCloser, int64, error) {
	f, size, err := s.Open(chain, sha)
	if err != nil {
		return nil, 0, err
	}
	return &checked{ReadSeekCloser: f, store: s, blob: blobName{chain, sha}, size: size, sum: sha256.New(), whole: true}, size, nil
}

// checked compares what it has read with the hash before it gives the end away.
type checked struct {
	io.ReadSeekCloser
	store *Store
	blob  blobName
	size  int64
	sum   hash.Hash // of the bytes before at
	at    int64
	whole bool // all has been read from the first byte on
}

// Read implements io.Reader.
func (c *checked) Read(b []byte) (int, error) {
	n, err := c.ReadSeekCloser.Read(b)
	if !c.whole {
		return n, err
	}
	c.sum.Write(b[:n])
	if c.at += int64(n); n == 0 || c.at < c.size || hex.EncodeToString(c.sum.Sum(nil)) == c.blob.sha {
		return n, err
	}
	select {
	case c.store.suspects <- c.blob:
	default:
	}
	return 0, fmt.Errorf("the bytes of chain %s on this disk do not have the hash %.16s: they are not served", c.blob.chain, c.blob.sha)
}

// Seek implements io.Seeker.
func (c *checked) Seek(offset int64, whence int) (int64, error) {
	at, err := c.ReadSeekCloser.Seek(offset, whence)
	c.sum.Reset()
	c.at, c.whole = 0, at == 0 && err == nil
	return at, err
}
