package server

import (
	"errors"
	"strconv"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Limits of one entry of a batch (rule S20). The bytes leave room for what an
// entry holds besides its chains.
const (
	entryItemsMax = 4096
	entryBytesMax = fsm.BatchBytesMax - 4<<10
)

// batchEntry is the part of a batch that goes into one entry of the log.
type batchEntry struct {
	items []fsm.PutChain
	at    []int // where each stands in the batch
	bytes int
}

// splitBatch cuts the chains, in order, into entries. It depends on the body
// alone, so that a retry is cut alike. Items that are invalid in themselves
// get their result here and take no part. createOnly refuses those that exist.
func splitBatch(items []api.BatchItem, createOnly bool, results []api.BatchResult) []batchEntry {
	var entries []batchEntry
	for i := range items {
		results[i].ID = items[i].ID
		op, size, err := readItem(&items[i])
		if err != nil {
			results[i].Code, results[i].Detail = api.NullString(api.Invalid), api.NullString(detailOf(err))
			continue
		}
		op.CreateOnly = createOnly
		n := len(entries)
		if n == 0 || len(entries[n-1].items) == entryItemsMax || entries[n-1].bytes+size > entryBytesMax {
			entries = append(entries, batchEntry{})
			n++
		}
		e := &entries[n-1]
		e.items, e.at, e.bytes = append(e.items, *op), append(e.at, i), e.bytes+size
	}
	return entries
}

func readItem(item *api.BatchItem) (*fsm.PutChain, int, error) {
	id, err := placement.ParseChainID(item.ID)
	if err != nil {
		return nil, 0, err //nolint:wrapcheck // it says all
	}
	spec, err := readSpec("spec.", &item.Spec)
	if err != nil {
		return nil, 0, err
	}
	op := fsm.NewPutChain(id, spec)
	size, err := fsm.EncodedSize(fsm.Op{Body: op})
	if err == nil && size > entryBytesMax {
		err = errorf("the chain takes %d bytes of the log, at most %d are allowed", size, entryBytesMax)
	}
	return op, size, err
}

func detailOf(err error) string {
	var p *api.Problem
	if errors.As(err, &p) {
		return p.Detail
	}
	return err.Error()
}

// entryKey is the key of one entry of a batch.
func entryKey(key string, entry int) string { return key + "/" + strconv.Itoa(entry) }
