//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// nemesis does harm to a fleet, one fault after the other, and undoes each.
type nemesis struct {
	f     *fleet
	kinds []string // kill, stop, netns

	mu     sync.Mutex
	faults map[string]int
}

// run goes on until ctx ends, and has undone all when it returns. Several runs
// at once leave each other's nodes alone.
func (n *nemesis) run(ctx context.Context, rng *rand.Rand) {
	for wait(ctx, rng, 300, 2000) {
		switch n.kinds[rng.IntN(len(n.kinds))] {
		case "kill":
			n.kill(ctx, rng)
		case "stop":
			n.stop(ctx, rng)
		case "netns":
			n.part(ctx, rng)
		}
	}
}

// wait lets some milliseconds pass and answers false when ctx ended first.
func wait(ctx context.Context, rng *rand.Rand, least, most int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(least+rng.IntN(most-least)) * time.Millisecond):
		return true
	}
}

// did counts a fault.
func (n *nemesis) did(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[what]++
}

// String lists the faults with their number.
func (n *nemesis) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for what, count := range n.faults {
		list = append(list, fmt.Sprintf("%s %d", what, count))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// victims claims up to count nodes: in two of three cases the leader first.
func (n *nemesis) victims(ctx context.Context, rng *rand.Rand, count int) (list []int, leader bool) {
	order := rng.Perm(n.f.count)
	for i := range order {
		order[i]++
	}
	first := 0
	if rng.IntN(3) > 0 {
		first = n.f.leads(ctx)
		if first != 0 {
			order = append([]int{first}, order...)
		}
	}
	for _, i := range order {
		if len(list) < count && n.f.claim(i) {
			list = append(list, i)
			leader = leader || i == first
		}
	}
	return list, leader
}

func (n *nemesis) release(list []int) {
	for _, i := range list {
		n.f.release(i)
	}
}

// kill is kill -9 of one node or two, or now and then of all, or SIGTERM of one,
// and their start.
func (n *nemesis) kill(ctx context.Context, rng *rand.Rand) {
	count := 1
	switch {
	case rng.IntN(8) == 0:
		count = n.f.count
	case n.f.count > 3 && rng.IntN(3) == 0:
		count = 2
	}
	what, harm := "kill", n.f.kill
	if count == 1 && rng.IntN(4) == 0 {
		what, harm = "end", n.f.end
	}
	list, leader := n.victims(ctx, rng, count)
	defer n.release(list)
	if len(list) == 0 {
		return
	}
	for _, i := range list {
		harm(i)
	}
	n.did(name(what, len(list), n.f.count, leader))
	wait(ctx, rng, 100, 2500)
	for _, i := range list {
		n.f.start(i)
	}
}

// stop is SIGSTOP of a node, mostly for longer than a leader's lease, and
// SIGCONT.
func (n *nemesis) stop(ctx context.Context, rng *rand.Rand) {
	list, leader := n.victims(ctx, rng, 1)
	defer n.release(list)
	if len(list) == 0 {
		return
	}
	for _, i := range list {
		n.f.signal(i, syscall.SIGSTOP)
	}
	n.did(name("stop", len(list), n.f.count, leader))
	wait(ctx, rng, 300, 5000)
	for _, i := range list {
		n.f.signal(i, syscall.SIGCONT)
	}
}

func name(what string, hit, count int, leader bool) string {
	switch {
	case hit == count:
		return what + " all"
	case leader:
		return what + " leader"
	}
	return what + " other"
}

// part cuts the network between nodes, in both directions or in one, or takes
// a node's link down.
func (n *nemesis) part(ctx context.Context, rng *rand.Rand) {
	list, leader := n.victims(ctx, rng, 1)
	defer n.release(list)
	if len(list) == 0 {
		return
	}
	w, victim := n.f.wires, list[0]
	in, out := true, true
	what := "isolate"
	side := []int{victim}
	switch rng.IntN(6) {
	case 0:
		in, what = false, "mute"
	case 1:
		out, what = false, "deafen"
	case 2:
		what = "unplug"
	case 3:
		what = "split"
		if other := 1 + rng.IntN(n.f.count); n.f.count > 3 && other != victim {
			side = append(side, other)
		}
	}
	if what == "unplug" {
		w.unplug(victim)
	} else {
		for i := 1; i <= n.f.count; i++ {
			for _, v := range side {
				if slices.Contains(side, i) {
					continue
				}
				if out {
					w.cut(v, i)
				}
				if in {
					w.cut(i, v)
				}
			}
		}
	}
	n.did(name(what, 1, n.f.count, leader))
	wait(ctx, rng, 500, 5000)
	w.heal()
}
