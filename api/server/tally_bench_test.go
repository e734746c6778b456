package server

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// benchChains is small enough for every run; -benchtime does not change it.
const benchChains = 50_000

// loaded is a backend with many chains of which none has a copy.
func loaded(b *testing.B) *backend {
	b.Helper()
	k := newBackend(b)
	spec, err := placement.Spec{Desired: 2}.Normalize()
	if err != nil {
		b.Fatal(err)
	}
	for at := 0; at < benchChains; at += entryItemsMax {
		op := &fsm.PutChains{}
		for i := at; i < min(at+entryItemsMax, benchChains); i++ {
			op.Items = append(op.Items, *fsm.NewPutChain(placement.ChainID(fmt.Sprintf("chain-%07d", i)), spec))
		}
		k.must(op)
	}
	return k
}

// BenchmarkStatus asks for the status after one chain has changed: its cost
// must not grow with the chains that have not.
func BenchmarkStatus(b *testing.B) {
	k := loaded(b)
	_, s := k.serve("n1")
	b.Run("first", func(b *testing.B) {
		v := k.m.View()
		for b.Loop() {
			new(tally).of(v)
		}
	})
	b.Run("one-change", func(b *testing.B) {
		ask(b, s, http.MethodGet, "/v1/status", "")
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			k.must(fsm.NewPutChain("chain-0000007", placement.Spec{Desired: 1 + i%3, Weight: 1, Policy: placement.PolicyEager, Spread: placement.SpreadEven}))
			b.StartTimer()
			into[any](b, ask(b, s, http.MethodGet, "/v1/status", ""), http.StatusOK)
		}
	})
}

// BenchmarkList reads a page from the middle of all chains.
func BenchmarkList(b *testing.B) {
	k := loaded(b)
	_, s := k.serve("n1")
	for _, query := range []string{"limit=1", "limit=100", "prefix=chain-00421&limit=100", "after=chain-0041999&limit=100", "prefix=nothing", "since=1&limit=1&prefix=nothing"} {
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				into[any](b, ask(b, s, http.MethodGet, "/v1/chains?"+query, ""), http.StatusOK)
			}
		})
	}
}
