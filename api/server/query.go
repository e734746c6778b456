package server

import (
	"net/url"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Bounds of what a request may wait for.
const (
	timeoutDefault = 5 * time.Second
	timeoutMax     = 10 * time.Minute
	waitMax        = 10 * time.Minute
)

// readQuery checks the names of the parameters and reads those that all
// routes share.
func (x *exchange) readQuery() *api.Problem {
	q, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return api.InvalidField("query", "the query cannot be read: %v", err)
	}
	if x.route.query != nil {
		for _, name := range sortedNames(q) {
			if !x.route.query[name] {
				return api.InvalidField(name, "%.60q is not a parameter of %s", name, x.route.pattern())
			}
		}
	}
	if x.timeout, err = duration(q.Get("timeout"), timeoutDefault, timeoutMax); err != nil {
		return api.InvalidField("timeout", "timeout: %v", err)
	}
	if x.wait, err = duration(q.Get("wait"), 0, waitMax); err != nil {
		return api.InvalidField("wait", "wait: %v", err)
	}
	if text := q.Get("revision"); text != "" {
		if x.revision, err = strconv.ParseUint(text, 10, 64); err != nil {
			return api.InvalidField("revision", "revision: %.40q is not a number", text)
		}
		x.blocking = x.wait > 0
	}
	if n, err := strconv.ParseUint(q.Get("since"), 10, 64); err == nil && x.route.query["since"] {
		x.since = n
	}
	x.reason = q.Get("reason")
	return x.readConsistency(q)
}

func (x *exchange) readConsistency(q url.Values) *api.Problem {
	x.level = q.Get("consistency")
	switch x.level {
	case api.Stale, api.FromLeader, api.Linearizable:
	case "":
		x.level = api.FromLeader
		if x.route.stale || q.Has("since") {
			x.level = api.Stale
		}
	default:
		return api.InvalidField("consistency", "consistency: %.40q is none of stale, leader, linearizable", x.level)
	}
	if x.level == api.Stale && x.route.kind == leaderOnly {
		x.level = api.FromLeader
	}
	return nil
}

// duration reads a duration from 0 to limit; an empty text gives the default.
func duration(text string, def, limit time.Duration) (time.Duration, error) {
	if text == "" {
		return def, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errorf("%.40q is not a duration such as 5s", text)
	}
	if d < 0 || d > limit {
		return 0, errorf("%v is not within 0s..%v", d, limit)
	}
	return d, nil
}

// pageLimit reads how many objects a page may have.
func pageLimit(text string) (int, error) {
	if text == "" {
		return api.LimitDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > api.LimitMax {
		return 0, api.InvalidField("limit", "limit: %.40q is not within 1..%d", text, api.LimitMax)
	}
	return n, nil
}

// number reads a revision or id; an empty text is 0.
func number(field, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, api.InvalidField(field, "%s: %.40q is not a number", field, text)
	}
	return n, nil
}

func chainID(field, text string) (placement.ChainID, error) {
	id, err := placement.ParseChainID(text)
	if err != nil {
		return "", api.InvalidField(field, "%v", err)
	}
	return id, nil
}

func nodeID(field, text string) (placement.NodeID, error) {
	id, err := placement.ParseNodeID(text)
	if err != nil {
		return "", api.InvalidField(field, "%v", err)
	}
	return id, nil
}

// ifMatch reads the quoted generation of If-Match. present tells whether the
// header is there at all; "*" gives any = true.
func (x *exchange) ifMatch() (generation uint64, anyOf, present bool, err error) {
	text := x.r.Header.Get("If-Match")
	if text == "" {
		return 0, false, false, nil
	}
	if text == "*" {
		return 0, true, true, nil
	}
	bare, quoted := unquote(text)
	n, perr := strconv.ParseUint(bare, 10, 64)
	if perr != nil || !quoted || n == 0 {
		return 0, false, true, api.InvalidField("If-Match", `If-Match: %.40q is not a quoted generation such as "7"`, text)
	}
	return n, false, true, nil
}

func unquote(text string) (string, bool) {
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		return text[1 : n-1], true
	}
	return text, false
}

func quote(n uint64) string { return `"` + strconv.FormatUint(n, 10) + `"` }
