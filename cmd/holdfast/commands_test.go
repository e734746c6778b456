package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/api"
)

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func ptr[T any](v T) *T { return &v }

// seconds is a cluster time.
func seconds(n int) api.ClusterTime { return api.ClusterTime(n) * api.ClusterTime(time.Second) }

func exampleChain() api.Chain {
	return api.Chain{
		ID: "web", Generation: 41, Revision: 57, Health: "under",
		Spec: api.Spec{Desired: ptr(3), SizeBytes: ptr(int64(5 << 30)), Weight: ptr(1.0), Policy: "eager", Cooldown: ptr(api.Duration(10 * time.Minute)), Require: []string{"disk=ssd"}, Labels: map[string]string{"team": "a"}},
		Holders: []api.Holder{
			{Node: "n1", Address: "10.0.0.1:7401", Phase: "ready", Live: true, Epoch: 42},
			{Node: "n2", Address: "10.0.0.2:7401", Phase: "ready", Marks: []string{"unconfirmed"}, Epoch: 43},
			{Node: "n4", Address: "10.0.0.4:7401", Phase: "pulling", Epoch: 55, Source: "n1", Error: "disk is slow"},
		},
		Moves:         []api.Move{exampleMove()},
		LastRebalance: seconds(3600), CooldownRemaining: api.Seconds(90 * time.Second),
		Content:    &api.Content{Version: 44, SHA256: strings.Repeat("ab", 32), Size: 5<<30 + 1},
		Quarantine: &api.Quarantine{Since: seconds(3000), Until: seconds(4000), Failures: 5, Error: "no route"},
	}
}

func exampleMove() api.Move {
	return api.Move{
		ID: 54, Chain: "web", Cause: "balance", From: "n3", To: "n4", Phase: "pulling", Opened: seconds(3599), Deadline: seconds(4199),
		BytesDone: 1 << 29, BytesTotal: 5 << 30, ScoreFrom: ptr(0.31), ScoreTo: ptr(0.874),
	}
}

func exampleNode() api.Node {
	return api.Node{
		ID: "n1", Instance: "0b6d", Incarnation: 7, Role: "server", Voter: true, Leader: true, State: "alive", Eligibility: "eligible",
		Zone: "a", Labels: map[string]string{"disk": "ssd", "arch": "arm"}, Addresses: api.Addresses{Node: "10.0.0.1:7400", HTTP: "10.0.0.1:7401"},
		CapacityBytes: 500 << 30, UsedBytes: 123 << 20, Weight: 1, Holders: api.HolderCounts{Ready: 12, Pulling: 1}, Version: "v1",
		Capabilities: map[string]any{"cores": 8.0, "disk_bytes": float64(1 << 39), "gpu": "a100", "memory_bytes": 1e11, "price": -0.5},
		Load:         ptr(0.25), FreeBytes: ptr(int64(300 << 30)), MemoryFreeBytes: ptr(int64(12 << 30)),
	}
}

func exampleAnswers() map[string]any {
	standby := api.Node{ID: "n2", Role: "server", State: "dead", Eligibility: "draining", Weight: 0.5, NoSpace: true, DrainDeadline: seconds(5)}
	status := api.ClusterStatus{
		Cluster: api.Cluster{ID: "c-1", Name: "holdfast"}, Node: "n2", Version: "v1", Leader: &api.Leader{Node: "n1", HTTP: "10.0.0.1:7401"},
		Term: 3, Revision: 57, ClusterTime: seconds(3725), Nodes: api.NodeCounts{Alive: 2, Dead: 1}, Voters: []string{"n1", "n2", "n3"},
		Chains: api.ChainCounts{Total: 10, Healthy: 8, Under: 2}, MovesOpen: 1, Orphans: 2,
		Freeze: &api.Freeze{Reason: "night", Actor: "ann", Until: seconds(7200)}, RepairPause: &api.RepairPause{Nodes: []string{"n3"}, Until: seconds(4000)},
		RestoreGuard: &api.Guard{Missing: []string{"n3"}},
		Heartbeat:    &api.Heartbeat{Timeout: api.Duration(600 * time.Millisecond), Reason: "n2: its longest stable write took 52ms"},
	}
	decision := api.Decision{
		Revision: 54, Chain: "web", Kind: "open-move", Cause: "balance", From: "n3", To: "n4", Reason: "load: 0.31 is below 0.5", Verdict: "accepted",
		ScoreFrom: ptr(0.31), ScoreTo: ptr(0.874), WallTime: time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC),
	}
	explanation := api.Explanation{
		Chain: "web", Action: "none", Cause: "balance", Text: "nothing is done: cooldown has 90s left",
		Gates: []api.Gate{
			{Name: "frozen", Pass: true, Value: "no", Limit: "no"},
			{Name: "floor", Pass: true, Value: "0.31 (n3)", Limit: "below 0.5"},
			{Name: "cooldown", Value: "90s left", Limit: "0s"},
		},
		Holders: []api.Candidate{{Node: "n3", Eligible: true, Score: ptr(0.31), Limiting: "load", Axes: []api.Axis{{Name: "load", Value: ptr(0.31), Input: "9 of 10"}, {Name: "zone"}}}},
		Candidates: []api.Candidate{
			{Node: "n4", Eligible: true, Score: ptr(0.874)}, {Node: "n5", Eligible: true}, {Node: "n6", Code: "ineligible-target"},
		},
		WouldChange: []string{"90 seconds pass"},
	}
	chain := exampleChain()
	picky := api.Chain{
		ID: "picky", Health: "unplaceable", Spec: api.Spec{
			Desired: ptr(3), Require: []string{"ssd", "cores>=64"}, Prefer: []string{"zone=a"}, Spread: "none", MaxPerZone: ptr(2),
			AntiAffinity: []string{"db=orders"}, Colocate: []string{"chain=web"}, Near: []string{"zone=b"},
		},
		Unplaceable: []api.Obstacle{
			{Nodes: 12, Code: "ineligible-target", Why: `the node does not satisfy "ssd"`, Examples: []string{"n1", "n2", "n3"}},
			{Nodes: 1, Code: "over-capacity", Why: "the node has no room for one more copy of the chain", Examples: []string{"n9"}},
		},
	}
	return map[string]any{
		"GET /v1/nodes/n2":              standby,
		"GET /v1/chains/picky":          picky,
		"PUT /v1/chains/picky":          picky,
		"GET /v1/status":                status,
		"GET /v1/nodes":                 api.NodeList{Nodes: []api.Node{exampleNode(), standby}},
		"GET /v1/nodes/n1":              exampleNode(),
		"GET /v1/nodes/n1/orphans":      api.OrphanList{Orphans: []api.Orphan{{Chain: "old", Epoch: 3, SizeBytes: 2048}}},
		"GET /v1/chains":                api.ChainList{Chains: []api.Chain{chain, {ID: "x", Health: "healthy"}}, Next: "x"},
		"GET /v1/chains/web":            chain,
		"GET /v1/chains/web/explain":    explanation,
		"GET /v1/moves":                 api.MoveList{Moves: []api.Move{exampleMove()}},
		"GET /v1/decisions":             api.DecisionList{Decisions: []api.Decision{decision}},
		"GET /v1/config":                api.Config{ScoreFloor: 0.5, Cooldown: api.Duration(5 * time.Minute), ContentSizeMax: 64 << 30, SwapMode: "place-first"},
		"PATCH /v1/config":              api.Config{ScoreFloor: 0.5},
		"PUT /v1/chains/web":            chain,
		"PUT /v1/chains/new":            api.Chain{ID: "new", Spec: api.Spec{Desired: ptr(2)}},
		"DELETE /v1/chains/web":         api.Done{Revision: 60},
		"POST /v1/chains/web/move":      api.Done{Revision: 61},
		"POST /v1/nodes/n1/cordon":      exampleNode(),
		"POST /v1/nodes/n1/uncordon":    exampleNode(),
		"POST /v1/nodes/n1/weight":      exampleNode(),
		"DELETE /v1/nodes/n1":           api.Done{Revision: 62},
		"DELETE /v1/nodes/n1/orphans/x": api.Done{Revision: 63},
		"POST /v1/freeze":               api.Done{Revision: 64},
		"POST /v1/thaw":                 api.Done{Revision: 65},
		"POST /v1/repair/resume":        api.Done{Revision: 66},
		"POST /v1/snapshot/release":     api.Done{Revision: 67},
		"POST /v1/raft/transfer":        api.Done{Revision: 68},
		"GET /v1/raft": api.RaftState{Node: "n1", Leader: &api.Leader{Node: "n1"}, Term: 3, Index: 40, CommitIndex: 41, Servers: []api.RaftServer{
			{Node: "n1", Instance: "0b6d", Address: "10.0.0.1:7400", Voter: true, Leader: true, Match: ptr(uint64(41)), LastContact: ptr(api.Seconds(200 * time.Millisecond))},
			{Node: "n2", Instance: "77aa", Address: "10.0.0.2:7400", Voter: true},
			{Instance: "9c01", Address: "10.0.0.3:7400"},
		}},
	}
}

// Each command prints a table that people can read, asks exactly what it
// should, and with -o json prints the API's answer as it came.
func TestCommands(t *testing.T) {
	var all strings.Builder
	for _, line := range []string{
		"status", "nodes", "node list", "node show n1", "node show n2", "node orphans n1",
		"node cordon n1 --reason why", "node uncordon n1", "node weight n1 0.5 --reason why",
		"node remove n1 --allow-data-loss --reason why", "node orphans n1 --purge x --reason why",
		"chain list --prefix w --limit 2", "chain show web --consistency stale", "chain explain web",
		"chain create new --desired 2 --size 1GiB --label a=b,c --require disk=ssd --cooldown 1m --reason why",
		"chain show picky",
		"chain create new --spread none --max-per-zone 2 --anti-affinity db=orders --anti-affinity chain=x --colocate chain=web --near zone=a --prefer cores>=8",
		"chain update web --reset cooldown,require --desired 2 --min-ready 1", "chain update picky --reset spread,max-per-zone,anti_affinity,colocate,near", "chain delete web --reason why",
		"chain move web --from n1 --to n4 --reason why", "chain pin web --reason why", "chain unpin web",
		"moves", "decisions --chain web --cause balance --node n3 --limit 5",
		"config show", "config set cooldown=10m balance_moves_max=8 content_size_max=1GiB swap_mode=evict-first move_bandwidth=100MiB move_horizon=2h --reason why", "config reset cooldown",
		"freeze --for 1h --reason why", "freeze", "thaw", "repair resume --reason why",
		"snapshot release --reason why", "raft peers", "raft transfer --to n2 --reason why",
	} {
		c := newCluster(t, exampleAnswers())
		r := execute(t, c.environ(), "", strings.Fields(line)...)
		if r.code != exitDone {
			t.Errorf("holdfast %s: exit %d, %s", line, r.code, r.err)
		}
		all.WriteString("$ holdfast " + line + "\n")
		for _, asked := range c.asked {
			all.WriteString("> " + asked + "\n")
		}
		all.WriteString(r.out)
		if r.err != "" {
			all.WriteString("! " + r.err)
		}
		all.WriteString("\n")
		r = execute(t, c.environ(), "", append(strings.Fields(line), "-o", "json")...)
		want, err := json.Marshal(c.answers[lastAsked(c)])
		if err != nil || r.out != string(want)+"\n" || r.err != "" {
			t.Errorf("holdfast %s -o json: got %s%s, want %s", line, r.out, r.err, want)
		}
	}
	golden(t, "commands.txt", all.String())
}

// lastAsked is the key of the last answer.
func lastAsked(c *fakeCluster) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	words := strings.Fields(c.asked[len(c.asked)-1])
	path, _, _ := strings.Cut(words[1], "?")
	return words[0] + " " + path
}

// Without a leader, status shows what the node knows, and says so.
func TestStatusWithoutLeader(t *testing.T) {
	answers := exampleAnswers()
	known := answers["GET /v1/status"]
	answers["GET /v1/status"] = api.NewProblem(api.NoLeader, "none")
	c := newCluster(t, answers)
	c.Config.Handler = withStale(c, known)
	r := execute(t, c.environ(), "", "status", "--timeout", "0s")
	if r.code != exitDone || !strings.Contains(r.err, "no node leads") || !strings.Contains(r.out, "c-1") {
		t.Errorf("exit %d, %q, %q", r.code, r.out, r.err)
	}
}

// A file goes into a chain, which is created when it is missing, from a name
// or from a pipe; and comes out again into a file or to standard output.
func TestContent(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "in")
	if err := os.WriteFile(name, []byte("some bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := map[string]any{
		"PUT /v1/chains/new":         api.Chain{ID: "new"},
		"PUT /v1/chains/new/content": api.ContentPut{Version: 5, SHA256: sumOf([]byte("some bytes")), Size: 10, Holders: []string{"n1", "n2"}},
		"GET /v1/chains/new":         api.NewProblem(api.UnknownChain, "no such chain"),
		"GET /v1/chains/new/content": []byte("some bytes"),
	}
	for _, from := range []string{name, "-"} {
		c := newCluster(t, answers)
		r := execute(t, c.environ(), "some bytes", "content", "put", "new", from, "--desired", "2", "--reason", "why", "--if-match", strings.Repeat("0", 64))
		want := []string{
			"GET /v1/chains/new",
			`PUT /v1/chains/new?reason=why {"spec":{"desired":2,"min_ready":null,"size_bytes":null,"weight":null,"labels":null,"policy":null,"floor":null,"gap":null,"cooldown":null,"repair_delay":null,"require":null,"prefer":null,"spread":null,"max_per_zone":null,"anti_affinity":null,"colocate":null,"near":null},"reason":null}`,
			"PUT /v1/chains/new/content?reason=why&timeout=5s some bytes",
		}
		if diff := cmp.Diff(want, c.asked); diff != "" || r.code != exitDone || !strings.Contains(r.out, "on disk at n1, n2") {
			t.Errorf("put from %s: exit %d, %q, %q\n%s", from, r.code, r.out, r.err, diff)
		}
	}
	c := newCluster(t, answers)
	out := filepath.Join(dir, "out")
	if r := execute(t, c.environ(), "", "content", "get", "new", out); r.code != exitDone {
		t.Errorf("get into a file: exit %d, %s", r.code, r.err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "some bytes" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, args := range [][]string{{"content", "get", "new"}, {"content", "get", "new", "-"}} {
		if r := execute(t, c.environ(), "", args...); r.code != exitDone || r.out != "some bytes" {
			t.Errorf("get: exit %d, %q, %q", r.code, r.out, r.err)
		}
	}
}

// Bytes that have not the hash that was promised make the command fail, and no
// file appears.
func TestContentWrong(t *testing.T) {
	c := newCluster(t, nil)
	c.Config.Handler = lying()
	out := filepath.Join(t.TempDir(), "out")
	r := execute(t, c.environ(), "", "content", "get", "web", out)
	if r.code != exitFailed || !strings.Contains(r.err, "do not use them") {
		t.Errorf("exit %d, %q", r.code, r.err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// An event is a line of words, or of JSON; interrupting the command is no
// failure.
func TestEvents(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "chain     web: under, 1 of 3 copies live, on n1, n2 (ready, unconfirmed), n4 (pulling)\nmove      54 is gone\n"},
		{[]string{"-o", "json"}, `{"id":"l-57","event":"chain","data":`},
	} {
		r := followEvents(t, c.args)
		if r.code != exitDone || !strings.HasPrefix(r.out, c.want) {
			t.Errorf("exit %d, %q, %q; want %q", r.code, r.out, r.err, c.want)
		}
	}
}
