package logstore

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

// Where things stand in bolt's two meta pages; they are 8 bytes each but for
// the first three. The file belongs to one machine, so numbers are as it has them.
const (
	metaAt       = 16 // behind the page's own head
	metaMagic    = 0xED0CDAED
	metaPageSize = 8  // from metaAt on, as all below
	metaRoot     = 16 // page of the bucket of buckets
	metaFreelist = 32 // page of the list of free pages
	metaPages    = 40 // how many pages are used or free
	metaTx       = 48 // number of the write
	metaSum      = 56 // FNV-1a of what stands before
	metaEnd      = 64
)

// meta is what one meta page says.
type meta struct{ pageSize, root, freelist, pages, tx uint64 }

// checkMetas looks at both meta pages of the file, and returns the newer. bolt
// itself is content with one: it takes the older when the newer is damaged, and
// so forgets the last write, which may be a vote. A crash cannot leave that,
// because what counts of a page lies within one sector. bolt would also read
// beyond the end of a file that was cut short. ok is false for a new file.
func checkMetas(file *os.File) (newer meta, ok bool, err error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return meta{}, false, err
	}
	pageSize := os.Getpagesize() // of a page that cannot be read
	var pages uint64
	for i := range 2 {
		page := make([]byte, metaAt+metaEnd)
		if _, err := file.ReadAt(page, int64(i*pageSize)); err != nil {
			return meta{}, false, fmt.Errorf("invalid database: it ends before its meta page %d", i)
		}
		at := page[metaAt:]
		sum := fnv.New64a()
		_, _ = sum.Write(at[:metaSum])
		switch {
		case binary.NativeEndian.Uint32(at) != metaMagic:
			return meta{}, false, fmt.Errorf("invalid database: meta page %d is none", i)
		case binary.NativeEndian.Uint64(at[metaSum:]) != sum.Sum64():
			return meta{}, false, fmt.Errorf("meta page %d is damaged, and with it the last write may be gone", i)
		}
		pageSize = int(binary.NativeEndian.Uint32(at[metaPageSize:]))
		m := meta{pageSize: uint64(pageSize)}
		m.root, m.freelist = binary.NativeEndian.Uint64(at[metaRoot:]), binary.NativeEndian.Uint64(at[metaFreelist:])
		m.pages, m.tx = binary.NativeEndian.Uint64(at[metaPages:]), binary.NativeEndian.Uint64(at[metaTx:])
		pages = max(pages, m.pages)
		if i == 0 || m.tx > newer.tx {
			newer = m
		}
	}
	if need := pages * uint64(pageSize); uint64(info.Size()) < need {
		return meta{}, false, fmt.Errorf("it was cut short: it has %d bytes and needs %d", info.Size(), need)
	}
	return newer, true, nil
}

// checkFile reads all that is in the file at path, and returns from which entry
// of the log on none is missing: behind an installed snapshot there may be a gap.
func checkFile(path string) (unbroken uint64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, nil //nolint:nilerr // a new one, or bolt will say
	}
	defer file.Close()
	m, ok, err := checkMetas(file)
	if err != nil || !ok {
		return 0, err
	}
	indices, err := checkPages(file, m)
	for i, index := range indices {
		if i == 0 || index != indices[i-1]+1 {
			unbroken = index
		}
	}
	return unbroken, err
}

// checkEntry reads an entry as raft-boltdb stores it, and returns its index.
// raft-boltdb's own reader believes a damaged length and may ask for gigabytes.
func checkEntry(decoder *codec.Decoder, key, value []byte) (index uint64, err error) {
	if len(key) != 8 {
		return 0, fmt.Errorf("%x is no index of an entry", key)
	}
	index = binary.BigEndian.Uint64(key)
	var entry raft.Log
	decoder.ResetBytes(value)
	if err = decoder.Decode(&entry); err == nil {
		err = unsealEntry(index, &entry)
	}
	if err != nil {
		return 0, fmt.Errorf("entry %d: %w", index, err)
	}
	return index, nil
}
