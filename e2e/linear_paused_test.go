//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// TestPausedLeader: a leader that was paused still takes itself for the leader
// for a moment when it goes on. What it is asked in that moment it must not
// answer from its old state: linearizable reads show what was written in the
// meantime, and a content whose If-Match names the present content is not refused.
// Provoked with requests that wait in the sockets of a stopped leader while
// another one is elected and every chain is written anew.
func TestPausedLeader(t *testing.T) {
	const chains = 60
	m := boot(t, 3)
	name := func(i int) string { return fmt.Sprintf("chain-%03d", i) }
	first, second := make([]file, chains), make([]file, chains)
	for i := range chains {
		first[i], second[i] = newFile(name(i), 500, uint64(i)), newFile(name(i), 500, uint64(chains+i))
	}
	m.putAll(m.any(), first)

	paused := m.leader()
	if err := m.procs[paused].Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	m.putAll(m.clients(1+paused%3, 1+(paused+1)%3), second)

	var sent atomic.Int32
	asked, err := client.New([]string{"http://" + m.http(paused)}, client.WithHTTPClient(&http.Client{Transport: counting{&sent}}))
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	var all sync.WaitGroup
	for i := range chains {
		all.Go(func() {
			c, err := asked.Chain(t.Context(), name(i), client.At(api.Linearizable), client.Within(20*time.Second))
			if err != nil || c.Content == nil || c.Content.SHA256 == first[i].sha {
				t.Errorf("a linearizable read of %s through the paused n%d: %+v (%v), want not the first content", name(i), paused, c, err)
			}
		})
		all.Go(func() {
			third := newFile(name(i), 500, uint64(2*chains+i))
			_, err := asked.PutContent(t.Context(), third.id, bytes.NewReader(third.data), int64(len(third.data)),
				client.IfSHA256(second[i].sha), client.Within(20*time.Second))
			if err != nil {
				t.Errorf("content of %s through the paused n%d, if it is the second: %v", name(i), paused, err)
			}
		})
	}
	m.eventually(time.Minute, "the requests have been sent", func() error {
		if n := sent.Load(); n < 2*chains {
			return fmt.Errorf("%d of %d have", n, 2*chains)
		}
		return nil
	})
	if err := m.procs[paused].Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	all.Wait()
}

// putAll creates the chains of all files, with three copies, and stores them.
func (m *machines) putAll(c *client.Client, files []file) {
	m.t.Helper()
	var all sync.WaitGroup
	for _, f := range files {
		all.Go(func() {
			_, err := c.PutChain(m.t.Context(), f.id, chainSpec(3), client.Within(20*time.Second))
			if err == nil {
				_, err = c.PutContent(m.t.Context(), f.id, bytes.NewReader(f.data), int64(len(f.data)), client.Within(20*time.Second))
			}
			if err != nil {
				m.t.Errorf("storing %s: %v", f.id, err)
			}
		})
	}
	all.Wait()
}

// counting counts the requests that have been written to a connection.
type counting struct{ sent *atomic.Int32 }

func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { c.sent.Add(1) }}
	return http.DefaultTransport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}
