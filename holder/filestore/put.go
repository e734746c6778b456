package filestore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Upload says what a client's PUT brings to this disk.
type Upload struct {
	Chain placement.ChainID
	Epoch placement.Epoch    // under which this node holds the chain
	Base  placement.Revision // the content version it is to follow, 0 = none
	Size  int64
	// SHA256 is checked when the sender knows it; "" = this node's word counts.
	SHA256 string
}

// Stored is the word of one disk that it has the bytes. The commit names
// Incarnation and Epoch (rule S3).
type Stored struct {
	Incarnation placement.Incarnation `json:"incarnation"`
	Epoch       placement.Epoch       `json:"epoch"`
	SHA256      string                `json:"sha256"`
	Size        int64                 `json:"size"`
	Ticket      string                `json:"ticket"` // what Abandon takes
}

// ErrNotHolder is wrapped when this node does not hold the chain under the
// epoch that an upload names.
var ErrNotHolder = errors.New(string(placement.NotHolder))

// ErrMismatch is wrapped when an upload's bytes are not what it announced.
var ErrMismatch = errors.New("the bytes are not what was announced")

// Receive stores the bytes of an upload beside what is here, synced to disk
// and under their hash. They stay until they are abandoned, or dropped after the
// chain has moved past their base.
func (s *Store) Receive(ctx context.Context, u Upload, body io.Reader) (Stored, error) {
	incarnation, err := s.admit(u)
	if err != nil {
		return Stored{}, err
	}
	book, err := s.book(u.Size)
	if err != nil {
		return Stored{}, fmt.Errorf("store content of chain %s: %w", u.Chain, err)
	}
	defer book.release()
	defer s.enter(u.Chain)()
	if err := s.openDir(ctx, u.Chain); err != nil {
		return Stored{}, err
	}
	tmp, sha, err := s.spool(ctx, u, body, book)
	if err != nil {
		return Stored{}, fmt.Errorf("store content of chain %s: %w", u.Chain, noSpace(err))
	}
	defer os.Remove(tmp) // nothing is left of it after the commit
	// The bytes may have taken long: the epoch must still be this node's.
	if again, err := s.admit(u); err != nil || again != incarnation {
		return Stored{}, errors.Join(fmt.Errorf("chain %s was assigned anew while its content arrived: %w", u.Chain, ErrNotHolder), err)
	}
	r := record{Chain: u.Chain, Epoch: u.Epoch, SHA256: sha, Size: u.Size, Staged: true, Base: u.Base}
	ticket, err := s.stage(ctx, r, tmp)
	if err != nil {
		return Stored{}, err
	}
	return Stored{Incarnation: incarnation, Epoch: u.Epoch, SHA256: sha, Size: u.Size, Ticket: ticket}, nil
}

func (s *Store) admit(u Upload) (placement.Incarnation, error) {
	if _, err := placement.ParseChainID(string(u.Chain)); err != nil {
		return 0, fmt.Errorf("%w: %w", err, ErrMismatch)
	}
	if u.Size < 0 {
		return 0, fmt.Errorf("a size of %d bytes cannot be: %w", u.Size, ErrMismatch)
	}
	if s.cfg.Accept == nil {
		return 0, fmt.Errorf("this node takes no content: %w", ErrNotHolder)
	}
	incarnation, err := s.cfg.Accept(u.Chain, u.Epoch)
	if err != nil {
		return 0, fmt.Errorf("chain %s, epoch %d: %w: %w", u.Chain, u.Epoch, ErrNotHolder, err)
	}
	return incarnation, nil
}

// spool writes the body to a file of its own, verified and synced, and returns
// its path and hash. On an error nothing is left.
func (s *Store) spool(ctx context.Context, u Upload, body io.Reader, book *booking) (path, sha string, err error) {
	f, err := os.CreateTemp(s.chainDir(u.Chain), "put-*"+tmpEnding)
	if err != nil {
		return "", "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum, out := sha256.New(), steady{file: f}
	n, err := pour(ctx, io.LimitReader(body, u.Size+1), sum, func(b []byte) error {
		book.wrote(int64(len(b)))
		_, err := out.Write(b)
		return err
	})
	sha = hex.EncodeToString(sum.Sum(nil))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err == nil && n != u.Size:
		return "", "", fmt.Errorf("%d bytes were announced and %d came: %w", u.Size, n, ErrMismatch)
	case err != nil:
		return "", "", err
	case u.SHA256 != "" && u.SHA256 != sha:
		return "", "", fmt.Errorf("hash %.16s was announced and %.16s came: %w", u.SHA256, sha, ErrMismatch)
	}
	return f.Name(), sha, f.Sync()
}

// stage commits uploaded bytes. A record of the same bytes that is here gets
// the newer base, so that it is not superseded while this upload may still be
// committed; and it is not this upload's to abandon.
func (s *Store) stage(ctx context.Context, r record, tmp string) (ticket string, err error) {
	release, err := s.acquire(ctx, r.Chain)
	if err != nil {
		return "", err
	}
	defer release()
	old, had := s.find(r.key())
	if had && old.Staged {
		r.Base = max(r.Base, old.Base)
	}
	if err := s.commitLocked(r, tmp); err != nil {
		return "", fmt.Errorf("record the content of chain %s: %w", r.Chain, noSpace(err))
	}
	ticket = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !had:
		s.tickets[r.key()] = map[string]bool{ticket: true}
	case s.tickets[r.key()] != nil:
		s.tickets[r.key()][ticket] = true
	}
	return ticket, nil
}

// Abandon removes what an upload stored after its commit was refused for good.
// Bytes that were here before it, or that another upload stored too, stay; so
// do all whose ticket an earlier process gave.
func (s *Store) Abandon(ctx context.Context, chain placement.ChainID, epoch placement.Epoch, sha256, ticket string) error {
	release, err := s.acquire(ctx, chain)
	if err != nil {
		return err
	}
	defer release()
	k := key{chain, epoch, sha256}
	r, here := s.find(k)
	if !here || !s.lastTicket(k, ticket) {
		return nil
	}
	if err := s.dropLocked(r); err != nil {
		return fmt.Errorf("abandon content %.16s of chain %s: %w", sha256, chain, err)
	}
	return nil
}

// lastTicket gives a ticket back and tells whether it was the last.
func (s *Store) lastTicket(k key, ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	tickets := s.tickets[k]
	if !tickets[ticket] {
		return false
	}
	delete(tickets, ticket)
	return len(tickets) == 0
}
