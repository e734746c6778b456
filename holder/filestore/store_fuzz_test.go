package filestore

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/internal/appetite"
	"github.com/holdfast-cluster/holdfast/placement"
)

// tree is what lies below a store's directory of chains: path and bytes.
func tree(t testing.TB, s *Store) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(s.chains, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, s.chains)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Whatever stands in the record of a copy, the store opens: a record that is
// none is set aside byte by byte, one that is comes back as it was written, and
// held is only what has its bytes. The hash is put right.
func FuzzRecord(f *testing.F) {
	b, c := content(40, 100)
	for _, r := range []record{
		{Chain: "x", Epoch: 40, SHA256: c.SHA256, Size: c.Size},
		{Chain: "x", Epoch: 40, SHA256: c.SHA256, Size: c.Size, Staged: true, Base: 3},
		{Chain: "x", Epoch: 41},
	} {
		line, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line[:bytes.IndexByte(line, '\n')], int64(r.Epoch))
	}
	f.Add([]byte(`{"chain":"x","epoch":40,"sha256":"","size":0} {}`), int64(40))
	f.Add([]byte(`{"chain":"../../x","epoch":40,"sha256":"../x","size":-1}`), int64(40))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line []byte, epoch int64) {
		text := fmt.Appendf(nil, "%s\n%s\n", line, sumOf(line))
		r, err := decodeRecord(text)
		if err == nil {
			encoded, err := r.encode()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := decodeRecord(encoded); err != nil || again != r {
				t.Errorf("%+v comes back as %+v, %v", r, again, err)
			}
			if !json.Valid(line) {
				t.Errorf("something follows the record in %q", line)
			}
		}
		defer os.RemoveAll(filepath.Join(dir, "chains"))
		s := openStore(t, dir, Config{})
		path := s.recordPath(record{Chain: "x", Epoch: placement.Epoch(epoch), SHA256: c.SHA256})
		if err := s.makeChainDir("x"); err != nil {
			t.Fatal(err)
		}
		for path, b := range map[string][]byte{path: text, s.blobPath("x", c.SHA256): b} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s = reopen(t, s)
		defer s.Close()
		held, heldErr := s.Held(t.Context())
		if heldErr != nil || len(held) > 1 || len(held) == 1 && (err != nil || held[0] != r.copy() || held[0].SHA256 != c.SHA256) {
			t.Errorf("held %+v, %v; the record is %+v, %v", held, heldErr, r, err)
		}
		kept := path
		if len(held) == 0 {
			kept += badInfix + "1"
		}
		if got, err := os.ReadFile(kept); err != nil || !bytes.Equal(got, text) {
			t.Errorf("the record is not kept as it was: %v", err)
		}
	})
}

// A request to the node port's content, byte by byte: what is answered with
// bytes are bytes of the content asked for, and what is refused, or stored and
// then abandoned, leaves nothing but the empty directory that Tidy removes.
func FuzzContentRequests(f *testing.F) {
	b, c := content(41, 300)
	path := "/pull/v1/chains/x/content"
	for _, head := range []string{
		"GET " + path + "/" + c.SHA256 + " HTTP/1.1\r\nHost: a\r\nRange: bytes=7-99,200-\r\n\r\n",
		"GET " + path + "/" + c.SHA256 + " HTTP/1.1\r\nHost: a\r\nRange: bytes=-5\r\nIf-Range: \"" + c.SHA256 + "\"\r\n\r\n",
		"GET " + path + "/" + c.SHA256 + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"PUT " + path + "?epoch=40&base=3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nbytes",
		"PUT " + path + "?epoch=40&base=3&sha256=" + sumOf([]byte("bytes")) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nbytes",
		"PUT " + path + "?epoch=40&base=3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
		"DELETE " + path + "/" + c.SHA256 + "?epoch=40&ticket=t HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		f.Add([]byte(head))
	}
	s := openStore(f, f.TempDir(), Config{})
	if _, err := s.Receive(f.Context(), Upload{Chain: "x", Epoch: 40, Size: c.Size}, bytes.NewReader(b)); err != nil {
		f.Fatal(err)
	}
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, in []byte) {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			return
		}
		before := tree(t, s)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		switch {
		case req.Method == http.MethodPut && w.Code == http.StatusOK:
			abandonStored(t, s, w.Body.Bytes())
		case w.Code >= http.StatusInternalServerError:
			t.Errorf("%q is answered %d: %s", in, w.Code, w.Body)
		case w.Code == http.StatusOK && w.Header().Get("ETag") != "":
			if !bytes.Equal(w.Body.Bytes(), b) {
				t.Errorf("%q is answered with other bytes", in)
			}
		case w.Code == http.StatusPartialContent && strings.HasPrefix(w.Header().Get("Content-Range"), "bytes "):
			var first, last, size int
			if _, err := fmt.Sscanf(w.Header().Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil || size != len(b) || !bytes.Equal(w.Body.Bytes(), b[first:last+1]) {
				t.Errorf("%q is answered with %s and other bytes: %v", in, w.Header().Get("Content-Range"), err)
			}
		}
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, tree(t, s)); diff != "" {
			t.Errorf("%q was answered %d and changed the disk: %s", in, w.Code, diff)
		}
	})
}

// abandonStored takes back what a request has stored.
func abandonStored(t *testing.T, s *Store, answer []byte) {
	t.Helper()
	resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(answer))}
	client := Client{HTTP: &http.Client{Transport: answering{resp}}}
	stored, err := client.Store(t.Context(), "a", Upload{Chain: "x"}, http.NoBody)
	if err != nil || stored.Ticket == "" {
		t.Fatalf("stored %+v, %v", stored, err)
	}
	for _, chain := range chainsOf(s) {
		if err := s.Abandon(t.Context(), chain, stored.Epoch, stored.SHA256, stored.Ticket); err != nil {
			t.Errorf("%s: %v", chain, err)
		}
	}
}

// chainsOf lists the chains that a store has records of.
func chainsOf(s *Store) []placement.ChainID {
	var ids []placement.ChainID
	for _, r := range s.all() {
		ids = append(ids, r.Chain)
	}
	return ids
}

// answering is a network in which everything is answered the same.
type answering struct{ resp *http.Response }

func (a answering) RoundTrip(*http.Request) (*http.Response, error) { return a.resp, nil }

// Answers of another node, byte by byte, to a pull from the start and one that
// goes on, to a store and to an abandon: nothing panics, memory stays in
// proportion, and only bytes with the right hash are held.
func FuzzContentAnswers(f *testing.F) {
	b, c := content(42, 64)
	f.Add([]byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n%s", b)))
	f.Add([]byte(fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-63/64\r\nContent-Length: 54\r\n\r\n%s", b[10:])))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n" + `{"incarnation":7,"epoch":40,"sha256":"` + c.SHA256 + `","size":64,"ticket":"t"}`))
	f.Add([]byte("HTTP/1.1 409 Conflict\r\n\r\n" + `{"code":"not-holder","detail":"no"}`))
	f.Add([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		answer := func() (Client, bool) {
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), nil) //nolint:bodyclose // the client closes it
			return Client{HTTP: &http.Client{Transport: answering{resp}}}, err == nil && (resp.StatusCode < 300 || resp.StatusCode > 399)
		}
		if _, ok := answer(); !ok {
			return
		}
		for _, have := range []int{0, 10} {
			client, _ := answer()
			s := openStore(t, dir, Config{Fetch: client})
			if err := s.makeChainDir("x"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.partPath("x", c.SHA256), b[:have], 0o600); err != nil {
				t.Fatal(err)
			}
			a := assignment("x", 41, c)
			a.Sources = []holder.Source{{Node: "n1", Address: "a:1"}}
			err := s.Pull(t.Context(), a)
			held, heldErr := s.Held(t.Context())
			if heldErr != nil || (err == nil) != (len(held) == 1) {
				t.Errorf("pull: %v, held %+v, %v", err, held, heldErr)
			}
			if err == nil {
				wantBytes(t, s, "x", c, b)
			}
			s.Close()
			if err := os.RemoveAll(s.chains); err != nil {
				t.Fatal(err)
			}
		}
		asked := appetite.Of(func() {
			client, _ := answer()
			if stored, err := client.Store(t.Context(), "a:1", Upload{Chain: "x", Epoch: 40}, http.NoBody); err != nil && stored != (Stored{}) {
				t.Errorf("stored %+v, %v", stored, err)
			}
			client, _ = answer()
			_ = client.Abandon(t.Context(), "a:1", "x", Stored{Epoch: 40, SHA256: c.SHA256}) // whatever it says
		})
		if limit := uint64(1<<20 + 64*len(in)); asked > limit {
			t.Errorf("%d bytes asked for %d of memory", len(in), asked)
		}
	})
}
