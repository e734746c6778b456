package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Format is the version of the layout that this build reads and writes.
const Format = 1

const (
	formatFile    = "format"
	lockFile      = "lock"
	instanceFile  = "instance"
	nodeFile      = "node-id"
	clusterFile   = "cluster"
	pledgeFile    = "pledge"
	withdrawnFile = "withdrawn"
	heartbeatFile = "heartbeat"
	probeFile     = "probe"
)

const formatPrefix = "holdfast data directory, format "

// ErrInUse is wrapped by the error of Open while another process has the
// directory.
var ErrInUse = errors.New("stop that process or choose another directory")

// DamageError says that a file of the directory cannot be trusted. The file
// is left as it is.
type DamageError struct {
	File   string // path of the file
	Reason string // what is wrong with it
}

// Error names the file and what to do.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged: %s; restore the file, or remove the node and start it with an empty directory", e.File, e.Reason)
}

// Options changes how a directory is used. The zero value is production's.
type Options struct {
	// Gate, if set, is called before every write with what is to be written.
	// It may wait, and its error is the write's. Tests make a disk slow,
	// hanging or broken with it.
	Gate func(what string) error
	// MustExist refuses to make the directory.
	MustExist bool
}

// Cluster says which cluster a directory belongs to.
type Cluster struct {
	Name string `json:"name"` // as given by --cluster
	ID   string `json:"id"`   // empty until the node has joined or bootstrapped
	// Former are the ids that the cluster had before it lost its quorum and was
	// recovered, oldest first.
	Former []string `json:"former,omitempty"`
}

// Dir is an open, locked data directory.
type Dir struct {
	path     string
	gate     func(string) error
	lock     *os.File
	instance string

	mu sync.Mutex // held by who writes the files, also while the disk is slow

	seen    sync.Mutex // guards what follows against readers, who wait for no disk
	nodeID  string
	cluster Cluster
}

// Open makes the directory at path (mode 0700) or opens it, and locks it for
// this process until Close. A directory of an unknown format, a damaged one,
// and one that holds other things are refused and left as they are.
func Open(path string, options Options) (*Dir, error) {
	if _, err := os.Stat(filepath.Join(path, formatFile)); options.MustExist && err != nil {
		return nil, fmt.Errorf("%s is not the data directory of a node: %w", path, err)
	}
	if err := MakeDirs(path); err != nil {
		return nil, fmt.Errorf("make data directory %s: %w", path, err)
	}
	d := &Dir{path: path, gate: options.Gate}
	made, err := d.made()
	if err != nil {
		return nil, err
	}
	d.lock, err = lockDir(path, d.file(lockFile))
	if err != nil {
		return nil, err
	}
	if !made {
		err = d.create()
	}
	if err == nil {
		err = d.sync()
	}
	if err == nil {
		err = d.load()
	}
	if err != nil {
		d.lock.Close()
		return nil, err
	}
	return d, nil
}

// Close gives the directory free. It must come after everything that writes
// below it has stopped.
func (d *Dir) Close() error { return d.lock.Close() }

// Path is where the directory is.
func (d *Dir) Path() string { return d.path }

// Instance is the UUID made with the directory, the node's raft server id.
func (d *Dir) Instance() string { return d.instance }

// NodeID is the node id that the directory is bound to, empty if none.
func (d *Dir) NodeID() string {
	d.seen.Lock()
	defer d.seen.Unlock()
	return d.nodeID
}

// Cluster says which cluster the directory belongs to.
func (d *Dir) Cluster() Cluster {
	d.seen.Lock()
	defer d.seen.Unlock()
	return d.cluster
}

// Fresh says that the directory has no cluster id: the node has never been a
// member of a cluster with it.
func (d *Dir) Fresh() bool { return d.Cluster().ID == "" }

// Sub makes the directory name inside, durably, and returns its path.
func (d *Dir) Sub(name string) (string, error) {
	path := d.file(name)
	err := os.Mkdir(path, 0o700)
	if err == nil || errors.Is(err, os.ErrExist) { // who made it may have died before the sync
		err = SyncDir(d.path)
	}
	if err != nil {
		return "", fmt.Errorf("make directory %s: %w", path, err)
	}
	return path, nil
}

// Probe writes, syncs and reads back a small file: whether the disk under the
// directory works (S18). One Probe at a time; on a hanging disk it hangs.
func (d *Dir) Probe() error {
	want := seal(uuid.NewString())
	if err := d.replace(probeFile, want); err != nil {
		return err
	}
	got, err := os.ReadFile(d.file(probeFile))
	if err != nil {
		return fmt.Errorf("probe data directory %s: %w", d.path, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("probe data directory %s: read back other bytes than were written", d.path)
	}
	return nil
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// made says whether the directory is complete, without changing it. An empty
// one, and one whose making was interrupted, is not.
func (d *Dir) made() (bool, error) {
	line, ok, err := readSealed(d.file(formatFile))
	if err != nil {
		return false, err
	}
	if ok {
		return true, d.checkFormat(line)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return false, fmt.Errorf("read data directory %s: %w", d.path, err)
	}
	harmless := []string{lockFile, instanceFile, "lost+found"}
	for _, entry := range entries {
		name := entry.Name()
		if !slices.Contains(harmless, name) && !strings.HasPrefix(name, ".tmp-") {
			return false, fmt.Errorf("%s is not a data directory: it has no file %q, but it has %q; choose an empty directory", d.path, formatFile, name)
		}
	}
	return false, nil
}

func (d *Dir) checkFormat(line string) error {
	digits, ok := strings.CutPrefix(line, formatPrefix)
	version, err := strconv.Atoi(digits)
	switch {
	case !ok || err != nil || version < 1:
		return &DamageError{File: d.file(formatFile), Reason: "it names no format"}
	case version > Format:
		return fmt.Errorf("data directory %s has format %d, this version of holdfast knows formats up to %d: use the newer version", d.path, version, Format)
	}
	return nil
}

// create writes the instance first and the format last, so that a directory
// with a format file is complete.
func (d *Dir) create() error {
	made, err := d.made() // again: another process may have made it meanwhile
	if err != nil || made {
		return err
	}
	if err := d.write(instanceFile, uuid.NewString()); err != nil {
		return err
	}
	if err := SyncDir(filepath.Dir(d.path)); err != nil { // before it counts as made
		return err
	}
	return d.write(formatFile, formatPrefix+strconv.Itoa(Format))
}

// sync makes the names durable that are found. A process that was killed
// between a rename and its sync left some that are seen and not on disk, and
// what is seen is acted on.
func (d *Dir) sync() error {
	if err := SyncDir(d.path); err != nil {
		return fmt.Errorf("sync data directory %s: %w", d.path, err)
	}
	return nil
}

// load reads what the directory is, and checks every file of it.
func (d *Dir) load() error {
	line, ok, err := readSealed(d.file(instanceFile))
	if err != nil {
		return err
	}
	if _, parseErr := uuid.Parse(line); !ok || parseErr != nil {
		return &DamageError{File: d.file(instanceFile), Reason: "it holds no instance id"}
	}
	d.instance = line
	if d.nodeID, _, err = readSealed(d.file(nodeFile)); err != nil {
		return err
	}
	belongs, err := d.readJSON(clusterFile, &d.cluster)
	if err != nil {
		return err
	}
	if d.nodeID == "" && belongs {
		return &DamageError{File: d.file(nodeFile), Reason: "it is missing, though the directory belongs to a cluster"}
	}
	if _, _, err := d.Pledge(); err != nil {
		return err
	}
	if _, err := d.Withdrawn(); err != nil {
		return err
	}
	_, err = d.Heartbeat()
	return err
}

// Heartbeat is the cluster's heartbeat that was last in force, 0 if unknown.
func (d *Dir) Heartbeat() (time.Duration, error) {
	line, ok, err := readSealed(d.file(heartbeatFile))
	if err != nil || !ok {
		return 0, err
	}
	heartbeat, err := time.ParseDuration(line)
	if err != nil || heartbeat <= 0 {
		return 0, &DamageError{File: d.file(heartbeatFile), Reason: "it holds no duration"}
	}
	return heartbeat, nil
}

// write replaces the file name with one line and its checksum.
func (d *Dir) write(name, line string) error {
	return d.replace(name, seal(line))
}

func (d *Dir) replace(name string, data []byte) error {
	if d.gate != nil {
		if err := d.gate(name); err != nil {
			return fmt.Errorf("write %s: %w", d.file(name), err)
		}
	}
	if err := WriteFile(d.file(name), data); err != nil {
		return fmt.Errorf("write %s: %w", d.file(name), err)
	}
	return nil
}

// readJSON fills into from the file name; ok is false if there is none.
func (d *Dir) readJSON(name string, into any) (ok bool, err error) {
	line, ok, err := readSealed(d.file(name))
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal([]byte(line), into); err != nil {
		return false, &DamageError{File: d.file(name), Reason: err.Error()}
	}
	return true, nil
}
