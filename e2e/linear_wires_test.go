//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wires gives each node a network namespace of its own, joined to a router in
// another one, and the test's namespace too. Packets between two nodes are
// dropped without a word by routing rules of the router, for one direction if
// need be, while the clients reach all nodes; or a node's link is taken down.
//
// The addresses are of 198.18.0.0/15, the range for tests of networks.
type wires struct {
	t      *testing.T
	number int
	mu     sync.Mutex
	cuts   map[[2]int]bool // from, to
	downs  map[int]bool
}

// noNamespaces says why this process cannot make network namespaces, or "".
func noNamespaces() string {
	if os.Geteuid() != 0 {
		return "network namespaces need root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "network namespaces need the program ip"
	}
	name := fmt.Sprintf("hfprobe%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		return fmt.Sprintf("ip netns add: %s", strings.TrimSpace(string(out)))
	}
	_ = exec.Command("ip", "netns", "del", name).Run()
	return ""
}

// lay builds the network of count nodes. It is gone when the test ends.
func lay(t *testing.T, count int) *wires {
	t.Helper()
	w := &wires{t: t, cuts: map[[2]int]bool{}, downs: map[int]bool{}}
	lock := w.claim()
	remove := func() { // also what a run that was killed has left behind
		for i := 0; i <= count; i++ {
			_ = w.ip("netns del %s", w.space(i))
		}
		_ = w.ip("link del %s", w.link())
	}
	t.Cleanup(func() {
		remove()
		lock.Close()
	})
	remove()
	steps := []string{
		"netns add " + w.space(0),
		fmt.Sprintf("link add %s type veth peer name up0 netns %s", w.link(), w.space(0)),
		fmt.Sprintf("addr add %s/30 dev %s", w.address(0, 1), w.link()),
		fmt.Sprintf("link set %s up", w.link()),
		fmt.Sprintf("-n %s addr add %s/30 dev up0", w.space(0), w.address(0, 2)),
		fmt.Sprintf("-n %s link set up0 up", w.space(0)),
		fmt.Sprintf("route add 198.18.%d.0/24 via %s", w.number, w.address(0, 2)),
		fmt.Sprintf("-n %s route add default via %s", w.space(0), w.address(0, 1)),
		fmt.Sprintf("netns exec %s sysctl -qw net.ipv4.ip_forward=1", w.space(0)),
	}
	for i := 1; i <= count; i++ {
		steps = append(steps,
			"netns add "+w.space(i),
			fmt.Sprintf("-n %s link add down%d type veth peer name eth0 netns %s", w.space(0), i, w.space(i)),
			fmt.Sprintf("-n %s addr add %s/30 dev down%d", w.space(0), w.address(i, 1), i),
			fmt.Sprintf("-n %s link set down%d up", w.space(0), i),
			fmt.Sprintf("-n %s addr add %s/30 dev eth0", w.space(i), w.host(i)),
			fmt.Sprintf("-n %s link set eth0 up", w.space(i)),
			fmt.Sprintf("-n %s link set lo up", w.space(i)),
			fmt.Sprintf("-n %s route add default via %s", w.space(i), w.address(i, 1)))
	}
	for _, step := range steps {
		if err := w.ip("%s", step); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// claim takes a number that no other process has. The lock on it is a socket
// without a file, which ends with the process at the latest.
func (w *wires) claim() net.Listener {
	for w.number = 1; w.number < 255; w.number++ {
		if lock, err := net.Listen("unix", "@holdfast-wires-"+strconv.Itoa(w.number)); err == nil {
			return lock
		}
	}
	w.t.Fatal("254 networks are in use")
	return nil
}

func (w *wires) link() string { return fmt.Sprintf("hf%d", w.number) }

// space is the namespace of node i, that of 0 is the router's.
func (w *wires) space(i int) string { return fmt.Sprintf("hf%d-%d", w.number, i) }

// address is the far (2) or near (1) end of the link that leads to node i.
func (w *wires) address(i, end int) string { return fmt.Sprintf("198.18.%d.%d", w.number, 4*i+end) }

func (w *wires) host(i int) string { return w.address(i, 2) }

func (w *wires) ip(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// cut drops what a node sends to another.
func (w *wires) cut(from, to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cuts[[2]int{from, to}] {
		return
	}
	if err := w.ip("-n %s rule add from %s to %s blackhole", w.space(0), w.host(from), w.host(to)); err != nil {
		w.t.Error(err)
		return
	}
	w.cuts[[2]int{from, to}] = true
}

// unplug takes a node's link down: its clients lose it, too.
func (w *wires) unplug(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ip("-n %s link set down%d down", w.space(0), i); err != nil {
		w.t.Error(err)
	}
	w.downs[i] = true
}

// heal ends all cuts.
func (w *wires) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for cut := range w.cuts {
		if err := w.ip("-n %s rule del from %s to %s blackhole", w.space(0), w.host(cut[0]), w.host(cut[1])); err != nil {
			w.t.Error(err)
		}
	}
	for i := range w.downs {
		if err := w.ip("-n %s link set down%d up", w.space(0), i); err != nil {
			w.t.Error(err)
		}
	}
	clear(w.cuts)
	clear(w.downs)
}
