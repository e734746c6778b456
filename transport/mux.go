package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Limits of the port.
const (
	defaultTimeout = 5 * time.Second // for a dial with its handshake, and for an accepted handshake
	handshakesMax  = 1024            // unfinished accepted handshakes; beyond it the oldest is cut off
	queueMax       = 1024            // accepted streams of one kind that nobody has taken yet
	bindAttempts   = 16              // port 0: TCP ports tried until UDP has the same one free
)

// ErrUnsecured marks the errors of streams that [Wrap] did not let come about.
var ErrUnsecured = errors.New("the stream cannot be secured")

// Wrap puts something, such as TLS, between the network and the handshake.
// Both functions may be nil, which means: nothing. Their input and output on
// the connection fails when the time for the handshake is over.
type Wrap struct {
	ServerConn func(net.Conn) (net.Conn, error)
	ClientConn func(conn net.Conn, addr string) (net.Conn, error)
}

// Config says what a Mux needs.
type Config struct {
	// Network is where the bytes go. Default: System().
	Network Network
	// Listen is the node port's address, "host:port". Port 0: any free port.
	Listen string
	// Advertise is the address that others reach it by. Default: the bound
	// address; required when Listen has no host of its own (0.0.0.0, ::, or
	// none). Port 0 stands for the bound port.
	Advertise string
	// Identity returns who this node is at the moment. It is called for each
	// handshake, from many goroutines, and must not block. Required.
	Identity func() Identity
	// Admit is asked about each accepted stream once the built-in checks
	// (version, cluster name and id, instance) have passed; nil from it lets the
	// stream in. It is called from many goroutines and must not block.
	// Default: everybody is let in.
	Admit func(kind Kind, peer Identity) *Refused
	// Vet is asked about each accepted stream before the built-in checks of its
	// cluster; nil from it leaves it to them. It is called as Admit is.
	// Default: all is left to them.
	Vet func(peer Identity) *Refused
	// OnTurnedAway hears of each refusal that another node answers a dial with.
	// It is called from many goroutines and must not block. Default: nobody.
	OnTurnedAway func(r *Refused)
	// Wrap puts TLS under the streams. Default: plain.
	Wrap Wrap
	// OnRefused hears of each incoming stream that was not let in, with the
	// remote address, and of errors of the port itself, with its own. It is
	// called from many goroutines and must not block. Default: nobody hears.
	OnRefused func(peerAddr string, err error)
	// Timeout bounds a dial with its handshake, and an accepted handshake.
	// Default: 5 s.
	Timeout time.Duration
}

// validate fills in the defaults and refuses what cannot work.
func (c *Config) validate() error {
	if c.Network == nil {
		c.Network = System()
	}
	if c.Identity == nil {
		return errors.New("transport: Config.Identity is missing")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < 0 {
		return fmt.Errorf("transport: Config.Timeout %s is negative", c.Timeout)
	}
	if c.Vet == nil {
		c.Vet = func(Identity) *Refused { return nil }
	}
	if c.OnTurnedAway == nil {
		c.OnTurnedAway = func(*Refused) {}
	}
	if c.OnRefused == nil {
		c.OnRefused = func(string, error) {}
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen address %q is not host:port: %w", c.Listen, err)
	}
	if c.Advertise == "" {
		if unspecified(host) {
			return fmt.Errorf("listen address %q cannot be reached by that name: say which address to advertise", c.Listen)
		}
		return nil
	}
	host, _, err = net.SplitHostPort(c.Advertise)
	if err != nil {
		return fmt.Errorf("advertise address %q is not host:port: %w", c.Advertise, err)
	}
	if unspecified(host) {
		return fmt.Errorf("advertise address %q cannot be reached by others: name a host or an IP address", c.Advertise)
	}
	return nil
}

func unspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// Mux is a node's port: it tells incoming streams apart by their handshake,
// hands them out by kind, and dials other nodes. It keeps track of each
// stream, accepted or dialed, until the stream is closed.
type Mux struct {
	cfg     Config
	process string
	done    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // the handshakes

	mu        sync.Mutex
	tcp       net.Listener
	udp       net.PacketConn
	advertise string
	started   bool
	listeners map[Kind]*listener
	streams   map[net.Conn]Kind // open ones, by the conn of the Network; kind 0 during the handshake
	pending   []net.Conn        // accepted, handshake not finished, oldest first
}

// New checks the configuration. It binds and starts nothing.
func New(cfg Config) (*Mux, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	done, end := context.WithCancel(context.Background())
	return &Mux{
		cfg:       cfg,
		process:   rand.Text(),
		done:      done,
		end:       end,
		listeners: make(map[Kind]*listener),
		streams:   make(map[net.Conn]Kind),
	}, nil
}

// Bind binds TCP and UDP on the listen address. After it Addr, AdvertiseAddr,
// PacketConn and Dial work; nothing is accepted before Run. Who binds and does
// not Run must Close.
func (m *Mux) Bind() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done.Err() != nil {
		return fmt.Errorf("bind %s: %w", m.cfg.Listen, net.ErrClosed)
	}
	if m.tcp != nil {
		return fmt.Errorf("bind %s: already bound", m.cfg.Listen)
	}
	tcp, udp, err := bindBoth(m.cfg.Network, m.cfg.Listen)
	if err != nil {
		return err
	}
	bound := tcp.Addr().String()
	m.advertise = bound
	if m.cfg.Advertise != "" {
		host, port, _ := net.SplitHostPort(m.cfg.Advertise) // checked by validate
		if port == "0" || port == "" {
			_, port, _ = net.SplitHostPort(bound)
		}
		m.advertise = net.JoinHostPort(host, port)
	}
	m.tcp, m.udp = tcp, udp
	return nil
}

// bindBoth binds TCP and UDP on one port. With port 0 the port that TCP got
// may be taken in UDP, and it tries another one.
func bindBoth(network Network, addr string) (net.Listener, net.PacketConn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, fmt.Errorf("listen address %q is not host:port: %w", addr, err)
	}
	for attempt := 1; ; attempt++ {
		tcp, err := network.Listen(addr)
		if err != nil {
			return nil, nil, bindError("TCP", addr, err)
		}
		_, got, err := net.SplitHostPort(tcp.Addr().String())
		if err != nil {
			tcp.Close()
			return nil, nil, bindError("TCP", addr, err)
		}
		udp, err := network.ListenPacket(net.JoinHostPort(host, got))
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		again := port == "0" && errors.Is(err, syscall.EADDRINUSE) && attempt < bindAttempts
		if !again {
			return nil, nil, bindError("UDP", net.JoinHostPort(host, got), err)
		}
	}
}

func bindError(proto, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s address %s is in use: stop the process that has it, or listen on another address: %w", proto, addr, err)
	}
	return fmt.Errorf("bind %s address %s: %w", proto, addr, err)
}

// Addr returns the bound address, or nil before Bind.
func (m *Mux) Addr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tcp == nil {
		return nil
	}
	return m.tcp.Addr()
}

// AdvertiseAddr returns the address that others reach this node by, or "" before Bind.
func (m *Mux) AdvertiseAddr() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.advertise
}

// PacketConn returns the UDP socket, or nil before Bind. The Mux closes it
// when it ends.
func (m *Mux) PacketConn() net.PacketConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.udp
}

// SendPacket sends one packet to "host:port". A name instead of an IP address
// is looked up each time.
func (m *Mux) SendPacket(ctx context.Context, b []byte, addr string) error {
	udp := m.PacketConn()
	if udp == nil {
		return fmt.Errorf("packet to %s: port not bound", addr)
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		all, err := m.cfg.Network.Resolve(ctx, addr)
		if err != nil {
			return fmt.Errorf("packet to %s: %w", addr, err)
		}
		if len(all) == 0 {
			return fmt.Errorf("packet to %s: the name has no address", addr)
		}
		if ap, err = netip.ParseAddrPort(all[0]); err != nil {
			return fmt.Errorf("packet to %s: %w", addr, err)
		}
	}
	if _, err := udp.WriteTo(b, net.UDPAddrFromAddrPort(ap)); err != nil {
		return fmt.Errorf("packet to %s: %w", addr, err)
	}
	return nil
}

// identity returns who this node is at the moment.
func (m *Mux) identity() Identity {
	id := m.cfg.Identity()
	if id.Process == "" {
		id.Process = m.process
	}
	return id
}
