package server

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
)

// A wish that no node can fulfil must be accepted, the chain be unplaceable,
// and the reason be told for all nodes it stops; a chain that wants more copies
// than there are nodes is under, and explain tells why all the same. Chains
// that ask for 16 cores, for zone b twice, and for five copies are created on
// three nodes of eight cores.
func TestImpossibleWishes(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	for _, c := range []struct {
		id, spec, health string
		want             []api.Obstacle
		change           string
	}{
		{"cores", `{"desired":1,"require":["cores>=16"]}`, "unavailable", nil, `one of 3 nodes (such as n1): the node does not satisfy "cores>=16"`},
		{
			"zones", `{"desired":2,"require":["zone=b"]}`, "unplaceable",
			[]api.Obstacle{{Nodes: 2, Code: "ineligible-target", Why: `the node does not satisfy "zone=b"`, Examples: []string{"n1", "n3"}}},
			`one of 2 nodes (such as n1): the node does not satisfy "zone=b"`,
		},
		{"many", `{"desired":5,"require":["cores>=8","gpu=a100"]}`, "under", nil, ""},
		{"size", `{"desired":4,"size_bytes":2147483648,"require":["memory_bytes>1GiB"]}`, "unavailable", nil, "one of 3 nodes (such as n1): the node has no room for one more copy of the chain"},
		{"fine", `{"desired":2,"require":["cores>=8"],"anti_affinity":["chain=none"],"near":["zone=b"]}`, "healthy", nil, ""},
	} {
		into[api.Chain](t, ask(t, s, http.MethodPut, "/v1/chains/"+c.id, `{"spec":`+c.spec+`}`), http.StatusCreated)
		b.settle()
		got := into[api.Chain](t, ask(t, s, http.MethodGet, "/v1/chains/"+c.id, ""), http.StatusOK)
		if diff := cmp.Diff(c.want, got.Unplaceable); diff != "" || got.Health != c.health {
			t.Errorf("%s is %s, want %s:\n%s", c.id, got.Health, c.health, diff)
		}
		e := into[api.Explanation](t, ask(t, s, http.MethodGet, "/v1/chains/"+c.id+"/explain", ""), http.StatusOK)
		told := slices.ContainsFunc(e.WouldChange, func(text string) bool { return strings.HasPrefix(text, "this ceases to be so for "+c.change) })
		if told != (c.change != "") {
			t.Errorf("%s would change by %q, want %q", c.id, e.WouldChange, c.change)
		}
	}
}

// A wish that cannot be meant must be refused by its name: each is put.
func TestBadWishes(t *testing.T) {
	_, s := newBackend(t).serve("n1")
	for field, bad := range map[string]string{
		"require": `["cores>=many"]`, "prefer": `["memory_bytes>1e999"]`, "near": `["zone>"]`, "anti_affinity": `["team"]`,
		"colocate": `["chain=../x"]`, "spread": `"wide"`, "max_per_zone": `0`,
	} {
		refusedWith(t, ask(t, s, http.MethodPut, "/v1/chains/c", `{"spec":{"`+field+`":`+bad+`}}`), api.Invalid, "spec."+field)
	}
}

// What nobody has heard of a node must be null, never a zero that looks like a
// fact: a server without telemetry, and one whose node does not know its load.
func TestUnknownFactsAreNull(t *testing.T) {
	n, s := newBackend(t).serve("n1")
	view := n.View()
	unknown := api.Node{}
	renderSample(&unknown, &placement.Sample{Load: math.NaN(), FreeBytes: -1, MemoryFreeBytes: -1})
	s.cfg.Telemetry = nil
	for _, got := range []api.Node{unknown, s.node(view, view.Node("n1"))} {
		if got.Load != nil || got.FreeBytes != nil || got.MemoryFreeBytes != nil {
			t.Errorf("load %v, free %v, memory %v", got.Load, got.FreeBytes, got.MemoryFreeBytes)
		}
	}
	zero := api.Node{}
	if renderSample(&zero, &placement.Sample{}); zero.Load == nil || zero.FreeBytes == nil || zero.MemoryFreeBytes == nil {
		t.Error("a zero is not told")
	}
}
