package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/agent"
	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/placement"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	if os.Getenv("HOLD_STILL") != "" { // the child of TestSpawner
		fmt.Println("here")
		select {}
	}
	if len(os.Args) > 1 && os.Args[1] == "agent" { // a child of TestBenchFailover
		main()
	}
	goleak.VerifyTestMain(m)
}

// ran is what a run of the program left.
type ran struct {
	code     int
	out, err string
}

// execute runs the whole program.
func execute(t *testing.T, environ []string, stdin string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, environ: environ, now: make(chan struct{}),
		executable: os.Executable, hostname: func() (string, error) { return "Host-1", nil },
	}
	code := p.run(t.Context(), args)
	return ran{code, out.String(), errs.String()}
}

// golden compares text with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// fakeCluster answers like a node, with what is given for each "METHOD path", and
// keeps what it was asked.
type fakeCluster struct {
	*httptest.Server
	answers map[string]any // an api shape, or an *api.Problem
	mu      sync.Mutex
	asked   []string // "METHOD path?query body"
}

func newCluster(t *testing.T, answers map[string]any) *fakeCluster {
	c := &fakeCluster{answers: answers}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	return c
}

func (c *fakeCluster) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	c.asked = append(c.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL, body)))
	c.mu.Unlock()
	answer, ok := c.answers[r.Method+" "+r.URL.Path]
	if !ok {
		answer = api.NewProblem(api.NotFound, "nothing is at %s", r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/json")
	switch a := answer.(type) {
	case *api.Problem:
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(a.Status)
	case []byte:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", `"`+sumOf(a)+`"`)
		_, _ = w.Write(a)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *fakeCluster) environ() []string { return []string{"HOLDFAST_ADDR=" + c.URL} }

// Every command that does something has an example and a sentence, and the
// help of all commands reads as in the golden file.
func TestHelp(t *testing.T) {
	var all strings.Builder
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example or no sentence", cmd.CommandPath())
		}
		if !strings.HasPrefix(cmd.CommandPath(), "holdfast completion ") {
			r := execute(t, nil, "", append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
			if r.code != exitDone || r.err != "" {
				t.Errorf("%s --help: exit %d, %s", cmd.CommandPath(), r.code, r.err)
			}
			fmt.Fprintf(&all, "$ %s --help\n%s\n", cmd.CommandPath(), r.out)
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk((&program{}).rootCommand())
	golden(t, "help.txt", all.String())
}

// A command line that cannot be run is refused with exit code 2 and one line
// that names what is wrong, before anything is asked or started.
func TestUsage(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "format"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	node := []string{"agent", "--data-dir", full}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bogus"}, `"bogus" is no command`},
		{[]string{"node"}, "say what to do: holdfast node cordon|list"},
		{[]string{"node", "bogus"}, `"bogus" is no command of "holdfast node"`},
		{[]string{"status", "--bogus"}, "unknown flag: --bogus"},
		{[]string{"status", "x"}, `"x" is one argument too many`},
		{[]string{"status", "-o", "xml"}, `"xml" is neither table nor json`},
		{[]string{"version", "-o", "xml"}, `"xml" is neither table nor json`},
		{[]string{"status", "--addr", "ftp://x"}, "--addr: "},
		{[]string{"status", "--timeout", "-1s"}, "--timeout"},
		{[]string{"chain", "show"}, "CHAIN is missing: holdfast chain show CHAIN"},
		{[]string{"chain", "list", "--limit", "0"}, "--limit: 0 is not within 1..1000"},
		{[]string{"chain", "delete", "x"}, "--reason is missing"},
		{[]string{"chain", "create", "x", "--size", "big"}, "--size: "},
		{[]string{"chain", "create", "x", "--gap", "NaN"}, "--gap: give a finite number"},
		{[]string{"chain", "create", "x", "--label", "a"}, "--label: "},
		{[]string{"node", "weight", "n1", "2"}, "not a number from 0 to 1"},
		{[]string{"node", "weight", "n1", "nan"}, "not a number from 0 to 1"},
		{[]string{"node", "remove", "n1", "--allow-data-loss"}, "needs --reason"},
		{[]string{"node", "orphans", "n1", "--purge", "x"}, "needs --reason"},
		{[]string{"config", "set"}, "KEY=VALUE is missing"},
		{[]string{"config", "set", "cooldown"}, `"cooldown" is not KEY=VALUE`},
		{[]string{"freeze", "--for", "-1s"}, "--for"},
		{[]string{"content", "put", "x", "/does/not/exist"}, "FILE: "},
		{[]string{"content", "put", "x", full}, "is not a file"},
		{[]string{"dev", "extra"}, `"extra" is no flag of dev`},
		{[]string{"dev", "--nodes", "0"}, "--nodes: 0"},
		{[]string{"dev", "--nodes", "3", "--base-port", "65531"}, "--base-port: "},
		{[]string{"agent"}, "--data-dir is missing"},
		{[]string{"agent", "--data-dir", filepath.Join(full, "new")}, "--bootstrap-expect to begin one, --join to enter one, or a --data-dir"},
		{append(node, "--node-id", "-x"), "--node-id: "},
		{append(node, "--role", "client"), "--role client: unsupported"},
		{append(node, "--role", "king"), "neither server nor client"},
		{append(node, "--auth-file", "/does/not/exist"), "--auth-file: open /does/not/exist"},
		{append(node, "--auth-file", full), "--auth-file: "},
		{append(node, "--tls-cert", "x"), "--tls-ca: missing: the node port needs tls-ca, tls-cert and tls-key"},
		{append(node, "--http-tls-key", "x"), "--http-tls-cert: missing"},
		{append(node, "--tls-ca", "/does/not/exist", "--tls-cert", "x", "--tls-key", "x"), "--tls-cert: stat /does/not/exist: no such file"},
		{append(node, "--tls-ca", "x", "--tls-cert", "x", "--tls-key", "x", "--cluster", "My_Cluster"), `with TLS the name of a cluster stands in its certificates: "My_Cluster" is not`},
		{append(node, "--gossip-key-file", "/does/not/exist"), "--gossip-key-file: stat /does/not/exist: no such file"},
		{append(node, "--gossip-key-file", "x", "--gossip-key", "AAAAAAAAAAAAAAAAAAAAAA=="), "--gossip-key: there is a gossip-key-file, too"},
		{append(node, "--listen", "10.0.0.1:7400", "--gossip-key-file", "x"), "needs TLS (--tls-ca, --tls-cert, --tls-key) and --gossip-key-file"},
		{append(node, "--listen", "10.0.0.1:7400", "--tls-cert", "x"), "needs TLS (--tls-ca, --tls-cert, --tls-key) and --gossip-key-file"},
		{[]string{"tls", "init", "--dir", full, "--cluster", "a.b"}, `--cluster: with TLS`},
		{[]string{"tls", "init", "--dir", full, "--nodes", "n1,n1"}, `--nodes: the files of "n1" would be those of another`},
		{[]string{"tls", "init", "--dir", full, "--nodes", "ca"}, `--nodes: the files of "ca" would be those of another`},
		{[]string{"tls", "init", "--dir", full, "--host", "db:7401"}, `--host: "db:7401" is neither`},
		{[]string{"tls", "init", "--dir", full, "--days", "0"}, "--days: 0 is not within"},
		{[]string{"status", "--ca", "/does/not/exist"}, "--ca: "},
		{append(node, "--listen", "10.0.0.1:7400"), "--listen: 10.0.0.1:7400 can be reached from other machines"},
		{append(node, "--http", "10.0.0.1:7401"), "--http: 10.0.0.1:7401 can be reached from other machines"},
		{append(node, "--listen", "0.0.0.0:7400", "--insecure"), "say with --advertise"},
		{append(node, "--http", ":7401", "--insecure"), "say with --http-advertise"},
		{append(node, "--listen", "0.0.0.0:7400", "--advertise", ":7400", "--insecure"), "--advertise: "},
		{append(node, "--listen", "here"), `--listen: "here" is not host:port`},
		{append(node, "--label", "x"), "--label: "},
		{append(node, "--capability", "x"), "--capability: "},
		{append(node, "--capability", "x=1,x=2"), "--capability: x is given twice"},
		{append(node, "--capacity", "much"), "--capacity: "},
		{append(node, "--disk-reserve", "-1"), "--disk-reserve: "},
		{append(node, "--gossip-key", "???"), "--gossip-key: it is not base64"},
		{append(node, "--gossip-key", "AAAA"), "--gossip-key: 3 bytes"},
		{append(node, "--max-pulls", "0"), "--max-pulls: 0; give 1 or more"},
		{append(node, "--zone", "a b"), `--zone: "a b" is not a name`},
		{append(node, "--bootstrap-expect", "two"), `--bootstrap-expect: "two" is not a whole number` + "\n"},
		{[]string{"completion", "zz"}, `"zz" is no command of "holdfast completion"`},
		{[]string{"completion", "bash", "zz"}, `"zz" is one argument too many`},
		{append(node, "--bootstrap-expect", "2"), "--bootstrap-expect: 2"},
		{append(node, "--join", "x"), `--join: "x"`},
		{append(node, "--profile", "fast"), "--profile: "},
		{append(node, "--runner", "exec"), `--runner: "exec"`},
		{append(node, "--log-level", "loud"), "--log-level: "},
		{append(node, "--log-format", "xml"), "--log-format: "},
		{append(node, "--config", "/does/not/exist"), "--config: "},
	} {
		r := execute(t, nil, "", c.args...)
		if r.code != exitUsage || r.out != "" || !strings.Contains(r.err, c.want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("holdfast %s: exit %d, %q, %q; want exit 2 and %q", strings.Join(c.args, " "), r.code, r.out, r.err, c.want)
		}
	}
}

// What the cluster answers decides the exit code: 3 when its no would stand, 1
// when a retry may help; and its words are on one line.
func TestExitCodes(t *testing.T) {
	for code, want := range map[api.Code]int{
		api.UnknownChain: exitRefused, api.LastCopy: exitRefused, api.Invalid: exitRefused, api.StaleGeneration: exitRefused,
		api.Unsupported: exitRefused, api.Unauthorized: exitRefused,
		api.NoLeader: exitFailed, api.Overloaded: exitFailed, api.NoLiveCopy: exitFailed, api.NoSpace: exitFailed, api.Internal: exitFailed,
	} {
		c := newCluster(t, map[string]any{"GET /v1/chains/web": api.NewProblem(code, "the reason\nin words")})
		r := execute(t, c.environ(), "", "chain", "show", "web", "--timeout", "0s")
		if r.code != want || r.err != fmt.Sprintf("holdfast: the reason in words (%s)\n", code) {
			t.Errorf("%s: exit %d, %q; want exit %d", code, r.code, r.err, want)
		}
	}
	closed := newCluster(t, nil)
	closed.Close()
	r := execute(t, closed.environ(), "", "status", "--timeout", "0s")
	if r.code != exitFailed || !strings.Contains(r.err, "no node answered") || !strings.Contains(r.err, "HOLDFAST_ADDR") {
		t.Errorf("without a node: exit %d, %q", r.code, r.err)
	}
}

// A failure is told in words that fit the command line: neither a parameter of a
// URL nor a header can be given there.
func TestFailuresInWords(t *testing.T) {
	for want, p := range map[string]*api.Problem{
		"holdfast: retry, or give a longer --timeout (no-leader)\n":                                                         api.NewProblem(api.NoLeader, "retry, or give a longer ?timeout="),
		"holdfast: no answer came, and it may have been done all the same: look before you do it again (outcome-unknown)\n": api.NewProblem(api.OutcomeUnknown, "retry with the same Idempotency-Key"),
	} {
		c := newCluster(t, map[string]any{"POST /v1/freeze": p})
		if got := execute(t, c.environ(), "", "freeze", "--reason", "x", "--timeout", "0s"); got.err != want || got.code != exitFailed {
			t.Errorf("exit %d, %q, want %q", got.code, got.err, want)
		}
	}
}

// A flag goes before the environment, the environment before the file, the
// file before the default; keys that are no flags are refused.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settle := func(environ []string, args ...string) (*agentFlags, error) {
		flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
		v := newAgentFlags(flags)
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		return v, (&program{environ: environ}).settle(flags)
	}
	write("node-id: file\nzone: file\ncluster: file\nbootstrap-expect: 3\ninsecure: true\njoin: [a:1, b:2]\nlabel: {disk: ssd, arch: arm}\ncapability: {gpus: 2, ram: 4GiB}\n")
	environ := []string{"HOLDFAST_CONFIG=" + path, "HOLDFAST_NODE_ID=env", "HOLDFAST_ZONE=env", "HOLDFAST_JOIN=c:3,d:4", "HOLDFAST_CAPACITY="}
	v, err := settle(environ, "--node-id", "flag")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{v.nodeID, v.zone, v.cluster, v.expect, v.insecure, v.join, v.labels, v.capabilities, v.capacity, v.maxPulls}
	want := []any{"flag", "env", "file", 3, true, []string{"c:3", "d:4"}, []string{"arch=arm", "disk=ssd"}, []string{"gpus=2", "ram=4GiB"}, "", 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for text, want := range map[string]string{
		"zoen: a":                    `"zoen" is no flag`,
		"config: other.yaml":         `"config" is no flag`,
		"zone: a\nzone: b":           "zone",
		"- a":                        "not a mapping",
		"zone: [a, b]":               "one value is wanted",
		"bootstrap-expect: many":     `bootstrap-expect: "many" is not a whole number`,
		"zone: null":                 "a value is missing",
		"join: [[a]]\nzone: {a: {}}": "", // whichever comes first
	} {
		write(text)
		var wrong *usageError
		if _, err := settle(nil, "--config", path); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
	if _, err := settle([]string{"HOLDFAST_MAX_PULLS=x"}); err == nil || !strings.Contains(err.Error(), `HOLDFAST_MAX_PULLS: "x" is not a whole number`) {
		t.Errorf("got %v, want the variable's name", err)
	}
}

// What is given on the command line arrives in the agent's configuration.
func TestAgentConfig(t *testing.T) {
	flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	v := newAgentFlags(flags)
	if err := flags.Parse([]string{
		"--data-dir", "/d", "--bootstrap-expect", "3", "--join", "a:1,b:2", "--join", "c:3", "--capacity", "1KiB", "--disk-reserve", "2KiB",
		"--label", "disk=ssd", "--capability", "gpu=a100,ram=4KiB", "--gossip-key", "AAAAAAAAAAAAAAAAAAAAAA==", "--insecure", "--listen", "0.0.0.0:1", "--advertise", "h:1",
		"--http", ":2", "--http-advertise", "h:2", "--service-addr", "h:3", "--zone", "z", "--content-dir", "/c", "--max-pulls", "5", "--profile", "wan",
	}); err != nil {
		t.Fatal(err)
	}
	cfg, err := (&program{hostname: func() (string, error) { return "Host-1", nil }}).agentConfig(v)
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Cluster
	got := []any{
		c.Node, c.DataDir, c.BootstrapExpect, c.Join, c.CapacityBytes, cfg.DiskReserve, c.Labels, c.Capabilities, len(cfg.GossipKey), c.Insecure, c.Listen, c.Advertise,
		cfg.HTTP, cfg.HTTPAdvertise, c.Service, c.Zone, cfg.ContentDir, c.MaxPulls, c.Profile, c.Cluster, c.Version, cfg.Runner,
	}
	want := []any{
		placement.NodeID("host-1"), "/d", 3,
		[]string{"a:1", "b:2", "c:3"},
		int64(1024), int64(2048),
		placement.Labels{{Key: "disk", Value: "ssd"}},
		placement.Capabilities{{Key: "gpu", Text: "a100"}, {Key: "ram", Number: 4096, IsNumber: true}},
		16, true, "0.0.0.0:1", "h:1",
		":2", "h:2", "h:3", "z", "/c", 5, cluster.ProfileWAN, "holdfast", "devel", agent.Filestore,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The first interrupt ends the context, the second closes the channel: both
// are sent to this very process.
func TestInterrupts(t *testing.T) {
	ctx, now, stop := interrupts(context.Background())
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	select {
	case <-now:
		t.Fatal("one interrupt counts as two")
	default:
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-now
}
