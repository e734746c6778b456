package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/internal/secure"
	"github.com/holdfast-cluster/holdfast/placement"
)

func (p *program) tlsCommand() *cobra.Command {
	cmd := group("tls", "Make the certificates and keys that secure a cluster", "  holdfast tls init --nodes n1,n2,n3 --host db.example.com,10.0.0.1")
	cmd.AddCommand(p.tlsInitCommand())
	return cmd
}

func (p *program) tlsInitCommand() *cobra.Command {
	var set secure.Set
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make an authority, a certificate for each node and a gossip key",
		Long: `Makes what a cluster needs to be closed to strangers: an authority (ca.pem, ca-key.pem), a
certificate and its key for each node (n1.pem, n1-key.pem, …) and a gossip key (gossip.keys).
Nothing is overwritten. In a directory that has an authority already it signs with that one: so
nodes are added. Give each machine ca.pem, gossip.keys and its own two files, and keep ca-key.pem
off all of them: whoever has it can make nodes of your cluster.

A certificate of a node bears the name node.CLUSTER.holdfast; one without it opens no node port.`,
		Example: `  holdfast tls init
  holdfast tls init --dir ./tls --cluster prod --nodes n1,n2,n3 --host db.example.com,10.0.0.1,10.0.0.2
  holdfast tls init --dir ./tls --cluster prod --nodes n4 --host 10.0.0.4`,
		Args: takes(),
	}
	f := cmd.Flags()
	f.StringVar(&set.Dir, "dir", "holdfast-tls", "directory of the files, made if it is not there")
	f.StringVar(&set.Cluster, "cluster", "holdfast", "name of the cluster")
	f.StringSliceVar(&set.Nodes, "nodes", []string{"n1", "n2", "n3"}, "names of the nodes")
	f.StringSliceVar(&set.Hosts, "host", nil, "host names and IP addresses by which clients reach the nodes, beside localhost")
	f.IntVar(&set.Days, "days", 365, "how long the certificates of the nodes are good for; the authority: ten years")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := checkSet(set); err != nil {
			return err
		}
		made, err := secure.Init(set)
		if err != nil {
			return fmt.Errorf("nothing was made: %w", err)
		}
		return p.explainSet(set, made)
	}
	return cmd
}

func checkSet(set secure.Set) error {
	if _, err := secure.NodeName(set.Cluster); err != nil {
		return usage("--cluster: %w", err)
	}
	seen := map[string]bool{"ca": true, "ca-key": true}
	for _, node := range set.Nodes {
		if _, err := placement.ParseNodeID(node); err != nil {
			return usage("--nodes: %w", err)
		}
		if seen[node] || seen[node+"-key"] || seen[strings.TrimSuffix(node, "-key")] {
			return usage("--nodes: the files of %q would be those of another", node)
		}
		seen[node] = true
	}
	for _, host := range set.Hosts {
		if host == "" || strings.ContainsAny(host, " /:") && !strings.Contains(host, "::") {
			return usage("--host: %q is neither a host name nor an IP address; leave the port out", host)
		}
	}
	if set.Days < 1 || set.Days > 3650 {
		return usage("--days: %d is not within 1..3650", set.Days)
	}
	return nil
}

// explainSet says what was made and what to do with it.
func (p *program) explainSet(set secure.Set, made []string) error {
	file := func(name string) string { return shellWord(filepath.Join(set.Dir, name)) }
	var b strings.Builder
	fmt.Fprintf(&b, "made in %s: %s\n\nFlags of the nodes, on machines that have only their own files and these two:\n", shellWord(set.Dir), strings.Join(made, " "))
	for _, node := range set.Nodes {
		fmt.Fprintf(&b, "  holdfast agent --node-id %s --cluster %s --tls-ca %s --tls-cert %s --tls-key %s --gossip-key-file %s …\n",
			node, set.Cluster, file(secure.CAFile), file(node+".pem"), file(node+"-key.pem"), file(secure.GossipFile))
	}
	fmt.Fprintf(&b, "\nClients:\n  export HOLDFAST_CACERT=%s HOLDFAST_ADDR=https://HOST:7401\n\nKeep %s where no node and no client is.\n",
		file(secure.CAFile), file(secure.CAKeyFile))
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}

// caVariable names the file of the authority that clients trust.
const caVariable = "HOLDFAST_CACERT"

// trust returns the TLS configuration of a client that trusts the authorities
// in a file, or the system's if none is named.
func trust(path string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13}
	if path == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return cfg, nil
}

// adviseTLS returns what to do about a TLS error of a client, or "".
func adviseTLS(err error) string {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &host):
		return fmt.Sprintf("the certificate is not for %s: use a name or address that it bears in --addr, or make one with: holdfast tls init --host", host.Host)
	case errors.As(err, &invalid):
		return fmt.Sprintf("the certificate cannot be used: %v", invalid)
	case errors.As(err, &unknown):
		return "the certificate is of an unknown authority: give --ca or " + caVariable + " the file of the cluster's (ca.pem)"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the node does not speak https: write its address as http://…"
	}
	return ""
}
