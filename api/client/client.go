package client

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultRetry is how long a call goes on trying when [WithRetry] says
// nothing.
const DefaultRetry = 15 * time.Second

// Client talks to one cluster. Build it with [New].
type Client struct {
	addrs []*url.URL
	first atomic.Int64 // index of the address that answered last
	http  *http.Client
	token string
	tls   *tls.Config
	retry time.Duration
}

// Option changes how a [Client] works.
type Option func(*Client)

// WithToken sends a bearer token with every request.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// WithHTTPClient sends the requests through h, whose Timeout must be 0: it
// would cut blocking reads and event streams.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithTLS says how to speak to https addresses: which authorities to trust,
// above all. Default: those of the system. It does nothing beside [WithHTTPClient].
func WithTLS(cfg *tls.Config) Option { return func(c *Client) { c.tls = cfg } }

// WithRetry bounds how long a call goes on trying after connection errors and
// without a leader; 0 = each address is tried once. Default [DefaultRetry].
func WithRetry(d time.Duration) Option { return func(c *Client) { c.retry = d } }

// New returns a client for the nodes at addrs, such as
// "http://127.0.0.1:7401". It connects to nothing yet.
func New(addrs []string, opts ...Option) (*Client, error) {
	c := &Client{retry: DefaultRetry}
	for _, a := range addrs {
		u, err := parseAddr(a)
		if err != nil {
			return nil, err
		}
		c.addrs = append(c.addrs, u)
	}
	if len(c.addrs) == 0 {
		return nil, errors.New("no address given: name at least one node, such as http://127.0.0.1:7401")
	}
	for _, o := range opts {
		o(c)
	}
	if c.http == nil {
		c.http = &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSClientConfig:     c.tls,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     90 * time.Second,
		}}
	}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseAddr(a string) (*url.URL, error) {
	s := strings.TrimSpace(a)
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("address %q is not of the form http://host:port", a)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// NewKey returns a random idempotency key.
func NewKey() string { return rand.Text() }
