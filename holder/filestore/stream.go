package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// bufferBytes is how much is read, hashed and written at a time.
const bufferBytes = 1 << 20

// copyBytes reads src to its end into dst, hands each piece to each as well
// (nil = nobody), and stops between two pieces when ctx ends.
func copyBytes(ctx context.Context, dst io.Writer, src io.Reader, each func([]byte) error) (n int64, err error) {
	buf := make([]byte, bufferBytes)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		got, readErr := src.Read(buf)
		if got > 0 {
			if _, err := dst.Write(buf[:got]); err != nil {
				return n, err
			}
			n += int64(got)
			if each != nil {
				if err := each(buf[:got]); err != nil {
					return n, err
				}
			}
		}
		if errors.Is(readErr, io.EOF) {
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
	}
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
