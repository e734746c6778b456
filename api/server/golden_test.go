package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

var update = flag.Bool("update", false, "write the golden files anew")

// furnish gives the backend one of everything that the shapes can show.
func furnish(t *testing.T, b *backend, s *Server) {
	t.Helper()
	put := func(id, body string) {
		if w := ask(t, s, http.MethodPut, "/v1/chains/"+id, body); w.Code != http.StatusCreated {
			t.Fatalf("PUT %s: %d %s", id, w.Code, w.Body)
		}
	}
	put("orders", `{"spec":{"desired":2,"min_ready":1,"size_bytes":1000,"weight":1.5,"labels":{"team":"a"},"policy":"lazy","floor":0.4,"gap":0.1,"cooldown":"1m30s","repair_delay":"20s","require":["disk=ssd"],"prefer":["zone=a"],"spread":"even","max_per_zone":2,"anti_affinity":["team=b"],"colocate":["chain=plain"],"near":["zone=b"]}}`)
	put("plain", `{"spec":{"desired":1}}`)
	put("picky", `{"spec":{"desired":2,"require":["zone=b"]}}`)
	b.settle()
	if w := ask(t, s, http.MethodPut, "/v1/chains/orders/content", "hello"); w.Code != http.StatusOK {
		t.Fatalf("PUT content: %d %s", w.Code, w.Body)
	}
	b.settle()
	// A forced move is open and pulling.
	from := b.m.View().Chain("plain").Holders[0].Node
	w := ask(t, s, http.MethodPost, "/v1/chains/plain/move", fmt.Sprintf(`{"from":%q,"reason":"try it"}`, from))
	if w.Code != http.StatusAccepted {
		t.Fatalf("move: %d %s", w.Code, w.Body)
	}
	b.decide()
	n3 := b.m.View().Node("n3")
	b.must(&fsm.Report{Node: "n3", Lineage: lineage, Incarnation: n3.Incarnation, Inventory: true, Items: append(heldBy(b, "n3"),
		fsm.ReportItem{Chain: "forgotten", Epoch: 2, Phase: fsm.ReportReady, SHA256: strings.Repeat("ab", 32), SizeBytes: 7})})
	b.must(&fsm.SetFreeze{For: time.Hour})
	b.must(&fsm.SetHeartbeat{Timeout: 300 * time.Millisecond})
}

// heldBy is the inventory of what the state believes a node holds ready.
func heldBy(b *backend, node placement.NodeID) []fsm.ReportItem {
	var items []fsm.ReportItem
	for _, d := range b.m.View().Duties(node).Assignments {
		item := fsm.ReportItem{Chain: d.Chain, Epoch: d.Epoch, Phase: fsm.ReportReady}
		if d.Content != nil {
			item.SHA256, item.SizeBytes = d.Content.SHA256, d.Content.Size
		}
		if d.Phase == placement.Ready {
			items = append(items, item)
		}
	}
	return items
}

// shapes are the answers of the contract: how each is asked for, and the keys
// that it must have, nested ones after a dot ("[]" goes into a list).
var shapes = []struct{ name, method, path, body, keys string }{
	{"status", "GET", "/v1/status", "", `cluster node version leader term index revision cluster_time nodes voters chains moves_open freeze repair_pause restore_guard orphans heartbeat heartbeat.timeout heartbeat.reason heartbeat.since
		cluster.id cluster.name cluster.lineage cluster.feature_level leader.node leader.http nodes.alive nodes.suspect nodes.sick nodes.dead
		chains.total chains.healthy chains.under chains.over chains.unavailable chains.unplaceable chains.quarantined freeze.reason freeze.actor freeze.until`},
	{"raft", "GET", "/v1/raft", "", `node leader term index commit_index servers leader.node leader.http
		servers[].node servers[].instance servers[].address servers[].voter servers[].leader servers[].match servers[].last_contact`},
	{"nodes", "GET", "/v1/nodes?limit=2", "", `nodes next nodes[].id`},
	{"node", "GET", "/v1/nodes/n3", "", `id instance incarnation role voter leader state eligibility zone labels addresses capacity_bytes used_bytes weight holders
		addresses.node addresses.http addresses.service holders.pulling holders.ready holders.dropping
		capabilities.cores capabilities.memory_bytes capabilities.gpu load free_bytes memory_free_bytes`},
	{"assignments", "GET", "/v1/nodes/n1/assignments", "", `lineage incarnation revision assignments discard
		assignments[].chain assignments[].epoch assignments[].phase assignments[].content assignments[].sources assignments[].spec assignments[].deadline`},
	{"orphans", "GET", "/v1/nodes/n3/orphans", "", `orphans next orphans[].chain orphans[].epoch orphans[].sha256 orphans[].size_bytes`},
	{"chain", "GET", "/v1/chains/orders", "", `id generation revision health spec holders moves last_rebalance cooldown_remaining content quarantine unplaceable
		spec.desired spec.min_ready spec.size_bytes spec.weight spec.labels spec.policy spec.floor spec.gap spec.cooldown spec.repair_delay spec.require spec.prefer
		spec.spread spec.max_per_zone spec.anti_affinity spec.colocate spec.near
		holders[].node holders[].address holders[].phase holders[].marks holders[].live holders[].epoch holders[].source holders[].error
		content.version content.sha256 content.size`},
	{"chains", "GET", "/v1/chains?limit=1", "", `chains next chains[].id`},
	{"unplaceable", "GET", "/v1/chains/picky", "", `unplaceable unplaceable[].nodes unplaceable[].code unplaceable[].why unplaceable[].examples`},
	{"changes", "GET", "/v1/chains?since=1", "", `chains deleted revision reset`},
	{"moves", "GET", "/v1/moves", "", `moves next moves[].id moves[].chain moves[].cause moves[].from moves[].to moves[].phase moves[].opened moves[].deadline
		moves[].bytes_done moves[].bytes_total moves[].score_from moves[].score_to`},
	{"decisions", "GET", "/v1/decisions?limit=2", "", `decisions next decisions[].revision decisions[].index decisions[].term decisions[].chain decisions[].kind decisions[].cause
		decisions[].from decisions[].to decisions[].reason decisions[].verdict decisions[].score_from decisions[].score_to decisions[].actor
		decisions[].cluster_time decisions[].wall_time`},
	{"explain", "GET", "/v1/chains/orders/explain", "", `chain action cause text gates holders candidates would_change gates[].name gates[].pass gates[].value gates[].limit
		holders[].node holders[].eligible holders[].code holders[].score holders[].limiting holders[].axes holders[].axes[].name holders[].axes[].value holders[].axes[].input`},
	{"config", "GET", "/v1/config", "", `score_floor hysteresis_gap cooldown constraint_cooldown tick_interval repair_delay repair_pause_max swap_mode moves_max
		balance_moves_max drain_moves_max node_moves_in_max node_moves_out_max repair_moves_in_max quarantine_after drop_grace request_ttl max_voters
		dead_server_timeout write_copies move_bandwidth move_horizon`},
	{"problem", "GET", "/v1/chains/none", "", `type title status detail code field leader`},
	{"batch", "POST", "/v1/chains:batch", `{"chains":[{"id":"b1","spec":{"desired":1}},{"id":"-bad","spec":{}}]}`, `results results[].id results[].code`},
	{"content-put", "PUT", "/v1/chains/orders/content", "hello", `version sha256 size holders`},
	{"reports", "POST", "/v1/nodes/n3/reports", `{"lineage":"lineage-1","incarnation":8,"inventory":true,"reports":[{"chain":"forgotten","epoch":2,"phase":"ready","sha256":null,"size_bytes":7}]}`, `revision copies copies[].chain copies[].verdict`},
	{"done", "POST", "/v1/thaw", `{"reason":"over"}`, `revision`},
}

// Every shape of the contract must have exactly the JSON it had before, every
// key of the contract, and no null where a list belongs: the real handlers
// answer over a state made by real operations.
func TestGolden(t *testing.T) {
	b := newBackend(t)
	_, s := b.serve("n1")
	furnish(t, b, s)
	for _, sh := range shapes {
		t.Run(sh.name, func(t *testing.T) {
			w := ask(t, s, sh.method, sh.path, sh.body, api.HeaderIdempotencyKey, "golden-"+sh.name)
			var got bytes.Buffer
			if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
				t.Fatalf("%v: %d %s", err, w.Code, w.Body)
			}
			var doc any
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			for _, key := range strings.Fields(sh.keys) {
				if !hasKey(doc, strings.Split(strings.ReplaceAll(key, "[]", ".[]"), ".")) {
					t.Errorf("%s %s: the contract's key %s is missing in\n%s", sh.method, sh.path, key, &got)
				}
			}
			if sh.name == "explain" {
				return // its words are the scheduler's, which has tests of its own
			}
			compare(t, filepath.Join("testdata", sh.name+".json"), got.Bytes())
		})
	}
}

func hasKey(doc any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	switch d := doc.(type) {
	case map[string]any:
		v, ok := d[path[0]]
		return ok && hasKey(v, path[1:])
	case []any:
		return path[0] == "[]" && len(d) > 0 && hasKey(d[0], path[1:])
	}
	return false
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s has changed; if that is meant, run with -update:\n%s", file, diff)
	}
}

// The OpenAPI document must name every route of the contract under its method,
// and no page may come from another host.
func TestOpenAPI(t *testing.T) {
	_, s := newBackend(t).serve("n1")
	doc := into[struct {
		Paths map[string]map[string]any `json:"paths"`
	}](t, ask(t, s, http.MethodGet, "/openapi.json", ""), http.StatusOK)
	var missing []string
	for _, rt := range s.routes {
		if rt.id != "" && doc.Paths[rt.path][strings.ToLower(rt.method)] == nil {
			missing = append(missing, rt.pattern())
		}
	}
	slices.Sort(missing)
	if missing != nil || len(doc.Paths) < 30 {
		t.Errorf("%d paths; missing: %v", len(doc.Paths), missing)
	}
	refusedWith(t, ask(t, s, http.MethodGet, "/docs", ""), api.NotFound, "")
}
