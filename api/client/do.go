package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// Waits between two rounds over the addresses.
const (
	backoffMin = 20 * time.Millisecond
	backoffMax = time.Second
)

// problemBytesMax bounds what is read of an error answer.
const problemBytesMax = 64 << 10

// do sends a call until a node has answered it, and decodes the answer into
// out unless that is nil.
func (c *Client) do(ctx context.Context, k *call, out any) error {
	var body []byte
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
	}
	if k.method != http.MethodGet && k.header.Get(api.HeaderIdempotencyKey) == "" {
		k.header.Set(api.HeaderIdempotencyKey, NewKey())
	}
	return c.rounds(ctx, func(ctx context.Context, at int) error {
		ctx, cancel := context.WithTimeoutCause(ctx, k.patience, fmt.Errorf("%s did not answer within %v", c.addrs[at].Host, k.patience))
		defer cancel()
		resp, err := c.send(ctx, at, k, bytes.NewReader(body), int64(len(body)))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		k.meta.fill(resp)
		if out == nil {
			return nil
		}
		return k.decode(resp.Body, c.addrs[at].Host, out)
	})
}

// decode reads an answer as long as a node may give, whoever gives it.
func (c *call) decode(body io.Reader, from string, out any) error {
	most := &io.LimitedReader{R: body, N: c.answerMax}
	err := json.NewDecoder(most).Decode(out)
	switch {
	case err == nil:
		return nil
	case most.N == 0:
		return &final{fmt.Errorf("the answer of %s has %d bytes or more: that is no node of Holdfast", from, c.answerMax)}
	}
	return &unanswered{fmt.Errorf("reading the answer of %s: %w", from, err)}
}

// unanswered wraps the errors after which another node is asked: the request
// did not reach one, or its answer did not come back whole.
type unanswered struct{ err error }

func (u *unanswered) Error() string { return u.err.Error() }
func (u *unanswered) Unwrap() error { return u.err }

// again tells whether the same call may be tried again after err.
func again(err error) bool {
	var f *final
	var u *unanswered
	var p *api.Problem
	switch {
	case errors.As(err, &f):
		return false
	case errors.As(err, &u):
		return true
	case errors.As(err, &p):
		return p.Code == api.NoLeader || p.Code == api.NotReady || p.Code == api.OutcomeUnknown || p.Code == api.Overloaded
	}
	return false
}

// rounds tries the addresses in turn, with growing waits between the rounds,
// until try succeeds, fails for good, or the time is over.
func (c *Client) rounds(ctx context.Context, try func(ctx context.Context, at int) error) error {
	until := time.Now().Add(c.retry)
	backoff := backoffMin
	for {
		var err error
		start := int(c.first.Load())
		for i := range c.addrs {
			at := (start + i) % len(c.addrs)
			if err = try(ctx, at); err == nil || !again(err) {
				c.first.Store(int64(at))
				return err
			}
			if ctx.Err() != nil {
				return ended(ctx, err)
			}
		}
		if distrusts(err) || !time.Now().Add(backoff).Before(until) {
			return err
		}
		if !sleep(ctx, backoff) {
			return ended(ctx, err)
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// distrusts tells whether a node's certificate was not believed, which waiting
// does not change.
func distrusts(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted || errors.Is(err, http.ErrSchemeMismatch)
}

// ended joins why the caller's context ended with the last error met.
func ended(ctx context.Context, last error) error {
	if errors.Is(last, context.Cause(ctx)) {
		return last
	}
	return fmt.Errorf("%w; last: %w", context.Cause(ctx), last)
}

// sleep waits for d and answers false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// send makes one attempt at one address. An answer that is an error comes
// back as an [*api.Problem].
func (c *Client) send(ctx context.Context, at int, k *call, body io.Reader, size int64) (*http.Response, error) {
	target := c.addrs[at].String() + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	req.Header = k.header.Clone()
	req.ContentLength = size
	if size == 0 {
		req.Body = http.NoBody
	}
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, &unanswered{err}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		k.meta.fill(resp)
		return nil, problemOf(resp)
	}
	return resp, nil
}

// problemOf reads an error answer. One that is not ours, such as a proxy's,
// keeps its status.
func problemOf(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, problemBytesMax))
	p := new(api.Problem)
	if err == nil && json.Unmarshal(data, p) == nil && p.Code != "" {
		return p
	}
	if strings.Contains(string(data), "HTTP request to an HTTPS server") { // net/http's words
		p = api.NewProblem(api.Invalid, "%s speaks https: write its address as https://%s", resp.Request.URL.Host, resp.Request.URL.Host)
		return p
	}
	p = api.NewProblem(api.Internal, "%s answered %s without a problem document", resp.Request.URL.Host, resp.Status)
	p.Status = resp.StatusCode
	return p
}
