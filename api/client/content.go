package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
)

// Content is the content of a chain while it is being read. The caller
// closes it.
type Content struct {
	io.ReadCloser
	SHA256 string
	Size   int64 // bytes that will be read; -1 = not said
}

// Range asks for a part of a content: length bytes from offset, or all from
// there on when length is 0.
func Range(offset, length int64) CallOption {
	return func(k *call) {
		end := ""
		if length > 0 {
			end = strconv.FormatInt(offset+length-1, 10)
		}
		k.header.Set("Range", fmt.Sprintf("bytes=%d-%s", offset, end))
	}
}

// Content opens the content of a chain. The bytes are those of exactly the
// hash that is answered with them; whoever needs certainty hashes them.
func (c *Client) Content(ctx context.Context, id string, opts ...CallOption) (*Content, error) {
	resp, err := c.stream(ctx, newCall(http.MethodGet, chainPath(id)+"/content", opts), nil, 0) //nolint:bodyclose // the caller closes the Content
	if err != nil {
		return nil, err
	}
	return &Content{resp.Body, unquote(resp.Header.Get("ETag")), resp.ContentLength}, nil
}

// PutContent makes size bytes of r the content of a chain, acknowledged by
// enough disks. It is retried only if r can seek back to where it stood.
func (c *Client) PutContent(ctx context.Context, id string, r io.Reader, size int64, opts ...CallOption) (*api.ContentPut, error) {
	k := newCall(http.MethodPut, chainPath(id)+"/content", opts)
	if k.header.Get(api.HeaderIdempotencyKey) == "" {
		k.header.Set(api.HeaderIdempotencyKey, NewKey())
	}
	k.header.Set("Content-Type", "application/octet-stream")
	resp, err := c.stream(ctx, k, r, size)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := new(api.ContentPut)
	if err := k.decode(resp.Body, "the node", out); err != nil {
		return nil, err
	}
	return out, nil
}

// stream sends a call whose body or answer may be long, and returns the
// answer with its body open.
func (c *Client) stream(ctx context.Context, k *call, r io.Reader, size int64) (*http.Response, error) {
	begin := int64(0)
	seeker, seeks := r.(io.Seeker)
	if seeks {
		var err error
		if begin, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			return nil, fmt.Errorf("finding where the content begins: %w", err)
		}
	}
	var resp *http.Response
	sent := false
	err := c.rounds(ctx, func(ctx context.Context, at int) error {
		if sent && seeks {
			if _, err := seeker.Seek(begin, io.SeekStart); err != nil {
				return fmt.Errorf("going back to where the content begins: %w", err)
			}
		}
		sent = true
		var body io.Reader
		if r != nil {
			body = io.NopCloser(io.LimitReader(r, size))
		}
		var err error
		resp, err = c.sendWatched(ctx, at, k, body, size) //nolint:bodyclose // stream returns it open
		if err != nil && r != nil && !seeks {
			return &final{err}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	k.meta.fill(resp)
	return resp, nil
}

// silenceMax is how long a node may neither take nor send a byte of a stream:
// longer than it waits itself for another's disk, and than the comments of an
// event stream are apart.
const silenceMax = time.Minute

// sendWatched is send for a body or an answer that may take any time, as long as
// something moves: a node that hangs holds nobody up.
func (c *Client) sendWatched(ctx context.Context, at int, k *call, body io.Reader, size int64) (*http.Response, error) {
	patience := k.patience
	if size > 0 {
		patience += silenceMax // its disks have to sync
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%s did not answer within %v", c.addrs[at].Host, patience)) })
	if body != nil {
		body = &moving{body, timer, patience}
	}
	resp, err := c.send(ctx, at, k, body, size)
	timer.Stop()
	if err != nil {
		cancel(nil)
		return nil, err
	}
	silent := time.AfterFunc(silenceMax, func() { cancel(fmt.Errorf("%s sent nothing for %v", c.addrs[at].Host, silenceMax)) })
	silent.Stop()
	resp.Body = &patient{resp.Body, ctx, silent, cancel}
	return resp, nil
}

// moving puts a timer off with each read, whose own time does not count.
type moving struct {
	io.Reader
	timer    *time.Timer
	patience time.Duration
}

// Read implements io.Reader.
func (m *moving) Read(b []byte) (int, error) {
	m.timer.Stop()
	defer m.timer.Reset(m.patience)
	return m.Reader.Read(b)
}

// patient is an answer that breaks off when nothing comes. The time that its
// reader takes does not count.
type patient struct {
	io.ReadCloser
	ctx    context.Context
	silent *time.Timer // ends ctx
	cancel context.CancelCauseFunc
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	p.silent.Reset(silenceMax)
	defer p.silent.Stop()
	n, err := p.ReadCloser.Read(b)
	if cause := context.Cause(p.ctx); err != nil && cause != nil {
		err = cause
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// Close implements io.Closer.
func (p *patient) Close() error {
	defer p.cancel(nil)
	return p.ReadCloser.Close() //nolint:wrapcheck // it is net/http's own
}

// final marks an error after which nothing may be tried again: the body is
// spent.
type final struct{ err error }

func (f *final) Error() string { return f.err.Error() }
func (f *final) Unwrap() error { return f.err }
