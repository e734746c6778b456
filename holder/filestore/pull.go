package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Pull makes the copy that a asks for: from bytes that are here already, or
// from its sources in turn, going on where the last one broke off. Bytes count
// when their hash and size are right.
func (s *Store) Pull(ctx context.Context, a holder.Assignment) error {
	want := record{Chain: a.Chain, Epoch: a.Epoch, SHA256: a.SHA256()}
	if _, err := placement.ParseChainID(string(a.Chain)); err != nil {
		return err
	}
	if a.Content != nil {
		if err := checkSHA(a.Content.SHA256); err != nil {
			return fmt.Errorf("content of chain %s: %w", a.Chain, err)
		}
		want.Size = a.Content.Size
	}
	if have, ok := s.find(want.key()); ok {
		if ok, err := s.intact(have); ok || err != nil {
			return err
		}
	}
	defer s.enter(a.Chain)()
	if err := s.openDir(ctx, a.Chain); err != nil {
		return err
	}
	var err error
	if a.Content == nil {
		err = s.pullEmpty(a)
	} else {
		err = s.pullBytes(ctx, a)
	}
	if err != nil {
		return err
	}
	return s.commit(ctx, want)
}

// openDir makes the chain's directory under its semaphore.
func (s *Store) openDir(ctx context.Context, chain placement.ChainID) error {
	release, err := s.acquire(ctx, chain)
	if err != nil {
		return err
	}
	defer release()
	if err := s.makeChainDir(chain); err != nil {
		return fmt.Errorf("make the directory of chain %s: %w", chain, noSpace(err))
	}
	return nil
}

// pullEmpty refuses to make a copy of no content from nothing (rule S1).
func (s *Store) pullEmpty(a holder.Assignment) error {
	if a.First || len(a.Sources) > 0 || s.named(blobName{a.Chain, ""}) {
		return nil
	}
	return fmt.Errorf("chain %s has had copies and none is known to pull from", a.Chain)
}

// commit records a copy whose bytes are in their place. What an upload staged
// meanwhile under the same epoch and hash stays staged.
func (s *Store) commit(ctx context.Context, r record) error {
	release, err := s.acquire(ctx, r.Chain)
	if err != nil {
		return err
	}
	defer release()
	if have, ok := s.find(r.key()); ok {
		if ok, err := s.intact(have); ok || err != nil {
			return err
		}
	}
	if err := s.commitLocked(r, ""); err != nil {
		return fmt.Errorf("record the copy of chain %s: %w", r.Chain, noSpace(err))
	}
	return nil
}

// commitLocked makes a copy durable: the bytes at tmp ("" = they are in their
// place) under their name, then the record. Nothing of it is seen before it is
// synced. The caller has the chain's semaphore.
func (s *Store) commitLocked(r record, tmp string) error {
	if tmp != "" {
		if err := os.Rename(tmp, s.blobPath(r.Chain, r.SHA256)); err != nil {
			return err
		}
		if err := syncDir(s.chainDir(r.Chain)); err != nil {
			return err
		}
	}
	if r.SHA256 != "" {
		if info, err := os.Stat(s.blobPath(r.Chain, r.SHA256)); err != nil {
			return err
		} else if info.Size() != r.Size {
			return fmt.Errorf("%s has %d bytes, not %d", s.blobPath(r.Chain, r.SHA256), info.Size(), r.Size)
		}
	}
	b, err := r.encode()
	if err != nil {
		return err
	}
	if err := writeDurably(s.recordPath(r), b); err != nil {
		return err
	}
	s.set(r)
	return nil
}

// pullBytes sees to it that the blob of a's content is in its place.
func (s *Store) pullBytes(ctx context.Context, a holder.Assignment) error {
	blob := blobName{a.Chain, a.Content.SHA256}
	if info, err := os.Stat(s.blobPath(blob.chain, blob.sha)); err == nil && info.Size() == a.Content.Size {
		return nil // under another epoch, or from a pull that a crash cut short
	}
	done, err := s.own(blob)
	if err != nil {
		return err
	}
	defer done()
	p, err := s.openPart(ctx, a)
	if err != nil {
		return err
	}
	defer p.close()
	book, err := s.book(a.Content.Size - p.have)
	if err != nil {
		return fmt.Errorf("pull chain %s: %w", a.Chain, err)
	}
	defer book.release()
	p.wrote = book.wrote
	if err := p.fill(ctx, a.Sources); err != nil {
		if errors.Is(err, holder.ErrNoSpace) {
			os.Remove(p.path) // a full disk gets its space back
		}
		return fmt.Errorf("pull chain %s: %w", a.Chain, err)
	}
	release, err := s.acquire(ctx, a.Chain)
	if err != nil {
		return err
	}
	defer release()
	if err := os.Rename(p.path, s.blobPath(blob.chain, blob.sha)); err != nil {
		return err
	}
	return syncDir(s.chainDir(a.Chain))
}

// own keeps a second pull of the same bytes away from the part file.
func (s *Store) own(b blobName) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pulling[b] {
		return nil, fmt.Errorf("content %.16s of chain %s is being pulled already", b.sha, b.chain)
	}
	s.pulling[b] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pulling, b)
	}, nil
}

// part is a pull under way: the file so far, and the hash of it.
type part struct {
	store *Store
	a     holder.Assignment
	path  string
	file  *os.File
	out   steady // writes to file
	sum   hash.Hash
	have  int64
	torn  bool          // a write failed half-way: begin again
	wrote func(n int64) // takes written bytes off the booking
}

// openPart opens what an earlier pull left, or a new file, and reads its hash.
func (s *Store) openPart(ctx context.Context, a holder.Assignment) (*part, error) {
	p := &part{store: s, a: a, path: s.partPath(a.Chain, a.Content.SHA256), sum: sha256.New()}
	f, err := os.OpenFile(p.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, noSpace(err)
	}
	p.file, p.out = f, steady{file: f, past: true}
	p.have, err = pour(ctx, f, p.sum, func([]byte) error { return nil })
	if err == nil && p.have > a.Content.Size {
		err = p.reset()
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("read what an earlier pull of chain %s left: %w", a.Chain, err)
	}
	return p, nil
}

func (p *part) close() { p.file.Close() }

// reset begins again from nothing.
func (p *part) reset() error {
	p.sum.Reset()
	p.have, p.torn = 0, false
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// fill asks the sources in turn until the part is complete, verified and
// synced. A full disk ends it at once: the next source cannot help.
func (p *part) fill(ctx context.Context, sources []holder.Source) error {
	if p.have == p.a.Content.Size && p.verify() == nil {
		return p.sync()
	}
	var errs []error
	for _, src := range sources {
		err := p.fetch(ctx, src)
		if err == nil {
			return p.sync()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, holder.ErrNoSpace) {
			return err
		}
		p.store.log.Warn("a source did not give the content", "chain", p.a.Chain, "source", src.Node, "bytes", p.have, "error", err)
		errs = append(errs, fmt.Errorf("from %s at %s: %w", src.Node, src.Address, err))
	}
	if len(errs) == 0 {
		return fmt.Errorf("no source is known for content %.16s", p.a.Content.SHA256)
	}
	return errors.Join(errs...)
}

// sync makes the part durable. After a sync that failed the system may show
// bytes that are not on disk, and call the next sync a success: begin again.
func (p *part) sync() error {
	err := p.file.Sync()
	if err != nil {
		os.Remove(p.path)
	}
	return noSpace(err)
}

// verify compares the complete part with what was asked for. A wrong one is
// emptied: no byte of it can be trusted.
func (p *part) verify() error {
	got := hex.EncodeToString(p.sum.Sum(nil))
	if got == p.a.Content.SHA256 {
		return nil
	}
	if err := p.reset(); err != nil {
		return err
	}
	return fmt.Errorf("the bytes have the hash %.16s, not %.16s", got, p.a.Content.SHA256)
}

// fetch continues the part from one source. What came before a break stays
// for the next.
func (p *part) fetch(ctx context.Context, src holder.Source) error {
	if p.store.cfg.Fetch == nil {
		return errors.New("this store was opened without a way to read from other nodes")
	}
	watched, alive, stop := stallGuard(ctx, p.store.cfg.StallAfter)
	defer stop()
	body, size, err := p.store.cfg.Fetch.Fetch(watched, src, p.a.Chain, p.a.Content.SHA256, p.have)
	if err != nil {
		return orStall(watched, err)
	}
	defer body.Close()
	if size != p.a.Content.Size {
		return fmt.Errorf("it has %d bytes, not %d", size, p.a.Content.Size)
	}
	rest := io.LimitReader(heard{body, alive}, p.a.Content.Size-p.have)
	if _, err := pour(watched, rest, p.sum, p.append); err != nil {
		if p.torn {
			err = errors.Join(err, p.reset())
		}
		return orStall(watched, err)
	}
	if p.have < p.a.Content.Size {
		return fmt.Errorf("it ended after %d of %d bytes: %w", p.have, p.a.Content.Size, io.ErrUnexpectedEOF)
	}
	return p.verify()
}

// append writes b behind the part. After a short write the file has bytes that
// the hash has not.
func (p *part) append(b []byte) error {
	if _, err := p.out.Write(b); err != nil {
		p.torn = true
		return noSpace(err)
	}
	p.have += int64(len(b))
	p.wrote(int64(len(b)))
	if p.a.Progress != nil {
		p.a.Progress(p.have, p.a.Content.Size)
	}
	return nil
}

// Drop removes the copy that Held listed as c. One that was stored again since,
// or that has another epoch, stays (rule S4).
func (s *Store) Drop(ctx context.Context, c holder.Copy) error {
	release, err := s.acquire(ctx, c.Chain)
	if err != nil {
		return err
	}
	defer release()
	i := slices.IndexFunc(s.of(c.Chain), func(r record) bool { return r.copy() == c })
	if i < 0 {
		return nil
	}
	if err := s.dropLocked(s.of(c.Chain)[i]); err != nil {
		return fmt.Errorf("drop epoch %d of chain %s: %w", c.Epoch, c.Chain, err)
	}
	return nil
}

// dropLocked removes a record, and its bytes when no other record names them
// and nobody is writing in the directory.
func (s *Store) dropLocked(r record) error {
	if err := ignoreMissing(os.Remove(s.recordPath(r))); err != nil {
		return err
	}
	s.remove(r.key())
	if err := ignoreMissing(syncDir(s.chainDir(r.Chain))); err != nil {
		return err
	}
	return s.tidyChain(s.chainDir(r.Chain), r.Chain, true)
}
