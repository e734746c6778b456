package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/holdfast-cluster/holdfast/api"
)

// withStale answers stale reads with what is known, and others as before.
func withStale(c *fakeCluster, known any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("consistency") != api.Stale {
			c.serve(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(known)
	})
}

// lying promises other bytes than it sends.
func lying() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+sumOf([]byte("the truth"))+`"`)
		fmt.Fprint(w, "a lie")
	})
}

// followEvents runs `holdfast events` over a chain and the end of a move, and
// interrupts it once both have come.
func followEvents(t *testing.T, args []string) ran {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	c := newCluster(t, nil)
	c.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chain, _ := json.Marshal(exampleChain())
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ": hello\n\nid: l-57\nevent: chain\ndata: %s\n\n", chain)
		fmt.Fprintf(w, "id: l-58\nevent: move\ndata: {\"id\":\"54\",\"revision\":58,\"deleted\":true}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	out := &countingBuffer{enough: interrupt}
	var errs bytes.Buffer
	p := &program{stdout: out, stderr: &errs, environ: c.environ(), now: make(chan struct{})}
	code := p.run(ctx, append([]string{"events"}, args...))
	return ran{code, out.String(), errs.String()}
}

// countingBuffer calls enough at the second line.
type countingBuffer struct {
	bytes.Buffer
	enough func()
}

func (b *countingBuffer) Write(p []byte) (int, error) {
	n, err := b.Buffer.Write(p)
	if bytes.Count(b.Bytes(), []byte{'\n'}) >= 2 {
		b.enough()
	}
	return n, err
}
