package filestore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// serve serves a store on a loopback port and returns its address and a client.
func serve(t testing.TB, s *Store) (string, Client) {
	t.Helper()
	server := httptest.NewServer(s.Handler())
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	return strings.TrimPrefix(server.URL, "http://"), Client{HTTP: &http.Client{Transport: transport}}
}

// Content goes from a client's upload on one node to a pull on another, from
// the start and from a part, over HTTP.
func TestHTTP(t *testing.T) {
	b, c := content(30, 3<<20)
	from := openStore(t, t.TempDir(), Config{})
	address, client := serve(t, from)
	stored, err := client.Store(t.Context(), address, Upload{Chain: "x", Epoch: 40, Base: 3, Size: c.Size, SHA256: c.SHA256}, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Stored{Incarnation: 7, Epoch: 40, SHA256: c.SHA256, Size: c.Size, Ticket: stored.Ticket}); stored != want || stored.Ticket == "" {
		t.Errorf("stored %+v, want %+v", stored, want)
	}
	if held := wantHeld(t, from, is("x", 40, c)); !held[0].Staged || held[0].Base != 3 {
		t.Errorf("held %+v, want it staged on version 3", held[0])
	}
	for _, part := range []int{0, 1 << 20, 3 << 20} {
		to := openStore(t, t.TempDir(), Config{Fetch: client})
		if err := errors.Join(to.makeChainDir("x"), os.WriteFile(to.partPath("x", c.SHA256), b[:part], 0o644)); err != nil {
			t.Fatal(err)
		}
		a := assignment("x", 41, c)
		a.Sources = []holder.Source{{Node: "n1", Address: address}}
		if err := to.Pull(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, to, "x", c, b)
	}
	if err := client.Abandon(t.Context(), address, "x", stored); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, from)
	if _, _, err := client.Fetch(t.Context(), holder.Source{Address: address}, "x", c.SHA256, 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("fetch of what is gone: %v", err)
	}
	empty, none := content(31, 0)
	if _, err := client.Store(t.Context(), address, Upload{Chain: "x", Epoch: 40}, bytes.NewReader(empty)); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, from, is("x", 40, none))
}

// Refusals cross the wire with their kind; nothing is stored.
func TestHTTPRefusals(t *testing.T) {
	b, c := content(32, 1000)
	s := openStore(t, t.TempDir(), Config{
		Volume:  func() (int64, int64, error) { return 1500, 1 << 40, nil },
		Reserve: 500,
		Accept: func(_ placement.ChainID, epoch placement.Epoch) (placement.Incarnation, error) {
			if epoch != 40 {
				return 0, errors.New("the epoch is 40")
			}
			return 7, nil
		},
	})
	address, client := serve(t, s)
	for _, test := range []struct {
		u    Upload
		want error
	}{
		{Upload{Chain: "x", Epoch: 41, Size: 1000}, ErrNotHolder},
		{Upload{Chain: "x", Epoch: 40, Size: 1000, SHA256: strings.Repeat("0", 64)}, ErrMismatch},
		{Upload{Chain: "x", Epoch: 40, Size: 2000}, holder.ErrNoSpace},
	} {
		body := bytes.NewReader(append(bytes.Clone(b), b...)[:test.u.Size])
		if _, err := client.Store(t.Context(), address, test.u, body); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v, want %v", test.u, err, test.want)
		}
	}
	chunked, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+"/pull/v1/chains/x/content?epoch=40&base=0", struct{ io.Reader }{bytes.NewReader(b)})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.HTTP.Do(chunked)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusLengthRequired {
		t.Errorf("without a length: %s, want 411", resp.Status)
	}
	wantHeld(t, s)
	if _, _, err := s.Open("x", c.SHA256); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
}

// BenchmarkCopy compares a pull, disk included, with what one loopback TCP
// stream and SHA-256 alone reach: reach ≥ 80 % of it.
func BenchmarkCopy(b *testing.B) {
	const size = 256 << 20
	data, c := content(40, size)
	b.Run("loopback+sha256", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if err := rawCopy(b, data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pull", func(b *testing.B) {
		from := openStore(b, b.TempDir(), Config{})
		receive(b, from, Upload{Chain: "x", Epoch: 40}, data)
		address, client := serve(b, from)
		to := openStore(b, b.TempDir(), Config{Fetch: client})
		a := assignment("x", 41, c)
		a.Sources = []holder.Source{{Node: "n1", Address: address}}
		b.SetBytes(size)
		for b.Loop() {
			if err := to.Pull(b.Context(), a); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			held, err := to.Held(b.Context())
			if err != nil || len(held) != 1 {
				b.Fatal(held, err)
			}
			if err := to.Drop(b.Context(), held[0]); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// rawCopy sends data over one loopback connection into a hash.
func rawCopy(b *testing.B, data []byte) error {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write(data)
			c.Close()
		}
		sent <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{c}, make([]byte, bufferBytes))
	if n != int64(len(data)) {
		err = fmt.Errorf("%d bytes of %d came", n, len(data))
	}
	return errors.Join(err, <-sent)
}
