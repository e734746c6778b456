package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// raw sends bytes to a socket and returns the status and body of the last
// answer to them, once the other end has said all.
func raw(t *testing.T, addr, text string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(conn, text) // the other end may have had enough
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return status, body
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Errorf("half an answer: %v", err)
		}
		status, body = resp.StatusCode, string(b)
	}
}

// Whatever bytes a client sends, the answer must be the error that it is, in one
// line; nothing must change, and the next client must be served.
func TestGarbage(t *testing.T) {
	b := newBackend(t)
	_, ts := b.listen("n1")
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
	b.settle()
	addr := ts.Listener.Addr().String()
	put := func(path, headers, body string) string {
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", path, headers, len(body), body)
	}
	chunked := func(path, body string) string {
		return "PUT " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
	}
	for name, c := range map[string]struct {
		sent   string
		status int
	}{
		"no HTTP":                {"\x16\x03\x01\x02\x00\x01\x00", 400},
		"pipelined junk":         {"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n\x00\xff\xfe junk\r\n\r\n", 400},
		"two lengths":            {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 11\r\n\r\n{\"spec\":{}}", 400},
		"negative length":        {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		"endless length":         {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
		"length too large":       {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"spec\":{}}", 400},
		"length too small":       {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{\"spec\":{}}", 400},
		"content too short":      {"PUT /v1/chains/c/content HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc", 400},
		"content without length": {chunked("/v1/chains/c/content", "3\r\nabc\r\n0\r\n\r\n"), 411},
		"content of 1 EiB":       {"PUT /v1/chains/c/content HTTP/1.1\r\nHost: x\r\nContent-Length: 1152921504606846976\r\n\r\n", 413},
		"huge chunk":             {chunked("/v1/chains/x", "ffffffffffffffff\r\n{}"), 400},
		"long chunk line":        {chunked("/v1/chains/x", "1;"+strings.Repeat("x", 1<<16)+"\r\n{\r\n"), 400},
		"endless chunks":         {chunked("/v1/chains/x", strings.Repeat("100\r\n"+strings.Repeat(" ", 256)+"\r\n", 5<<10)), 413},
		"smuggled":               {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nTransfer-Encoding: gzip\r\n\r\n{\"spec\":{}}", 501},
		"deep":                   {put("/v1/chains/x", "", `{"spec":{},"holders":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+"}"), 400},
		"deeper":                 {put("/v1/chains/x", "", strings.Repeat(`{"spec":`, 100_000)), 400},
		"twice":                  {put("/v1/chains/x", "", `{"spec":{"desired":1,"desired":2}}`), 400},
		"huge number":            {put("/v1/chains/x", "", `{"spec":{"weight":1e999}}`), 400},
		"huge integer":           {put("/v1/chains/x", "", `{"spec":{"desired":99999999999999999999999}}`), 400},
		"infinite":               {put("/v1/chains/x", "", `{"spec":{"weight":Infinity}}`), 400},
		"key of two lines":       {put("/v1/chains/x", "", `{"a\nb\u0000":1}`), 400},
		"gzip":                   {put("/v1/chains/x", "Content-Encoding: gzip\r\n", "\x1f\x8b\x08\x00"), 400},
		"gzip content":           {put("/v1/chains/c/content", "Content-Encoding: gzip\r\n", "\x1f\x8b\x08\x00"), 400},
		"gzip unannounced":       {put("/v1/chains/x", "", "\x1f\x8b\x08\x00"), 400},
		"NUL":                    {put("/v1/chains/a%00b", "", `{"spec":{}}`), 400},
		"raw NUL":                {"PUT /v1/chains/a\x00b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"line in name":           {put("/v1/chains/a%0d%0ab", "", `{"spec":{}}`), 400},
		"dots":                   {put("/v1/chains/%2e%2e", "", `{"spec":{}}`), 400},
		"dots and slash":         {put("/v1/chains/..%2f..%2fetc", "", `{"spec":{}}`), 400},
		"plain dots":             {put("/v1/chains/../../etc", "", `{"spec":{}}`), 404},
		"long name":              {put("/v1/chains/"+strings.Repeat("a", 129), "", `{"spec":{}}`), 400},
		"very long name":         {put("/v1/chains/"+strings.Repeat("a", 100_000), "", `{"spec":{}}`), 400},
		"no UTF-8":               {put("/v1/chains/%ff%fe", "", `{"spec":{}}`), 400},
		"head without end":       {"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20), 431},
		"unknown method":         {"BREW /v1/chains/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405},
		"TRACE":                  {"TRACE /v1/chains HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405},
		"CONNECT":                {"CONNECT evil:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404},
		"expectation":            {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\n{}", 417},
		"two hosts":              {"PUT /v1/chains/x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			before := b.m.View().Revision
			status, body := raw(t, addr, c.sent)
			if status != c.status {
				t.Errorf("status %d, want %d: %.300q", status, c.status, body)
			}
			if line := strings.TrimSuffix(body, "\n"); strings.Contains(line, "\n") || len(line) > 4096 {
				t.Errorf("not one short line: %.300q", body)
			}
			if got := b.m.View().Revision; got != before {
				t.Errorf("the revision went from %d to %d", before, got)
			}
			if status, _ := raw(t, addr, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); status != http.StatusOK {
				t.Errorf("the next client got %d", status)
			}
		})
	}
}

// A content PUT with If-None-Match: * must say so to the store, and with
// another condition, or anything but *, be refused.
func TestContentIfNoneMatch(t *testing.T) {
	b := newBackend(t)
	var got ContentWrite
	_, s := b.serve("n1", func(cfg *Config) { cfg.Content = noting{cfg.Content, &got} })
	b.must(fsm.NewPutChain("c", placement.Spec{Desired: 1}))
	b.settle()
	const path = "/v1/chains/c/content"
	if w := ask(t, s, http.MethodPut, path, "abc", "If-None-Match", "*"); w.Code != http.StatusOK || !got.First {
		t.Errorf("%d %s: %+v", w.Code, w.Body, got)
	}
	refusedWith(t, ask(t, s, http.MethodPut, path, "abc", "If-None-Match", `"x"`), api.Invalid, "If-None-Match")
	refusedWith(t, ask(t, s, http.MethodPut, path, "abc", "If-None-Match", "*", "If-Match", `"`+got.IfMatch+strings.Repeat("0", 64)+`"`), api.Invalid, "If-None-Match")
}

// noting is a Content that notes what it was asked to store.
type noting struct {
	Content
	last *ContentWrite
}

func (n noting) Put(ctx context.Context, w ContentWrite, body io.Reader) (api.ContentPut, error) {
	*n.last = w
	return n.Content.Put(ctx, w, body)
}
