package agent

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// begun sends the head and a first part of a content PUT to a node, and
// returns what reads the answer.
func (w *world) begun(name, id string, size int64, part []byte) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := w.web.DialContext(context.Background(), "tcp", w.agents[name].HTTPAddr())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "PUT /v1/chains/%s/content HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", id, size)
	if _, err := conn.Write(part); err != nil {
		w.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// files lists what lies in the content directories of all nodes.
func (w *world) files() (found []string) {
	w.t.Helper()
	for name := range w.agents {
		dir := filepath.Join(w.root, name, contentDir)
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && d.Name() != "probe" { // which filestore.CheckDisk leaves
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return found
}

// A content PUT whose client stops sending, or goes away, must end with an
// answer if anybody is there to hear it, and leave neither a file nor booked
// space on any node: the next of the same size, which needs most of the
// volumes, must find room.
func TestSlowPut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("c", 3)
		before := w.files()
		const size = 60 << 30 // of 85 GiB above the reserve
		for _, leaves := range []bool{false, true, false} {
			begin := time.Now()
			conn, r := w.begun("n2", "c", size, text(1<<20))
			w.until("bytes are stored", func() bool { return len(w.files()) > len(before) })
			_, other := w.begun("n1", "c", size, text(1<<20))
			if got := status(other); got != http.StatusInsufficientStorage && got != http.StatusServiceUnavailable {
				t.Errorf("a second content of that size beside the first: %d", got)
			}
			if leaves {
				conn.Close()
			} else {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body) // the status says enough
				resp.Body.Close()
				if took := time.Since(begin); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "broke off") || took > time.Minute {
					t.Errorf("answered %d %s after %v", resp.StatusCode, text, took)
				}
			}
			w.until("nothing is left of it", func() bool { return len(w.files()) == len(before) })
		}
		if _, err := w.client("n3").PutContent(t.Context(), "c", bytes.NewReader(text(100)), 100); err != nil {
			t.Errorf("a content afterwards: %v", err)
		}
	})
}

// drip is a content that comes part by part.
type drip struct {
	rest []byte
	part int
	wait func(left int) // before each part
}

// Read implements io.Reader.
func (d *drip) Read(b []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	d.wait(len(d.rest))
	n := copy(b[:min(len(b), d.part)], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// No limit of a port or of a disk cuts a content PUT short that makes progress,
// however long all of it takes: a client that sends about as slowly as it may, to
// the disks of two nodes, for two and a half minutes, and a commit that waits 50
// seconds for a leader, because the node has lost the others just before the end.
func TestLongPut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("slow", 3)
		body := text(100_000)
		slowly := &drip{rest: body, part: 17_000, wait: func(int) { w.pass(25 * time.Second) }}
		if _, err := w.client("n1").PutContent(t.Context(), "slow", slowly, int64(len(body))); err != nil {
			t.Errorf("a content that came slowly: %v", err)
		} else if got, err := w.get("n2", "slow"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("it has %d bytes of %d: %v", len(got), len(body), err)
		}

		through := w.chain("cut", 1).Holders[0].Node
		lonely := &drip{rest: body, part: 25_000, wait: func(left int) {
			if left == 25_000 {
				w.net.Partition([]string{through, "browser"})
				time.AfterFunc(50*time.Second, w.net.Heal)
			}
			w.pass(time.Second)
		}}
		begin := time.Now()
		put, err := w.client(through).PutContent(t.Context(), "cut", lonely, int64(len(body)), client.Within(2*time.Minute))
		if took := time.Since(begin); err != nil || put.SHA256 != sumOf(string(body)) || took < 50*time.Second {
			t.Errorf("a content whose commit waited for a leader, after %v: %+v, %v", took, put, err)
		}
	})
}

// If-None-Match: * on a content must store the first and refuse all others,
// through any node; a retry of the first is answered as it was.
func TestFirstContent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startAll()
		w.chain("c", 3)
		put := func(name, key string, body []byte) (*api.ContentPut, error) {
			return w.client(name).PutContent(t.Context(), "c", bytes.NewReader(body), int64(len(body)), client.CreateOnly(), client.Key(key))
		}
		first, err := put("n1", "one", text(1000))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := put("n2", "one", text(1000)); err != nil || again.Version != first.Version {
			t.Errorf("a retry: %+v %v", again, err)
		}
		if _, err := put("n3", "two", text(2000)); !is(err, api.StaleContent) {
			t.Errorf("a second content: %v, want stale-content", err)
		}
		if got, err := w.get("n2", "c"); err != nil || !bytes.Equal(got, text(1000)) {
			t.Errorf("the content is %d bytes, %v", len(got), err)
		}
	})
}
