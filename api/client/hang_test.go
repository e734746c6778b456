package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// nodes answers for a host each.
type nodes map[string]answering

// answering is a node that takes the body, pauses, and answers with what the
// function reads. Without one it hangs until the request ends.
type answering struct {
	pause time.Duration
	body  func(context.Context) io.Reader
}

// RoundTrip implements http.RoundTripper.
func (n nodes) RoundTrip(r *http.Request) (*http.Response, error) {
	node := n[r.URL.Host]
	if node.body == nil {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body) // as far as it comes
	}
	time.Sleep(node.pause)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(node.body(r.Context())), Request: r}, r.Context().Err()
}

// slow reads a text a byte at a time, with a pause before each.
type slow struct {
	text  *strings.Reader
	pause time.Duration
}

func (s slow) Read(b []byte) (int, error) {
	time.Sleep(s.pause)
	return s.text.Read(b[:min(1, len(b))])
}

// dry gives a text and then nothing until the request ends.
type dry struct {
	text *strings.Reader
	ctx  context.Context
}

func (d dry) Read(b []byte) (int, error) {
	if n, err := d.text.Read(b); err == nil {
		return n, nil
	}
	<-d.ctx.Done()
	return 0, d.ctx.Err()
}

// A node that takes the connection and then hangs must not hold up who streams:
// the next address is asked. What moves, however slowly, must be let.
func TestHangingStream(t *testing.T) {
	const text = "the bytes"
	whole := func(context.Context) io.Reader { return strings.NewReader(text) }
	put := func(context.Context) io.Reader {
		return strings.NewReader(`{"version":1,"sha256":"x","size":9,"holders":[]}`)
	}
	fetch := func(c *Client, ctx context.Context) error {
		content, err := c.Content(ctx, "c")
		if err != nil {
			return err
		}
		defer content.Close()
		got, err := io.ReadAll(content)
		if err == nil && string(got) != text {
			err = errors.New("got " + string(got))
		}
		return err
	}
	store := func(body io.ReadSeeker) func(*Client, context.Context) error {
		return func(c *Client, ctx context.Context) error {
			_, err := c.PutContent(ctx, "c", body, int64(len(text)))
			return err
		}
	}
	for _, c := range []struct {
		name string
		all  nodes
		do   func(*Client, context.Context) error
		want string // of the error; "" = none
	}{
		{"a content, no head", nodes{"a": {}, "b": {0, whole}}, fetch, ""},
		{"a content, midway", nodes{"a": {0, func(ctx context.Context) io.Reader { return dry{strings.NewReader("the"), ctx} }}}, fetch, "a sent nothing for 1m0s"},
		{"a content, slowly", nodes{"a": {0, func(context.Context) io.Reader { return slow{strings.NewReader(text), 50 * time.Second} }}}, fetch, ""},
		{"a put", nodes{"a": {}, "b": {0, put}}, store(strings.NewReader(text)), ""},
		{"a put, slow disks", nodes{"a": {time.Minute, put}}, store(strings.NewReader(text)), ""},
		{"a put, slow sender", nodes{"a": {0, put}}, store(struct {
			io.Reader
			io.Seeker
		}{slow{strings.NewReader(text), 2 * time.Minute}, strings.NewReader("")}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				addrs := []string{"http://a", "http://b"}[:len(c.all)]
				client, err := New(addrs, WithHTTPClient(&http.Client{Transport: c.all}), WithRetry(0))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err = c.do(client, ctx)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			})
		})
	}
}
