package authfile

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-cluster/holdfast/api/server"
)

// Poll is how often Run looks at the file: what is revoked works no longer.
const Poll = 2 * time.Second

// File is a list of tokens that follows its file. Make one with [Open].
type File struct {
	path string
	log  hclog.Logger
	list atomic.Pointer[List]
	last string // what was read last, and why it was refused, of Run
}

// Open reads a file, which must be good.
func Open(path string, log hclog.Logger) (*File, error) {
	f := &File{path: path, log: log}
	text, err := f.read()
	if err != nil {
		return nil, err
	}
	list, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.last = string(text)
	f.list.Store(list)
	return f, nil
}

func (f *File) read() ([]byte, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, sizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	return text, nil
}

// Authenticate returns whose a token is.
func (f *File) Authenticate(token string) (server.Caller, bool) { return f.list.Load().Find(token) }

// Run follows the file until ctx ends, and returns nil.
func (f *File) Run(ctx context.Context) error {
	ticker := time.NewTicker(Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			f.look()
		}
	}
}

// look reads the file and takes it over if it is another and good. It says
// the same thing once only.
func (f *File) look() {
	text, err := f.read()
	now := string(text)
	if err != nil {
		now = err.Error()
	}
	if now == f.last {
		return
	}
	f.last = now
	var list *List
	if err == nil {
		list, err = Parse(text)
	}
	if err != nil {
		f.log.Error("the file of tokens is not taken over, those read before stay in force: mend it", "file", f.path, "error", err)
		return
	}
	f.list.Store(list)
	f.log.Info("the file of tokens was read again", "file", f.path, "tokens", len(list.sums))
}
