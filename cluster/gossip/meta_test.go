package gossip

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
)

func full() Meta {
	return Meta{
		ClusterID: "c-1", Instance: strings.Repeat("i", instanceMax), Node: strings.Repeat("n", addressMax),
		HTTP: strings.Repeat("h", addressMax), Role: Client, FeatureMin: 3, FeatureMax: 65535,
	}
}

// What is encoded must come back, at every limit at once, within 512 bytes,
// and also when a later version has appended more.
func TestMetaRoundTrip(t *testing.T) {
	b, err := full().encode()
	if err != nil || len(b) > memberlist.MetaMaxSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	want := full()
	want.ClusterID = ""
	later := append([]byte{metaVersion + 1}, append(b[1:], "more"...)...)
	for _, b := range [][]byte{b, later} {
		got, hash, err := decodeMeta(b)
		if err != nil || hash != HashCluster("c-1") {
			t.Fatalf("hash %x, %v", hash, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// The bytes are pinned: older versions read them.
func TestMetaGolden(t *testing.T) {
	b, err := Meta{Instance: "i", Node: "a:1", HTTP: "", Role: Server, FeatureMin: 1, FeatureMax: 2}.encode()
	want := "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x02\x01i\x03a:1\x00"
	if err != nil || string(b) != want {
		t.Errorf("got %q, %v, want %q", b, err, want)
	}
}

// Anything may arrive: no input may panic, and what is understood encodes to
// the same beginning.
func FuzzMeta(f *testing.F) {
	b, _ := full().encode()
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte{1})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, hash, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			return // longer than this version writes
		}
		again[0] = b[0]
		copy(again[1:9], hash[:])
		if !bytes.HasPrefix(b, again) {
			t.Errorf("%x was read as %+v, which is %x", b, m, again)
		}
	})
}
