package filestore

import (
	"cmp"
	"slices"

	"github.com/holdfast-cluster/holdfast/placement"
)

// all returns every record, sorted.
func (s *Store) all() []record {
	s.mu.Lock()
	var list []record
	for _, records := range s.records {
		list = append(list, records...)
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.SHA256, b.SHA256))
	})
	return list
}

// of returns the records of one chain.
func (s *Store) of(chain placement.ChainID) []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records[chain])
}

func (s *Store) find(k key) (record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.records[k.chain], func(r record) bool { return r.key() == k })
	if i < 0 {
		return record{}, false
	}
	return s.records[k.chain][i], true
}

// set puts r in place of the record with the same key.
func (s *Store) set(r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(s.records[r.Chain]), func(old record) bool { return old.key() == r.key() })
	s.records[r.Chain] = append(list, r)
}

func (s *Store) remove(k key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tickets, k)
	list := slices.DeleteFunc(slices.Clone(s.records[k.chain]), func(old record) bool { return old.key() == k })
	if s.records[k.chain] = list; len(list) == 0 {
		delete(s.records, k.chain)
	}
}

// named tells whether a record names the bytes.
func (s *Store) named(b blobName) bool {
	return slices.ContainsFunc(s.of(b.chain), func(r record) bool { return r.SHA256 == b.sha })
}

// enter counts a writer in the chain's directory, so that nothing of it is
// tidied away.
func (s *Store) enter(chain placement.ChainID) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[chain]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.busy[chain]--; s.busy[chain] == 0 {
			delete(s.busy, chain)
		}
	}
}

func (s *Store) isBusy(chain placement.ChainID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[chain] > 0
}
