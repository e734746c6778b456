package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/hashicorp/raft"
)

// Where things stand in bolt's two meta pages; they are 8 bytes each but for
// the first three. The file belongs to one machine, so numbers are as it has them.
const (
	metaAt       = 16 // behind the page's own head
	metaMagic    = 0xED0CDAED
	metaPageSize = 8  // from metaAt on, as all below
	metaPages    = 40 // how many pages the file has at least
	metaSum      = 56 // FNV-1a of what stands before
	metaEnd      = 64
)

// checkMetas looks at both meta pages of the file. bolt itself is content with
// one: it takes the older when the newer is damaged, and so forgets the last
// write, which may be a vote. A crash cannot leave that, because what counts of
// a page lies within one sector. bolt would also read beyond the end of a file
// that was cut short.
func checkMetas(file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err // a new file
	}
	pageSize := os.Getpagesize() // of a page that cannot be read
	var pages uint64
	for i := range 2 {
		page := make([]byte, metaAt+metaEnd)
		if _, err := file.ReadAt(page, int64(i*pageSize)); err != nil {
			return fmt.Errorf("invalid database: it ends before its meta page %d", i)
		}
		meta := page[metaAt:]
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:metaSum])
		switch {
		case binary.NativeEndian.Uint32(meta) != metaMagic:
			return fmt.Errorf("invalid database: meta page %d is none", i)
		case binary.NativeEndian.Uint64(meta[metaSum:]) != sum.Sum64():
			return fmt.Errorf("meta page %d is damaged, and with it the last write may be gone", i)
		}
		pageSize = int(binary.NativeEndian.Uint32(meta[metaPageSize:]))
		pages = max(pages, binary.NativeEndian.Uint64(meta[metaPages:]))
	}
	if need := pages * uint64(pageSize); uint64(info.Size()) < need {
		return fmt.Errorf("it was cut short: it has %d bytes and needs %d", info.Size(), need)
	}
	return nil
}

// checkEntries reads the log from both ends until an entry is missing: behind
// an installed snapshot there may be a gap.
func checkEntries(log raft.LogStore) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	next := first
	for ; next <= last; next++ {
		if err := readEntry(log, next); errors.Is(err, raft.ErrLogNotFound) && next > first {
			break
		} else if err != nil {
			return err
		}
	}
	for i := last; i > next; i-- {
		if err := readEntry(log, i); errors.Is(err, raft.ErrLogNotFound) && i < last {
			break
		} else if err != nil {
			return err
		}
	}
	return nil
}

func readEntry(log raft.LogStore, index uint64) error {
	var entry raft.Log
	err := log.GetLog(index, &entry)
	if err == nil {
		err = unsealEntry(index, &entry)
	}
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
