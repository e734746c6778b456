package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// NodeName is the DNS name in the certificate of every node of a cluster, and
// in no other certificate. It returns an error if the cluster's name cannot be
// part of one.
func NodeName(cluster string) (string, error) {
	if !validLabel(cluster) {
		return "", fmt.Errorf("with TLS the name of a cluster stands in its certificates: %q is not 1 to 63 of a-z 0-9 -, beginning and ending with a letter or digit", cluster)
	}
	return "node." + cluster + ".holdfast", nil
}

// Paths names PEM files.
type Paths struct {
	CA   string // the certificates of the authorities that are trusted; unused for HTTP
	Cert string // the certificate, followed by those between it and the authority
	Key  string // its private key
}

// Certificates is one certificate with its key, and for the node port the
// authorities that it trusts. Make it with [LoadNode] or [LoadHTTP].
type Certificates struct {
	files follower
	parse func(texts [][]byte) (*material, error)
	now   atomic.Pointer[material]
}

// material is what the files said when they were last good.
type material struct {
	server, client *tls.Config // client is nil for HTTP
	expires        time.Time
}

// LoadNode reads the certificate of a node of the cluster, and refuses one
// that the other nodes would refuse.
func LoadNode(paths Paths, cluster string) (*Certificates, error) {
	name, err := NodeName(cluster)
	if err != nil {
		return nil, err
	}
	return load([]string{paths.CA, paths.Cert, paths.Key}, func(texts [][]byte) (*material, error) {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(texts[0]) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", paths.CA)
		}
		pair, err := parsePair(paths, texts[1], texts[2])
		if err != nil {
			return nil, err
		}
		if err := checkNode(pair, roots, name); err != nil {
			return nil, fmt.Errorf("%s: %w", paths.Cert, err)
		}
		return nodeMaterial(pair, roots, name), nil
	})
}

// LoadHTTP reads the certificate of an HTTP port, whose clients need none.
func LoadHTTP(paths Paths) (*Certificates, error) {
	return load([]string{paths.Cert, paths.Key}, func(texts [][]byte) (*material, error) {
		pair, err := parsePair(paths, texts[0], texts[1])
		if err != nil {
			return nil, err
		}
		if now := time.Now(); now.Before(pair.Leaf.NotBefore) || now.After(pair.Leaf.NotAfter) {
			return nil, fmt.Errorf("%s: clients would refuse it: it has expired or is not yet valid: it is good from %v to %v", paths.Cert, pair.Leaf.NotBefore, pair.Leaf.NotAfter)
		}
		return &material{server: httpConfig(pair), expires: pair.Leaf.NotAfter}, nil
	})
}

func load(paths []string, parse func([][]byte) (*material, error)) (*Certificates, error) {
	c := &Certificates{files: follower{paths: paths}, parse: parse}
	if _, err := c.Refresh(); err != nil {
		return nil, err
	}
	return c, nil
}

// Refresh reads the files again and returns whether new ones are in force. If
// they cannot be used the old stay in force, and the error says why, once.
func (c *Certificates) Refresh() (changed bool, err error) {
	return c.files.refresh(func(texts [][]byte) error {
		m, err := c.parse(texts)
		if err == nil {
			c.now.Store(m)
		}
		return err
	})
}

// Expires returns the end of the certificate in force.
func (c *Certificates) Expires() time.Time { return c.now.Load().expires }

// Accept is the accepting end of the node port: it lets nodes of the cluster
// in. The deadline of the connection bounds it.
func (c *Certificates) Accept(conn net.Conn) (net.Conn, error) {
	return shake(tls.Server(conn, c.now.Load().server))
}

// Dial is the dialing end of the node port: it speaks to nodes of the cluster
// only. The deadline of the connection bounds it.
func (c *Certificates) Dial(conn net.Conn, _ string) (net.Conn, error) {
	return shake(tls.Client(conn, c.now.Load().client))
}

// shake ends with the deadline of the connection.
func shake(conn *tls.Conn) (net.Conn, error) {
	if err := conn.HandshakeContext(context.Background()); err != nil {
		if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
			err = fmt.Errorf("the other end does not speak TLS: %w", err)
		}
		return nil, err
	}
	return conn, nil
}

// HTTPS returns the configuration of an HTTP listener. It follows the files.
func (c *Certificates) HTTPS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.now.Load().https(), nil
		},
	}
}

func (m *material) https() *tls.Config {
	if m.client == nil {
		return m.server
	}
	return httpConfig(m.server.Certificates[0])
}

func httpConfig(pair tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
}

func nodeMaterial(pair tls.Certificate, roots *x509.CertPool, name string) *material {
	return &material{
		expires: pair.Leaf.NotAfter,
		client: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: name,
		},
		server: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
			SessionTicketsDisabled: true, // who comes back shows the certificate again
			VerifyConnection: func(state tls.ConnectionState) error {
				return checkName(state.PeerCertificates[0], name)
			},
		},
	}
}

func parsePair(paths Paths, cert, key []byte) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("%s with the key %s: %w", paths.Cert, paths.Key, err)
	}
	return pair, nil
}

// checkNode tells whether the other nodes, if they trust the same authorities,
// take this certificate.
func checkNode(pair tls.Certificate, roots *x509.CertPool, name string) error {
	if err := checkName(pair.Leaf, name); err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(cert)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return fmt.Errorf("the other nodes would refuse it: %w", err)
		}
	}
	return nil
}

func checkName(cert *x509.Certificate, name string) error {
	if err := cert.VerifyHostname(name); err != nil {
		return fmt.Errorf("the certificate is of no node of this cluster: it must bear the name %s", name)
	}
	return nil
}
