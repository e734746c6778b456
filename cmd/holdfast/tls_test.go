package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/internal/secure"
)

// tls init makes what it says and prints flags that an agent takes; run again
// it makes nothing, and for another node it uses the same authority.
func TestTLSInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	r := execute(t, nil, "", "tls", "init", "--dir", dir, "--nodes", "n1,n2", "--host", "10.0.0.1")
	if r.code != exitDone || r.err != "" {
		t.Fatalf("exit %d, %s", r.code, r.err)
	}
	golden(t, "tls-init.txt", strings.ReplaceAll(r.out, dir, "DIR"))
	again := execute(t, nil, "", "tls", "init", "--dir", dir, "--nodes", "n3,n2")
	if again.code != exitFailed || !strings.Contains(again.err, "n2.pem is there already") {
		t.Errorf("a second time: exit %d, %s", again.code, again.err)
	}
	before, err := os.ReadFile(filepath.Join(dir, secure.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	more := execute(t, nil, "", "tls", "init", "--dir", dir, "--nodes", "n3")
	if !strings.Contains(more.out, "made in "+dir+": n3.pem n3-key.pem\n") {
		t.Errorf("another node: exit %d, %s%s", more.code, more.out, more.err)
	}
	after, err := os.ReadFile(filepath.Join(dir, secure.CAFile))
	if err != nil || string(after) != string(before) {
		t.Errorf("the authority has changed: %v", err)
	}
	pair := secure.Paths{CA: filepath.Join(dir, secure.CAFile), Cert: filepath.Join(dir, "n3.pem"), Key: filepath.Join(dir, "n3-key.pem")}
	if _, err := secure.LoadNode(pair, "holdfast"); err != nil {
		t.Error(err)
	}
}

// A command asks an https address when it knows the authority, and otherwise
// says in one line what is wrong and which flag mends it.
func TestClientTLS(t *testing.T) {
	dir := t.TempDir()
	if _, err := secure.Init(secure.Set{Dir: dir, Cluster: "holdfast", Nodes: []string{"n1"}, Days: 1}); err != nil {
		t.Fatal(err)
	}
	served, err := secure.LoadHTTP(secure.Paths{Cert: filepath.Join(dir, "n1.pem"), Key: filepath.Join(dir, "n1-key.pem")})
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, map[string]any{"GET /v1/nodes": api.NodeList{}})
	ln, err := net.Listen("tcp", "0.0.0.0:0") // 127.0.0.2 is this machine, too, and not in the certificate
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: c.Config.Handler}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(tls.NewListener(ln, served.HTTPS())) }()
	defer func() {
		server.Close()
		<-ended
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ca := filepath.Join(dir, secure.CAFile)
	for _, tc := range []struct{ addr, ca, want string }{
		{"https://127.0.0.1:" + port, ca, ""},
		{"https://127.0.0.1:" + port, "", "the certificate is of an unknown authority: give --ca or HOLDFAST_CACERT"},
		{"https://127.0.0.2:" + port, ca, "the certificate is not for 127.0.0.2"},
		{"http://127.0.0.1:" + port, ca, "speaks https: write its address as https://"},
		{"https://" + strings.TrimPrefix(c.URL, "http://"), ca, "the node does not speak https"},
	} {
		r := execute(t, []string{"HOLDFAST_CACERT=" + tc.ca}, "", "nodes", "--addr", tc.addr)
		if failed := r.code != exitDone; failed != (tc.want != "") || !strings.Contains(r.err, tc.want) || strings.Count(r.err, "\n") > 1 {
			t.Errorf("%s with %q: exit %d, %s; want %q", tc.addr, tc.ca, r.code, r.err, tc.want)
		}
	}
}
