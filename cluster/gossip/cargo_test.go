package gossip

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

// freight notes what it gets, and passes on what is news.
type freight struct {
	own    string
	gossip *Gossip

	mu       sync.Mutex
	heard    map[string]int
	all      map[string]int
	measured map[string]string
	rtt      time.Duration
}

func (f *freight) Heard(message []byte) {
	f.mu.Lock()
	f.heard[string(message)]++
	news := f.heard[string(message)] == 1
	f.mu.Unlock()
	if text := string(message); news {
		f.gossip.Spread(text[:2], func() []byte { return []byte(text) })
	}
}

func (f *freight) Everything() []byte { return []byte("all of " + f.own) }

func (f *freight) HeardEverything(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[string(b)]++
}

func (f *freight) Answer() []byte { return []byte("answer of " + f.own) }

func (f *freight) Measured(node string, rtt time.Duration, answer []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.measured[node], f.rtt = string(answer), max(f.rtt, rtt)
}

// At least 99 of 100 messages that one node spreads reach each living one, and
// what the next has taken the place of reaches nobody; each gets the full
// exchange of another, and the round trip and answer of each probe: five nodes,
// 1 ms apart, of which one dies before the first message.
func TestCargo(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		var freights []*freight
		for i := 1; i <= 5; i++ {
			freights = append(freights, &freight{own: fmt.Sprint("n", i), heard: map[string]int{}, all: map[string]int{}, measured: map[string]string{}})
		}
		nodes := five(t, net, options{cargo: func(i int) Cargo { return freights[i-1] }})
		for i, f := range freights {
			f.gossip = nodes[i].Gossip
		}
		advance(5 * time.Second)
		net.Kill("n5") // memberlist goes on sending to it for a while
		const messages = 200
		for i := range messages {
			nodes[2].Spread("n3", func() []byte { return []byte("n3 was here") })
			nodes[2].Spread("n3", func() []byte { return fmt.Appendf(nil, "n3 here, %d", i) })
			advance(time.Second)
		}
		stopAll(nodes...)
		missed := 0 // by chance
		for i, f := range freights[:4] {
			f.mu.Lock() // a probe of memberlist's may end after its node
			if i != 2 {
				missed += messages - len(f.heard)
			}
			if f.heard["n3 was here"] != 0 {
				t.Errorf("%s heard what was replaced", f.own)
			}
			if len(f.all) == 0 || len(f.measured) != 4 || f.rtt < 2*time.Millisecond || f.rtt > 3*time.Millisecond {
				t.Errorf("%s was given %v and measured %v, at most %v", f.own, f.all, f.measured, f.rtt)
			}
			for node, answer := range f.measured {
				if answer != "answer of "+node {
					t.Errorf("%s got %q from %s", f.own, answer, node)
				}
			}
			f.mu.Unlock()
		}
		if missed > 3*messages/100 {
			t.Errorf("%d of %d were missed", missed, 3*messages)
		}
	})
}
