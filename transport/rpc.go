package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Limits of rpc.
const (
	RPCBodyMax    = 4 << 20         // bytes of a request's or an answer's body
	RPCTimeoutMax = 5 * time.Minute // a call lasts no longer, and this long without a deadline

	rpcHandlersMax = 256              // calls handled at a time; further ones wait
	rpcReadTimeout = 10 * time.Second // for a request to arrive whole
	rpcSendTimeout = 10 * time.Second // for an answer to be taken
	rpcEndTimeout  = time.Second      // both, once the server's context has ended
)

// Codes of an RPCError that this package itself sends. Handlers use codes of their own.
const (
	RPCCodeFailed   = "failed"    // the handler returned an error without a code
	RPCCodeTooLarge = "too-large" // request or answer above RPCBodyMax
	RPCCodeInvalid  = "invalid"   // the request could not be read
)

// RPCError is the answer of a handler that refused or failed. Any other error
// from Call means that no answer came, so that the outcome is not known.
type RPCError struct {
	Code   string // for machines, at most 255 bytes
	Detail string // for people, at most 4096 bytes
}

// Error returns detail and code in one line.
func (e *RPCError) Error() string { return fmt.Sprintf("%s (%s)", e.Detail, e.Code) }

// RPCHandler answers one call. Its context ends with the caller's deadline and
// with the server's context. An *RPCError in the returned error's chain is sent
// as it is; any other error goes as code "failed" with its text.
type RPCHandler func(ctx context.Context, peer Identity, method string, body []byte) ([]byte, error)

// Call asks the node at addr to run method and returns the answer. Each call
// is a stream of its own. It lasts until ctx ends, at the latest RPCTimeoutMax.
// A refused stream is a *Refused, an error of the handler an *RPCError.
func Call(ctx context.Context, m *Mux, addr, method string, body []byte) ([]byte, error) {
	answer, err := call(ctx, m, addr, method, body)
	if err != nil {
		return nil, fmt.Errorf("rpc %s: %w", method, err)
	}
	return answer, nil
}

func call(ctx context.Context, m *Mux, addr, method string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, RPCTimeoutMax)
	defer cancel()
	conn, err := m.Dial(ctx, KindRPC, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	req, err := rpcRequest{method: method, timeout: time.Until(deadline), body: body}.encode()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err = conn.Write(req)
	var answer []byte
	if err == nil {
		answer, err = readRPCAnswer(conn)
	}
	if _, answered := errors.AsType[*RPCError](err); err != nil && !answered {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("no answer from %s: %w", addr, err)
	}
	return answer, err
}

// ServeRPC answers the calls that come in by l until ctx ends; then it closes
// l, lets the running handlers end (their contexts have), and returns nil. It
// returns an error if l breaks or is closed by others before that. At most 256
// handlers run at a time.
func ServeRPC(ctx context.Context, l net.Listener, handler RPCHandler) error {
	ctx, cancel := context.WithCancel(ctx)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	slots := make(chan struct{}, rpcHandlersMax)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			l.Close()
			return nil
		}
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("rpc: %w", err)
		}
		handlers.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			serveCall(ctx, conn, handler)
		})
	}
}

// serveCall reads one request, runs the handler and sends the answer. Errors
// of the connection have nobody to go to: the caller sees them at its end.
func serveCall(ctx context.Context, conn net.Conn, handler RPCHandler) {
	_ = conn.SetReadDeadline(time.Now().Add(rpcReadTimeout))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now().Add(rpcEndTimeout)) })
	defer stop()
	req, err := readRPCRequest(conn)
	var answer []byte
	if err == nil {
		answer, err = runHandler(ctx, conn, handler, req)
	}
	limit := rpcSendTimeout
	if ctx.Err() != nil {
		limit = rpcEndTimeout
	}
	_ = conn.SetWriteDeadline(time.Now().Add(limit))
	_, _ = conn.Write(encodeRPCAnswer(answer, err))
}

func runHandler(ctx context.Context, conn net.Conn, handler RPCHandler, req rpcRequest) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, req.timeout)
	defer cancel()
	peer, _ := PeerOf(conn)
	return handler(ctx, peer, req.method, req.body)
}
