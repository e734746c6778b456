package client

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// CallOption changes one call.
type CallOption func(*call)

// Meta is what the headers of an answer say. Fill one with [WithMeta].
type Meta struct {
	Revision    uint64
	Lineage     string
	KnownLeader bool
	LastContact time.Duration
	Created     bool   // 201
	ETag        string // without quotes
}

// At asks for a consistency: [api.Stale], [api.FromLeader] or
// [api.Linearizable].
func At(consistency string) CallOption {
	return func(c *call) { c.query.Set("consistency", consistency) }
}

// After makes a read wait until the state is newer than the revision, for at
// most wait.
func After(revision uint64, wait time.Duration) CallOption {
	return func(c *call) {
		c.query.Set("revision", strconv.FormatUint(revision, 10))
		c.setWait(wait)
	}
}

// Within sets how long the cluster may wait for a leader before it gives up
// (default 5 s).
func Within(d time.Duration) CallOption {
	return func(c *call) {
		c.query.Set("timeout", d.String())
		c.patience += d
	}
}

// Key sets the idempotency key of a write; without it each call has a random
// one.
func Key(key string) CallOption {
	return func(c *call) { c.header.Set(api.HeaderIdempotencyKey, key) }
}

// IfGeneration makes a write conditional on the object's generation.
func IfGeneration(generation uint64) CallOption {
	return func(c *call) { c.header.Set("If-Match", `"`+strconv.FormatUint(generation, 10)+`"`) }
}

// IfSHA256 makes a content write conditional on the current content.
func IfSHA256(sum string) CallOption {
	return func(c *call) { c.header.Set("If-Match", `"`+sum+`"`) }
}

// CreateOnly refuses a write when the object exists.
func CreateOnly() CallOption {
	return func(c *call) { c.header.Set("If-None-Match", "*") }
}

// Because gives the reason of a write that has no parameter for it.
func Because(reason string) CallOption {
	return func(c *call) {
		if reason != "" {
			c.query.Set("reason", reason)
		}
	}
}

// WithMeta fills m from the headers of the answer.
func WithMeta(m *Meta) CallOption { return func(c *call) { c.meta = m } }

// call is one request before it is sent.
type call struct {
	method   string
	path     string // escaped
	query    url.Values
	header   http.Header
	body     any           // nil = none
	patience time.Duration // how long one node may take to answer
	meta     *Meta

	answerMax int64 // bytes of an answer that is kept in memory
}

// patienceDefault is how long one node may take to answer before the next is
// asked: longer than it waits for a leader.
const patienceDefault = 10 * time.Second

// answerDefault is well above a page of the largest chains: 1,000 whose specs are
// as large as they may be are about 80 MB. The assignments of a node come in one
// answer.
const (
	answerDefault     = 256 << 20
	answerAssignments = 1 << 30
)

func newCall(method, path string, opts []CallOption) *call {
	c := &call{method: method, path: path, query: url.Values{}, header: http.Header{}, patience: patienceDefault, answerMax: answerDefault}
	for _, o := range opts {
		o(c)
	}
	return c
}

func (c *call) setWait(wait time.Duration) {
	c.query.Set("wait", wait.String())
	c.patience += wait
}

// set adds query parameters; empty values are left out.
func (c *call) set(pairs ...string) *call {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			c.query.Set(pairs[i], pairs[i+1])
		}
	}
	return c
}

func (c *call) with(body any) *call {
	c.body = body
	return c
}

func (m *Meta) fill(resp *http.Response) {
	if m == nil {
		return
	}
	m.Revision, _ = strconv.ParseUint(resp.Header.Get(api.HeaderRevision), 10, 64)
	m.Lineage = resp.Header.Get(api.HeaderLineage)
	m.KnownLeader = resp.Header.Get(api.HeaderKnownLeader) == "true"
	m.LastContact, _ = time.ParseDuration(resp.Header.Get(api.HeaderLastContact))
	m.Created = resp.StatusCode == http.StatusCreated
	m.ETag = unquote(resp.Header.Get("ETag"))
}

func unquote(etag string) string {
	if n := len(etag); n >= 2 && etag[0] == '"' && etag[n-1] == '"' {
		return etag[1 : n-1]
	}
	return etag
}

// segment escapes an id for a path.
func segment(id string) string { return url.PathEscape(id) }
