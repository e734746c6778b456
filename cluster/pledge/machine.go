package pledge

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Times of the protocol.
const (
	roundEvery    = 500 * time.Millisecond // between two rounds of requests
	answerFresh   = 5 * time.Second        // how long a status answer counts
	withdrawAfter = 10 * time.Second       // without all pledges, plus jitter
	withdrawMore  = 5 * time.Second        // the jitter's bound
	pauseMax      = time.Minute            // between two proposals of one node
)

// withdrawnMax bounds the numbers kept. At one withdrawal in ten seconds at
// most, an older one has been answered to everybody who still asked.
const withdrawnMax = 1024

// Store keeps the one pledge and the withdrawn numbers. A nil error means that
// the change is durable. *datadir.Dir is one.
type Store interface {
	Pledge() (record json.RawMessage, ok bool, err error)
	SetPledge(record json.RawMessage) error
	ClearPledge() error
	Withdrawn() ([]string, error)
	SetWithdrawn(numbers []string) error
}

// Config is what a Machine knows from the start.
type Config struct {
	Self      Server
	Cluster   string        // the cluster's name
	ClusterID string        // set if the node is a member already
	Expect    int           // servers to bootstrap with: 1, 3 or 5; 0 = join only
	Heartbeat time.Duration // shortest that this node can bear
	// NewID draws a number that was never drawn before, anywhere.
	NewID func() string
	// Jitter draws a duration from 0 up to but not including the bound.
	Jitter func(bound time.Duration) time.Duration
}

// View is what the node sees of others at one moment.
type View struct {
	Servers []Server // alive servers as gossip shows them; self may be left out
	Seeds   []string // addresses of all seeds; a name that does not resolve stands for itself
}

// record is what is kept of a pledge.
type record struct {
	Proposal Proposal `json:"proposal"`
	Decided  bool     `json:"decided,omitempty"` // own, and it bootstraps
}

type heard struct {
	answer Answer
	at     time.Time
}

// Machine is one node's part in finding the first configuration.
type Machine struct {
	cfg       Config
	store     Store
	pledge    *record  // nil: free
	withdrawn []string // of this instance, oldest first
	clusterID string
	broken    error

	round    time.Time // of the last requests
	deadline time.Time // of the own proposal; zero: not set yet
	pause    time.Time // no new proposal before
	failures int       // withdrawals by deadline in a row
	pledges  map[string]bool
	heard    map[string]heard // by node id
	asked    map[string]bool  // seed address → it answered, not only failed
	outbox   []Send
	found    Answer // of a member of the cluster
	waiting  string
}

// New makes a Machine from what the store holds.
func New(cfg Config, store Store) (*Machine, error) {
	m := &Machine{
		cfg: cfg, store: store, clusterID: cfg.ClusterID,
		pledges: map[string]bool{}, heard: map[string]heard{}, asked: map[string]bool{},
		waiting: "starting",
	}
	var err error
	if m.withdrawn, err = store.Withdrawn(); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	raw, ok, err := store.Pledge()
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if !ok {
		return m, nil
	}
	m.pledge = &record{}
	if err := json.Unmarshal(raw, m.pledge); err != nil || !m.pledge.Proposal.valid() {
		return nil, errors.New("bootstrap: the file pledge holds no proposal: if this node was never part of a cluster, delete it and start again")
	}
	switch {
	case m.clusterID != "", m.own() && slices.Contains(m.withdrawn, m.pledge.Proposal.Number):
		err = m.free() // a crash came between two steps
	case m.own() && !m.pledge.Decided && !m.pledge.Proposal.has(cfg.Self):
		err = m.withdraw() // the address has changed since
	}
	return m, err
}

// Decided returns the own proposal that must be bootstrapped now. After that,
// and after the cluster id is kept, call Joined.
func (m *Machine) Decided() (Proposal, bool) {
	if m.pledge == nil || !m.pledge.Decided {
		return Proposal{}, false
	}
	return m.pledge.Proposal, true
}

// Pledge returns the proposal that the node has pledged to.
func (m *Machine) Pledge() (Proposal, bool) {
	if m.pledge == nil {
		return Proposal{}, false
	}
	return m.pledge.Proposal, true
}

// Found returns the answer of a member of the cluster, if one was heard. A
// node without a pledge should ask it to be let in.
func (m *Machine) Found() (Answer, bool) { return m.found, m.found.ClusterID != "" }

// Waiting says in one line what the node waits for.
func (m *Machine) Waiting() string { return m.waiting }

// Joined ends the Machine's work: the node is a member of the cluster, and
// that is on disk. It only answers from then on.
func (m *Machine) Joined(clusterID string) error {
	if m.broken != nil {
		return m.broken
	}
	if m.pledge != nil && m.pledge.Proposal.ClusterID != clusterID {
		return fmt.Errorf("node %s has pledged to cluster id %s and cannot join %s", m.cfg.Self.NodeID, m.pledge.Proposal.ClusterID, clusterID)
	}
	m.clusterID = clusterID
	m.waiting = "member"
	if m.pledge == nil {
		return nil
	}
	return m.free()
}

// Tick returns the requests to send now. Call it a few times a second.
func (m *Machine) Tick(now time.Time, view View) ([]Send, error) {
	if m.broken != nil || m.clusterID != "" {
		return nil, m.broken
	}
	if m.pending() && m.deadline.IsZero() {
		m.deadline = now.Add(withdrawAfter + m.cfg.Jitter(withdrawMore))
	}
	_, found := m.Found()
	if m.pending() && (found || !now.Before(m.deadline)) {
		m.failures++
		m.pause = now.Add(m.backoff())
		if err := m.withdraw(); err != nil {
			return nil, err
		}
	}
	sends := m.outbox
	m.outbox = nil
	if !m.round.IsZero() && now.Sub(m.round) < roundEvery {
		return sends, nil
	}
	m.round = now
	if m.pledge == nil {
		if err := m.propose(now, view); err != nil {
			return nil, err
		}
	}
	return append(sends, m.requests(view)...), nil
}

// backoff is the pause after a withdrawal: 1 s doubling, plus jitter.
func (m *Machine) backoff() time.Duration {
	pause := min(time.Second<<min(m.failures-1, 10), pauseMax)
	return pause + m.cfg.Jitter(pause)
}

// requests is one round: what a proposer, a pledger or a free node asks.
func (m *Machine) requests(view View) []Send {
	switch {
	case m.pledge == nil:
		return m.statusRound(view)
	case m.pledge.Decided:
		return nil
	case m.own():
		return m.askRound()
	}
	p := m.pledge.Proposal
	m.waiting = fmt.Sprintf("pledged to the proposal of %s; if its data directory is lost, stop this node and delete its file pledge", p.Proposer.NodeID)
	query := m.request(KindQuery)
	query.Number = p.Number
	return []Send{{To: p.Proposer.Address, Request: query}}
}

func (m *Machine) statusRound(view View) []Send {
	addresses := slices.Clone(view.Seeds)
	for _, s := range view.Servers {
		addresses = append(addresses, s.Address)
	}
	slices.Sort(addresses)
	var sends []Send
	for _, address := range slices.Compact(addresses) {
		if address != m.cfg.Self.Address {
			sends = append(sends, Send{To: address, Request: m.request(KindStatus)})
		}
	}
	return sends
}

func (m *Machine) askRound() []Send {
	p := m.pledge.Proposal
	var sends []Send
	var missing []string
	for _, s := range p.Servers {
		if s != m.cfg.Self && !m.pledges[s.NodeID] {
			ask := m.request(KindAsk)
			ask.Proposal = &p
			sends = append(sends, Send{To: s.Address, Request: ask})
			missing = append(missing, s.NodeID)
		}
	}
	m.waiting = "waiting for the pledges of " + strings.Join(missing, ", ")
	return sends
}

func (m *Machine) request(kind Kind) Request {
	return Request{Kind: kind, From: m.cfg.Self, Cluster: m.cfg.Cluster, Expect: m.cfg.Expect}
}

// own reports whether the pledge is to a proposal of this instance.
func (m *Machine) own() bool {
	return m.pledge != nil && m.pledge.Proposal.Proposer.Instance == m.cfg.Self.Instance
}

// pending reports an own proposal that is not decided.
func (m *Machine) pending() bool { return m.own() && !m.pledge.Decided }

// The steps that touch the store. Each ends the Machine if the store fails.

func (m *Machine) save(r record) error {
	raw, err := json.Marshal(r)
	if err == nil {
		err = m.store.SetPledge(raw)
	}
	if err != nil {
		return m.fail(err)
	}
	m.pledge = &r
	return nil
}

func (m *Machine) free() error {
	if err := m.store.ClearPledge(); err != nil {
		return m.fail(err)
	}
	m.pledge = nil
	m.pledges = map[string]bool{}
	m.deadline = time.Time{}
	return nil
}

// withdraw writes down that the own proposal will never bootstrap, and then
// releases the pledges to it, its own first.
func (m *Machine) withdraw() error {
	p := m.pledge.Proposal
	numbers := append(slices.Clone(m.withdrawn), p.Number)
	if len(numbers) > withdrawnMax {
		numbers = numbers[len(numbers)-withdrawnMax:]
	}
	if err := m.store.SetWithdrawn(numbers); err != nil {
		return m.fail(err)
	}
	m.withdrawn = numbers
	for _, s := range p.Servers {
		if s.Instance != m.cfg.Self.Instance {
			release := m.request(KindRelease)
			release.Number = p.Number
			m.outbox = append(m.outbox, Send{To: s.Address, Request: release})
		}
	}
	return m.free()
}

func (m *Machine) fail(err error) error {
	m.broken = fmt.Errorf("bootstrap: %w", err)
	return m.broken
}
