package testcluster_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
	"github.com/holdfast-cluster/holdfast/placement"
	"github.com/holdfast-cluster/holdfast/testcluster"
)

// content returns bytes that the seed decides, and their hash.
func content(seed uint64, size int) (data []byte, sum string) {
	data = make([]byte, size)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data, hashOf(data)
}

func hashOf(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

// wantContent fails the test unless every running node answers with the bytes.
func wantContent(t *testing.T, c *testcluster.Cluster, id string, data []byte, sum string) {
	t.Helper()
	for _, i := range c.Nodes() {
		if !c.Running(i) {
			continue
		}
		got, err := c.Client(i).Content(t.Context(), id)
		if err != nil {
			t.Errorf("content of chain %s through node %d: %v", id, i, err)
			continue
		}
		read, err := io.ReadAll(got)
		got.Close()
		if err != nil || got.SHA256 != sum || !bytes.Equal(read, data) {
			t.Errorf("content of chain %s through node %d: %d bytes, ETag %s, %v; want %d bytes of %s", id, i, len(read), got.SHA256, err, len(data), sum)
		}
	}
}

// What a PUT of content acknowledged is read from every node, byte for byte,
// after a minority has crashed at once and the disk of one of them is gone.
func TestContentSurvivesMinority(t *testing.T) {
	t.Parallel()
	for seed := int64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := testcluster.Start(t, testcluster.Options{Nodes: 5, Seed: seed})
				data, sum := content(uint64(seed), 300_000)
				create(t, c, 1)
				put, err := c.Client(1+int(seed)%5).PutContent(t.Context(), "c0", bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Fatal(err)
				}
				if put.SHA256 != sum || len(put.Holders) < 2 {
					t.Fatalf("the PUT answered %+v, want hash %s on two disks", put, sum)
				}
				leader := c.WaitLeader()
				lost := c.Number(placement.NodeID(put.Holders[0]))
				c.Wipe(lost)
				for i := leader; ; i = i%5 + 1 {
					if i != lost && !slices.Contains(put.Holders, string(c.ID(i))) {
						c.Kill(i)
						break
					}
				}
				wantContent(t, c, "c0", data, sum)
				c.Settle()
				wantContent(t, c, "c0", data, sum)
				for _, i := range c.Nodes() {
					if !c.Running(i) {
						c.Restart(i)
					}
				}
				c.Settle()
				wantContent(t, c, "c0", data, sum)
			})
		})
	}
}

// A node whose disk was replaced comes back under its name as a new instance,
// never votes with what it has forgotten, and gets its copies anew.
func TestWipedNodeRejoins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testcluster.Start(t, testcluster.Options{Nodes: 3})
		data, sum := content(1, 100_000)
		create(t, c, 4)
		for i := range 4 {
			if _, err := c.Client().PutContent(t.Context(), fmt.Sprintf("c%d", i), bytes.NewReader(data), int64(len(data))); err != nil {
				t.Fatal(err)
			}
		}
		c.Settle()
		wiped := c.WaitLeader() // the leader, which had the newest log
		instance := c.View(wiped).Node(c.ID(wiped)).Instance
		c.Wipe(wiped)
		c.Restart(wiped)
		c.Settle()
		v := c.View(wiped)
		if now := v.Node(c.ID(wiped)).Instance; now == instance {
			t.Errorf("node %d is back as instance %s, which was on the disk that is gone", wiped, now)
		}
		for i := range 4 {
			chain := v.Chain(placement.ChainID(fmt.Sprintf("c%d", i)))
			if h := chain.Holder(c.ID(wiped)); h == nil || !v.Live(chain, h) {
				t.Errorf("chain %s has no live copy on the new disk", chain.ID)
			}
			wantContent(t, c, string(chain.ID), data, sum)
		}
		if voters := c.Node(wiped).Node().Status().Voters; len(voters) != 3 {
			t.Errorf("the voters are %v, want all three", voters)
		}
	})
}

// A write whose answer is lost with the leader is applied once: the client's
// retry, at another node and under the same key, gets the first answer, and so
// does one that comes later.
func TestRetryAcrossFailover(t *testing.T) {
	t.Parallel()
	for seed := int64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := testcluster.Start(t, testcluster.Options{Nodes: 3, Seed: seed})
				old := c.WaitLeader()
				nodes := []int{old, old%3 + 1, (old+1)%3 + 1}
				type answer struct {
					chain *api.Chain
					meta  client.Meta
					err   error
				}
				put := func(out *answer) {
					out.chain, out.err = c.Client(nodes...).PutChain(t.Context(), "x", spec(2), client.Key("once"), client.CreateOnly(), client.WithMeta(&out.meta))
				}
				var first, second answer
				done := make(chan struct{})
				go func() {
					defer close(done)
					put(&first)
				}()
				view := c.View(old)
				for view.Chain("x") == nil { // to the moment, so that the answer cannot have left
					<-view.Next()
					view = c.View(old)
				}
				c.Kill(old)
				<-done
				if first.err != nil || !first.meta.Created {
					t.Fatalf("the retried PUT: created %t, %v", first.meta.Created, first.err)
				}
				put(&second)
				if second.err != nil || !second.meta.Created || second.chain.Generation != first.chain.Generation {
					t.Errorf("the same PUT again: created %t, %v, want the first answer", second.meta.Created, second.err)
				}
				if got := c.View(c.WaitLeader()).Chain("x").Generation; uint64(got) != first.chain.Generation {
					t.Errorf("generation %d, answered was %d: the PUT was applied twice", got, first.chain.Generation)
				}
				c.Restart(old)
				c.Settle()
				c.Advance(2 * time.Minute) // the answer is forgotten
				put(&second)
				if p, ok := errors.AsType[*api.Problem](second.err); !ok || p.Code != api.Exists {
					t.Errorf("the same PUT after its time: got %v, want %s", second.err, api.Exists)
				}
			})
		})
	}
}
