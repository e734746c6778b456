package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/placement"
)

// tidyEvery is how often Run looks for leftovers.
const tidyEvery = 10 * time.Minute

// Run looks for rot and leftovers until ctx ends, and returns ctx's error.
func (s *Store) Run(ctx context.Context) error {
	tidy, scrub := time.NewTicker(tidyEvery), time.NewTicker(s.cfg.ScrubEvery)
	defer tidy.Stop()
	defer scrub.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tidy.C:
			err = s.Tidy(ctx)
		case <-scrub.C:
			err = s.Scrub(ctx)
		case blob := <-s.suspects:
			err = s.scrubBlob(ctx, blob)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the content directory was not looked through", "error", err)
		}
	}
}

// Scrub reads every blob once, at Config.ScrubRate, and compares its hash. A
// rotten one is set aside with the records that name it: the next Held does
// not list it, and the cluster repairs it.
func (s *Store) Scrub(ctx context.Context) error {
	done := map[blobName]bool{}
	for _, r := range s.all() {
		b := blobName{r.Chain, r.SHA256}
		if r.SHA256 == "" || done[b] {
			continue
		}
		done[b] = true
		if err := s.scrubBlob(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// scrubBlob believes that a blob is rotten when it reads wrong twice.
func (s *Store) scrubBlob(ctx context.Context, b blobName) error {
	why := ""
	for range 2 {
		got, err := s.readSlowly(ctx, s.blobPath(b.chain, b.sha))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && got == b.sha || !s.named(b) {
			return nil
		}
		why = fmt.Sprintf("its bytes have the hash %.16s", got)
		if err != nil {
			why = fmt.Sprintf("it cannot be read: %v", err)
		}
	}
	release, err := s.acquire(ctx, b.chain)
	if err != nil {
		return err
	}
	defer release()
	if s.named(b) {
		s.condemn(b.chain, b.sha, why)
	}
	return nil
}

// readSlowly returns the hash of a file, read at the scrubber's rate.
func (s *Store) readSlowly(ctx context.Context, path string) (sha string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	began, read := time.Now(), int64(0)
	_, err = pour(ctx, f, sum, func(b []byte) error {
		read += int64(len(b))
		due := time.Duration(float64(read) / float64(s.cfg.ScrubRate) * float64(time.Second))
		return sleep(ctx, due-time.Since(began))
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Tidy removes unfinished pulls and unnamed bytes that nobody has touched for
// Config.PartKeep, and directories in which nothing is left.
func (s *Store) Tidy(ctx context.Context) error {
	dirs, err := os.ReadDir(s.chains)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := s.tidyDir(ctx, filepath.Join(s.chains, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) tidyDir(ctx context.Context, dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, idName))
	chain := placement.ChainID(strings.TrimSuffix(string(b), "\n"))
	if err != nil || dirName(chain) != filepath.Base(dir) {
		return nil //nolint:nilerr // not ours to judge; scan has logged it
	}
	release, err := s.acquire(ctx, chain)
	if err != nil {
		return err
	}
	defer release()
	return s.tidyChain(dir, chain, false)
}

// tidyChain removes what no record needs from a chain's directory, and the
// directory when only its id is left. Bytes whose record has just been dropped
// go at once; other leftovers when they are old. While somebody writes there,
// nothing goes. The caller has the chain's semaphore.
func (s *Store) tidyChain(dir string, chain placement.ChainID, dropped bool) error {
	if s.isBusy(chain) {
		return nil
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	left := 0
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		sha, isBlob := strings.CutSuffix(f.Name(), blobEnding)
		isPart := strings.HasSuffix(f.Name(), partEnding)
		goes := isBlob && !s.named(blobName{chain, sha}) && (dropped || s.old(f)) || isPart && s.old(f)
		switch {
		case f.Name() == idName:
		case !goes:
			left++
		default:
			if err := ignoreMissing(os.Remove(path)); err != nil {
				return err
			}
		}
	}
	if left > 0 {
		return nil
	}
	if err := ignoreMissing(os.Remove(filepath.Join(dir, idName))); err != nil {
		return err
	}
	return ignoreMissing(os.Remove(dir))
}

// old tells whether nobody has written a file for Config.PartKeep.
func (s *Store) old(f os.DirEntry) bool {
	info, err := f.Info()
	return err == nil && time.Since(info.ModTime()) > s.cfg.PartKeep
}
