package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// bufferBytes is how much is read and written at a time, and pieceBytes how
// much at least, unless the source ends: fewer, larger writes.
const (
	bufferBytes = 1 << 20
	pieceBytes  = 256 << 10
)

// pour reads src to its end. Each piece goes to write, and into sum while the
// next is read, because the hash is the slowest part. When pour returns, sum
// has taken exactly the pieces that write took without an error; n counts them.
func pour(ctx context.Context, src io.Reader, sum io.Writer, write func([]byte) error) (n int64, err error) {
	free, full, hashed := make(chan []byte, 3), make(chan []byte, 3), make(chan struct{})
	for range cap(free) {
		free <- make([]byte, bufferBytes)
	}
	go func() {
		defer close(hashed)
		for piece := range full {
			sum.Write(piece) //nolint:errcheck // a hash does not fail
			free <- piece[:bufferBytes]
		}
	}()
	defer func() {
		close(full)
		<-hashed
	}()
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		buf := <-free
		got, readErr := readPiece(src, buf)
		if got > 0 {
			if err := write(buf[:got]); err != nil {
				return n, err
			}
			n += int64(got)
			full <- buf[:got]
		}
		if errors.Is(readErr, io.EOF) {
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
	}
}

// readPiece reads until buf holds a piece, or src ends or fails.
func readPiece(src io.Reader, buf []byte) (n int, err error) {
	for n < pieceBytes && err == nil {
		var got int
		got, err = src.Read(buf[n:])
		n += got
	}
	return n, err
}

// heard calls alive for each read that brought something.
type heard struct {
	io.Reader
	alive func()
}

// Read reads on.
func (h heard) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if n > 0 {
		h.alive()
	}
	return n, err
}

// stallGuard returns a context that ends when alive is not called for limit.
func stallGuard(parent context.Context, limit time.Duration) (ctx context.Context, alive, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("no byte came for %v", limit)) })
	alive = func() { timer.Reset(limit) }
	stop = func() {
		timer.Stop()
		cancel(nil)
	}
	return ctx, alive, stop
}

// orStall prefers the reason why ctx ended over what the ending broke.
func orStall(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
