package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Any flipped bit in any file of the directory, and any cut, is refused with
// the name of the file and what to do: flip each bit and cut at each byte.
func TestEveryBitCounts(t *testing.T) {
	d := open(t, t.TempDir())
	err := errors.Join(d.BindNode("n1"), d.BindName("blue"), d.SetClusterID("c-1"), d.SetPledge(json.RawMessage(`{"number":"1"}`)),
		d.SetWithdrawn([]string{"1"}), d.SetHeartbeat(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	tried := 0
	for _, name := range []string{formatFile, instanceFile, nodeFile, clusterFile, pledgeFile, withdrawnFile, heartbeatFile} {
		path := filepath.Join(d.Path(), name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		try := func(what string, data []byte) {
			tried++
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			var damage *DamageError
			damaged, err := Open(d.Path(), Options{})
			if !errors.As(err, &damage) || damage.File != path || !strings.Contains(err.Error(), "restore the file, or remove the node") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if err == nil {
				damaged.Close()
			}
		}
		for bit := range 8 * len(whole) {
			data := []byte(string(whole))
			data[bit/8] ^= 1 << (bit % 8)
			try(fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), data)
		}
		for size := range whole {
			try(fmt.Sprintf("cut to %d bytes", size), whole[:size])
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d damages refused", tried)
}
