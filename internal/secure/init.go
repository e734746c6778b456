package secure

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Files that [Init] makes, beside NODE.pem and NODE-key.pem of each node.
const (
	CAFile     = "ca.pem"
	CAKeyFile  = "ca-key.pem"
	GossipFile = "gossip.keys"
)

const (
	day    = 24 * time.Hour
	caDays = 3650
	// skew is how far back a certificate begins, for machines whose clocks differ.
	skew = time.Hour
	// keyType is how a private key is called in PEM.
	keyType = "PRIVATE KEY"
)

// Set says what [Init] makes.
type Set struct {
	Dir     string
	Cluster string
	Nodes   []string // ids
	Hosts   []string // names and IP addresses by which clients reach any of the nodes
	Days    int      // that the certificates of the nodes are good for
}

// Init makes an authority, a certificate for each node and a gossip key. An
// authority and gossip keys that are in the directory already are used and left as they are, so
// that nodes can be added; a file of one of the nodes is refused. It returns
// the names of the files that it has made. After an error nothing is left of
// them.
func Init(set Set) (made []string, err error) {
	name, err := NodeName(set.Cluster)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(set.Dir, 0o700); err != nil {
		return nil, err
	}
	for _, node := range set.Nodes {
		for _, file := range []string{node + ".pem", node + "-key.pem"} {
			if !missing(filepath.Join(set.Dir, file)) {
				return nil, fmt.Errorf("%s is there already, and nothing is overwritten: name another directory, or other nodes", filepath.Join(set.Dir, file))
			}
		}
	}
	w := &writer{dir: set.Dir}
	defer func() {
		if err != nil {
			w.remove()
			made = nil
		}
	}()
	ca, err := w.authority(set.Cluster)
	if err != nil {
		return nil, err
	}
	for _, node := range set.Nodes {
		if err := w.node(ca, node, name, set); err != nil {
			return nil, err
		}
	}
	if missing(filepath.Join(set.Dir, GossipFile)) {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		w.write(GossipFile, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600)
	}
	return w.made, w.err
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// writer writes new files until one cannot be written.
type writer struct {
	dir  string
	made []string
	err  error
}

func (w *writer) write(file string, data []byte, mode fs.FileMode) {
	if w.err != nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(w.dir, file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err == nil {
		w.made = append(w.made, file)
		_, err = f.Write(data)
		err = errors.Join(err, f.Close())
	}
	w.err = err
}

func (w *writer) remove() {
	for _, file := range w.made {
		_ = os.Remove(filepath.Join(w.dir, file)) // the error that counts is the first
	}
}

// authority is who signs.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// authority reads the authority of the directory. If there is none it makes one
// first.
func (w *writer) authority(cluster string) (*authority, error) {
	certPath, keyPath := filepath.Join(w.dir, CAFile), filepath.Join(w.dir, CAKeyFile)
	if missing(certPath) && missing(keyPath) {
		if err := w.newAuthority(cluster); err != nil {
			return nil, err
		}
	}
	certPEM, err := os.ReadFile(certPath)
	if err != nil {
		return nil, fmt.Errorf("an authority is %s with %s: %w", CAFile, CAKeyFile, err)
	}
	keyPEM, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, fmt.Errorf("an authority is %s with %s: %w", CAFile, CAKeyFile, err)
	}
	pair, err := parsePair(Paths{Cert: certPath, Key: keyPath}, certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is no authority that this command has made", certPath)
	}
	return &authority{pair.Leaf, key}, nil
}

func (w *writer) newAuthority(cluster string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := template("holdfast "+cluster+" authority", caDays)
	cert.IsCA, cert.BasicConstraintsValid, cert.MaxPathLenZero = true, true, true
	cert.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return w.pair(&authority{cert, key}, cert, key, CAFile, CAKeyFile)
}

// node makes the certificate of one node.
func (w *writer) node(ca *authority, node, name string, set Set) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := template(node, set.Days)
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert.DNSNames = []string{name, "localhost"}
	cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, host := range set.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, host)
		}
	}
	return w.pair(ca, cert, key, node+".pem", node+"-key.pem")
}

// pair signs a certificate and writes it with its key.
func (w *writer) pair(ca *authority, cert *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) error {
	signed, err := x509.CreateCertificate(rand.Reader, cert, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	w.write(certFile, encode("CERTIFICATE", signed), 0o644)
	w.write(keyFile, encode(keyType, private), 0o600)
	return w.err
}

func template(name string, days int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Holdfast"}, CommonName: name},
		NotBefore: now.Add(-skew), NotAfter: now.Add(time.Duration(days) * day),
	}
}

func encode(kind string, der []byte) []byte {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // a buffer takes everything
	return b.Bytes()
}
