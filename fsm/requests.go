package fsm

import (
	"bytes"
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// AnswerMax bounds a remembered answer, encoded; a chain that does not fit is
// left out of it and shown as it is at the time of the retry (rule S20). The
// codes of a batch's refused items may take BatchAnswerMax.
const (
	AnswerMax      = 1 << 10
	BatchAnswerMax = 16 << 10
)

// request is a remembered answer, in the compact form of the snapshot: what
// the table's bounds count is what it holds.
type request struct {
	key     string
	hash    []byte
	expires placement.Time
	answer  resultRecord
	size    int64
}

// repeat returns what a repeat of the request is told: the first answer, or a
// mismatch when the key was used for something else.
func (r *request) repeat(req Request) Result {
	if !bytes.Equal(r.hash, req.Hash) {
		return refuse(placement.IdempotencyMismatch, "idempotency key %.40q was used for another request; choose a new one", req.Key)
	}
	result := r.answer.result()
	result.Replayed = true
	return result
}

// remember keeps the answer to a request for the ttl. What to do with a
// report's unlisted copies is not kept: the node's duties say it again.
func (t *tx) remember(req Request, result Result) {
	answer := resultToRecord(result)
	if answer.Chain != nil && encodedSize(answer) > AnswerMax {
		answer.Chain = nil
	}
	t.setRequest(&request{key: req.Key, hash: req.Hash, expires: t.now.Add(t.config.RequestTTL), answer: answer})
}

// setRequest stores a remembered answer and books its size.
func (s *state) setRequest(r *request) {
	r.size = int64(encodedSize(r.answer) + len(r.key) + len(r.hash))
	s.requests.Set(r.key, r)
	s.expiries.Set(expiryKey(r.expires, r.key), r.key)
	s.reqBytes += r.size
}

// encodedSize returns the size of an answer in the snapshot, in bytes.
func encodedSize(r resultRecord) int {
	data, err := modes.enc.Marshal(r)
	if err != nil {
		return AnswerMax // records of plain fields always encode
	}
	return len(data)
}

// expiryKey orders what expires by when it does.
func expiryKey(at placement.Time, key string) string { return fmt.Sprintf("%020d\x00%s", at, key) }

// expireRequests forgets the answers whose ttl is over.
func (s *state) expireRequests() {
	for {
		at, key, ok := s.expiries.Min()
		if !ok {
			return
		}
		r, _ := s.requests.Get(key)
		if r.expires > s.now {
			return
		}
		s.expiries.Delete(at)
		s.requests.Delete(key)
		s.reqBytes -= r.size
	}
}
