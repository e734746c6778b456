package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/holdfast-cluster/holdfast/agent"
)

// What design section 8 says of single writes.
const (
	etcdWrites   = 4100 // a second; measured elsewhere, on the machine of the design
	writeReach   = 2
	writeServers = 3
	ownChains    = 8 // of each client
)

// Write measures single writes through HTTP: clients that change chains' specs
// one after another, each write committed on three servers before it is
// answered. Servers and clients share the machine.
func Write(ctx context.Context, cfg Config) (_ *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, remove, err := cfg.directory()
	if err != nil {
		return nil, err
	}
	defer remove()
	cfg.progress("starting %d agents", writeServers)
	a, err := newAgents(ctx, dir, writeServers, writeServers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	d, err := openDisk(dir)
	if err != nil {
		return nil, err
	}
	defer d.close()
	leader := a.leader()
	if leader == nil {
		return nil, errors.New("leadership changed meanwhile; run it again")
	}
	calls, err := a.client(leader)
	if err != nil {
		return nil, err
	}
	if _, err := calls.Freeze(ctx, 0, "only writes are measured"); err != nil {
		return nil, err
	}
	direct, spread := newWriters(ctx, cfg.Clients, "d", leader), newWriters(ctx, cfg.Clients, "s", a.all...)
	defer direct.close()
	defer spread.close()
	cfg.progress("%d clients write", cfg.Clients)
	for _, w := range []*writers{direct, spread} { // chains are made, connections opened
		if err := w.measure(ctx, min(cfg.Length, time.Second/2)); err != nil {
			return nil, err
		}
		w.count, w.spent = 0, 0
	}
	short := func(ctx context.Context, length time.Duration) error {
		return d.measure(ctx, min(length, time.Second/2))
	}
	if err := inTurn(ctx, cfg.Length, direct.measure, spread.measure, short); err != nil {
		return nil, err
	}
	return writeReport(cfg, direct, spread, d), nil
}

func writeReport(cfg Config, direct, spread *writers, d *disk) *Report {
	r := new(Report)
	r.add(
		Figure{Key: "clients", What: "clients", Value: float64(cfg.Clients)},
		Figure{Key: "servers", What: "servers", Value: writeServers},
		Figure{
			Key: "writes_per_second", What: "writes answered, clients ask the leader", Value: direct.rate(), Unit: PerSecond,
			Goal: AtLeast, Limit: etcdWrites, Reach: writeReach, Against: "of etcd, measured elsewhere",
		},
		Figure{
			Key: "spread_writes_per_second", What: "writes answered, clients ask all nodes", Value: spread.rate(), Unit: PerSecond,
			Limit: direct.rate(), Against: "asking the leader",
		},
		Figure{
			Key: "fsyncs_per_second", What: "writes of a page, each synced", Value: d.rate(), Unit: PerSecond,
			Limit: direct.rate(), Against: "writes answered",
		},
	)
	r.note("A write gives a chain another label. The cluster is frozen, so that nothing else is done; servers and clients are in this process.")
	return r
}

// newWriters returns so many clients, each of which changes chains of its own in turn,
// through one of the agents.
func newWriters(ctx context.Context, count int, prefix string, through ...*agent.Agent) *writers {
	clients := make([]*writer, count)
	for i := range clients {
		clients[i] = &writer{addr: through[i%len(through)].HTTPAddr(), prefix: fmt.Sprintf("%s-%d", prefix, i)}
	}
	return &writers{
		crowd:   crowd{size: count, do: func(caller int) (int, error) { return 1, clients[caller].write(ctx) }},
		clients: clients,
	}
}

// writers is a crowd of clients.
type writers struct {
	crowd
	clients []*writer
}

func (w *writers) close() {
	for _, c := range w.clients {
		if c.conn != nil {
			c.conn.Close()
		}
	}
}

// writer is a client with one connection and as little work of its own as can
// be: it shares its cores with the servers that are measured.
type writer struct {
	addr, prefix string
	conn         net.Conn
	answers      *bufio.Reader
	writes       int
}

// writerPatience bounds one write.
const writerPatience = 30 * time.Second

// write makes one write and waits for its answer.
func (w *writer) write(ctx context.Context) error {
	if w.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", w.addr)
		if err != nil {
			return err
		}
		w.conn, w.answers = conn, bufio.NewReader(conn)
	}
	w.writes++
	body := fmt.Sprintf(`{"spec":{"desired":1,"labels":{"n":"%d"}}}`, w.writes)
	if err := w.conn.SetDeadline(time.Now().Add(writerPatience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w.conn, "PUT /v1/chains/%s-%d HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nIdempotency-Key: %s-%d\r\nContent-Length: %d\r\n\r\n%s",
		w.prefix, w.writes%ownChains, w.addr, w.prefix, w.writes, len(body), body); err != nil {
		return err
	}
	resp, err := http.ReadResponse(w.answers, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("a write was answered %s: %s", resp.Status, text)
	}
	return err
}
