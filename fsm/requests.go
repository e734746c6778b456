package fsm

import (
	"bytes"
	"fmt"

	"github.com/holdfast-cluster/holdfast/placement"
)

// AnswerMax bounds a remembered answer; a chain that does not fit is left out
// of it and shown as it is at the time of the retry (rule S20). A batch's
// answer may take BatchAnswerMax.
const (
	AnswerMax      = 1 << 10
	BatchAnswerMax = 16 << 10
)

// request is a remembered answer.
type request struct {
	key     string
	hash    []byte
	expires placement.Time
	result  Result
	size    int64
}

// answer returns what a repeat of the request is told: the first answer, or a
// mismatch when the key was used for something else.
func (r request) answer(req Request) Result {
	if !bytes.Equal(r.hash, req.Hash) {
		return refuse(placement.IdempotencyMismatch, "idempotency key %.40q was used for another request; choose a new one", req.Key)
	}
	result := r.result
	result.Replayed = true
	return result
}

// remember keeps the answer to a request for the ttl.
func (t *tx) remember(req Request, result Result) {
	if t.op.Body.kind() != opPutChains {
		if size, err := resultSize(result); err != nil || size > AnswerMax {
			result.Chain = nil
		}
	}
	r := request{key: req.Key, hash: req.Hash, expires: t.now.Add(t.config.RequestTTL), result: result}
	t.setRequest(r)
}

// setRequest stores a remembered answer and books its size.
func (s *state) setRequest(r request) {
	size, _ := resultSize(r.result)
	r.size = int64(size + len(r.key) + len(r.hash))
	s.requests.Set(r.key, r)
	s.expiries.Set(expiryKey(r), r.key)
	s.reqBytes += r.size
}

// expiryKey orders requests by expiry.
func expiryKey(r request) string { return fmt.Sprintf("%020d\x00%s", r.expires, r.key) }

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
