package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/fsm"
)

// A snapshot that one node saves can be restored through any other: the leader
// gets its bytes, the cluster a new lineage, and what was written after it is
// gone. A second restore that speaks of the old lineage is refused, as the
// retry of a client whose answer was lost would be.
func TestSnapshotRoundTrip(t *testing.T) {
	b := newBackend(t)
	leader, _ := b.listen("n1")
	_, follower := b.listen("n2")
	c, err := client.New([]string{follower.URL}, client.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put := func(id string) {
		if _, err := c.PutChain(t.Context(), id, api.Spec{}); err != nil {
			t.Fatal(err)
		}
	}
	put("kept")
	saved, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(saved)
	saved.Close()
	if err != nil || saved.Cluster != clusterID || saved.Lineage != lineage || saved.Revision == 0 {
		t.Fatalf("snapshot %+v, %v", saved, err)
	}
	if v, err := fsm.ReadSnapshot(bytes.NewReader(data)); err != nil || uint64(v.Revision) != saved.Revision || v.Chain("kept") == nil {
		t.Fatalf("the snapshot that was sent: %v", err)
	}
	put("forgotten")
	restore := func() (*api.Restored, error) {
		return c.Restore(t.Context(), clusterID, bytes.NewReader(data), int64(len(data)), client.OfLineage(lineage), client.Because("a slip"))
	}
	done, err := restore()
	if err != nil || done.Lineage != "restored" || strings.Join(done.Missing, " ") != "n1 n2 n3" {
		t.Fatalf("restored %+v, %v", done, err)
	}
	if v := b.m.View(); v.Chain("kept") == nil || v.Chain("forgotten") != nil || leader.restoredBy != "anonymous: a slip" {
		t.Errorf("restored by %q: %v %v", leader.restoredBy, v.Chain("kept"), v.Chain("forgotten"))
	}
	put("later")
	if _, err := restore(); err == nil || !strings.Contains(err.Error(), "restored meanwhile") || b.m.View().Chain("later") == nil {
		t.Errorf("the second restore: %v", err)
	}
}

// What must not be restored is refused with a reason and changes nothing.
func TestSnapshotRefused(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	var good bytes.Buffer
	if _, err := b.m.View().WriteTo(&good); err != nil {
		t.Fatal(err)
	}
	text := good.String()
	broken := []byte(text)
	broken[len(broken)/2] ^= 1
	foreign := strings.ReplaceAll(text, clusterID, strings.Repeat("f", len(clusterID)))
	for name, c := range map[string]struct{ body, confirm, query, field string }{
		"no confirmation":    {text, "", "", api.HeaderConfirm},
		"another cluster's":  {text, "another", "", api.HeaderConfirm},
		"foreign is no word": {text, clusterID, "?foreign=yes", "foreign"},
		"truncated":          {text[:len(text)-1], clusterID, "", ""},
		"half":               {text[:len(text)/2], clusterID, "", ""},
		"a bit is wrong":     {string(broken), clusterID, "", ""},
		"changed by hand":    {foreign, clusterID, "", ""},
		"more follows":       {text + "x", clusterID, "", ""},
		"not a snapshot":     {"hello", clusterID, "", ""},
		"empty":              {"", clusterID, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(t, s, http.MethodPut, "/v1/snapshot"+c.query, c.body, api.HeaderConfirm, c.confirm)
			refusedWith(t, w, api.Invalid, c.field)
			if got := b.m.View().Lineage; got != lineage {
				t.Errorf("lineage is %s", got)
			}
		})
	}
}

// Who does not learn whether his snapshot was restored is told how to find out,
// which no Idempotency-Key does, wherever he has sent it.
func TestRestoreOfUnknownOutcome(t *testing.T) {
	b := newBackend(t)
	leader, one := b.listen("n1")
	_, two := b.listen("n2")
	leader.restoreFails = ErrOutcomeUnknown
	for _, s := range []*httptest.Server{one, two} {
		c, err := client.New([]string{s.URL}, client.WithRetry(0))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Restore(t.Context(), clusterID, strings.NewReader("x"), 1)
		p, ok := errors.AsType[*api.Problem](err)
		if !ok || p.Code != api.OutcomeUnknown || !strings.Contains(p.Detail, "lineage") || strings.Contains(p.Detail, "Key") {
			t.Error(err)
		}
		c.Close()
	}
}

// Leadership is handed over by the leader, wherever that is asked for; a node
// that cannot lead is refused by name.
func TestTransferRoute(t *testing.T) {
	b := newBackend(t)
	b.listen("n1")
	_, s := b.listen("n2")
	c, err := client.New([]string{s.URL}, client.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.TransferLeadership(t.Context(), "n3", "why"); err != nil {
		t.Error(err)
	}
	if _, err := c.TransferLeadership(t.Context(), "n9", "why"); err == nil || !strings.Contains(err.Error(), "n9 is no voter") {
		t.Errorf("to n9: %v", err)
	}
	state, err := c.Raft(t.Context(), client.At(api.FromLeader))
	if err != nil || len(state.Servers) != 3 || !state.Servers[0].Leader || state.Servers[1].Match == nil {
		t.Errorf("asked for the leader's: %+v, %v", state, err)
	}
	if state, err = c.Raft(t.Context()); err != nil || state.Node != "n2" || state.Servers[1].Match != nil {
		t.Errorf("asked n2: %+v, %v", state, err)
	}
}
