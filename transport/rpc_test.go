package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
	"github.com/holdfast-cluster/holdfast/transport"
)

// serveRPC runs ServeRPC on a node until the test ends or the returned
// function is called, which waits for it.
func serveRPC(t *testing.T, n *node, h transport.RPCHandler) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	l := n.Accept(transport.KindRPC)
	go func() { ended <- transport.ServeRPC(ctx, l, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ServeRPC: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Calls bring back the handler's answer or its error with code and text, the
// handler knows its caller, and requests above the limit do not leave.
func TestCall(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		serveRPC(t, b, func(_ context.Context, peer transport.Identity, method string, body []byte) ([]byte, error) {
			switch method {
			case "echo":
				return append([]byte(peer.Node+":"), body...), nil
			case "coded":
				return nil, fmt.Errorf("wrapped: %w", &transport.RPCError{Code: "not-leader", Detail: "ask n2"})
			case "huge":
				return make([]byte, transport.RPCBodyMax+1), nil
			}
			return nil, errors.New("no method " + method)
		})
		call := func(method string, body []byte) ([]byte, error) {
			return transport.Call(t.Context(), a.Mux, b.AdvertiseAddr(), method, body)
		}
		big := bytes.Repeat([]byte("x"), transport.RPCBodyMax-2)
		for _, body := range [][]byte{nil, []byte("hi"), big} {
			got, err := call("echo", body)
			if err != nil || string(got) != "a:"+string(body) {
				t.Errorf("echo of %d bytes: got %d bytes, %v", len(body), len(got), err)
			}
		}
		for method, want := range map[string]transport.RPCError{
			"coded": {Code: "not-leader", Detail: "ask n2"},
			"other": {Code: transport.RPCCodeFailed, Detail: "no method other"},
			"huge":  {Code: transport.RPCCodeTooLarge, Detail: "answer of 4194305 bytes: at most 4194304 are sent"},
		} {
			_, err := call(method, nil)
			if got, ok := errors.AsType[*transport.RPCError](err); !ok || *got != want {
				t.Errorf("%s: got %v, want %v", method, err, &want)
			}
		}
		if _, err := call("echo", make([]byte, transport.RPCBodyMax+1)); err == nil || !strings.Contains(err.Error(), "at most 4194304") {
			t.Errorf("request too large: got %v", err)
		}
		stranger := start(t, p, transport.Identity{ClusterName: "prod", Node: "s"}, nil)
		_, err := transport.Call(t.Context(), stranger.Mux, b.AdvertiseAddr(), "echo", nil)
		wantRefused(t, err, transport.CodeWrongClusterName)
	})
}

// rpcBubble runs f in a bubble with two nodes, a and b.
func rpcBubble(t *testing.T, f func(t *testing.T, n *simnet.Net, a, b *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		t.Cleanup(func() { n.Close() })
		p := place{
			network: func(h string) transport.Network {
				return n.Host(h, map[string]string{"a": "10.0.0.1", "b": "10.0.0.2"}[h])
			},
			listen: func(string) string { return ":7400" },
		}
		adv := func(c *transport.Config) { c.Advertise = c.Identity().Node + ":7400" }
		a, b := start(t, p, identity("a"), adv), start(t, p, identity("b"), adv)
		f(t, n, a, b)
	})
}

// The caller's deadline ends the call and the handler's context at the same
// moment, give or take the way; without one both end at RPCTimeoutMax.
func TestCallDeadline(t *testing.T) {
	for _, limit := range []time.Duration{3 * time.Second, 0} {
		rpcBubble(t, func(t *testing.T, _ *simnet.Net, a, b *node) {
			ended := make(chan time.Time, 1)
			serveRPC(t, b, func(ctx context.Context, _ transport.Identity, _ string, _ []byte) ([]byte, error) {
				<-ctx.Done()
				ended <- time.Now()
				time.Sleep(time.Second)
				return nil, ctx.Err()
			})
			ctx, want := t.Context(), transport.RPCTimeoutMax
			if limit > 0 {
				want = limit
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			begun := time.Now()
			_, err := transport.Call(ctx, a.Mux, b.AdvertiseAddr(), "wait", nil)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != want {
				t.Errorf("got %v after %v, want deadline exceeded after %v", err, time.Since(begun), want)
			}
			if late := (<-ended).Sub(begun) - want; late < 0 || late > 5*time.Millisecond {
				t.Errorf("the handler's context ended %v after the caller's", late)
			}
		})
	}
}

// In a partition a call ends with its context, and not as an answer.
func TestCallInPartition(t *testing.T) {
	rpcBubble(t, func(t *testing.T, n *simnet.Net, a, b *node) {
		entered := make(chan struct{})
		serveRPC(t, b, func(ctx context.Context, _ transport.Identity, _ string, _ []byte) ([]byte, error) {
			close(entered)
			return []byte("done"), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go func() {
			<-entered
			n.Cut("a", "b")
		}()
		_, err := transport.Call(ctx, a.Mux, b.AdvertiseAddr(), "x", nil)
		if _, answered := errors.AsType[*transport.RPCError](err); !errors.Is(err, context.DeadlineExceeded) || answered {
			t.Errorf("got %v, want deadline exceeded", err)
		}
	})
}

// At most 256 handlers run at a time; further calls wait and are then served.
func TestHandlersAreBounded(t *testing.T) {
	rpcBubble(t, func(t *testing.T, _ *simnet.Net, a, b *node) {
		var running, most atomic.Int32
		serveRPC(t, b, func(ctx context.Context, _ transport.Identity, _ string, _ []byte) ([]byte, error) {
			now := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			time.Sleep(time.Second)
			return nil, nil
		})
		var calls sync.WaitGroup
		for range 400 {
			calls.Go(func() {
				if _, err := transport.Call(t.Context(), a.Mux, b.AdvertiseAddr(), "x", nil); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if got := most.Load(); got != 256 {
			t.Errorf("got %d handlers at a time, want 256", got)
		}
	})
}

// The end of the server's context ends its handlers' contexts and half-sent
// requests, and ServeRPC returns only after the handlers.
func TestServeRPCEnds(t *testing.T) {
	rpcBubble(t, func(t *testing.T, _ *simnet.Net, a, b *node) {
		var returned atomic.Bool
		entered := make(chan struct{})
		stop := serveRPC(t, b, func(ctx context.Context, _ transport.Identity, _ string, _ []byte) ([]byte, error) {
			close(entered)
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond)
			returned.Store(true)
			return []byte("goodbye"), nil
		})
		half, err := a.Dial(t.Context(), transport.KindRPC, b.AdvertiseAddr())
		if err != nil {
			t.Fatal(err)
		}
		half.Write([]byte{0, 0})
		answered := make(chan error)
		go func() {
			got, err := transport.Call(t.Context(), a.Mux, b.AdvertiseAddr(), "x", nil)
			if err == nil && string(got) != "goodbye" {
				err = fmt.Errorf("got %q", got)
			}
			answered <- err
		}()
		<-entered
		begun := time.Now()
		stop()
		if !returned.Load() {
			t.Error("ServeRPC returned before its handler")
		}
		if d := time.Since(begun); d > 2*time.Second {
			t.Errorf("took %v to end, with a half-sent request open", d)
		}
		if err := <-answered; err != nil {
			t.Errorf("the running call: %v", err)
		}
		if _, err := transport.Call(t.Context(), a.Mux, b.AdvertiseAddr(), "x", nil); err == nil {
			t.Error("a call after the end was answered")
		}
	})
}

// HTTP requests stream over the node port in both directions, the server sees
// who asks, connections are reused, and idle ones can be closed.
func TestHTTP(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		a, b := start(t, p, identity("a"), nil), start(t, p, identity("b"), nil)
		type connKey struct{}
		var conns atomic.Int32
		srv := &http.Server{
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				conns.Add(1)
				return context.WithValue(ctx, connKey{}, c)
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				peer, _ := transport.PeerOf(r.Context().Value(connKey{}).(net.Conn))
				w.Header().Set("Peer", peer.Node)
				if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
					t.Error(err)
				}
				io.Copy(w, r.Body)
			}),
		}
		served := make(chan error, 1)
		l := b.Accept(transport.KindHTTP)
		go func() { served <- srv.Serve(l) }()
		tr := a.HTTPTransport(transport.KindHTTP)
		client := &http.Client{Transport: tr}
		body := bytes.Repeat([]byte("0123456789abcdef"), 3<<16)
		for range 3 {
			resp, err := client.Post("http://"+b.AdvertiseAddr()+"/echo", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) || resp.Header.Get("Peer") != "a" {
				t.Fatalf("got %d bytes from peer %q, %v", len(got), resp.Header.Get("Peer"), err)
			}
		}
		if got := conns.Load(); got != 1 {
			t.Errorf("three requests took %d connections, want 1", got)
		}
		resp, err := (&http.Client{Transport: a.HTTPTransport(transport.KindPull)}).Get("http://" + b.AdvertiseAddr())
		if err == nil {
			resp.Body.Close()
			t.Error("a kind without listener answered")
		} else {
			wantRefused(t, err, transport.CodeKindRefused)
		}
		tr.CloseIdleConnections()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("idle connections are still open: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}
