package gossip

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

const (
	oldKey = "0123456789abcdef"
	newKey = "fedcba9876543210fedcba9876543210"
)

func keysOf(t *testing.T, keys ...string) *Keys {
	t.Helper()
	k, err := NewKeys(bytesOf(keys)...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bytesOf(texts []string) [][]byte {
	var all [][]byte
	for _, s := range texts {
		all = append(all, []byte(s))
	}
	return all
}

// Whatever keys were there, after Set exactly the given ones are, the first
// first.
func TestKeysSet(t *testing.T) {
	ring := func(k *Keys) (keys []string) {
		for _, key := range k.ring.GetKeys() {
			keys = append(keys, string(key[:1]))
		}
		return keys
	}
	key := func(c byte) string { return strings.Repeat(string(c), 16) }
	rng := rand.New(rand.NewPCG(1, 1))
	k := keysOf(t, key('s'), key('a'))
	for range 2000 {
		want := []string{"s"}
		for _, i := range rng.Perm(6)[:rng.IntN(4)] {
			want = append(want, string(rune('a'+i)))
		}
		rng.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
		var set [][]byte
		for _, name := range want {
			set = append(set, []byte(key(name[0])))
		}
		if err := k.Set(set...); err != nil {
			t.Fatal(err)
		}
		got := ring(k)
		if len(got) != len(want) || got[0] != want[0] || !cmp.Equal(sorted(got), sorted(want)) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	for _, wrong := range [][][]byte{nil, {[]byte("short")}} {
		if err := k.Set(wrong...); err == nil {
			t.Errorf("keys %q were taken", wrong)
		}
		if _, err := NewKeys(wrong...); err == nil {
			t.Errorf("keys %q were taken", wrong)
		}
	}
}

// sorted is a set of letters in order.
func sorted(letters []string) string {
	var out strings.Builder
	for c := 'a'; c <= 'z'; c++ {
		for _, l := range letters {
			if l == string(c) {
				out.WriteString(l)
			}
		}
	}
	return out.String()
}

// A key is rotated in a running cluster, one node at a time with seconds
// between, and no member is lost: first the new key is added on all, then it
// becomes the first on all, then the old is removed from all.
func TestKeyRotation(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		seeds := []string{"n1:7400", "n2:7400", "n3:7400"}
		var nodes []*node
		var keys []*Keys
		for i := 1; i <= 3; i++ {
			keys = append(keys, keysOf(t, oldKey))
			nodes = append(nodes, start(t, net, i, options{keys: keys[i-1], seeds: seeds}))
		}
		const all = "n1 n2 n3"
		await(t, 10*time.Second, all, nodes...)
		for _, step := range [][]string{{oldKey, newKey}, {newKey, oldKey}, {newKey}} {
			for i := range nodes {
				if err := keys[i].Set(bytesOf(step)...); err != nil {
					t.Fatal(err)
				}
				for range 50 {
					advance(100 * time.Millisecond)
					for _, n := range nodes {
						if got := n.sees(); got != all {
							t.Fatalf("n%d has %d keys now: %s sees %q", i+1, len(step), n.id, got)
						}
					}
				}
			}
		}
		// The old key opens nothing any more.
		late := start(t, net, 4, options{keys: keysOf(t, oldKey, newKey), seeds: seeds}) // it would understand their answers
		advance(20 * time.Second)
		await(t, time.Second, all, nodes...)
		await(t, time.Second, "n4", late)
		stopAll(append(nodes, late)...)
	})
}
