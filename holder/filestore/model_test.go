package filestore

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// After any sequence of pulls, uploads, abandons, drops (stale ones too), tidying
// and restarts, what is held is what a plain map says, and every held version
// can be read.
func TestStoreAgainstModel(t *testing.T) {
	type version struct {
		bytes   []byte
		content *placement.Content
	}
	var versions []version
	for seed := range uint64(3) {
		b, c := content(seed+100, 100*int(seed))
		versions = append(versions, version{b, c})
	}
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "store") //nolint:usetesting // one directory per case; rapid.T has no TempDir
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		cfg := Config{Accept: accept, Volume: plenty}
		s, err := Open(dir, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		ctx := context.Background()
		model := map[key]holder.Copy{}
		var seen []holder.Copy // all that Held ever listed: some are stale
		var tickets []Stored
		owned := map[key]map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			v := rapid.SampledFrom(versions).Draw(t, "version")
			epoch := placement.Epoch(rapid.IntRange(1, 2).Draw(t, "epoch"))
			k := key{"x", epoch, v.content.SHA256}
			switch rapid.SampledFrom([]string{"pull", "upload", "upload", "abandon", "drop", "tidy", "restart"}).Draw(t, "step") {
			case "pull":
				s.cfg.Fetch = &sources{bytes: map[placement.NodeID][]byte{"n2": v.bytes}}
				if err := s.Pull(ctx, assignment("x", epoch, v.content, "n2")); err != nil {
					t.Fatal(err)
				}
				if _, ok := model[k]; !ok {
					model[k] = holder.Copy{Chain: "x", Epoch: epoch, SHA256: k.sha, SizeBytes: v.content.Size}
				}
			case "upload":
				base := placement.Revision(rapid.IntRange(0, 3).Draw(t, "base"))
				stored, err := s.Receive(ctx, Upload{Chain: "x", Epoch: epoch, Base: base, Size: v.content.Size}, bytes.NewReader(v.bytes))
				if err != nil {
					t.Fatal(err)
				}
				tickets = append(tickets, stored)
				old, had := model[k]
				if !had {
					owned[k] = map[string]bool{}
				}
				if owned[k] != nil {
					owned[k][stored.Ticket] = true
				}
				if old.Staged {
					base = max(base, old.Base)
				}
				model[k] = holder.Copy{Chain: "x", Epoch: epoch, SHA256: k.sha, SizeBytes: v.content.Size, Staged: true, Base: base}
			case "abandon":
				if len(tickets) == 0 {
					continue
				}
				r := rapid.SampledFrom(tickets).Draw(t, "ticket")
				if err := s.Abandon(ctx, "x", r.Epoch, r.SHA256, r.Ticket); err != nil {
					t.Fatal(err)
				}
				k := key{"x", r.Epoch, r.SHA256}
				if owned[k][r.Ticket] {
					if delete(owned[k], r.Ticket); len(owned[k]) == 0 {
						delete(owned, k)
						delete(model, k)
					}
				}
			case "drop":
				if len(seen) == 0 {
					continue
				}
				c := rapid.SampledFrom(seen).Draw(t, "copy")
				if err := s.Drop(ctx, c); err != nil {
					t.Fatal(err)
				}
				if k := (key{c.Chain, c.Epoch, c.SHA256}); model[k] == c {
					delete(model, k)
					delete(owned, k)
				}
			case "tidy":
				if err := s.Tidy(ctx); err != nil {
					t.Fatal(err)
				}
			case "restart":
				s.Close()
				if s, err = Open(dir, cfg); err != nil {
					t.Fatal(err)
				}
				clear(owned)
			}
			held, err := s.Held(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var want []holder.Copy
			for _, c := range model {
				want = append(want, c)
			}
			slices.SortFunc(want, func(a, b holder.Copy) int {
				return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.SHA256, b.SHA256))
			})
			if diff := gocmp.Diff(want, held); diff != "" {
				t.Fatalf("held (-want +got):\n%s", diff)
			}
			seen = append(seen, held...)
			for _, c := range held {
				f, size, err := s.Open("x", c.SHA256)
				if err != nil || size != c.SizeBytes {
					t.Fatalf("open %+v: %d bytes, %v", c, size, err)
				}
				f.Close()
			}
		}
	})
}
