package agent

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

// port serves a handler as the agent serves its API, on a simulated network in
// this bubble, until the test ends.
func port(t *testing.T, handler http.HandlerFunc, change func(*service)) (s *service, dial func() net.Conn) {
	t.Helper()
	wires := simnet.New(1)
	m, err := newMeter()
	if err != nil {
		t.Fatal(err)
	}
	s = newService("the port", "http", m, handler)
	change(s)
	ln, err := wires.Host("n1", "10.0.0.1").Listen("10.0.0.1:7401")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.serve(ln, plain) }()
	t.Cleanup(func() {
		s.stop()
		if err := wires.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // timers of net/http run out
	})
	browser := wires.Host("browser", "10.0.9.9")
	return s, func() net.Conn {
		c, err := browser.Dial(context.Background(), "10.0.0.1:7401")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// ended waits until the other end has closed a connection, and returns what it
// sent before.
func ended(c net.Conn) string {
	got, _ := io.ReadAll(c) // how it ends does not matter
	return string(got)
}

// A head that is sent slowly or without end, a connection without requests,
// and OPTIONS * with a body that never comes, must each be given up in its time.
func TestSlowHead(t *testing.T) {
	for _, c := range []struct {
		name, sent, endless, want string
		after                     time.Duration
	}{
		{"nothing", "", "", "", headerTimeout},
		{"half a head", "GET /livez HTTP/1.1\r\nHost: x\r\nX-", "", "", headerTimeout},
		{"a byte a second", "GET /livez HTTP/1.1\r\nHost: x\r\nX-", "x", "", headerTimeout},
		{"too long a head", "GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", headerBytesMax+8<<10), "", "431 ", time.Second},
		{"junk", "\x00\x01\x02\r\n\r\n", "", "400 ", time.Second},
		{"no second request", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "", "200 ", idleTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, dial := port(t, func(http.ResponseWriter, *http.Request) {}, func(*service) {})
				conn := dial()
				begin := time.Now()
				go func() {
					_, err := io.WriteString(conn, c.sent)
					for err == nil && c.endless != "" {
						time.Sleep(time.Second)
						_, err = io.WriteString(conn, c.endless)
					}
				}()
				if got := ended(conn); !strings.Contains(got, c.want) {
					t.Errorf("answered %q, want %s", got, c.want)
				}
				if took := time.Since(begin); took > c.after+time.Second {
					t.Errorf("held for %v, want %v", took, c.after)
				}
			})
		})
	}
	t.Run("OPTIONS *", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			reached := false
			_, dial := port(t, func(w http.ResponseWriter, _ *http.Request) {
				reached = true
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second)) // as the API does
			}, func(*service) {})
			conn := dial()
			fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
			if ended(conn); !reached {
				t.Error("net/http answered it itself")
			}
		})
	})
}

// A client that takes nothing of an answer must be cut off after writeStall,
// whether it is a stream or a file; one that takes some each time must get all
// of it, and a second answer on the same connection.
func TestClientThatDoesNotRead(t *testing.T) {
	const size = 4 << 20
	send := func(w http.ResponseWriter, r *http.Request) {
		for sent := 0; sent < size; sent += 32 << 10 {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 1)
		_, dial := port(t, func(w http.ResponseWriter, r *http.Request) {
			send(w, r)
			ended <- time.Now()
		}, func(*service) {})
		begin := time.Now()
		frozen := dial()
		fmt.Fprint(frozen, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if took := (<-ended).Sub(begin); took > writeStall+time.Second {
			t.Errorf("a client that reads nothing held its request for %v", took)
		}
		slow := dial()
		r := bufio.NewReader(slow)
		for range 2 {
			fmt.Fprint(slow, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for part := make([]byte, 512<<10); ; {
				n, err := io.ReadFull(resp.Body, part)
				if got += n; err != nil {
					break
				}
				time.Sleep(writeStall - time.Second)
			}
			resp.Body.Close()
			if <-ended; got != size {
				t.Fatalf("a slow reader got %d of %d bytes", got, size)
			}
			time.Sleep(writeStall + time.Second) // longer than any write may take
		}
	})
}

// thin is a connection that takes 8 KiB a second, from a file too.
type thin struct {
	net.Conn
	until time.Time
}

func (c *thin) SetWriteDeadline(t time.Time) error { c.until = t; return nil }

func (c *thin) ReadFrom(r io.Reader) (int64, error) {
	for n := int64(0); ; {
		m, err := io.CopyN(io.Discard, r, 8<<10)
		if n += m; err != nil {
			return n, nil //nolint:nilerr // all is sent
		}
		if time.Sleep(time.Second); time.Now().After(c.until) {
			return n, os.ErrDeadlineExceeded
		}
	}
}

func (c *thin) Write(b []byte) (int, error) {
	n, err := c.ReadFrom(bytes.NewReader(b))
	return int(n), err
}

// A file, or an answer that a handler writes at once, that is taken slowly and
// without a pause must be sent whole.
func TestThinLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 3 << 20
		in := &conn{Conn: new(thin), of: &conns{stall: writeStall}}
		if n, err := in.ReadFrom(&io.LimitedReader{R: bytes.NewReader(make([]byte, size)), N: size}); n != size || err != nil {
			t.Errorf("sent %d of %d bytes of a file, %v", n, size, err)
		}
		if n, err := in.Write(make([]byte, size)); n != size || err != nil {
			t.Errorf("sent %d of %d bytes of an answer, %v", n, size, err)
		}
	})
}

// When more connections are opened than allowed, those that have waited longest
// without a request must go, and those with one must stay; a new one must be
// answered whatever the others do: they never end a head, or never send the
// body that they have announced, which net/http waits for after the handler.
func TestConnectionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, dial := port(t, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-release
			}
		}, func(s *service) { s.conns.max = 4 })
		ask := func(c net.Conn, path string) { fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path) }
		var busy []*bufio.Reader
		for range 2 {
			c := dial()
			ask(c, "/wait")
			busy = append(busy, bufio.NewReader(c))
			synctest.Wait()
		}
		kept := dial()
		ask(kept, "/")
		kr := bufio.NewReader(kept)
		if got := status(kr); got != http.StatusOK {
			t.Fatal(got)
		}
		for _, never := range []string{"GET / HT", "GET /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"} {
			for range 50 {
				fmt.Fprint(dial(), never)
				synctest.Wait()
			}
			probe := dial()
			ask(probe, "/livez")
			if got := status(bufio.NewReader(probe)); got != http.StatusOK {
				t.Errorf("a new connection in a crowd of %.12q: %d", never, got)
			}
		}
		begin := time.Now()
		if _, err := kr.ReadByte(); err == nil || time.Since(begin) != 0 {
			t.Error("the oldest connection without a request was still open")
		}
		s.conns.mu.Lock()
		if s.conns.open > 4 {
			t.Errorf("%d connections are open", s.conns.open)
		}
		s.conns.mu.Unlock()
		close(release)
		for _, r := range busy {
			if got := status(r); got != http.StatusOK {
				t.Errorf("a request under way was cut off: %d", got)
			}
		}
	})
}

// status reads an answer and returns its status, 0 if none comes.
func status(r *bufio.Reader) int {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
