package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Where things stand in bolt's pages, beyond what check.go says of the metas. A
// page is a head, then one element for each key, then keys and values in turn.
const (
	pageHead    = 16 // id (8 bytes), flags (2), count (2), overflow (4)
	elementHead = 16
	bucketHead  = 16 // root page (8 bytes), sequence (8); behind it a small bucket's own page

	branchPage = 0x01
	leafPage   = 0x02
	freePage   = 0x10

	plainValue  = 0
	bucketValue = 1
)

// Buckets of raft-boltdb.
const (
	logBucket    = "logs"
	stableBucket = "conf"
)

// pages reads the structure of a bolt file that is at rest. bolt believes what
// the head of a page and of an element says, and a flipped bit there hides
// entries without a word: a page of 40 whose count says 8 ends the log there. But
// bolt packs pages tightly, and uses each exactly once. So a page is sound only
// if its elements fill it as its count says, if its keys rise within the bounds
// that its parent gives, and if all pages together, with the free ones, are the
// file. Values carry seals of their own, which are looked at, too.
type pages struct {
	file *os.File
	meta meta
	used []bool
}

// checkPages reads all pages with all values, and returns the indices of the
// log's entries.
func checkPages(file *os.File, m meta) (indices []uint64, err error) {
	if m.tx <= 1 {
		return nil, nil // nothing has been written since the file was made
	}
	decoder := codec.NewDecoderBytes(nil, &codec.MsgpackHandle{})
	p := &pages{file: file, meta: m, used: make([]bool, m.pages)}
	p.used[0], p.used[1] = true, true
	if err := p.free(m.freelist); err != nil {
		return nil, err
	}
	var names []string
	err = p.tree(m.root, bounds{}, func(e element) error {
		names = append(names, string(e.key))
		if e.flags != bucketValue {
			return fmt.Errorf("bucket %q is none", e.key)
		}
		return p.bucket(e.value, func(in element) (err error) {
			switch {
			case in.flags != plainValue:
				return fmt.Errorf("bucket %q has one in it", e.key)
			case string(e.key) == stableBucket:
				_, err = unseal(in.value, func(value []byte) uint32 { return sumOf(in.key, value) })
			default:
				var index uint64
				index, err = checkEntry(decoder, in.key, in.value)
				indices = append(indices, index)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if !slices.Equal(names, []string{stableBucket, logBucket}) {
		return nil, fmt.Errorf("it has the buckets %q", names)
	}
	if i := slices.Index(p.used, false); i >= 0 {
		return nil, fmt.Errorf("page %d is neither used nor free", i)
	}
	return indices, nil
}

// bounds are those of the keys in a page: low included, high not, nil = none.
type bounds struct{ low, high []byte }

// element is one key of a page: in a leaf with a value, in a branch with a page.
type element struct {
	key, value []byte
	flags      uint32
	page       uint64
}

// bucket visits what is in a bucket.
func (p *pages) bucket(value []byte, visit func(element) error) error {
	if len(value) < bucketHead {
		return fmt.Errorf("a bucket of %d bytes is none", len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		if len(value) != bucketHead {
			return fmt.Errorf("the bucket at page %d has %d bytes", root, len(value))
		}
		return p.tree(root, bounds{}, visit)
	}
	page := value[bucketHead:]
	if len(page) < pageHead || binary.NativeEndian.Uint16(page[8:]) != leafPage {
		return errors.New("a small bucket has no leaf")
	}
	elements, end, err := parse(page, bounds{})
	if err != nil {
		return err
	}
	if end != len(page) {
		return fmt.Errorf("a small bucket has %d bytes and uses %d", len(page), end)
	}
	return each(elements, visit)
}

// tree visits the leaves below a page.
func (p *pages) tree(id uint64, within bounds, visit func(element) error) error {
	page, flags, err := p.read(id)
	if err != nil {
		return err
	}
	elements, _, err := parse(page, within)
	switch {
	case err != nil:
		return fmt.Errorf("page %d: %w", id, err)
	case len(elements) == 0 || flags != branchPage && flags != leafPage:
		return fmt.Errorf("page %d has %d keys and the flags %#x", id, len(elements), flags)
	case flags == leafPage:
		return each(elements, visit)
	}
	for i, e := range elements {
		below := bounds{e.key, within.high}
		if i+1 < len(elements) {
			below.high = elements[i+1].key
		}
		if err := p.tree(e.page, below, visit); err != nil {
			return err
		}
	}
	return nil
}

func each(elements []element, visit func(element) error) error {
	for _, e := range elements {
		if err := visit(e); err != nil {
			return err
		}
	}
	return nil
}

// free marks the pages that the list of free ones names.
func (p *pages) free(id uint64) error {
	page, flags, err := p.read(id)
	if err != nil {
		return err
	}
	if flags != freePage {
		return fmt.Errorf("page %d is no list of free pages", id)
	}
	count, list := uint64(binary.NativeEndian.Uint16(page[10:])), page[pageHead:]
	if count == 0xFFFF { // more than fit there
		count, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return fmt.Errorf("page %d names %d free pages", id, count)
	}
	for i := range count {
		if err := p.use(binary.NativeEndian.Uint64(list[8*i:]), 1); err != nil {
			return err
		}
	}
	return nil
}

// read returns a page with those that continue it.
func (p *pages) read(id uint64) (page []byte, flags uint16, err error) {
	head := make([]byte, pageHead)
	if err := p.use(id, 1); err != nil {
		return nil, 0, err
	}
	if _, err := p.file.ReadAt(head, int64(id*p.meta.pageSize)); err != nil {
		return nil, 0, err
	}
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if itself := binary.NativeEndian.Uint64(head); itself != id {
		return nil, 0, fmt.Errorf("page %d says that it is page %d", id, itself)
	}
	if err := p.use(id+1, more); err != nil {
		return nil, 0, err
	}
	page = make([]byte, (1+more)*p.meta.pageSize)
	_, err = p.file.ReadAt(page, int64(id*p.meta.pageSize))
	return page, binary.NativeEndian.Uint16(head[8:]), err
}

// use marks pages, each of which may be used once.
func (p *pages) use(from, count uint64) error {
	if all := uint64(len(p.used)); from > all || count > all-from {
		return fmt.Errorf("pages %d to %d are used, and there are %d", from, from+count-1, all)
	}
	for id := from; id < from+count; id++ {
		if p.used[id] {
			return fmt.Errorf("page %d is used twice", id)
		}
		p.used[id] = true
	}
	return nil
}

// parse returns the elements of a leaf or branch, and where the last one ends.
func parse(page []byte, within bounds) (list []element, end int, err error) {
	branch := binary.NativeEndian.Uint16(page[8:]) == branchPage
	count := int(binary.NativeEndian.Uint16(page[10:]))
	end = pageHead + count*elementHead
	last := within.low
	for i := range count {
		at := pageHead + i*elementHead
		if at+elementHead > len(page) {
			return nil, 0, fmt.Errorf("%d keys do not fit into it", count)
		}
		head, e := page[at:at+elementHead], element{}
		var pos, keySize, valueSize uint32
		if branch {
			pos, keySize, e.page = binary.NativeEndian.Uint32(head), binary.NativeEndian.Uint32(head[4:]), binary.NativeEndian.Uint64(head[8:])
		} else {
			e.flags, pos = binary.NativeEndian.Uint32(head), binary.NativeEndian.Uint32(head[4:])
			keySize, valueSize = binary.NativeEndian.Uint32(head[8:]), binary.NativeEndian.Uint32(head[12:])
		}
		value, next := end+int(keySize), end+int(keySize)+int(valueSize)
		if at+int(pos) != end || keySize == 0 || next > len(page) {
			return nil, 0, fmt.Errorf("key %d of %d is not where it must be", i+1, count)
		}
		e.key, e.value = page[end:value], page[value:next]
		order := bytes.Compare(last, e.key)
		if order > 0 || order == 0 && i > 0 || within.high != nil && bytes.Compare(e.key, within.high) >= 0 {
			return nil, 0, fmt.Errorf("key %d of %d is out of order", i+1, count)
		}
		list, end, last = append(list, e), next, e.key
	}
	return list, end, nil
}
