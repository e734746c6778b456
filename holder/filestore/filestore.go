package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Fetcher opens content on another node.
type Fetcher interface {
	// Fetch returns the bytes of that version from offset on, and the size of
	// the whole. Reading the body fails when ctx ends.
	Fetch(ctx context.Context, src holder.Source, chain placement.ChainID, sha256 string, offsetBytes int64) (body io.ReadCloser, sizeBytes int64, err error)
}

// Config says how a [Store] works. Every field has a default.
type Config struct {
	// Fetch reads from other nodes. Without it only local copies can be made.
	Fetch Fetcher
	// Accept says whether this node may store bytes for the chain under that
	// epoch, and the incarnation to answer with. nil = PUT is refused.
	Accept func(chain placement.ChainID, epoch placement.Epoch) (placement.Incarnation, error)
	// Reserve is what content leaves free on the volume, in bytes. 0 = DefaultReserve.
	Reserve int64
	// Volume measures the content volume. Default: the operating system's word.
	Volume func() (freeBytes, totalBytes int64, err error)
	// StallAfter gives up a source, or a writer, that sends nothing for so
	// long. Default 30 s.
	StallAfter time.Duration
	// ScrubEvery is the time between two passes that read every blob and check
	// its hash, and ScrubRate their speed in bytes a second: higher finds rot
	// sooner and takes more from the disk. Defaults 24 h and 10 MiB.
	ScrubEvery time.Duration
	ScrubRate  int64
	// PartKeep is how long an unfinished pull that nobody goes on with, or
	// bytes that no record names, are kept. Default 1 h.
	PartKeep time.Duration
	// Logger hears what is set aside. Default: silence.
	Logger hclog.Logger
}

func (c Config) withDefaults(dir string) (Config, error) {
	if c.Volume == nil {
		c.Volume = func() (int64, int64, error) { return volumeOf(dir) }
	}
	if c.Reserve < 0 || c.StallAfter < 0 || c.ScrubEvery < 0 || c.ScrubRate < 0 || c.PartKeep < 0 {
		return c, errors.New("filestore: Reserve, StallAfter, ScrubEvery, ScrubRate and PartKeep must not be negative")
	}
	if c.Reserve == 0 {
		_, total, err := c.Volume()
		if err != nil {
			return c, fmt.Errorf("measure the content volume at %s: %w", dir, err)
		}
		c.Reserve = DefaultReserve(total)
	}
	if c.StallAfter == 0 {
		c.StallAfter = 30 * time.Second
	}
	if c.ScrubEvery == 0 {
		c.ScrubEvery = 24 * time.Hour
	}
	if c.ScrubRate == 0 {
		c.ScrubRate = 10 << 20
	}
	if c.PartKeep == 0 {
		c.PartKeep = time.Hour
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c, nil
}

// Store keeps copies as files in one directory. It is a holder.Runner.
type Store struct {
	cfg    Config
	dir    string
	chains string
	log    hclog.Logger
	lock   *os.File
	// stripes serialize changes to a chain's directory: a channel of one, so
	// that who waits can leave when its context ends.
	stripes [64]chan struct{}
	// suspects are contents that were read wrong. Run looks at them.
	suspects chan blobName

	mu      sync.Mutex // never held across I/O
	records map[placement.ChainID][]record
	tickets map[key]map[string]bool   // stores that may still be abandoned
	busy    map[placement.ChainID]int // writers under way in a directory
	pulling map[blobName]bool         // part files being written
	booked  int64                     // bytes that writers are about to write
}

type blobName struct {
	chain placement.ChainID
	sha   string
}

var _ holder.Runner = (*Store)(nil)

// Open makes or opens the store in dir, removes what writes left behind, and
// sets aside what is torn. The caller closes it.
func Open(dir string, cfg Config) (*Store, error) {
	chains := filepath.Join(dir, "chains")
	if err := makeDirs(chains); err != nil {
		return nil, fmt.Errorf("make the content directory: %w", err)
	}
	cfg, err := cfg.withDefaults(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("open the content directory: %w", err)
	}
	s := &Store{
		cfg: cfg, dir: dir, chains: chains, log: cfg.Logger, lock: lock,
		records: map[placement.ChainID][]record{},
		tickets: map[key]map[string]bool{},
		busy:    map[placement.ChainID]int{},
		pulling: map[blobName]bool{},

		suspects: make(chan blobName, suspectsMax),
	}
	for i := range s.stripes {
		s.stripes[i] = make(chan struct{}, 1)
	}
	if err := errors.Join(syncDir(dir), syncDir(chains), s.scan()); err != nil {
		lock.Close()
		return nil, fmt.Errorf("read the content directory %s: %w", dir, err)
	}
	return s, nil
}

// Close gives the directory back. Nothing may be under way.
func (s *Store) Close() error { return s.lock.Close() }

// Held lists the copies whose record and bytes are on disk. What vanished or
// changed its size since is not held.
func (s *Store) Held(ctx context.Context) ([]holder.Copy, error) {
	if _, err := os.Stat(s.chains); err != nil {
		return nil, fmt.Errorf("list the copies held: %w", err)
	}
	var held []holder.Copy
	for _, r := range s.all() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ok, err := s.intact(r)
		if err != nil {
			return nil, fmt.Errorf("list the copies held: %w", err)
		}
		if ok {
			held = append(held, r.copy())
			continue
		}
		if err := s.forgetDamaged(ctx, r); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// intact tells whether the files of a copy are there in their sizes. An error
// means that the disk cannot say.
func (s *Store) intact(r record) (bool, error) {
	if _, err := os.Stat(s.recordPath(r)); err != nil {
		return false, ignoreMissing(err)
	}
	if r.SHA256 == "" {
		return true, nil
	}
	info, err := os.Stat(s.blobPath(r.Chain, r.SHA256))
	if err != nil {
		return false, ignoreMissing(err)
	}
	return info.Size() == r.Size, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// forgetDamaged takes a copy whose files are not what they were out of the
// index, after a second look under the chain's semaphore: it may have been
// dropped or stored again meanwhile.
func (s *Store) forgetDamaged(ctx context.Context, r record) error {
	release, err := s.acquire(ctx, r.Chain)
	if err != nil {
		return err
	}
	defer release()
	now, here := s.find(r.key())
	if !here || now != r {
		return nil
	}
	ok, err := s.intact(r)
	if ok || err != nil {
		return err
	}
	const why = "its record or its bytes vanished or have another size"
	s.log.Error("a copy is damaged", "chain", r.Chain, "epoch", r.Epoch, "sha256", r.SHA256, "why", why)
	s.remove(r.key())
	if _, err := os.Stat(s.recordPath(r)); err == nil {
		s.condemn(r.Chain, r.SHA256, why) // the record is there, so it is the bytes
		s.setAsideIfThere(s.recordPath(r), why)
	}
	return nil
}

// condemn sets a blob and the records that name it aside. The caller has the
// chain's semaphore.
func (s *Store) condemn(chain placement.ChainID, sha, why string) {
	for _, r := range s.of(chain) {
		if r.SHA256 == sha {
			s.remove(r.key())
			s.setAsideIfThere(s.recordPath(r), why)
		}
	}
	if sha != "" {
		s.setAsideIfThere(s.blobPath(chain, sha), why)
	}
}

func (s *Store) setAsideIfThere(path, why string) {
	if _, err := os.Lstat(path); err == nil {
		s.setAside(path, why)
	}
}

// Open returns the bytes of one version for reading. Only verified bytes are
// found, and they stay readable when the copy is dropped meanwhile.
func (s *Store) Open(chain placement.ChainID, sha256 string) (io.ReadSeekCloser, int64, error) {
	i := slices.IndexFunc(s.of(chain), func(r record) bool { return r.SHA256 == sha256 })
	if i < 0 || sha256 == "" {
		return nil, 0, fmt.Errorf("content %.16s of chain %s is not here: %w", sha256, chain, os.ErrNotExist)
	}
	f, err := os.Open(s.blobPath(chain, sha256))
	if err != nil {
		return nil, 0, fmt.Errorf("open content %.16s of chain %s: %w", sha256, chain, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("open content %.16s of chain %s: %w", sha256, chain, err)
	}
	return f, info.Size(), nil
}

// CheckDisk writes and reads a small file in the content directory. It syncs
// nothing: on a slow disk that would take from the time that a probe has, and
// the data directory is synced already. Nor does it cut the file, which some
// file systems flush at close, nor allocate anything once the file is there.
// What may still wait for the disk is the write of the file's times where the
// file system is just writing out its journal, and any write where it copies
// instead of overwriting. A full volume is no fault: Space tells.
func (s *Store) CheckDisk() error {
	path := filepath.Join(s.dir, "probe")
	want := []byte("the content directory can be written and read\n")
	got := make([]byte, len(want))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		defer f.Close()
		_, err = f.WriteAt(want, 0)
	}
	if errors.Is(noSpace(err), holder.ErrNoSpace) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the content directory %s: %w; let this user write to it, and mount it writable", s.dir, err)
	}
	_, err = f.ReadAt(got, 0)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("other bytes come back than were written")
	}
	if err != nil {
		return fmt.Errorf("read the content directory %s: %w", s.dir, err)
	}
	return nil
}

// acquire waits for the chain's semaphore.
func (s *Store) acquire(ctx context.Context, chain placement.ChainID) (release func(), err error) {
	h := fnv.New32a()
	io.WriteString(h, string(chain)) //nolint:errcheck // a hash does not fail
	stripe := s.stripes[h.Sum32()%uint32(len(s.stripes))]
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
