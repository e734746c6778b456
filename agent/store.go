package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/holdfast-cluster/holdfast/cluster"
	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/holder/filestore"
	"github.com/holdfast-cluster/holdfast/placement"
)

// errNotOpen is what the store says before it is open.
var errNotOpen = errors.New("the content directory is not open yet")

// store is the filestore as the node sees it: the node is made, and its API
// answers, before the store is open.
type store struct {
	open atomic.Pointer[filestore.Store]
	free atomic.Int64 // bytes above the reserve when last measured, -1 = unknown
}

var _ holder.Runner = (*store)(nil)

func newStore() *store {
	s := new(store)
	s.free.Store(-1)
	return s
}

// get returns the open store.
func (s *store) get() (*filestore.Store, error) {
	if fs := s.open.Load(); fs != nil {
		return fs, nil
	}
	return nil, errNotOpen
}

// Pull implements holder.Runner.
func (s *store) Pull(ctx context.Context, a holder.Assignment) error {
	fs, err := s.get()
	if err != nil {
		return err
	}
	return fs.Pull(ctx, a)
}

// Drop implements holder.Runner.
func (s *store) Drop(ctx context.Context, c holder.Copy) error {
	fs, err := s.get()
	if err != nil {
		return err
	}
	return fs.Drop(ctx, c)
}

// Held implements holder.Runner.
func (s *store) Held(ctx context.Context) ([]holder.Copy, error) {
	fs, err := s.get()
	if err != nil {
		return nil, err
	}
	return fs.Held(ctx)
}

// space is cluster.Config.Space.
func (s *store) space() (freeBytes, reserveBytes int64, err error) {
	fs, err := s.get()
	if err != nil {
		return 0, 0, err
	}
	freeBytes, reserveBytes, err = fs.Space()
	above := max(freeBytes-reserveBytes, 0)
	if err != nil {
		above = -1
	}
	s.free.Store(above)
	return freeBytes, reserveBytes, err
}

// check is cluster.Config.CheckContent. A store that is still being opened has
// nothing to say.
func (s *store) check() error {
	fs, err := s.get()
	if err != nil {
		return nil //nolint:nilerr // whoever opens it says so
	}
	return fs.CheckDisk()
}

// openStore opens the content directory. The default one lies in the data
// directory, which only its own package makes.
func (a *Agent) openStore(node *cluster.Node) (*filestore.Store, error) {
	dir := a.cfg.ContentDir
	if dir == "" {
		data, err := datadir.Open(a.cfg.Cluster.DataDir, datadir.Options{Gate: a.cfg.Cluster.Gate})
		if err != nil {
			return nil, err
		}
		dir, err = data.Sub(contentDir)
		if closed := data.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, err
		}
	}
	return filestore.Open(dir, filestore.Config{
		Fetch:   filestore.Client{HTTP: &http.Client{Transport: node.PullTransport()}},
		Accept:  accepter{node, a.cfg.Cluster.Node}.accept,
		Reserve: a.cfg.DiskReserve, Volume: a.cfg.Volume,
		Logger: a.log.Named("content"),
	})
}

// accepter says whether this node may store bytes that a client sends.
type accepter struct {
	node *cluster.Node
	id   placement.NodeID
}

// accept is filestore.Config.Accept. A node that is a moment behind the sender
// refuses and is asked again.
func (a accepter) accept(chain placement.ChainID, epoch placement.Epoch) (placement.Incarnation, error) {
	view, own := a.node.View(), a.node.Status().Incarnation
	if n := view.Node(a.id); own == 0 || n == nil || n.Incarnation != own {
		return 0, fmt.Errorf("node %s has not announced itself yet", a.id)
	}
	c := view.Chain(chain)
	if c == nil {
		return 0, fmt.Errorf("node %s does not know it", a.id)
	}
	h := c.Holder(a.id)
	if h == nil || h.Epoch != epoch || h.Phase == placement.Dropping || h.Lost {
		return 0, fmt.Errorf("node %s does not hold it under that epoch", a.id)
	}
	return own, nil
}
