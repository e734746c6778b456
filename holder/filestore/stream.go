package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// bufferBytes is how much is read and written at a time, unless the source
// ends: few, large writes that may go past the page cache.
const bufferBytes = 1 << 20

// buffers is how many pieces are under way between reading and hashing.
const buffers = 4

// pour reads src to its end. Each piece goes to write and then into sum, while
// the next ones are read: reading, writing and hashing cost about the same, and
// in turn they would take three times as long. When pour returns, sum has taken
// exactly the pieces that write took without an error; n counts their bytes.
func pour(ctx context.Context, src io.Reader, sum io.Writer, write func([]byte) error) (n int64, err error) {
	free, read, written := make(chan []byte, buffers), make(chan []byte, buffers), make(chan []byte, buffers)
	failed, hashed := make(chan struct{}), make(chan struct{})
	for range buffers {
		free <- alignedBuffer()
	}
	var writeErr error
	go func() {
		defer close(written)
		for piece := range read {
			if writeErr = write(piece); writeErr != nil {
				close(failed)
				return
			}
			n += int64(len(piece))
			written <- piece
		}
	}()
	go func() {
		defer close(hashed)
		for piece := range written {
			sum.Write(piece) //nolint:errcheck // a hash does not fail
			free <- piece[:bufferBytes]
		}
	}()
	readErr := readPieces(ctx, src, free, read, failed)
	close(read)
	<-hashed
	return n, errors.Join(writeErr, readErr)
}

// readPieces fills free buffers until src ends, or writing has failed. No
// channel is fuller than there are buffers, so sending never waits.
func readPieces(ctx context.Context, src io.Reader, free <-chan []byte, read chan<- []byte, failed <-chan struct{}) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var buf []byte
		select {
		case buf = <-free:
		case <-failed:
			return nil
		}
		got, err := readPiece(src, buf)
		if got > 0 {
			read <- buf[:got]
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readPiece reads until buf is full, or src ends or fails.
func readPiece(src io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var got int
		got, err = src.Read(buf[n:])
		n += got
	}
	return n, err
}

// writebackBytes is how much may be dirty before the disk is told to begin.
const writebackBytes = 8 << 20

// steady writes to a file at the disk's pace, so that the sync at the end is
// short and does not hold up the syncs of the log on the same disk.
type steady struct {
	file *os.File
	// past sends what is aligned for it past the page cache: that saves a copy
	// of each byte, and a large content pushes nothing out of memory. A file
	// system that knows no such thing turns it off.
	past   bool
	direct bool // the file is set so at present
	dirty  int64
}

// Write writes b behind what is there.
func (s *steady) Write(b []byte) (int, error) {
	if err := s.choose(b); err != nil {
		return 0, err
	}
	n, err := s.file.Write(b)
	if s.direct && n == 0 && errors.Is(err, syscall.EINVAL) {
		s.past = false // its blocks are larger than ours
		return s.Write(b)
	}
	if s.direct {
		return n, err
	}
	if s.dirty += int64(n); s.dirty >= writebackBytes {
		s.dirty = 0
		startWriteback(s.file)
	}
	return n, err
}

// choose sets whether the next write, of b, goes past the page cache.
func (s *steady) choose(b []byte) error {
	if !s.past && !s.direct {
		return nil
	}
	want := s.past && aligned(b)
	if want {
		at, err := s.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		want = at%blockBytes == 0
	}
	if want == s.direct {
		return nil
	}
	if err := setDirect(s.file, want); err != nil {
		if want {
			s.past = false
			return nil
		}
		return err
	}
	s.direct = want
	return nil
}

// blockBytes is what writes past the page cache are multiples of, in memory
// and in the file.
const blockBytes = 4 << 10

// alignedBuffer returns a buffer that begins at a multiple of blockBytes.
func alignedBuffer() []byte {
	b := make([]byte, bufferBytes+blockBytes)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % blockBytes
	return b[skip : skip+bufferBytes : skip+bufferBytes]
}

func aligned(b []byte) bool {
	return len(b)%blockBytes == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%blockBytes == 0
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
