package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Any flipped bit in a record, an id or the bytes, and any cut, costs at most
// that copy: it is served whole or not at all, what is wrong with it is logged
// with the file's name, and the chain beside it is untouched. Flip and cut every
// file of a chain, open the store, and read. With HOLDFAST_EVERY_BIT set each bit
// has its turn.
func TestEveryBitCounts(t *testing.T) {
	b, c := content(60, 300)
	dir := t.TempDir()
	s := openStore(t, dir, Config{})
	receive(t, s, Upload{Chain: "x", Epoch: 40}, b)
	receive(t, s, Upload{Chain: "y", Epoch: 41}, b)
	s.Close()
	r := record2("x", 40, c)
	r.Staged = true
	paths := []string{s.recordPath(r), s.blobPath("x", c.SHA256), filepath.Join(s.chainDir("x"), idName)}
	images, kept, gone := memory(t), 0, 0
	step := 37
	if os.Getenv("HOLDFAST_EVERY_BIT") != "" {
		step = 1
	}
	for _, path := range paths {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		try := func(what string, damaged []byte) {
			what = filepath.Base(path) + ", " + what
			dir := filepath.Join(images, strconv.Itoa(kept+gone))
			defer os.RemoveAll(dir)
			name, err := filepath.Rel(s.dir, path)
			if err := errors.Join(err, os.CopyFS(dir, os.DirFS(s.dir)), os.WriteFile(filepath.Join(dir, name), damaged, 0o644)); err != nil {
				t.Fatal(err)
			}
			var logged bytes.Buffer
			s := openStore(t, dir, Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &logged}), ScrubRate: 1 << 40})
			defer s.Close()
			_, served := readAll(s, "y", c.SHA256)
			if served != nil {
				t.Errorf("%s: chain y: %v", what, served)
			}
			got, err := readAll(s, "x", c.SHA256)
			if err == nil && !bytes.Equal(got, b) {
				t.Errorf("%s: other bytes were served", what)
			}
			if err == nil {
				kept++
				wantHeld(t, s, is("x", 40, c), is("y", 41, c))
				return
			}
			gone++
			if err := s.Scrub(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantHeld(t, s, is("y", 41, c))
			if !strings.Contains(logged.String(), "set aside") || !strings.Contains(logged.String(), name) {
				t.Errorf("%s: it is not held, and the log says %q", what, logged.String())
			}
		}
		for bit := 0; bit < 8*len(whole); bit += step {
			damaged := bytes.Clone(whole)
			damaged[bit/8] ^= 1 << (bit % 8)
			try(fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), damaged)
		}
		for size := 0; size < len(whole); size += 8 * step {
			try(fmt.Sprintf("cut to %d bytes", size), whole[:size])
		}
	}
	t.Logf("%d damages made good, %d copies set aside", kept, gone)
}

// memory returns a directory whose syncs cost nothing, where there is one.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-") //nolint:usetesting // that lies on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func readAll(s *Store, chain placement.ChainID, sha string) ([]byte, error) {
	f, _, err := s.OpenToServe(chain, sha)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Bytes that rotted under a running store are never passed off as content: who
// asks for a check gets a broken answer, from this disk and over HTTP, and the
// copy goes at once, not when the scrubber comes by.
func TestRotIsNotServed(t *testing.T) {
	b, c := content(61, 3<<20)
	s := openStore(t, t.TempDir(), Config{ScrubEvery: 1000 * time.Hour})
	receive(t, s, Upload{Chain: "x", Epoch: 40}, b)
	address, client := serve(t, s)
	client.Check = true
	fetch := func(offset int64) ([]byte, error) {
		body, _, err := client.Fetch(t.Context(), holder.Source{Address: address}, "x", c.SHA256, offset)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return io.ReadAll(body)
	}
	for _, offset := range []int64{0, 1 << 20} {
		if got, err := fetch(offset); err != nil || !bytes.Equal(got, b[offset:]) {
			t.Fatalf("sound, from byte %d on: %d bytes, %v", offset, len(got), err)
		}
	}
	b[1<<20] ^= 4
	if err := os.WriteFile(s.blobPath("x", c.SHA256), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := fetch(0); err == nil || len(got) == len(b) {
		t.Errorf("rot over HTTP: %d bytes, %v", len(got), err)
	}
	if _, err := readAll(s, "x", c.SHA256); err == nil || !strings.Contains(err.Error(), "do not have the hash") {
		t.Errorf("rot on this disk: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for { // until it is set aside
		if _, _, err := s.Open("x", c.SHA256); err != nil {
			break
		}
		select {
		case err := <-done:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	wantHeld(t, s)
}
