package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/cluster/logstore"
	"github.com/holdfast-cluster/holdfast/fsm"
)

// Offline is the data directory of a node that is not running, opened for an
// operator after a majority of voters is lost for good.
type Offline struct {
	dir     *datadir.Dir
	store   *logstore.Store
	snaps   raft.SnapshotStore
	machine *fsm.Machine
	index   uint64
	term    uint64
	config  raft.Configuration
}

// offlinePatience bounds a write to the log, and a look whether a server runs.
const (
	offlinePatience = time.Minute
	lookPatience    = time.Second
)

// OpenOffline locks the data directory of a member and reads its state: the
// newest snapshot and every entry after it, whether it was committed or not,
// for without a majority nobody can tell. The caller closes it.
func OpenOffline(path string) (*Offline, error) {
	dir, err := datadir.Open(path, datadir.Options{MustExist: true})
	if err != nil {
		return nil, err
	}
	o := &Offline{dir: dir, machine: fsm.New()}
	if err := o.open(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *Offline) open() error {
	if o.dir.Fresh() {
		return fmt.Errorf("data directory %s is of no member: start it with --join", o.dir.Path())
	}
	dir, err := o.dir.Sub("raft")
	if err != nil {
		return err
	}
	if o.store, err = logstore.Open(logstore.Config{Path: filepath.Join(dir, "log.db"), MustExist: true, WriteLimit: offlinePatience}); err != nil {
		return err
	}
	if o.snaps, err = logstore.OpenSnapshots(dir, nil, hclog.NewNullLogger()); err != nil {
		return err
	}
	if _, err := logstore.CheckJoint(o.store, o.snaps, dir); err != nil {
		return err
	}
	if err := o.readSnapshot(); err != nil {
		return err
	}
	return o.readLog()
}

// readSnapshot starts from the newest snapshot, if there is one.
func (o *Offline) readSnapshot() error {
	list, err := o.snaps.List()
	if err != nil || len(list) == 0 {
		return err
	}
	meta, from, err := o.snaps.Open(list[0].ID)
	if err != nil {
		return fmt.Errorf("open snapshot %s: %w", list[0].ID, err)
	}
	defer from.Close()
	if err := o.machine.Restore(from); err != nil {
		return fmt.Errorf("snapshot %s: %w", meta.ID, err)
	}
	o.index, o.term, o.config = meta.Index, meta.Term, meta.Configuration
	return nil
}

// readLog applies the entries after the snapshot.
func (o *Offline) readLog() error {
	last, err := o.store.LastIndex()
	if err != nil {
		return err
	}
	for index := o.index + 1; index <= last; index++ {
		var entry raft.Log
		if err := o.store.GetLog(index, &entry); err != nil {
			return fmt.Errorf("log entry %d: %w", index, err)
		}
		switch entry.Type {
		case raft.LogCommand:
			if _, err := o.machine.Apply(entry.Index, entry.Term, entry.Data); err != nil {
				return err
			}
		case raft.LogConfiguration:
			o.config = raft.DecodeConfiguration(entry.Data)
		default: // raft's own
		}
		o.index, o.term = entry.Index, entry.Term
	}
	if o.machine.View().ClusterID == "" {
		return fmt.Errorf("data directory %s has no state of a cluster", o.dir.Path())
	}
	return nil
}

// Close gives the directory free.
func (o *Offline) Close() error {
	var err error
	if o.store != nil {
		err = o.store.Close()
	}
	return errors.Join(err, o.dir.Close())
}

// Found is what an Offline has found.
type Found struct {
	Node      string
	Instance  string
	ClusterID string
	Term      uint64 // of the last entry
	Index     uint64 // of the last entry: of two survivors the one with the later term, then index, knows more
	View      *fsm.View
	Servers   []Server
}

// Found says what the directory holds.
func (o *Offline) Found() Found {
	f := Found{
		Node: o.dir.NodeID(), Instance: o.dir.Instance(), ClusterID: o.dir.Cluster().ID,
		Term: o.term, Index: o.index, View: o.machine.View(),
	}
	nodes := nodesByInstance(f.View)
	for _, s := range o.config.Servers {
		one := Server{Instance: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter}
		if n := nodes[one.Instance]; n != nil {
			one.Node = n.ID
		}
		f.Servers = append(f.Servers, one)
	}
	return f
}

// Running lists the other servers whose node port takes connections: while any
// does, the quorum may not be lost.
func (o *Offline) Running(ctx context.Context) []Server {
	var running []Server
	dialer := net.Dialer{Timeout: lookPatience}
	for _, s := range o.Found().Servers {
		if s.Instance == o.dir.Instance() {
			continue
		}
		if conn, err := dialer.DialContext(ctx, "tcp", s.Address); err == nil {
			_ = conn.Close() // all there is to know is known
			running = append(running, s)
		}
	}
	return running
}

// Recover makes this node the only server of a cluster that goes on from its
// state, under a new id and a new lineage, and with a guard until every node
// has said what it holds (rule S5). Servers of the old one are turned away, so
// that those that were lost cannot make a majority with it, or vote in it.
// It returns the new cluster id. Broken off at any point it can be repeated.
func (o *Offline) Recover() (string, error) {
	var self *raft.Server
	for i, s := range o.config.Servers {
		if string(s.ID) == o.dir.Instance() {
			self = &o.config.Servers[i]
		}
	}
	if self == nil {
		return "", fmt.Errorf("node %s is no server of its cluster: recover another survivor", o.dir.NodeID())
	}
	var state, renewed bytes.Buffer
	view := *o.machine.View()
	if _, err := view.WriteTo(&state); err != nil {
		return "", err
	}
	view.ClusterID = uuid.NewString()
	if err := fsm.Rewrite(&state, &view, uuid.NewString(), &renewed); err != nil {
		return "", err
	}
	// First the id: with it and the old configuration the node reaches nobody.
	if err := o.dir.Succeed(view.ClusterID); err != nil {
		return "", err
	}
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: self.ID, Address: self.Address}}}
	return view.ClusterID, o.replace(renewed.Bytes(), alone)
}

// replace puts a snapshot in the place of all that there is, as
// raft.RecoverCluster does.
func (o *Offline) replace(state []byte, config raft.Configuration) error {
	_, names := raft.NewInmemTransport("")
	sink, err := o.snaps.Create(raft.SnapshotVersionMax, o.index, o.term, config, 1, names)
	if err != nil {
		return fmt.Errorf("write the new state: %w", err)
	}
	if _, err := sink.Write(state); err != nil {
		return errors.Join(fmt.Errorf("write the new state: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("write the new state: %w", err)
	}
	first, err := o.store.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	last, err := o.store.LastIndex()
	if err != nil {
		return err
	}
	return o.store.DeleteRange(first, last)
}
