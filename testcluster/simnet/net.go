package simnet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-cluster/holdfast/transport"
)

const (
	defaultDelay = time.Millisecond      // one way, between two hosts
	selfDelay    = 50 * time.Microsecond // a host to itself; zero would let a busy loop stop fake time
	delayMin     = time.Microsecond

	portFirst = 20000 // allotted ports
	portLast  = 65535
)

// link is one direction between two hosts, by name.
type link struct{ from, to string }

// Net is a simulated network. All methods may be called from any goroutine;
// those that name hosts panic on a name that no Host call has made, as a
// misspelt fault would make a test pass for nothing.
type Net struct {
	mu     sync.Mutex
	rng    *rand.Rand
	closed bool
	hosts  map[string]*host // by name
	byIP   map[string]*host
	names  map[string][]string // extra DNS names
	cut    map[link]bool
	delay  map[link]time.Duration
	loss   map[link]float64
	conns  []*conn // open ends, in the order they were made
	topo   signal  // links or hosts changed
}

// New returns a network without hosts. The seed decides which packets are lost.
func New(seed int64) *Net {
	return &Net{
		rng:   rand.New(rand.NewPCG(uint64(seed), 0)),
		hosts: make(map[string]*host),
		byIP:  make(map[string]*host),
		names: make(map[string][]string),
		cut:   make(map[link]bool),
		delay: make(map[link]time.Duration),
		loss:  make(map[link]float64),
	}
}

// host is one machine.
type host struct {
	net      *Net
	name, ip string
	down     bool
	nextPort int
	tcp      map[int]*listener
	udp      map[int]*packetConn
}

// Host returns the network as the host of that name sees it. The first call
// for a name makes the host; ip is its address and, like the name, its own.
// The name also resolves, as if it were in the DNS.
func (n *Net) Host(name, ip string) transport.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[name]; h != nil {
		if h.ip != ip {
			panic(fmt.Sprintf("simnet: host %q has address %s, not %s", name, h.ip, ip))
		}
		return h
	}
	if h := n.byIP[ip]; h != nil || net.ParseIP(ip) == nil {
		panic(fmt.Sprintf("simnet: host %q: %q is not an IP address, or taken", name, ip))
	}
	h := &host{
		net: n, name: name, ip: ip, nextPort: portFirst,
		tcp: make(map[int]*listener), udp: make(map[int]*packetConn),
	}
	n.hosts[name], n.byIP[ip] = h, h
	return h
}

// DNS makes a name resolve to these IP addresses, on all hosts, in place of
// what it resolved to before; without addresses it is not found.
func (n *Net) DNS(name string, ips ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = slices.Clone(ips)
}

// Close ends the network: each listener, connection and blocked call fails
// with net.ErrClosed.
func (n *Net) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, h := range n.sortedHosts() {
		h.closeAll()
	}
	for _, c := range slices.Clone(n.conns) {
		c.close()
	}
	n.topo.wake()
	return nil
}

// sortedHosts returns the hosts by name.
func (n *Net) sortedHosts() []*host {
	out := make([]*host, 0, len(n.hosts))
	for _, h := range n.hosts {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *host) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return out
}

// closeAll closes the host's listeners and sockets.
func (h *host) closeAll() {
	for _, l := range h.tcp {
		l.close()
	}
	for _, p := range h.udp {
		p.close()
	}
}

// named returns the host of that name.
func (n *Net) named(name string) *host {
	h := n.hosts[name]
	if h == nil {
		panic(fmt.Sprintf("simnet: no host %q", name))
	}
	return h
}

// isCut reports whether bytes from a do not reach b.
func (n *Net) isCut(a, b *host) bool { return n.cut[link{a.name, b.name}] }

// delayOf is the time that bytes take from a to b.
func (n *Net) delayOf(a, b *host) time.Duration {
	if d, ok := n.delay[link{a.name, b.name}]; ok {
		return d
	}
	if a == b {
		return selfDelay
	}
	return defaultDelay
}

// allot returns a port of the host that is free for both TCP and UDP.
func (h *host) allot() (int, error) {
	for range portLast - portFirst + 1 {
		p := h.nextPort
		if h.nextPort++; h.nextPort > portLast {
			h.nextPort = portFirst
		}
		if h.tcp[p] == nil && h.udp[p] == nil {
			return p, nil
		}
	}
	return 0, fmt.Errorf("host %s has no free port", h.name)
}

// isLocal reports whether a host part means this host itself.
func (h *host) isLocal(ip string) bool {
	parsed := net.ParseIP(ip)
	return ip == "" || ip == h.ip || ip == "localhost" || parsed != nil && (parsed.IsUnspecified() || parsed.IsLoopback())
}

// split parses "host:port".
func split(addr string) (string, int, error) {
	hostPart, portPart, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.Atoi(portPart)
	if err != nil || port < 0 || port > portLast {
		return "", 0, &net.AddrError{Err: "port is not a number in 0..65535", Addr: addr}
	}
	return hostPart, port, nil
}

// bindPort checks an address to bind and returns its port, allotted if 0.
func (h *host) bindPort(addr string) (int, error) {
	ip, port, err := split(addr)
	if err != nil {
		return 0, err
	}
	switch {
	case h.net.closed:
		return 0, net.ErrClosed
	case h.down:
		return 0, errDown
	case !h.isLocal(ip):
		return 0, errNotOurs
	case port == 0:
		return h.allot()
	}
	return port, nil
}

// lookup returns the addresses of a name or IP address, as host h sees it.
func (h *host) lookup(name string) ([]string, error) {
	n := h.net
	if h.isLocal(name) {
		return []string{h.ip}, nil
	}
	if net.ParseIP(name) != nil {
		return []string{name}, nil
	}
	if ips := n.names[name]; len(ips) > 0 {
		return slices.Sorted(slices.Values(ips)), nil
	}
	if other, ok := n.hosts[name]; ok {
		return []string{other.ip}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}
