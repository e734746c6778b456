package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// A value is sealed by a mark and a CRC-32C behind it, because bolt has
// checksums for its two meta pages only: a flipped bit in an entry would be
// applied, here and nowhere else.
const (
	sealMark  = "\x00h"
	sealBytes = len(sealMark) + 4
)

var errSeal = errors.New("its checksum does not fit its content")

func seal(value []byte, sum uint32) []byte {
	sealed := append(bytes.Clone(value), sealMark...)
	return binary.BigEndian.AppendUint32(sealed, sum)
}

// unseal returns what seal was given. Its checksum is to be compared with that
// of sum, which gets the value.
func unseal(stored []byte, sum func(value []byte) uint32) ([]byte, error) {
	at := len(stored) - sealBytes
	if at < 0 || string(stored[at:at+len(sealMark)]) != sealMark {
		return nil, errors.New("it has no checksum")
	}
	if binary.BigEndian.Uint32(stored[at+len(sealMark):]) != sum(stored[:at]) {
		return nil, errSeal
	}
	return stored[:at:at], nil
}

// sumOf is the checksum of a stable value under its key.
func sumOf(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

// sumOfEntry is the checksum of an entry with these extensions.
func sumOfEntry(entry *raft.Log, extensions []byte) uint32 {
	head := binary.BigEndian.AppendUint64(nil, entry.Index)
	head = binary.BigEndian.AppendUint64(head, entry.Term)
	head = append(head, byte(entry.Type))
	return crc32.Update(sumOf(head, extensions), crc32.MakeTable(crc32.Castagnoli), entry.Data)
}

// sealEntries returns copies that carry their seal behind their extensions.
func sealEntries(entries []*raft.Log) []*raft.Log {
	copies := make([]raft.Log, len(entries))
	sealed := make([]*raft.Log, len(entries))
	for i, entry := range entries {
		copies[i] = *entry
		copies[i].Extensions = seal(entry.Extensions, sumOfEntry(entry, entry.Extensions))
		sealed[i] = &copies[i]
	}
	return sealed
}

// unsealEntry checks an entry that was read, and takes its seal off.
func unsealEntry(index uint64, entry *raft.Log) error {
	extensions, err := unseal(entry.Extensions, func(value []byte) uint32 { return sumOfEntry(entry, value) })
	if err != nil {
		return err
	}
	if entry.Index != index {
		return errors.New("it says that it is another entry")
	}
	if len(extensions) == 0 {
		extensions = nil
	}
	entry.Extensions = extensions
	return nil
}
