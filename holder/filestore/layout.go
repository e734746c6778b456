package filestore

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-cluster/holdfast/placement"
)

// Names and endings of the files in a chain's directory.
const (
	idName     = "id"
	blobEnding = ".blob"
	partEnding = ".part"
	copyEnding = ".copy"
	tmpEnding  = ".tmp"
	badInfix   = ".bad-"
)

// dirName returns the name of a chain's directory (rule S6).
func dirName(id placement.ChainID) string {
	sum := sha256.Sum256([]byte(id))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

func (s *Store) chainDir(id placement.ChainID) string { return filepath.Join(s.chains, dirName(id)) }

func (s *Store) blobPath(id placement.ChainID, sha string) string {
	return filepath.Join(s.chainDir(id), sha+blobEnding)
}

func (s *Store) partPath(id placement.ChainID, sha string) string {
	return filepath.Join(s.chainDir(id), sha+partEnding)
}

func (s *Store) recordPath(r record) string {
	sha := r.SHA256
	if sha == "" {
		sha = "empty"
	}
	return filepath.Join(s.chainDir(r.Chain), fmt.Sprintf("%d-%s%s", r.Epoch, sha, copyEnding))
}

// checkSHA refuses what is not a hash, before it becomes a file name.
func checkSHA(sha string) error {
	if len(sha) == 2*sha256.Size && strings.Trim(sha, "0123456789abcdef") == "" {
		return nil
	}
	return fmt.Errorf("%.80q is not a lower-case hexadecimal SHA-256", sha)
}

// makeChainDir makes a chain's directory durable, with the id inside. Who finds
// the id goes by it, so the directory's own name is synced before.
func (s *Store) makeChainDir(id placement.ChainID) error {
	dir := s.chainDir(id)
	path := filepath.Join(dir, idName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	if err := syncDir(s.chains); err != nil {
		return err
	}
	return writeDurably(path, []byte(id+"\n"))
}

// makeDirs makes a directory and those above it that are missing, each with a
// name that survives a crash.
func makeDirs(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil // if it is no directory, its use fails
	}
	parent := filepath.Dir(path)
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	return syncDir(parent)
}

// writeDurably replaces a small file: after a crash it has the old bytes or
// the new ones.
func writeDurably(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+tmpEnding)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is left of it after the rename
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// setAside renames a file so that nothing reads it as what it was.
func (s *Store) setAside(path, why string) {
	for n := 1; ; n++ {
		bad := fmt.Sprintf("%s%s%d", path, badInfix, n)
		if _, err := os.Lstat(bad); err == nil {
			continue
		}
		err := os.Rename(path, bad)
		if err == nil {
			err = syncDir(filepath.Dir(path))
		}
		s.log.Error("set aside; it does not count as held", "file", path, "as", filepath.Base(bad), "why", why, "error", err)
		return
	}
}
