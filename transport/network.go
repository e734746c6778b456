package transport

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

// resolvedMax bounds how many addresses one name may stand for.
const resolvedMax = 64

// Network is where a node's bytes go: the machine's own network, or a
// simulated one in a test. Addresses are "host:port".
type Network interface {
	// Listen opens a TCP listener. Port 0 asks for any free port.
	Listen(addr string) (net.Listener, error)
	// ListenPacket opens a UDP socket. Port 0 asks for any free port.
	ListenPacket(addr string) (net.PacketConn, error)
	// Dial opens a TCP stream; it gives up when ctx ends.
	Dial(ctx context.Context, addr string) (net.Conn, error)
	// Resolve turns the name in addr into the addresses it stands for, each
	// with the port of addr, sorted. An IP address stands for itself.
	Resolve(ctx context.Context, addr string) ([]string, error)
}

// System returns the machine's own network. Its streams send small writes at
// once (no Nagle delay) and notice a vanished peer by TCP keepalive within
// about half a minute.
func System() Network { return system{} }

type system struct{}

// keepalive finds a dead peer after 10 s + 4 × 5 s of silence.
func keepalive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}
}

// Listen implements Network.
func (system) Listen(addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepalive()}
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return ln, nil
}

// ListenPacket implements Network.
func (system) ListenPacket(addr string) (net.PacketConn, error) {
	return net.ListenPacket("udp", addr)
}

// Dial implements Network.
func (system) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepalive()}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		// Go's default already, said here because raft's latency rests on it.
		if err := tcp.SetNoDelay(true); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Resolve implements Network with the machine's resolver.
func (system) Resolve(ctx context.Context, addr string) ([]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q is not host:port: %w", addr, err)
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	ips = ips[:min(len(ips), resolvedMax)]
	slices.Sort(ips)
	out := make([]string, 0, len(ips))
	for _, ip := range slices.Compact(ips) {
		out = append(out, net.JoinHostPort(ip, port))
	}
	return out, nil
}
