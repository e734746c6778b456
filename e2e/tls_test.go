//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// closed is what a cluster's ports are closed with: a directory for each node,
// as if on a machine of its own, with a set made by `holdfast tls init`, and
// one file of tokens. A nil one closes nothing.
type closed struct {
	dir    string
	tokens map[api.Role]string
	roots  *x509.CertPool // that the clients trust
}

func (c *closed) own(i int, file string) string {
	return filepath.Join(c.dir, fmt.Sprintf("own%d", i), file)
}

func (c *closed) flags(i int) []string {
	if c == nil {
		return nil
	}
	return []string{
		"--tls-ca", c.own(i, "ca.pem"), "--tls-cert", c.own(i, "cert.pem"), "--tls-key", c.own(i, "key.pem"),
		"--gossip-key-file", c.own(i, "gossip.keys"), "--auth-file", filepath.Join(c.dir, "tokens.yaml"),
	}
}

func (c *closed) scheme() string {
	if c == nil {
		return "http"
	}
	return "https"
}

func (c *closed) options() []client.Option {
	if c == nil {
		return nil
	}
	return []client.Option{client.WithTLS(&tls.Config{RootCAs: c.roots}), client.WithToken(c.tokens[api.RoleAdmin])}
}

// run runs a command that needs no node.
func run(t *testing.T, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(binary(t), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// set makes a set for three nodes. An authority that is in the directory signs.
func set(t *testing.T, dir string) string {
	t.Helper()
	if _, errs, err := run(t, nil, "tls", "init", "--dir", dir, "--cluster", "holdfast", "--nodes", "n1,n2,n3"); err != nil {
		t.Fatal(errs)
	}
	return dir
}

// carry copies files as an operator does: whole, but not at one moment.
func carry(t *testing.T, to string, from ...string) {
	t.Helper()
	var text []byte
	for _, path := range from {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// closedMachines prepares three nodes, all ports closed, with a token for each role.
func closedMachines(t *testing.T) (m *machines, first string) {
	t.Helper()
	dir := t.TempDir()
	c := &closed{dir: dir, tokens: map[api.Role]string{}, roots: x509.NewCertPool()}
	first = set(t, filepath.Join(dir, "first"))
	var list string
	for _, role := range []api.Role{api.RoleRead, api.RoleOperate, api.RoleAdmin} {
		entry, errs, err := run(t, nil, "token", "new", "--name", "the-"+string(role), "--role", string(role))
		_, token, found := strings.Cut(strings.TrimSpace(errs), "HOLDFAST_TOKEN=")
		if err != nil || !found {
			t.Fatalf("%v: %s", err, errs)
		}
		list += entry
		c.tokens[role] = token
	}
	if err := os.WriteFile(filepath.Join(dir, "tokens.yaml"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	m = prepare(t, dir, 3)
	m.tls = c
	for i := 1; i <= m.count; i++ {
		carry(t, c.own(i, "ca.pem"), filepath.Join(first, "ca.pem"))
		m.certify(i, first)
		carry(t, c.own(i, "gossip.keys"), filepath.Join(first, "gossip.keys"))
	}
	m.trust(first)
	return m, first
}

// certify gives a node its certificate of a set.
func (m *machines) certify(i int, set string) {
	m.t.Helper()
	node := filepath.Join(set, fmt.Sprintf("n%d", i))
	carry(m.t, m.tls.own(i, "cert.pem"), node+".pem")
	carry(m.t, m.tls.own(i, "key.pem"), node+"-key.pem")
}

// trust lets the clients trust the authority of a set, too.
func (m *machines) trust(set string) {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(set, "ca.pem"))
	if err != nil || !m.tls.roots.AppendCertsFromPEM(text) {
		m.t.Fatalf("%v: %s", err, text)
	}
}

// taken counts what a node says to have taken over from its files.
func (m *machines) taken(i int) int {
	log, err := os.ReadFile(m.log(i))
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Count(string(log), "new certificate in force") + strings.Count(string(log), "new gossip keys in force")
}

// rollOut changes something on one node after the other, and waits each time
// until the node has taken it over.
func (m *machines) rollOut(change func(i int)) {
	m.t.Helper()
	for i := 1; i <= m.count; i++ {
		before := m.taken(i)
		change(i)
		m.eventually(time.Minute, fmt.Sprintf("n%d has taken over its files", i), func() error {
			if m.taken(i) == before {
				return errors.New("it has not")
			}
			return nil
		})
	}
}

// again kills a node that does not lead and starts it: what it rejoins with is
// what its files are now.
func (m *machines) again() {
	m.t.Helper()
	i := m.leader()%m.count + 1
	m.kill(i)
	m.start(i)
	m.eventually(time.Minute, fmt.Sprintf("n%d is ready again", i), func() error { return m.client(i).Ready(m.t.Context(), true) })
	m.eventually(time.Minute, "all are alive", func() error {
		nodes, err := m.any().Nodes(m.t.Context())
		for _, n := range nodes {
			if n.State != "alive" {
				err = fmt.Errorf("%s is %s", n.ID, n.State)
			}
		}
		return err
	})
}

// writers write until stop, through all nodes, half of them with a new
// connection each time. It returns the chains that were acknowledged; a write
// that is not fails the test.
func (m *machines) writers() (stop func() []string) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.t.Context())
	var mu sync.Mutex
	var acked []string
	var running sync.WaitGroup
	for w := range 4 {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.tls.roots}, DisableKeepAlives: w%2 == 0}
		c, err := client.New([]string{"https://" + m.http(w%3+1), "https://" + m.http((w+1)%3+1)},
			client.WithHTTPClient(&http.Client{Transport: transport}), client.WithToken(m.tls.tokens[api.RoleOperate]), client.WithRetry(time.Minute))
		if err != nil {
			m.t.Fatal(err)
		}
		running.Go(func() {
			defer c.Close()
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("w%d-%d", w, n)
				if _, err := c.PutChain(context.WithoutCancel(ctx), id, api.Spec{}); err != nil {
					m.t.Errorf("write %s: %v", id, err)
					return
				}
				mu.Lock()
				acked = append(acked, id)
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond): // not to fill the disk
				}
			}
		})
	}
	return func() []string {
		cancel()
		running.Wait()
		return acked
	}
}

// TestRotateEverything: while clients write, the certificates of all nodes are
// replaced by others of their authority, then by those of another authority,
// step by step as OPERATIONS.md says, and so is the gossip key. After each a
// node is killed and comes back. No write fails, none that was acknowledged is
// missing, each node can read what the others gossip all the while, and what is no
// longer in the files opens nothing.
func TestRotateEverything(t *testing.T) {
	m, first := closedMachines(t)
	m.startAll()
	f := newFile("content", 300_000, 1)
	m.put(m.any(), f, 3)
	second, third := filepath.Join(m.dir, "second"), filepath.Join(m.dir, "third")
	for _, file := range []string{"ca.pem", "ca-key.pem"} {
		carry(t, filepath.Join(second, file), filepath.Join(first, file))
	}
	set(t, second)
	set(t, third)
	m.trust(third) // as with the nodes, the clients trust the new one first
	stop := m.writers()

	m.rollOut(func(i int) { m.certify(i, second) })
	m.again()
	old, added := filepath.Join(first, "ca.pem"), filepath.Join(third, "ca.pem")
	m.rollOut(func(i int) { carry(t, m.tls.own(i, "ca.pem"), old, added) })
	m.rollOut(func(i int) { m.certify(i, third) })
	m.again()
	m.rollOut(func(i int) { carry(t, m.tls.own(i, "ca.pem"), added) })
	oldKey, newKey := filepath.Join(first, "gossip.keys"), filepath.Join(third, "gossip.keys")
	for _, keys := range [][]string{{oldKey, newKey}, {newKey, oldKey}, {newKey}} {
		m.rollOut(func(i int) { carry(t, m.tls.own(i, "gossip.keys"), keys...) })
	}
	m.again()

	acked := stop()
	if len(acked) < 100 {
		t.Errorf("only %d writes were made", len(acked))
	}
	t.Logf("%d writes acknowledged", len(acked))
	m.allThere(acked)
	for i := 1; i <= 3; i++ {
		m.eventually(time.Minute, "the content is served", func() error { return m.readable(i, f) })
		if got := m.dialNode(i, first); got == nil {
			t.Errorf("the certificate of the first authority opens the node port of n%d still", i)
		}
		if got := m.dialNode(i, third); got != nil {
			t.Errorf("the new certificate does not open the node port of n%d: %v", i, got)
		}
		log, err := os.ReadFile(m.log(i))
		if err != nil || strings.Contains(string(log), "could decrypt") {
			t.Errorf("n%d could not read what another node gossiped, though each key was known to all before the first used it: %v", i, err)
		}
	}
}

// allThere checks that the cluster has every one of these chains.
func (m *machines) allThere(ids []string) {
	m.t.Helper()
	there := map[string]bool{}
	for c, err := range m.any().AllChains(m.t.Context(), "", client.At(api.Linearizable)) {
		if err != nil {
			m.t.Fatal(err)
		}
		there[c.ID] = true
	}
	for _, id := range ids {
		if !there[id] {
			m.t.Errorf("chain %s was acknowledged and is not there", id)
		}
	}
}

// dialNode speaks TLS with a node port as n1 of a set would, and returns why it
// was turned away. It trusts whatever answers.
func (m *machines) dialNode(i int, set string) error {
	m.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(set, "n1.pem"), filepath.Join(set, "n1-key.pem"))
	if err != nil {
		m.t.Fatal(err)
	}
	d := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := tls.DialWithDialer(d, "tcp", m.node(i), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("this is no hello of a node, and it is answered all the same")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1)) // TLS 1.3 tells a client late that it was refused
	return err
}

// TestStrangers: with all ports closed, who speaks no TLS, trusts another
// authority, or has no token, the wrong one or too low a role is refused with one
// clear line; each role may do what it is meant for and no more; what supervisors
// and monitoring need is open; a node with certificates of its own making does
// not get in, one with a gossip key of its own hears nothing, and both say why.
func TestStrangers(t *testing.T) {
	m, first := closedMachines(t)
	m.startAll()
	other := set(t, filepath.Join(m.dir, "other"))
	ca := filepath.Join(first, "ca.pem")
	for _, c := range []struct{ addr, ca, token, want string }{
		{"https://" + m.http(1), ca, m.tls.tokens[api.RoleRead], ""},
		{"http://" + m.http(1), ca, m.tls.tokens[api.RoleRead], "speaks https: write its address as https://"},
		{"https://" + m.http(1), filepath.Join(other, "ca.pem"), m.tls.tokens[api.RoleRead], "the certificate is of an unknown authority"},
		{"https://" + m.http(1), "", m.tls.tokens[api.RoleRead], "the certificate is of an unknown authority"},
		{"https://" + m.http(1), ca, "", "the request has no token"},
		{"https://" + m.http(1), ca, "guess", "does not know the token"},
	} {
		_, errs, err := run(t, []string{"HOLDFAST_CACERT=" + c.ca, "HOLDFAST_TOKEN=" + c.token, "HOLDFAST_ADDR=" + c.addr}, "nodes")
		if (err != nil) != (c.want != "") || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") > 1 {
			t.Errorf("%s with %q: %v, %s; want %q", c.addr, c.ca, err, errs, c.want)
		}
	}
	m.rolesHold()
	m.flooded()

	m.tls.dir = filepath.Join(m.dir, "strangers") // flags of n4 and n5
	carry(t, filepath.Join(m.tls.dir, "tokens.yaml"), filepath.Join(m.dir, "tokens.yaml"))
	for i, of := range map[int]struct{ ca, keys string }{4: {other, first}, 5: {first, other}} {
		carry(t, m.tls.own(i, "ca.pem"), filepath.Join(of.ca, "ca.pem"))
		carry(t, m.tls.own(i, "cert.pem"), filepath.Join(of.ca, "n1.pem"))
		carry(t, m.tls.own(i, "key.pem"), filepath.Join(of.ca, "n1-key.pem"))
		carry(t, m.tls.own(i, "gossip.keys"), filepath.Join(of.keys, "gossip.keys"))
		m.start(i)
	}
	for i, want := range map[int]string{4: "no TLS with the seed: check --tls-ca and --tls-cert", 5: "no installed keys could decrypt the message"} {
		m.eventually(time.Minute, fmt.Sprintf("n%d says what is wrong", i), func() error {
			log, err := os.ReadFile(m.log(i))
			if err == nil && !strings.Contains(string(log), want) {
				err = fmt.Errorf("it says:\n%s", log[max(0, len(log)-1500):])
			}
			return err
		})
	}
	for i := 1; i <= 3; i++ {
		log, err := os.ReadFile(m.log(i))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(log), "turned a stream away: it is not of a node of this cluster"); got > 1 {
			t.Errorf("n%d complains %d times about one stranger", i, got)
		}
	}
}

// flooded opens hundreds of connections to both ports of the leader, silent, with
// half a handshake, or with noise, and checks that the leader goes on to lead and to
// serve, complains in a few lines, and has nothing left of them afterwards.
func (m *machines) flooded() {
	m.t.Helper()
	leader := m.leader()
	before, err := m.client(leader).Status(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	lines, goroutines := m.lines(leader), m.goroutines(leader)
	var conns []net.Conn
	for i := range 1500 {
		addr := m.node(leader)
		if i%5 == 0 {
			addr = m.http(leader)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			m.t.Fatal(err)
		}
		conns = append(conns, c)
		switch i % 3 {
		case 1:
			_, _ = c.Write([]byte{22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3}) // a handshake that says no more; cut off or not, it stays open here
		case 2:
			_, _ = c.Write(bytes.Repeat([]byte("noise"), 100))
		}
		if i%100 == 0 {
			if _, err := m.client(leader).PutChain(m.t.Context(), fmt.Sprintf("flood-%d", i), api.Spec{}); err != nil {
				m.t.Error(err)
			}
		}
	}
	m.eventually(time.Minute, "the leader has got rid of the strangers", func() error {
		if now := m.goroutines(leader); now > goroutines+100 {
			return fmt.Errorf("%d goroutines, %d before", now, goroutines)
		}
		return nil
	})
	for _, c := range conns {
		c.Close()
	}
	after, err := m.client(leader).Status(m.t.Context())
	if err != nil || after.Leader == nil || after.Term != before.Term {
		m.t.Errorf("term %d before, and now %+v, %v", before.Term, after, err)
	}
	if more := m.lines(leader) - lines; more > 200 {
		m.t.Errorf("1,500 connections left %d lines in the log of the leader", more)
	}
}

// lines counts what a node has logged, its decisions left out.
func (m *machines) lines(i int) int {
	m.t.Helper()
	log, err := os.ReadFile(m.log(i))
	if err != nil {
		m.t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(log)) {
		if !strings.Contains(line, "decision:") && !strings.Contains(line, "holder:") {
			count++
		}
	}
	return count
}

// goroutines reads how many a node has.
func (m *machines) goroutines(i int) int {
	m.t.Helper()
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.tls.roots}, DisableKeepAlives: true}}
	resp, err := web.Get("https://" + m.http(i) + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\ngo_goroutines ")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		m.t.Fatalf("no go_goroutines in the metrics: %v", err)
	}
	return n
}

// rolesHold asks for what the roles differ in, through a node that does not
// lead, and for what is open.
func (m *machines) rolesHold() {
	m.t.Helper()
	through := m.leader()%m.count + 1
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.tls.roots}, DisableKeepAlives: true}}
	for _, c := range []struct {
		method, path, body     string
		open                   int // status without a token; 0 = 401
		read, operate, admined int // 200 = any success
	}{
		{"GET", "/livez", "", 200, 200, 200, 200},
		{"GET", "/readyz", "", 200, 200, 200, 200},
		{"GET", "/metrics", "", 200, 200, 200, 200},
		{"GET", "/v1/nodes", "", 0, 200, 200, 200},
		{"PUT", "/v1/chains/x", "{}", 0, 403, 200, 200},
		{"POST", "/v1/freeze", `{"reason":"test"}`, 0, 403, 200, 200},
		{"POST", "/v1/thaw", `{}`, 0, 403, 200, 200},
		{"GET", "/v1/snapshot", "", 0, 403, 403, 200},
		{"POST", "/v1/snapshot/release", `{"reason":"test"}`, 0, 403, 403, 200},
		{"PUT", "/v1/snapshot", "not one", 0, 403, 403, 400},
		{"GET", "/debug/pprof/cmdline", "", 0, 403, 403, 200},
		{"POST", "/v1/raft/transfer", `{"reason":"test"}`, 0, 403, 403, 200},
	} {
		for token, want := range map[string]int{"": cmp.Or(c.open, 401), "guess": cmp.Or(c.open, 401), m.tls.tokens[api.RoleRead]: c.read, m.tls.tokens[api.RoleOperate]: c.operate, m.tls.tokens[api.RoleAdmin]: c.admined} {
			req, err := http.NewRequestWithContext(m.t.Context(), c.method, "https://"+m.http(through)+c.path, strings.NewReader(c.body))
			if err != nil {
				m.t.Fatal(err)
			}
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			resp, err := web.Do(req)
			if err != nil {
				m.t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if got := resp.StatusCode; got != want && (got/100 != 2 || want != 200) {
				m.t.Errorf("%s %s with token %.6q: %d %s; want %d", c.method, c.path, token, got, text[:min(len(text), 300)], want)
			}
		}
	}
}
