package agent

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-cluster/holdfast/agent/authfile"
	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// as returns a client of one node that has a token.
func (w *world) as(token, name string) *client.Client {
	w.t.Helper()
	c, err := client.New([]string{"http://" + w.agents[name].HTTPAddr()}, client.WithToken(token), client.WithRetry(0), client.WithHTTPClient(&http.Client{Transport: w.web}))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// With a file of tokens, a write through a node that does not lead, content
// included, must be done and booked in the name of the token; without a token
// nothing must be done; and a token that is taken out of the file must be
// refused within seconds, by a running node.
func TestAuthFile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		path := filepath.Join(w.root, "tokens.json")
		writer, writerEntry, err := authfile.NewToken("ci", api.RoleOperate)
		if err != nil {
			t.Fatal(err)
		}
		reader, readerEntry, err := authfile.NewToken("eye", api.RoleRead)
		if err != nil {
			t.Fatal(err)
		}
		put := func(entries ...authfile.Entry) {
			t.Helper()
			text := []byte("[")
			for i, e := range entries {
				if i > 0 {
					text = append(text, ',')
				}
				text = append(text, `{"name":"`+e.Name+`","sha256":"`+e.SHA256+`","role":"`+string(e.Role)+`"}`...)
			}
			if err := os.WriteFile(path, append(text, ']'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(writerEntry, readerEntry)
		w.startAll(func(c *Config) { c.AuthFile = path })
		follower := "n1"
		if w.leader().name == follower {
			follower = "n2"
		}
		ctx, want := t.Context(), text(300<<10)
		if _, err := w.as(writer, follower).PutChain(ctx, "c", api.Spec{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.as(writer, follower).PutContent(ctx, "c", bytes.NewReader(want), int64(len(want))); err != nil {
			t.Fatal(err)
		}
		body, err := w.as(reader, follower).Content(ctx, "c")
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(body); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes came back: %v", got.Len(), err)
		}
		body.Close()
		if _, err := w.as(writer, follower).Freeze(ctx, 0, "x"); err != nil {
			t.Fatal(err)
		}
		status, err := w.as(reader, follower).Status(ctx, client.At(api.FromLeader))
		if err != nil || status.Freeze == nil || status.Freeze.Actor != "ci" {
			t.Errorf("%+v, %v; want a freeze of ci", status, err)
		}
		refused := func(token string, code api.Code) {
			t.Helper()
			_, err := w.as(token, follower).Thaw(ctx, "x")
			if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != code {
				t.Errorf("a thaw with token %q ended with %v, want %s", token, err, code)
			}
		}
		refused("", api.Unauthorized)
		refused("guess", api.Unauthorized)
		refused(reader, api.Forbidden)
		put(readerEntry)
		w.pass(2 * authfile.Poll)
		refused(writer, api.Unauthorized)
	})
}

// While tokens are introduced node by node, a content whose sender has one must be
// stored through a node that asks for none yet: the leader judges him, as it does
// for other writes.
func TestTokensNodeByNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		path := filepath.Join(w.root, "tokens.json")
		token, e, err := authfile.NewToken("ci", api.RoleOperate)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`[{"name":"ci","sha256":"`+e.SHA256+`","role":"operate"}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		w.startAll(func(c *Config) {
			if c.Cluster.Node != "n3" {
				c.AuthFile = path
			}
		})
		if w.leader().name == "n3" {
			if err := w.agents["n3"].Node().Transfer(t.Context(), "n1", "the test"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.as(token, "n3").PutChain(t.Context(), "c", api.Spec{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.as(token, "n3").PutContent(t.Context(), "c", bytes.NewReader(text(7)), 7); err != nil {
			t.Error(err)
		}
		_, err = w.as("", "n3").PutContent(t.Context(), "c", bytes.NewReader(text(8)), 8)
		if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != api.Unauthorized {
			t.Errorf("a content without a token ended with %v", err)
		}
	})
}
