//go:build linux && (amd64 || arm64)

package logstore

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/cluster/datadir"
	"github.com/holdfast-cluster/holdfast/internal/powercut"
)

func TestMain(m *testing.M) {
	powercut.Enter()
	powercut.Play(crashes())
	goleak.VerifyTestMain(m)
}

func openBoth(dir string) (*Store, raft.SnapshotStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	s, err := Open(Config{Path: filepath.Join(dir, "log.db"), WriteLimit: time.Minute})
	if err != nil {
		return nil, nil, err
	}
	snapshots, err := OpenSnapshots(dir, nil, hclog.NewNullLogger())
	if err == nil {
		_, err = CheckJoint(s, snapshots, dir)
	}
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, snapshots, nil
}

func takeSnapshot(snapshots raft.SnapshotStore, index uint64) error {
	sink, err := snapshots.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(sink, "state at ", index); err != nil {
		return err
	}
	return sink.Close()
}

// crashes is a node's life with its log: terms, votes, entries, a suffix that is
// cut, and snapshots with the log cut behind them.
func crashes() powercut.Scenario {
	steps := []func(*Store, raft.SnapshotStore) error{
		func(s *Store, _ raft.SnapshotStore) error { return s.SetUint64([]byte("CurrentTerm"), 7) },
		func(s *Store, _ raft.SnapshotStore) error {
			return s.Set([]byte("LastVoteCand"), []byte("10.0.0.1:7400"))
		},
		func(s *Store, _ raft.SnapshotStore) error { return s.StoreLogs(entries(1, 40)) },
		func(s *Store, _ raft.SnapshotStore) error { return s.DeleteRange(31, 40) },
		func(s *Store, _ raft.SnapshotStore) error { return s.StoreLog(entries(31, 31)[0]) },
		func(_ *Store, snapshots raft.SnapshotStore) error { return takeSnapshot(snapshots, 10) },
		func(s *Store, _ raft.SnapshotStore) error { return s.DeleteRange(1, 10) },
		func(_ *Store, snapshots raft.SnapshotStore) error { return takeSnapshot(snapshots, 20) },
		func(_ *Store, snapshots raft.SnapshotStore) error { return takeSnapshot(snapshots, 30) },
		func(s *Store, _ raft.SnapshotStore) error { return s.DeleteRange(11, 30) },
		func(s *Store, _ raft.SnapshotStore) error { return s.StoreLogs(entries(32, 33)) },
	}
	return powercut.Scenario{
		Name: "raft log and snapshots", Steps: len(steps), State: stateOf,
		Do: func(dir string, n int, done func()) error {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			if err := datadir.SyncDir(filepath.Dir(dir)); err != nil { // as its maker does
				return err
			}
			s, snapshots, err := openBoth(dir)
			if err != nil {
				return err
			}
			defer s.Close()
			for _, step := range steps[:n] {
				if err := step(s, snapshots); err != nil {
					return err
				}
				done()
			}
			return nil
		},
	}
}

// stateOf opens what is in dir and reads all of it.
func stateOf(dir string) (string, error) {
	s, snapshots, err := openBoth(dir)
	if err != nil {
		return "", err
	}
	defer s.Close()
	var b strings.Builder
	term, _ := s.GetUint64([]byte("CurrentTerm"))
	vote, _ := s.Get([]byte("LastVoteCand"))
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	fmt.Fprintf(&b, "term %d, vote %q, entries", term, vote)
	for i := first; i <= last && last > 0; i++ {
		var entry raft.Log
		if err := s.GetLog(i, &entry); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " %d:%s", entry.Index, entry.Data)
	}
	list, err := snapshots.List()
	if err != nil {
		return "", err
	}
	if len(list) > 0 { // the newest counts
		_, state, err := snapshots.Open(list[0].ID)
		if err != nil {
			return "", err
		}
		defer state.Close()
		text, err := io.ReadAll(state)
		fmt.Fprintf(&b, "; snapshot %q", text)
		if err != nil {
			return "", err
		}
	}
	return b.String(), s.Err()
}

// Nothing that was acknowledged is lost, and nothing is half there, whenever the
// process dies or the power fails.
func TestDeathAtEverySync(t *testing.T) { crashes().Sweep(t) }
