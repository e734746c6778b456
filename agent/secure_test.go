package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/internal/secure"
	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

// keyed makes a set in a directory and returns what names the files of one of
// its nodes.
func keyed(t *testing.T, dir string, days int, nodes ...string) func(node string) func(*Config) {
	t.Helper()
	if _, err := secure.Init(secure.Set{Dir: dir, Cluster: "test", Nodes: nodes, Hosts: []string{nodeIP(1), nodeIP(2), nodeIP(3)}, Days: days}); err != nil {
		t.Fatal(err)
	}
	return func(node string) func(*Config) {
		return func(c *Config) {
			c.TLS = secure.Paths{CA: filepath.Join(dir, secure.CAFile), Cert: filepath.Join(dir, node+".pem"), Key: filepath.Join(dir, node+"-key.pem")}
			c.GossipKeyFile = filepath.Join(dir, secure.GossipFile)
			c.Cluster.Insecure = false
		}
	}
}

// spoil writes something else into a file, and returns what puts back what was
// in it.
func spoil(t *testing.T, path, text string) (mend func()) {
	t.Helper()
	good, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// With TLS on both ports and a gossip key, what goes through a node that does
// not lead must arrive; addresses that are told to clients must begin with
// https; files that are broken or gone while the nodes run must change nothing,
// with one line of each node about each; and who speaks plain HTTP must be told so.
func TestClosedPorts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		dir := filepath.Join(w.root, "tls")
		of := keyed(t, dir, 300, "n1", "n2", "n3")
		w.startAll(func(c *Config) { of(string(c.Cluster.Node))(c) })
		text1, err := os.ReadFile(filepath.Join(dir, secure.CAFile))
		if err != nil {
			t.Fatal(err)
		}
		w.web.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		w.web.TLSClientConfig.RootCAs.AppendCertsFromPEM(text1)
		follower := "n1"
		if w.leader().name == follower {
			follower = "n2"
		}
		c, err := client.New([]string{"https://" + w.agents[follower].HTTPAddr()}, client.WithHTTPClient(&http.Client{Transport: w.web}))
		if err != nil {
			t.Fatal(err)
		}
		content := text(100_000)
		write := func(id string) {
			t.Helper()
			if _, err := c.PutChain(t.Context(), id, api.Spec{}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.PutContent(t.Context(), id, bytes.NewReader(content), int64(len(content))); err != nil {
				t.Fatal(err)
			}
		}
		write("a")
		w.toldAddresses(c, follower)

		broken := map[string]string{secure.GossipFile: "the new gossip keys cannot be used: the old ones stay in force"}
		for i := 1; i <= 3; i++ {
			broken[fmt.Sprintf("n%d.pem", i)] = "the new certificate cannot be used: the old one stays in force"
		}
		before := w.logs.String()
		var mend []func()
		for file := range broken {
			mend = append(mend, spoil(t, filepath.Join(dir, file), "garbage"))
		}
		w.pass(2 * time.Minute)
		write("b")
		logged := strings.TrimPrefix(w.logs.String(), before)
		for _, line := range broken {
			if got := strings.Count(logged, line); got != 3 {
				t.Errorf("three nodes say %q %d times", line, got)
			}
		}
		w.leader()
		for _, m := range mend {
			m()
		}
		w.pass(time.Minute)
		w.agents[follower].Kill()
		<-w.agents[follower].done
		var number int
		if _, err := fmt.Sscanf(follower, "n%d", &number); err != nil {
			t.Fatal(err)
		}
		w.start(number, of(follower))
		<-w.agents[follower].Ready()
		write("c")

		plain, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.agents[follower].HTTPAddr()+"/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.web.RoundTrip(plain)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var said bytes.Buffer
		if _, err := said.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(said.String(), "HTTPS") {
			t.Errorf("plain HTTP is answered with %d %q, %v", resp.StatusCode, said.String(), err)
		}
	})
}

// toldAddresses checks where clients are sent.
func (w *world) toldAddresses(c *client.Client, through string) {
	w.t.Helper()
	leader := "https://" + w.leader().HTTPAddr()
	status, err := c.Status(w.t.Context())
	if err != nil || status.Leader == nil || status.Leader.HTTP != leader {
		w.t.Errorf("the status names the leader %+v, %v; want %s", status.Leader, err, leader)
	}
	nodes, err := c.Nodes(w.t.Context())
	if err != nil || len(nodes) != 3 {
		w.t.Fatalf("%d nodes: %v", len(nodes), err)
	}
	for _, n := range nodes {
		if want := "https://" + w.agents[n.ID].HTTPAddr(); n.Addresses.HTTP != want {
			w.t.Errorf("%s is said to be at %q, want %q", n.ID, n.Addresses.HTTP, want)
		}
	}
	_, err = c.Chain(w.t.Context(), "nothing")
	if p, ok := errors.AsType[*api.Problem](err); !ok || p.Leader == nil || p.Leader.HTTP != leader {
		w.t.Errorf("a problem told by %s names the leader %+v, want %s", through, err, leader)
	}
}

// What follows the files must take over what is good, say once what is not and
// go on, whatever happens to a file; and it must warn before a certificate ends
// and complain after, twice a day.
func TestFollowFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		of := keyed(t, dir, 1, "n1", "api")
		cfg := Config{Cluster: cluster.Config{Cluster: "test"}}
		of("n1")(&cfg)
		cfg.HTTPTLS = secure.Paths{Cert: filepath.Join(dir, "api.pem"), Key: filepath.Join(dir, "api-key.pem")}
		s, err := cfg.secure()
		if err != nil {
			t.Fatal(err)
		}
		logs := new(lockedBuffer)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.follow(ctx, hclog.New(&hclog.LoggerOptions{Output: logs}))
		}()
		seen := 0
		// says waits, and wants each of these words in a line of its own, and no other line.
		says := func(what string, wait time.Duration, want ...string) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			news := logs.String()[seen:]
			seen += len(news)
			lines := strings.Split(strings.TrimSuffix(news, "\n"), "\n")
			if news == "" {
				lines = nil
			}
			if len(lines) != len(want) {
				t.Fatalf("%s: %d lines, want %d:\n%s", what, len(lines), len(want), news)
			}
			for i, words := range want {
				if !strings.Contains(lines[i], words) {
					t.Errorf("%s: line %d is %q, want %q", what, i+1, lines[i], words)
				}
			}
		}
		soon := []string{"[WARN]  the certificate expires soon: put a new one in its file: port=node", "[WARN]  the certificate expires soon: put a new one in its file: port=http"}
		says("it begins", time.Minute, soon...)
		says("nothing happens", time.Minute)
		keys, cert := s.keyFile.All(), s.node.Expires()
		for name, file := range map[string]struct{ path, want string }{
			"keys":        {cfg.GossipKeyFile, "[ERROR] the new gossip keys cannot be used: the old ones stay in force: error=\"" + cfg.GossipKeyFile + ": line 1: it is not base64"},
			"certificate": {cfg.TLS.Cert, "[ERROR] the new certificate cannot be used: the old one stays in force: port=node error=\"" + cfg.TLS.Cert},
			"authority":   {cfg.TLS.CA, "[ERROR] the new certificate cannot be used: the old one stays in force: port=node error=\"" + cfg.TLS.CA + " holds no certificate"},
			"API's key":   {cfg.HTTPTLS.Key, "[ERROR] the new certificate cannot be used: the old one stays in force: port=http error=\"" + cfg.HTTPTLS.Cert + " with the key " + cfg.HTTPTLS.Key},
		} {
			news := append([]string{"[INFO]  new certificate in force: port="}, soon...)
			if name == "keys" {
				news = []string{"[INFO]  new gossip keys in force: keys=1"}
			}
			mend := spoil(t, file.path, "??? garbage")
			says(name+" garbled", time.Minute, file.want)
			if err := os.Remove(file.path); err != nil {
				t.Fatal(err)
			}
			says(name+" gone", time.Minute, "no such file")
			if err := os.Mkdir(file.path, 0o700); err != nil {
				t.Fatal(err)
			}
			says(name+" unreadable", time.Minute, "is a directory")
			if err := os.Remove(file.path); err != nil {
				t.Fatal(err)
			}
			mend()
			says(name+" mended", time.Minute, news...)
		}
		if got := s.keyFile.All(); len(got) != 1 || !bytes.Equal(got[0], keys[0]) || !s.node.Expires().Equal(cert) {
			t.Errorf("other keys or certificates are in force: %d keys, until %v", len(got), s.node.Expires())
		}
		says("half a day later", expiresRemind, soon...)
		says("after the end", expiresRemind, "[ERROR] the certificate has expired: put a new one in its file: port=node", "[ERROR] the certificate has expired: put a new one in its file: port=http")
		cancel()
		<-done
	})
}

// An agent must not start with a certificate that has ended, nor one of another
// cluster, nor a file of keys that has none: each is named with its flag, and
// nothing is made in the data directory.
func TestClosedConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, net := t.TempDir(), simnet.New(1)
		defer net.Close()
		of := keyed(t, dir, 2, "n1")
		try := func(change func(*Config)) error {
			cfg := Config{
				Cluster: cluster.Config{Node: "n1", DataDir: filepath.Join(dir, "data"), Cluster: "test", BootstrapExpect: 1, Network: net.Host("n1", nodeIP(1)), Listen: nodeIP(1) + ":7400"},
				HTTP:    nodeIP(1) + ":7401",
				Volume:  func() (int64, int64, error) { return 90 << 30, 100 << 30, nil },
			}
			of("n1")(&cfg)
			cfg.Cluster.Insecure = true // the API has no tokens here
			change(&cfg)
			_, err := New(cfg)
			return err
		}
		if err := try(func(*Config) {}); err != nil {
			t.Fatal(err)
		}
		empty := filepath.Join(dir, "empty")
		if err := os.WriteFile(empty, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * 24 * time.Hour)
		for want, change := range map[string]func(*Config){
			"tls-cert: " + filepath.Join(dir, "n1.pem") + ": the other nodes would refuse it: x509: certificate has expired": func(*Config) {},
			"it must bear the name node.other.holdfast":   func(c *Config) { c.Cluster.Cluster = "other" },
			"tls-key: missing":                            func(c *Config) { c.TLS.Key = "" },
			"gossip-key-file: " + empty + ": 0 keys":      func(c *Config) { c.TLS, c.GossipKeyFile = secure.Paths{}, empty },
			"gossip-key: there is a gossip-key-file, too": func(c *Config) { c.Cluster.GossipKeys, c.GossipKey = nil, make([]byte, 32) },
			"http-tls-cert: stat " + filepath.Join(dir, "no") + ": no such file": func(c *Config) {
				c.TLS = secure.Paths{}
				c.HTTPTLS = secure.Paths{Cert: filepath.Join(dir, "no"), Key: empty}
			},
		} {
			if err := try(change); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
			t.Errorf("the data directory: %v", err)
		}
	})
}
