package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Backoff of the accept loop while the machine is out of file descriptors or
// the like.
const (
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
)

// Run accepts streams until ctx ends, then closes the port, all listeners and
// all streams, and returns nil once its goroutines have ended. It returns an
// error if the port was not bound, is run twice, or breaks. A Mux runs once.
func (m *Mux) Run(ctx context.Context) error {
	m.mu.Lock()
	tcp := m.tcp
	again := m.started
	m.started = true
	m.mu.Unlock()
	if tcp == nil {
		return errors.New("transport: Run before Bind")
	}
	if again {
		return errors.New("transport: Run called twice")
	}
	stop := context.AfterFunc(ctx, m.shutdown)
	err := m.acceptLoop(ctx, tcp)
	stop()
	m.shutdown()
	m.running.Wait()
	return err
}

// Close ends the Mux as the end of Run's context does, but does not wait. It
// is for those who bind and then do not get to Run, and may be called often.
func (m *Mux) Close() error {
	m.shutdown()
	return nil
}

func (m *Mux) acceptLoop(ctx context.Context, tcp net.Listener) error {
	backoff := acceptBackoffMin
	for {
		raw, err := tcp.Accept()
		if err == nil {
			backoff = acceptBackoffMin
			m.begin(raw)
			continue
		}
		if ctx.Err() != nil || m.done.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("node port %s: %w", tcp.Addr(), err)
		}
		m.cfg.OnRefused(tcp.Addr().String(), fmt.Errorf("accept on the node port: %w", err))
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, acceptBackoffMax)
	}
}

// shutdown closes everything. It may be called often, from anywhere.
func (m *Mux) shutdown() {
	m.end()
	m.mu.Lock()
	tcp, udp := m.tcp, m.udp
	listeners := make([]*listener, 0, len(m.listeners))
	for _, l := range m.listeners {
		listeners = append(listeners, l)
	}
	m.mu.Unlock()
	if tcp != nil {
		tcp.Close()
		udp.Close()
	}
	for _, l := range listeners {
		l.Close()
	}
	m.closeStreams(func(Kind) bool { return true })
}

// CloseStreams closes all open streams of one kind, accepted and dialed: for
// a protocol that is about to be restarted in place.
func (m *Mux) CloseStreams(kind Kind) {
	m.closeStreams(func(k Kind) bool { return k == kind })
}

func (m *Mux) closeStreams(which func(Kind) bool) {
	m.mu.Lock()
	var conns []net.Conn
	for c, k := range m.streams {
		if which(k) {
			conns = append(conns, c)
			delete(m.streams, c)
		}
	}
	m.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// track notes an open stream. It returns false, and closes the stream, if the
// Mux has ended.
func (m *Mux) track(raw net.Conn, kind Kind) bool {
	m.mu.Lock()
	// Under the lock: shutdown ends m.done first and then closes what is noted.
	ended := m.done.Err() != nil
	if !ended {
		m.streams[raw] = kind
	}
	m.mu.Unlock()
	if ended {
		raw.Close()
	}
	return !ended
}

func (m *Mux) untrack(raw net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, raw)
}
