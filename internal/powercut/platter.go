//go:build linux && (amd64 || arm64)

package powercut

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Platter knows what of a directory would be there after a power cut. What it
// finds at first counts as there.
type Platter struct {
	root string

	mu    sync.Mutex
	kept  map[inode][]byte           // bytes of each file's last sync
	names map[inode]map[string]inode // names of each directory's last sync
	open  map[inode]*os.File         // so that no number is used twice
}

type inode struct{ device, number uint64 }

// NewPlatter looks at the directory, which nobody may write to meanwhile.
func NewPlatter(root string) (*Platter, error) {
	p := &Platter{root: root, kept: map[inode][]byte{}, names: map[inode]map[string]inode{}, open: map[inode]*os.File{}}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return p.Synced(file)
	})
	return p, err
}

// Synced notes that a file or directory is as it is now, for good. The watch
// function calls it with each sync that it lets pass, before that.
func (p *Platter) Synced(file *os.File) error {
	id, info, err := identify(file.Fd())
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[id] == nil {
		fd, err := syscall.Dup(int(file.Fd()))
		if err != nil {
			return err
		}
		syscall.CloseOnExec(fd)
		p.open[id] = os.NewFile(uintptr(fd), file.Name())
	}
	if info.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		p.names[id], err = namesIn(file)
		return err
	}
	bytes, err := io.ReadAll(io.NewSectionReader(file, 0, info.Size))
	if err == nil {
		p.kept[id] = bytes
	}
	return err
}

// Close gives the files back that it keeps open.
func (p *Platter) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, file := range p.open {
		file.Close()
	}
}

// namesIn reads a directory that is open, and may have been renamed.
func namesIn(dir *os.File) (map[string]inode, error) {
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", dir.Fd())) // with an offset of its own
	if err != nil {
		return nil, err
	}
	defer again.Close()
	list, err := again.Readdirnames(-1)
	names := map[string]inode{}
	for _, name := range list {
		var info syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(again.Name(), name), &info); err == nil {
			names[name] = inode{info.Dev, info.Ino}
		}
	}
	return names, err
}

func identify(fd uintptr) (inode, syscall.Stat_t, error) {
	var info syscall.Stat_t
	err := syscall.Fstat(int(fd), &info)
	return inode{info.Dev, info.Ino}, info, err
}

// Cut writes into a new directory what a power cut would leave of the first
// one. The disk may have taken names that nobody synced, but not their bytes,
// as file systems that journal names do: with names, those of the present are
// there.
func (p *Platter) Cut(into string, names bool) error {
	root, err := os.Open(p.root)
	if err != nil {
		return err
	}
	defer root.Close()
	id, _, err := identify(root.Fd())
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if names {
		return p.cutPresent(p.root, into)
	}
	return p.cut(id, into)
}

func (p *Platter) cut(dir inode, into string) error {
	err := os.Mkdir(into, 0o700)
	for name, id := range p.names[dir] {
		path := filepath.Join(into, name)
		if p.isDir(id) {
			err = errors.Join(err, p.cut(id, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, p.kept[id], 0o600))
		}
	}
	return err
}

// isDir tells what an inode is that may never have been synced: then it is an
// empty one of whatever it is now, if it is still there.
func (p *Platter) isDir(id inode) bool {
	if _, ok := p.names[id]; ok {
		return true
	}
	if _, ok := p.kept[id]; ok {
		return false
	}
	found := false
	_ = filepath.WalkDir(p.root, func(path string, entry os.DirEntry, err error) error {
		var info syscall.Stat_t
		if err == nil && entry.IsDir() && syscall.Lstat(path, &info) == nil && (inode{info.Dev, info.Ino}) == id {
			found = true
			return filepath.SkipAll
		}
		return nil
	})
	return found
}

func (p *Platter) cutPresent(from, into string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(into, 0o700); err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(from, entry.Name())
		if entry.IsDir() {
			err = errors.Join(err, p.cutPresent(path, filepath.Join(into, entry.Name())))
			continue
		}
		var info syscall.Stat_t
		if statErr := syscall.Lstat(path, &info); statErr != nil {
			return statErr
		}
		err = errors.Join(err, os.WriteFile(filepath.Join(into, entry.Name()), p.kept[inode{info.Dev, info.Ino}], 0o600))
	}
	return err
}
