package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-cluster/holdfast/cluster/gossip"
	"github.com/holdfast-cluster/holdfast/internal/secure"
	"github.com/holdfast-cluster/holdfast/transport"
)

// How often the files of certificates and keys are read again, and how long
// before its end a certificate is complained about, how often.
const (
	secureEvery   = 2 * time.Second
	expiresSoon   = 14 * 24 * time.Hour
	expiresRemind = 12 * time.Hour
)

// secured is what keeps the ports of an agent private. Fields are nil where a
// port is plain.
type secured struct {
	node, http *secure.Certificates
	keyFile    *secure.Keys
	keys       *gossip.Keys
}

// secure reads the certificates and keys that the config names.
func (c Config) secure() (secured, error) {
	var s secured
	var err error
	if c.TLS != (secure.Paths{}) {
		if s.node, err = secure.LoadNode(c.TLS, c.Cluster.Cluster); err != nil {
			return s, wrong("tls-cert", "%w", err)
		}
		s.http = s.node
	}
	if c.HTTPTLS != (secure.Paths{}) {
		if s.http, err = secure.LoadHTTP(c.HTTPTLS); err != nil {
			return s, wrong("http-tls-cert", "%w", err)
		}
	}
	keys := [][]byte{c.GossipKey}
	switch {
	case c.GossipKeyFile != "":
		if s.keyFile, err = secure.LoadKeys(c.GossipKeyFile); err != nil {
			return s, wrong("gossip-key-file", "%w", err)
		}
		keys = s.keyFile.All()
	case c.GossipKey == nil:
		return s, nil
	}
	if s.keys, err = gossip.NewKeys(keys...); err != nil {
		return s, wrong("gossip-key", "%w", err)
	}
	return s, nil
}

// validateSecurity refuses half of what TLS needs, and a second source of keys.
func (c Config) validateSecurity() error {
	for _, f := range []struct {
		name, value string
		beside      string // set if the value must be, too
	}{
		{"tls-ca", c.TLS.CA, c.TLS.Cert + c.TLS.Key},
		{"tls-cert", c.TLS.Cert, c.TLS.CA + c.TLS.Key},
		{"tls-key", c.TLS.Key, c.TLS.CA + c.TLS.Cert},
		{"http-tls-cert", c.HTTPTLS.Cert, c.HTTPTLS.Key},
		{"http-tls-key", c.HTTPTLS.Key, c.HTTPTLS.Cert},
	} {
		if f.value == "" && f.beside != "" {
			return wrong(f.name, "missing: the node port needs tls-ca, tls-cert and tls-key; an API of its own certificate http-tls-cert and http-tls-key")
		}
	}
	if c.GossipKey != nil && c.GossipKeyFile != "" {
		return wrong("gossip-key", "there is a gossip-key-file, too: give one of them")
	}
	if c.TLS != (secure.Paths{}) {
		if _, err := secure.NodeName(c.Cluster.Cluster); err != nil {
			return wrong("cluster", "%w", err)
		}
	}
	return nil
}

// wrap is TLS for the streams of the node port.
func (s secured) wrap() transport.Wrap {
	if s.node == nil {
		return transport.Wrap{}
	}
	return transport.Wrap{ServerConn: s.node.Accept, ClientConn: s.node.Dial}
}

// listen puts TLS on the API's port.
func (s secured) listen(ln net.Listener) net.Listener {
	if s.http == nil {
		return ln
	}
	return tls.NewListener(ln, s.http.HTTPS())
}

// plain puts nothing on a port: the node port's streams have their TLS already.
func plain(ln net.Listener) net.Listener { return ln }

// announced is the API's address as others are told of it.
func (s secured) announced(address string) string {
	if s.http == nil {
		return address
	}
	return "https://" + address
}

// follow re-reads the files until ctx ends: what is new in them comes into
// force, what is wrong is logged and changes nothing.
func (s secured) follow(ctx context.Context, log hclog.Logger) {
	ticker := time.NewTicker(secureEvery)
	defer ticker.Stop()
	var reminded time.Time
	for {
		if time.Since(reminded) >= expiresRemind {
			reminded = time.Now()
			s.remind(log)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.refresh(log) {
			reminded = time.Time{}
		}
	}
}

// refresh re-reads the files and returns whether a certificate has changed.
func (s secured) refresh(log hclog.Logger) (changed bool) {
	s.certificates(func(port string, c *secure.Certificates) {
		now, err := c.Refresh()
		changed = changed || now
		switch {
		case err != nil:
			log.Error("the new certificate cannot be used: the old one stays in force", "port", port, "error", err, "expires", c.Expires())
		case now:
			log.Info("new certificate in force", "port", port, "expires", c.Expires())
		}
	})
	if s.keyFile == nil {
		return changed
	}
	now, err := s.keyFile.Refresh()
	if now {
		err = s.keys.Set(s.keyFile.All()...)
	}
	switch {
	case err != nil:
		log.Error("the new gossip keys cannot be used: the old ones stay in force", "error", err)
	case now:
		log.Info("new gossip keys in force", "keys", len(s.keyFile.All()))
	}
	return changed
}

// remind complains about certificates that end soon.
func (s secured) remind(log hclog.Logger) {
	s.certificates(func(port string, c *secure.Certificates) {
		switch left := time.Until(c.Expires()); {
		case left <= 0:
			log.Error("the certificate has expired: put a new one in its file", "port", port, "expired", c.Expires())
		case left < expiresSoon:
			log.Warn("the certificate expires soon: put a new one in its file", "port", port, "expires", c.Expires())
		}
	})
}

// certificates calls do for each certificate once.
func (s secured) certificates(do func(port string, c *secure.Certificates)) {
	if s.node != nil {
		do("node", s.node)
	}
	if s.http != nil && s.http != s.node {
		do("http", s.http)
	}
}

// expiry registers a metric of each certificate's end.
func (m *meter) expiry(s secured) error {
	var err error
	s.certificates(func(port string, c *secure.Certificates) {
		err = m.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "holdfast", Name: "tls_certificate_expires_timestamp_seconds", Help: "When the certificate of a port expires, in seconds since 1970.",
			ConstLabels: prometheus.Labels{"port": port},
		}, func() float64 { return float64(c.Expires().Unix()) }))
	})
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// httpLog is where net/http complains. Handshakes that fail are no news: any
// stranger can make them.
type httpLog struct{ log hclog.Logger }

// Write logs one line.
func (h httpLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.HasPrefix(text, "http: TLS handshake error") {
		h.log.Debug(text)
	} else {
		h.log.Warn(text)
	}
	return len(line), nil
}
