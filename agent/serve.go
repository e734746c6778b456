package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of the HTTP ports, beside those of conns.go and of server.Limits. There is
// none of the time that a whole request may take: contents are large, and
// readers wait for news.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	headerBytesMax = 64 << 10
)

// service is an http.Server together with what its end has to wait for: the
// requests that its handler still answers.
type service struct {
	name  string
	http  *http.Server
	conns *conns
	end   context.CancelFunc // ends the contexts of all requests
	// release ends those of requests that only wait for news.
	waiting context.Context
	release context.CancelFunc

	mu     sync.Mutex
	closed bool
	open   sync.WaitGroup // requests
	done   chan struct{}  // serve has returned
}

// newService returns a service that does nothing until serve. Port is its name
// in metrics.
func newService(name, port string, m *meter, handler http.Handler) *service {
	base, end := context.WithCancel(context.Background())
	s := &service{name: name, conns: newConns(m, port), end: end, done: make(chan struct{})}
	s.waiting, s.release = context.WithCancel(base)
	s.http = &http.Server{
		Handler:     s.counted(handler),
		BaseContext: func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:   func(c net.Conn, state http.ConnState) { s.conns.state(c, state) },
		// net/http's own answer to OPTIONS * waits for a body, however long.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMax,
	}
	return s
}

// connKey is where the context of a request has its connection.
type connKey struct{}

// counted lets the end of the service wait for its requests. A connection that
// no handler is at may go: net/http calls it active for as long as it waits for
// a body that no handler wanted.
func (s *service) counted(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			panic(http.ErrAbortHandler) // the connection is being closed
		}
		s.open.Add(1)
		s.mu.Unlock()
		defer s.open.Done()
		if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			defer s.conns.state(c, http.StateIdle)
		}
		if waitsForNews(r) {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(s.waiting, cancel)()
			r = r.WithContext(ctx)
		}
		handler.ServeHTTP(w, r)
	})
}

// waitsForNews tells whether a request may take long without doing anything:
// an event stream or a blocking read.
func waitsForNews(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/v1/events" || r.URL.Query().Has("wait"))
}

// serve serves a listener, with over put on its streams, until the service or the
// listener is closed. Only the listener's failure is an error. It is called once.
func (s *service) serve(ln net.Listener, over func(net.Listener) net.Listener) error {
	defer close(s.done)
	err := s.http.Serve(over(guarded{ln, s.conns}))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// drain takes no new request, lets go those that wait for news, and waits for
// the others, no longer than patience.
func (s *service) drain(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.release()
	_ = s.http.Shutdown(ctx) // what is left is cut off by stop
}

// stop ends everything at once and waits for it. It must follow serve.
func (s *service) stop() {
	s.end()
	_ = s.http.Close() // closing a listener that is closed is no error to us
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.open.Wait()
	<-s.done
}
