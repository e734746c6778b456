package server

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// TestBatchCreateOnly: with If-None-Match: * a batch creates what is not there
// and says of the rest that it exists, which stays as it was; the same request
// again is answered the same; another condition is refused.
func TestBatchCreateOnly(t *testing.T) {
	b := newBackend(t)
	b.must(fsm.NewPutChain("old", placement.Spec{Desired: 2, Weight: 1, Policy: placement.PolicyEager, Spread: placement.SpreadEven}))
	_, s := b.serve("n1")
	body := `{"chains":[{"id":"old","spec":{"desired":1}},{"id":"new","spec":{"desired":1}},{"id":"new","spec":{"desired":3}}]}`
	want := []api.BatchResult{{ID: "old", Code: api.NullString(api.Exists)}, {ID: "new"}, {ID: "new", Code: api.NullString(api.Exists)}}
	for range 2 {
		got := into[api.BatchResults](t, ask(t, s, http.MethodPost, "/v1/chains:batch", body, "If-None-Match", "*", api.HeaderIdempotencyKey, "k"), http.StatusOK)
		if diff := cmp.Diff(want, got.Results); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	v := b.m.View()
	if old, made := v.Chain("old").Spec.Desired, v.Chain("new").Spec.Desired; old != 2 || made != 1 {
		t.Errorf("old wants %d copies, new %d; want 2 and 1", old, made)
	}
	refusedWith(t, ask(t, s, http.MethodPost, "/v1/chains:batch", body, "If-None-Match", `"7"`), api.Invalid, "If-None-Match")
}
