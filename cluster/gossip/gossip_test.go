package gossip

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
	"github.com/holdfast-cluster/holdfast/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book keeps the log of one node.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type node struct {
	*Gossip
	id, addr string
	log      *book
	cancel   context.CancelFunc
	ended    chan struct{}
}

type options struct {
	cluster, clusterID, listen string
	seeds                      []string
	timing                     Timing
	keys                       *Keys
	known                      func() []string
	cargo                      func(i int) Cargo
}

// start runs a node on the host of its number until stop.
func start(t *testing.T, net *simnet.Net, i int, o options) *node {
	t.Helper()
	id := fmt.Sprint("n", i)
	network := net.Host(id, fmt.Sprint("10.0.0.", i))
	if o.listen == "" {
		o.listen = fmt.Sprintf("10.0.0.%d:7400", i)
	}
	if o.cluster == "" {
		o.cluster = "blue"
	}
	mux, err := transport.New(transport.Config{
		Network: network, Listen: o.listen,
		Identity: func() transport.Identity {
			return transport.Identity{ClusterName: o.cluster, Node: id, Instance: "i-" + o.listen}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := mux.Bind(); err != nil {
		t.Fatal(err)
	}
	n := &node{id: id, addr: mux.AdvertiseAddr(), log: &book{}, ended: make(chan struct{})}
	if o.timing == (Timing{}) {
		o.timing = LocalTiming()
	}
	var cargo Cargo
	if o.cargo != nil {
		cargo = o.cargo(i)
	}
	n.Gossip, err = New(Config{
		Cargo:  cargo,
		NodeID: id, Cluster: o.cluster, Mux: mux, Network: network, Seeds: o.seeds, Keys: o.keys, Known: o.known, Timing: o.timing,
		Meta:   Meta{ClusterID: o.clusterID, Instance: "i-" + id, Node: n.addr, HTTP: id + ":7401", Role: Server, FeatureMin: 1, FeatureMax: 1},
		Logger: hclog.New(&hclog.LoggerOptions{Name: id, Output: n.log, Level: hclog.Info}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n.cancel = cancel
	go func() {
		defer close(n.ended)
		var running sync.WaitGroup
		muxCtx, endMux := context.WithCancel(context.Background())
		running.Go(func() { mux.Run(muxCtx) }) // fails when the host is killed
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
		endMux()
		running.Wait()
	}()
	return n
}

func (n *node) stop() {
	n.cancel()
	<-n.ended
}

// sees is the ids of the members that the node holds for alive.
func (n *node) sees() string {
	var ids []string
	for _, m := range n.Members() {
		if m.Alive {
			ids = append(ids, m.ID)
		}
	}
	return strings.Join(ids, " ")
}

// await waits until all nodes see want, and returns how long it took.
func await(t *testing.T, limit time.Duration, want string, nodes ...*node) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		var wrong []string
		for _, n := range nodes {
			if got := n.sees(); got != want {
				wrong = append(wrong, fmt.Sprintf("%s sees %q", n.id, got))
			}
		}
		if len(wrong) == 0 {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("after %v: %s; want %q\n%s", limit, strings.Join(wrong, ", "), want, nodes[0].log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// bubble runs f with a network, and ends all that is left of memberlist.
func bubble(t *testing.T, f func(t *testing.T, net *simnet.Net)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(1)
		f(t, net)
		net.Close()
		time.Sleep(time.Minute)
	})
}

func stopAll(nodes ...*node) {
	for _, n := range nodes {
		n.stop()
	}
}

func five(t *testing.T, net *simnet.Net, o options) []*node {
	t.Helper()
	o.seeds = []string{"n1:7400", "n2:7400", "n3:7400"}
	var nodes []*node
	for i := 1; i <= 5; i++ {
		nodes = append(nodes, start(t, net, i, o))
	}
	await(t, 10*time.Second, "n1 n2 n3 n4 n5", nodes...)
	return nodes
}

// Five nodes with three seeds must find each other within seconds, and know
// what each tells about itself, before and after it changes.
func TestJoinAndMeta(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		nodes := five(t, net, options{keys: keysOf(t, "0123456789abcdef")})
		m := nodes[4].Members()[1]
		if m.ID != "n2" || m.Instance != "i-n2" || m.Node != "10.0.0.2:7400" || m.Gossip != "10.0.0.2:7400" || m.HTTP != "n2:7401" || m.Role != Server || m.FeatureMax != 1 {
			t.Errorf("n5 knows of n2: %+v", m)
		}
		for len(nodes[4].changed) > 0 {
			<-nodes[4].Changed()
		}
		err := nodes[1].UpdateMeta(Meta{ClusterID: "c-1", Instance: "i-n2", HTTP: "elsewhere:1", FeatureMax: 2})
		if err != nil {
			t.Fatal(err)
		}
		<-nodes[4].Changed()
		time.Sleep(time.Second)
		m = nodes[4].Members()[1]
		if m.HTTP != "elsewhere:1" || m.FeatureMax != 2 || m.Hash != HashCluster("c-1") {
			t.Errorf("n5 knows of n2 after its change: %+v", m)
		}
		stopAll(nodes...)
	})
}

// A node that dies without a word must be seen dead by all within seconds, one
// that leaves at once; the dead one is still listed, and comes back.
func TestFailureAndLeave(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		nodes := five(t, net, options{})
		net.Kill("n5")
		nodes[4].stop()
		if took := await(t, 10*time.Second, "n1 n2 n3 n4", nodes[:4]...); took > 4*time.Second {
			t.Errorf("the failure was seen after %v", took)
		}
		if last := nodes[0].Members()[4]; last.ID != "n5" || last.Alive || time.Since(last.Since) > 5*time.Second {
			t.Errorf("the dead member: %+v", last)
		}
		if err := nodes[3].Leave(time.Second); err != nil {
			t.Error(err)
		}
		if took := await(t, time.Second, "n1 n2 n3", nodes[:3]...); took > 500*time.Millisecond {
			t.Errorf("the leave was seen after %v", took)
		}
		nodes[3].stop()
		if err := nodes[3].Leave(time.Second); err == nil {
			t.Error("a stopped node left")
		}
		net.Revive("n5")
		nodes[4] = start(t, net, 5, options{seeds: []string{"n1:7400"}})
		await(t, 10*time.Second, "n1 n2 n3 n5", nodes[0], nodes[1], nodes[2], nodes[4])
		stopAll(nodes[0], nodes[1], nodes[2], nodes[4])
	})
}

// After five minutes of partition, longer than memberlist remembers anybody,
// the halves must find each other again soon: through the seeds, and, with the
// seeds all on one side and the other side knowing only addresses, through
// Known.
func TestPartitionHeals(t *testing.T) {
	for name, timing := range map[string]Timing{"local": LocalTiming(), "lan": LANTiming()} {
		bubble(t, func(t *testing.T, net *simnet.Net) {
			nodes := five(t, net, options{timing: timing})
			net.Partition([]string{"n1", "n2"}, []string{"n3", "n4", "n5"})
			await(t, time.Minute, "n1 n2", nodes[:2]...)
			await(t, time.Minute, "n3 n4 n5", nodes[2:]...)
			time.Sleep(5 * time.Minute)
			net.Heal()
			took := await(t, time.Minute, "n1 n2 n3 n4 n5", nodes...)
			if took > 30*time.Second {
				t.Errorf("%s: healed after %v", name, took)
			}
			stopAll(nodes...)
		})
	}
}

// A node without seeds must come back by the addresses that the replicated
// state knows: the seedless one and its only peer start apart.
func TestKnownAddressesAreJoined(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		a := start(t, net, 1, options{})
		b := start(t, net, 2, options{known: func() []string { return []string{"10.0.0.1:7400", "10.0.0.9:7400"} }})
		await(t, 20*time.Second, "n1 n2", a, b)
		stopAll(a, b)
	})
}

// A seed's name is looked up each time: it gets an address only after a minute.
func TestSeedNameResolvesLate(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		a := start(t, net, 1, options{})
		b := start(t, net, 2, options{seeds: []string{"seed.example:7400"}})
		time.Sleep(time.Minute)
		if got := b.sees(); got != "n2" {
			t.Fatalf("n2 sees %q", got)
		}
		if got := strings.Count(b.log.String(), "does not resolve"); got != 1 {
			t.Errorf("the unresolved seed was logged %d times:\n%s", got, b.log)
		}
		net.DNS("seed.example", "10.0.0.1")
		await(t, 10*time.Second, "n1 n2", a, b)
		stopAll(a, b)
	})
}

// Nodes of two clusters with one name must not mix, whoever calls whom, also
// through a third that is young and sees both; and it is said why.
func TestOtherClusterIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		seeds := []string{"n1:7400", "n2:7400"}
		a := start(t, net, 1, options{clusterID: "c-1", seeds: seeds})
		b := start(t, net, 2, options{clusterID: "c-2", seeds: seeds})
		young := start(t, net, 3, options{seeds: seeds[:1]})
		await(t, 10*time.Second, "n1 n3", a, young)
		time.Sleep(time.Minute)
		if a.sees() != "n1 n3" || b.sees() != "n2" {
			t.Errorf("n1 sees %q, n2 sees %q", a.sees(), b.sees())
		}
		for _, n := range []*node{a, b} {
			if got := n.log.String(); !strings.Contains(got, "is of another cluster with the same name") {
				t.Errorf("%s does not say why:\n%s", n.id, got)
			}
		}
		stopAll(a, b, young)
	})
}

// A node of another cluster name is refused by the port itself.
func TestOtherClusterName(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		a := start(t, net, 1, options{cluster: "red"})
		b := start(t, net, 2, options{seeds: []string{"n1:7400"}})
		time.Sleep(30 * time.Second)
		if a.sees() != "n1" || b.sees() != "n2" {
			t.Errorf("n1 sees %q, n2 sees %q", a.sees(), b.sees())
		}
		if got := b.log.String(); !strings.Contains(got, `cluster \"red\"`) && !strings.Contains(got, `cluster "red"`) {
			t.Errorf("n2 does not say why:\n%s", got)
		}
		stopAll(a, b)
	})
}

// A node that restarts on another port must be a member again as soon as its
// old address is dead for the reclaim time.
func TestRestartOnAnotherPort(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		nodes := five(t, net, options{})
		nodes[4].stop()
		nodes[4] = start(t, net, 5, options{listen: "10.0.0.5:7500", seeds: []string{"n1:7400"}})
		isMoved := func(m Member) bool { return m.ID == "n5" && m.Alive && m.Gossip == "10.0.0.5:7500" }
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			moved := 0
			for _, n := range nodes {
				if slices.ContainsFunc(n.Members(), isMoved) {
					moved++
				}
			}
			if moved == len(nodes) {
				break
			}
			if time.Since(began) > 30*time.Second {
				t.Fatalf("%d of 5 know the new address\n%s", moved, nodes[0].log)
			}
		}
		await(t, 10*time.Second, "n1 n2 n3 n4 n5", nodes...)
		stopAll(nodes...)
	})
}

// Two living nodes with one id: the first stays, and the conflict is named.
func TestNameConflict(t *testing.T) {
	bubble(t, func(t *testing.T, net *simnet.Net) {
		a := start(t, net, 1, options{})
		b := start(t, net, 2, options{seeds: []string{"n1:7400"}})
		await(t, 10*time.Second, "n1 n2", a, b)
		twin := start(t, net, 2, options{listen: "10.0.0.2:7500", seeds: []string{"n1:7400"}})
		time.Sleep(20 * time.Second)
		for _, m := range a.Members() {
			if m.ID == "n2" && m.Gossip != b.addr {
				t.Errorf("n1 holds %s for n2", m.Gossip)
			}
		}
		if got := a.log.String(); !strings.Contains(got, "node id n2 is used by two nodes") {
			t.Errorf("n1 does not name the conflict:\n%s", got)
		}
		stopAll(a, b, twin)
	})
}

// What cannot work is refused at once, with a reason.
func TestConfigIsChecked(t *testing.T) {
	for want, cfg := range map[string]Config{
		"the cluster name has 0":    {},
		"the cluster name has 300":  {Cluster: strings.Repeat("c", 300)},
		"is longer than 200 bytes":  {Cluster: "c", Meta: Meta{HTTP: strings.Repeat("h", 201)}},
		"the instance \"iiiiiiiiii": {Cluster: "c", Meta: Meta{Instance: strings.Repeat("i", 65)}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// advance lets fake time pass: the scenarios run in bubbles.
func advance(d time.Duration) { time.Sleep(d) }
