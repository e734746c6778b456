package logstore

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// retain is how many snapshots are kept: the newest, and one to fall back on.
const retain = 2

// OpenSnapshots opens or makes the snapshot store below dir.
func OpenSnapshots(dir string, logger hclog.Logger) (raft.SnapshotStore, error) {
	store, err := raft.NewFileSnapshotStoreWithLogger(dir, retain, logger)
	if err != nil {
		return nil, fmt.Errorf("raft snapshots in %s cannot be used: %w", dir, err)
	}
	return store, nil
}

// CheckJoint refuses a log that begins after what the newest readable snapshot
// ends with: entries are missing, and raft would not notice.
func CheckJoint(log raft.LogStore, snapshots raft.SnapshotStore) error {
	first, err := log.FirstIndex()
	if err != nil {
		return fmt.Errorf("raft log: %w", err)
	}
	list, err := snapshots.List()
	if err != nil {
		return fmt.Errorf("raft snapshots cannot be listed: %w", err)
	}
	var covered uint64
	if len(list) > 0 {
		covered = list[0].Index
	}
	if first > covered+1 {
		return fmt.Errorf("raft snapshots are missing or damaged: the log begins with entry %d, the newest readable snapshot ends with %d: restore the snapshots, or remove the node and start it with an empty data directory", first, covered)
	}
	return nil
}
