package secure

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// made runs Init in a directory and returns the paths of a node's files.
func made(t *testing.T, dir, cluster, node string, days int) Paths {
	t.Helper()
	if _, err := Init(Set{Dir: dir, Cluster: cluster, Nodes: []string{node}, Days: days, Hosts: []string{"db.example.com", "10.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	return Paths{filepath.Join(dir, CAFile), filepath.Join(dir, node+".pem"), filepath.Join(dir, node+"-key.pem")}
}

func loaded(t *testing.T, p Paths, cluster string) *Certificates {
	t.Helper()
	c, err := LoadNode(p, cluster)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// talk connects two ends and returns the error of each: of the handshake, or of
// the first byte each way, where TLS 1.3 tells a client that it was refused.
func talk(t *testing.T, accept func(net.Conn) (net.Conn, error), dial func(net.Conn) (net.Conn, error)) (server, client error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	run := func(raw net.Conn, wrap func(net.Conn) (net.Conn, error)) error {
		defer raw.Close()
		err := raw.SetDeadline(time.Now().Add(time.Minute)) // a longstop, as the node port has one
		conn := raw
		if err == nil {
			conn, err = wrap(raw)
		}
		if err == nil {
			_, err = conn.Write([]byte("hello")) // as long as the head of a TLS record
		}
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		return err
	}
	ended := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err == nil {
			err = run(raw, accept)
		}
		ended <- err
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client = run(raw, dial)
	return <-ended, client
}

func (c *Certificates) dial(conn net.Conn) (net.Conn, error) { return c.Dial(conn, "") }

// Two nodes of a cluster talk. Who has a certificate of another authority, of
// another cluster, of no node, signed by itself, for servers or clients only, an
// expired one or none, and who speaks an older TLS or none, is refused at both
// ends, whichever of them is the stranger.
func TestNodePort(t *testing.T) {
	root := t.TempDir()
	ours := filepath.Join(root, "ours")
	a := loaded(t, made(t, ours, "prod", "a", 9), "prod")
	b := loaded(t, made(t, ours, "prod", "b", 9), "prod")
	if server, client := talk(t, a.Accept, b.dial); server != nil || client != nil {
		t.Fatalf("two nodes of a cluster: %v, %v", server, client)
	}
	otherCA := loaded(t, made(t, filepath.Join(root, "theirs"), "prod", "x", 9), "prod")
	otherCluster := loaded(t, made(t, ours, "test", "y", 9), "test")
	person := certificateOf(t, ours, "anna", "anna.example.com", 9)
	expired := certificateOf(t, ours, "old", "node.prod.holdfast", -1)
	selfSigned := odd(t, ours, true, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	serverOnly := odd(t, ours, false, x509.ExtKeyUsageServerAuth)
	clientOnly := odd(t, ours, false, x509.ExtKeyUsageClientAuth)
	for name, tc := range map[string]struct {
		pair       *tls.Certificate
		edit       func(*tls.Config)
		weSay      string // when it dials us
		weSayToo   string // when we dial it
		notAServer bool
		notAClient bool
	}{
		"signed by itself":          {pair: &selfSigned, weSay: "unknown authority", weSayToo: "unknown authority"},
		"for servers only":          {pair: &serverOnly, weSay: "incompatible key usage", notAServer: true},
		"for clients only":          {pair: &clientOnly, weSayToo: "incompatible key usage", notAClient: true},
		"other authority":           {pair: &otherCA.now.Load().server.Certificates[0], weSay: "unknown authority", weSayToo: "unknown authority"},
		"other cluster of the same": {pair: &otherCluster.now.Load().server.Certificates[0], weSay: "of no node of this cluster: it must bear the name node.prod.holdfast", weSayToo: "not node.prod.holdfast"},
		"a person's, of the same":   {pair: &person, weSay: "of no node of this cluster", weSayToo: "not node.prod.holdfast"},
		"expired":                   {pair: &expired, weSay: "has expired or is not yet valid", weSayToo: "has expired or is not yet valid"},
		"none":                      {weSay: "client didn't provide a certificate", notAServer: true},
		"our own, and an older TLS": {pair: &b.now.Load().server.Certificates[0], edit: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, weSay: "unsupported versions", weSayToo: "protocol version not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &tls.Config{InsecureSkipVerify: true, ClientAuth: tls.RequestClientCert} // a stranger is not particular
			if tc.pair != nil {
				cfg.Certificates = []tls.Certificate{*tc.pair}
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tc.pair, nil } // also one that was not asked for
			}
			if tc.edit != nil {
				tc.edit(cfg)
			}
			server, client := talk(t, a.Accept, func(c net.Conn) (net.Conn, error) { return tls.Client(c, cfg), nil })
			if !tc.notAClient && (server == nil || !strings.Contains(server.Error(), tc.weSay) || client == nil) {
				t.Errorf("it dials us: we say %v, it gets %v; want %q", server, client, tc.weSay)
			}
			if tc.notAServer {
				return
			}
			server, client = talk(t, func(c net.Conn) (net.Conn, error) { return tls.Server(c, cfg), nil }, a.dial)
			if client == nil || !strings.Contains(client.Error(), tc.weSayToo) || server == nil {
				t.Errorf("we dial it: we say %v, it gets %v; want %q", client, server, tc.weSayToo)
			}
		})
	}
	plain := func(c net.Conn) (net.Conn, error) { return c, nil }
	if server, _ := talk(t, a.Accept, plain); server == nil {
		t.Error("a plain stream was accepted")
	}
	if _, client := talk(t, plain, a.dial); client == nil || !strings.Contains(client.Error(), "does not speak TLS") {
		t.Errorf("we dial a plain port: %v", client)
	}
}

// odd makes a certificate with a node's name, by the authority of a directory or
// by itself, good for these usages only.
func odd(t *testing.T, dir string, bySelf bool, usages ...x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	ca, err := (&writer{dir: dir}).authority("")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := template("odd", 1)
	cert.KeyUsage, cert.ExtKeyUsage, cert.DNSNames = x509.KeyUsageDigitalSignature, usages, []string{"node.prod.holdfast"}
	if bySelf {
		ca = &authority{cert, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// certificateOf signs what Init would not: any name, any time.
func certificateOf(t *testing.T, dir, file, name string, days int) tls.Certificate {
	t.Helper()
	w := &writer{dir: dir}
	ca, err := w.authority("")
	if err == nil {
		err = w.node(ca, file, name, Set{Days: days})
	}
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, file+".pem"), filepath.Join(dir, file+"-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// An authority is replaced in a running cluster: trusted beside the old on
// all, then new certificates, then the old is trusted no more. At each step
// those that have taken it talk to those that have not.
func TestRotation(t *testing.T) {
	root := t.TempDir()
	oldDir, newDir := filepath.Join(root, "old"), filepath.Join(root, "new")
	files := map[string]Paths{"a": made(t, oldDir, "prod", "a", 9), "b": made(t, oldDir, "prod", "b", 9)}
	made(t, newDir, "prod", "a", 9)
	made(t, newDir, "prod", "b", 9)
	nodes := map[string]*Certificates{}
	for name, p := range files {
		own := filepath.Join(root, name+"-")
		mine := Paths{own + "ca", own + "cert", own + "key"}
		write(t, mine.CA, read(t, p.CA))
		write(t, mine.Cert, read(t, p.Cert))
		write(t, mine.Key, read(t, p.Key))
		files[name], nodes[name] = mine, loaded(t, mine, "prod")
	}
	for i, step := range []func(node string, p Paths){
		func(_ string, p Paths) { write(t, p.CA, read(t, p.CA)+read(t, filepath.Join(newDir, CAFile))) },
		func(node string, p Paths) {
			write(t, p.Cert, read(t, filepath.Join(newDir, node+".pem")))
			if changed, err := nodes[node].Refresh(); changed || err == nil {
				t.Errorf("a certificate without its key: %v, %v", changed, err)
			}
			write(t, p.Key, read(t, filepath.Join(newDir, node+"-key.pem")))
		},
		func(_ string, p Paths) { write(t, p.CA, read(t, filepath.Join(newDir, CAFile))) },
	} {
		for _, node := range []string{"a", "b"} {
			step(node, files[node])
			if changed, err := nodes[node].Refresh(); !changed || err != nil {
				t.Fatalf("step %d on %s: changed %v, %v", i+1, node, changed, err)
			}
			for _, pair := range [][2]*Certificates{{nodes["a"], nodes["b"]}, {nodes["b"], nodes["a"]}} {
				if server, client := talk(t, pair[0].Accept, pair[1].dial); server != nil || client != nil {
					t.Fatalf("step %d, when %s has taken it: %v, %v", i+1, node, server, client)
				}
			}
		}
	}
	stale := loaded(t, Paths{filepath.Join(oldDir, CAFile), filepath.Join(oldDir, "a.pem"), filepath.Join(oldDir, "a-key.pem")}, "prod")
	if server, client := talk(t, nodes["b"].Accept, stale.dial); server == nil || client == nil {
		t.Error("a certificate of the old authority opens the port still")
	}
}

// Files that cannot be used change nothing, whatever is wrong with them, and
// are complained about once; what mends them comes into force.
func TestBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	p := made(t, dir, "prod", "a", 9)
	other := made(t, filepath.Join(dir, "other"), "prod", "a", 9)
	wrongCluster := made(t, filepath.Join(dir, "wrong"), "test", "a", 9)
	c := loaded(t, p, "prod")
	good := [3]string{read(t, p.CA), read(t, p.Cert), read(t, p.Key)}
	put := func(texts [3]string) {
		for i, path := range []string{p.CA, p.Cert, p.Key} {
			write(t, path, texts[i])
		}
	}
	before := c.now.Load()
	for name, broken := range map[string][3]string{
		"holds no certificate":           {"", good[1], good[2]},
		"with the key":                   {good[0], good[1], read(t, other.Key)},
		"failed to find any PEM data":    {good[0], good[1][:40], good[2]},
		"the other nodes would refuse":   {good[0], read(t, other.Cert), read(t, other.Key)},
		"must bear the name node.prod.h": {read(t, wrongCluster.CA), read(t, wrongCluster.Cert), read(t, wrongCluster.Key)},
		"at most 1048576 are read":       {good[0] + strings.Repeat("x", fileBytesMax), good[1], good[2]},
	} {
		put(broken)
		if changed, err := c.Refresh(); changed || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, %v; want %q", changed, err, name)
		}
		if changed, err := c.Refresh(); changed || err != nil {
			t.Errorf("%s, a second time: %v, %v", name, changed, err)
		}
	}
	put([3]string{good[0], good[1], ""})
	if _, err := c.Refresh(); err == nil {
		t.Error("an empty key is not complained about")
	}
	if err := os.Remove(p.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(); err == nil {
		t.Error("a missing file is not complained about")
	}
	if c.now.Load() != before {
		t.Error("what cannot be used is in force")
	}
	put(good)
	if changed, err := c.Refresh(); !changed || err != nil {
		t.Errorf("mended: %v, %v", changed, err)
	}
}

// A certificate that has ended is refused when it is loaded, and named.
func TestExpired(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := made(t, dir, "prod", "a", 2)
		c := loaded(t, p, "prod")
		if got, want := c.Expires(), time.Now().Add(48*time.Hour).Truncate(time.Second); !got.Equal(want) {
			t.Errorf("it expires %v, want %v", got, want)
		}
		time.Sleep(49 * time.Hour)
		if _, err := LoadNode(p, "prod"); err == nil || !strings.Contains(err.Error(), "has expired") || !strings.Contains(err.Error(), p.Cert) {
			t.Errorf("got %v", err)
		}
		if _, err := LoadHTTP(p); err == nil || !strings.Contains(err.Error(), "has expired") || !strings.Contains(err.Error(), p.Cert) {
			t.Errorf("of an HTTP port: %v", err)
		}
	})
}

// A certificate that begins only later, as this machine's clock has it, is complained
// about once and comes into force when its time has come, though its file does not
// change again: it is made three hours ahead.
func TestNotYetValid(t *testing.T) {
	dir := t.TempDir()
	var next [3]string
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(3 * time.Hour)
		p := made(t, filepath.Join(dir, "next"), "prod", "a", 9)
		next = [3]string{read(t, p.CA), read(t, p.Cert), read(t, p.Key)}
	})
	synctest.Test(t, func(t *testing.T) {
		p := made(t, dir, "prod", "a", 2)
		c := loaded(t, p, "prod")
		write(t, p.CA, read(t, p.CA)+next[0])
		if changed, err := c.Refresh(); !changed || err != nil {
			t.Fatalf("another authority: %v, %v", changed, err)
		}
		write(t, p.Cert, next[1])
		write(t, p.Key, next[2])
		if changed, err := c.Refresh(); changed || err == nil || !strings.Contains(err.Error(), "not yet valid") {
			t.Errorf("too early: %v, %v", changed, err)
		}
		time.Sleep(time.Minute)
		if changed, err := c.Refresh(); changed || err != nil {
			t.Errorf("too early, a second time: %v, %v", changed, err)
		}
		time.Sleep(3 * time.Hour)
		if changed, err := c.Refresh(); !changed || err != nil {
			t.Errorf("in its time: %v, %v", changed, err)
		}
		if changed, err := c.Refresh(); changed || err != nil {
			t.Errorf("afterwards: %v, %v", changed, err)
		}
	})
}

// The first key of a file encrypts; what is no file of keys is refused by line,
// and changes nothing.
func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	key := func(c string, n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(c, n))) }
	write(t, path, "# made by hand\n\n "+key("a", 32)+" \n"+key("b", 16))
	k, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{[]byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 16))}
	if diff := cmp.Diff(want, k.All()); diff != "" {
		t.Error(diff)
	}
	for text, complaint := range map[string]string{
		"":                                    "0 keys",
		"# none\n":                            "0 keys",
		key("a", 32) + "\n???":                "line 2: it is not base64",
		"#\n" + key("a", 5):                   "line 2: 5 bytes; give 16, 24 or 32",
		strings.Repeat(key("a", 16)+"\n", 17): "17 keys; give 1 to 16",
	} {
		write(t, path, text)
		if changed, err := k.Refresh(); changed || err == nil || !strings.Contains(err.Error(), complaint) || strings.Contains(err.Error(), key("a", 32)) {
			t.Errorf("%q: %v, %v", text, changed, err)
		}
	}
	if diff := cmp.Diff(want, k.All()); diff != "" {
		t.Error(diff)
	}
	write(t, path, key("c", 24))
	if changed, err := k.Refresh(); !changed || err != nil || len(k.All()) != 1 {
		t.Errorf("%v, %v", changed, err)
	}
}

// What Init makes is for the owner's eyes only, works for the hosts it names,
// and never takes the place of a file.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	p := made(t, dir, "prod", "a", 30)
	for _, file := range []string{CAKeyFile, GossipFile, "a-key.pem"} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "db.example.com", "10.0.0.1", "node.prod.holdfast"} {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if _, err := LoadKeys(filepath.Join(dir, GossipFile)); err != nil {
		t.Error(err)
	}
	before := tree(t, dir)
	for want, set := range map[string]Set{
		"a.pem is there already": {Dir: dir, Cluster: "prod", Nodes: []string{"b", "a"}, Days: 1},
		"the name of a cluster":  {Dir: dir, Cluster: "a.b", Nodes: []string{"c"}, Days: 1},
		"not a directory":        {Dir: filepath.Join(dir, "a.pem"), Cluster: "prod", Nodes: []string{"c"}, Days: 1},
		"no such file":           {Dir: dir, Cluster: "prod", Nodes: []string{"c", "no/such"}, Days: 1},
	} {
		if made, err := Init(set); err == nil || made != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v; want %q", made, err, want)
		}
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("what was refused has changed something:\n%s", diff)
	}
}

// tree is all files below a directory with what is in them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[path] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
