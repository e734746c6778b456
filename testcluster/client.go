package testcluster

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/holdfast-cluster/holdfast/api/client"
)

// Client returns a client of the HTTP API that asks these nodes, in this
// order; without any, all that there are. It calls from outside the cluster:
// partitions do not hinder it. It ends with the test.
func (c *Cluster) Client(nodes ...int) *client.Client {
	c.t.Helper()
	if len(nodes) == 0 {
		nodes = c.Nodes()
	}
	addrs := make([]string, len(nodes))
	for k, i := range nodes {
		addrs[k] = "http://" + nodeIP(c.member(i).number) + httpPort
	}
	api, err := client.New(addrs, client.WithHTTPClient(&http.Client{Transport: c.transport()}))
	if err != nil {
		c.t.Fatalf("testcluster: Client: %v", err)
	}
	return api
}

// transport returns a transport whose idle connections are closed at the end.
func (c *Cluster) transport() *http.Transport {
	tr := &http.Transport{DialContext: c.dial}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.https = append(c.https, tr)
	return tr
}

// dial connects to a node from the host of its clients.
func (c *Cluster) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	for _, m := range c.all() {
		if strings.HasPrefix(addr, nodeIP(m.number)+":") {
			return c.net.Host(m.client, clientIP(m.number)).Dial(ctx, addr)
		}
	}
	return nil, &net.AddrError{Err: "no node has that address", Addr: addr}
}
