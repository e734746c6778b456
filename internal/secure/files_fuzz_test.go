package secure

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever comes to stand in one of the files of certificates and keys while a
// node runs: what cannot be used is refused in words that name a file, and
// leaves in force what was; what can be used is, and a start finds it so, too.
func FuzzSecrets(f *testing.F) {
	dir := f.TempDir()
	if _, err := Init(Set{Dir: dir, Cluster: "blue", Nodes: []string{"n1", "n2"}, Days: 10}); err != nil {
		f.Fatal(err)
	}
	names := []string{"n1.pem", "n1-key.pem", CAFile, GossipFile}
	sound := map[string][]byte{}
	for _, name := range append(slices.Clone(names), "n2.pem") {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		sound[name] = text
	}
	for i, name := range names {
		f.Add(uint8(i), sound[name])
		f.Add(uint8(i), sound[name][:len(sound[name])/2])
		f.Add(uint8(i), append(slices.Clone(sound[name]), sound[name]...))
	}
	f.Add(uint8(0), sound["n2.pem"])
	f.Add(uint8(0), append(slices.Clone(sound["n1.pem"]), sound[CAFile]...))
	other := f.TempDir()
	if _, err := Init(Set{Dir: other, Cluster: "blue", Nodes: []string{"n1"}, Days: 10}); err != nil {
		f.Fatal(err)
	}
	stranger, err := os.ReadFile(filepath.Join(other, CAFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(2), stranger) // has not signed the node's certificate
	f.Add(uint8(3), []byte("# none\n\n"))
	f.Add(uint8(3), []byte("bm8ga2V5\n"))
	f.Add(uint8(3), bytes.Repeat(sound[GossipFile], keysMax+1))
	paths := Paths{CA: filepath.Join(dir, CAFile), Cert: filepath.Join(dir, "n1.pem"), Key: filepath.Join(dir, "n1-key.pem")}
	keyFile := filepath.Join(dir, GossipFile)
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), sound[name], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		node, err := LoadNode(paths, "blue")
		if err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeys(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		material, all := node.now.Load(), keys.All()
		if err := os.WriteFile(filepath.Join(dir, names[int(which)%len(names)]), text, 0o600); err != nil {
			t.Fatal(err)
		}
		changed, err := node.Refresh()
		if (node.now.Load() != material) != changed || err != nil && changed {
			t.Errorf("changed %t, %v, and other certificates are in force: %t", changed, err, node.now.Load() != material)
		}
		_, fresh := LoadNode(paths, "blue")
		checkRefusal(t, dir, err, fresh)
		changed, err = keys.Refresh()
		if err != nil && (changed || !cmp.Equal(all, keys.All())) {
			t.Errorf("%v, and other keys are in force", err)
		}
		for _, key := range keys.All() {
			if n := len(key); n != 16 && n != 24 && n != 32 || len(keys.All()) > keysMax {
				t.Errorf("%d keys, one of %d bytes", len(keys.All()), n)
			}
		}
		_, fresh = LoadKeys(keyFile)
		checkRefusal(t, dir, err, fresh)
	})
}

// checkRefusal wants a running node and one that starts to find the same, and
// words that name a file.
func checkRefusal(t *testing.T, dir string, running, fresh error) {
	t.Helper()
	if (running == nil) != (fresh == nil) {
		t.Errorf("a running node finds %v, one that starts %v", running, fresh)
	}
	if running != nil && !strings.Contains(running.Error(), dir) {
		t.Errorf("%v names no file", running)
	}
}
