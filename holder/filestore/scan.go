package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
)

// scan builds the index from the directory. Only a directory that cannot be
// read is an error: what is torn is set aside and does not count as held.
func (s *Store) scan() error {
	dirs, err := os.ReadDir(s.chains)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !d.IsDir() {
			s.log.Warn("ignored a stray file in the content directory", "file", filepath.Join(s.chains, d.Name()))
			continue
		}
		if err := s.scanChain(filepath.Join(s.chains, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// scanChain reads one chain's directory. Records say which chain they are of,
// so that a torn id file costs nothing. A process that was killed between a
// rename and its sync left names that are seen and not on disk: what is seen is
// reported as held, so it is synced first.
func (s *Store) scanChain(dir string) error {
	if err := syncDir(dir); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var chain placement.ChainID
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		switch {
		case strings.Contains(f.Name(), badInfix):
		case strings.HasSuffix(f.Name(), tmpEnding):
			if err := os.Remove(path); err != nil {
				return err
			}
		case strings.HasSuffix(f.Name(), copyEnding):
			r, err := s.scanRecord(path)
			if err != nil {
				return err
			}
			if r != nil {
				chain = r.Chain
			}
		}
	}
	return s.mendID(dir, chain)
}

// scanRecord takes one record into the index if it and its bytes are whole,
// and returns it.
func (s *Store) scanRecord(path string) (*record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(b)
	if err == nil && s.recordPath(r) != path {
		err = fmt.Errorf("it belongs at %s", s.recordPath(r))
	}
	if err != nil {
		s.setAside(path, err.Error())
		return nil, nil //nolint:nilnil // no copy, and that is logged
	}
	ok, err := s.intact(r)
	if err != nil {
		return nil, err
	}
	if ok {
		s.set(r)
		return &r, nil
	}
	s.condemn(r.Chain, r.SHA256, "its bytes are missing or have another size")
	s.setAsideIfThere(path, "its bytes are missing or have another size")
	return &r, nil
}

// mendID writes the id file anew when it is torn and a record knows the id.
func (s *Store) mendID(dir string, fromRecord placement.ChainID) error {
	path := filepath.Join(dir, idName)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	id := placement.ChainID(strings.TrimSuffix(string(b), "\n"))
	switch {
	case dirName(id) == filepath.Base(dir):
		return nil
	case fromRecord != "":
		s.log.Warn("wrote a torn id file anew", "chain", fromRecord, "dir", dir)
		return writeDurably(path, []byte(fromRecord+"\n"))
	}
	s.log.Warn("a chain's directory has no readable id and no copy", "dir", dir)
	return nil
}
