//go:build linux && (amd64 || arm64)

package datadir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-cluster/holdfast/internal/powercut"
)

func TestMain(m *testing.M) {
	powercut.Enter()
	powercut.Play(deaths())
	os.Exit(m.Run())
}

// deaths is the life of a data directory: made, bound, pledged, withdrawn, and
// made a member's.
func deaths() powercut.Scenario {
	steps := []func(*Dir) error{
		func(*Dir) error { return nil }, // it is made
		func(d *Dir) error { return d.BindNode("n1") },
		func(d *Dir) error { return d.BindName("blue") },
		func(d *Dir) error { return d.SetPledge(json.RawMessage(`{"number":"1"}`)) },
		func(d *Dir) error { return d.SetWithdrawn([]string{"1"}) },
		func(d *Dir) error { return d.ClearPledge() },
		func(d *Dir) error { return d.SetPledge(json.RawMessage(`{"number":"2"}`)) },
		func(d *Dir) error { return d.SetHeartbeat(300 * time.Millisecond) },
		func(d *Dir) error { return d.SetClusterID("c-1") },
		func(d *Dir) error { return d.SetHeartbeat(time.Second) },
		func(d *Dir) error { _, err := d.Sub("raft"); return err },
	}
	return powercut.Scenario{
		Name: "data directory", Steps: len(steps), State: stateOf,
		Do: func(dir string, n int, done func()) error {
			if n == 0 {
				return nil
			}
			uuid.SetRand(bytes.NewReader(make([]byte, 16))) // the same instance in each run
			defer uuid.SetRand(nil)
			d, err := Open(below(dir), Options{})
			if err != nil {
				return err
			}
			defer d.Close()
			for _, step := range steps[:n] {
				if err := step(d); err != nil {
					return err
				}
				done()
			}
			return nil
		},
	}
}

// below is where the directory is made: those above it are new too.
func below(dir string) string { return filepath.Join(dir, "deep", "n1") }

// stateOf opens the directory and says all it knows. A new one gets another
// instance than the scenario's.
func stateOf(dir string) (string, error) {
	uuid.SetRand(bytes.NewReader(bytes.Repeat([]byte{1}, 16)))
	defer uuid.SetRand(nil)
	d, err := Open(below(dir), Options{})
	if err != nil {
		return "", err
	}
	defer d.Close()
	pledge, _, err := d.Pledge()
	if err != nil {
		return "", err
	}
	withdrawn, err := d.Withdrawn()
	if err != nil {
		return "", err
	}
	heartbeat, err := d.Heartbeat()
	if err != nil {
		return "", err
	}
	_, err = os.Stat(filepath.Join(below(dir), "raft"))
	return fmt.Sprintf("instance %s, node %q, cluster %+v, pledge %s, withdrawn %v, heartbeat %v, raft %t",
		d.Instance(), d.NodeID(), d.Cluster(), pledge, withdrawn, heartbeat, err == nil), nil
}

// What a nil error promised is there, whole, whenever the process dies or the
// power fails: the instance, the binding, the one pledge, the numbers withdrawn.
func TestDeathAtEverySync(t *testing.T) { deaths().Sweep(t) }
