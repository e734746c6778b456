package pledge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-cluster/holdfast/cluster/pace"
)

// propose makes the own proposal if the node is the one to make it.
func (m *Machine) propose(now time.Time, view View) error {
	servers, waiting := m.candidates(now, view)
	if waiting == "" && now.Before(m.pause) {
		waiting = "pausing after a withdrawn proposal"
	}
	m.waiting = waiting
	if waiting != "" {
		return nil
	}
	p := Proposal{
		Number: m.cfg.NewID(), ClusterID: m.cfg.NewID(), Cluster: m.cfg.Cluster,
		Expect: m.cfg.Expect, Proposer: m.cfg.Self, Servers: servers, Heartbeat: m.cfg.Heartbeat,
	}
	for _, s := range servers {
		p.Heartbeat = max(p.Heartbeat, m.heard[s.NodeID].answer.Heartbeat)
	}
	if p.Heartbeat > 0 {
		p.Heartbeat = pace.Step(p.Heartbeat)
	}
	if err := m.save(record{Proposal: p}); err != nil { // the proposer's own pledge
		return err
	}
	m.deadline = now.Add(withdrawAfter + m.cfg.Jitter(withdrawMore))
	return m.decide()
}

// candidates returns the servers to propose, or what is waited for.
func (m *Machine) candidates(now time.Time, view View) (servers []Server, waiting string) {
	if m.cfg.Expect == 0 {
		return nil, "waiting for a cluster to join"
	}
	if answer, ok := m.Found(); ok {
		return nil, fmt.Sprintf("waiting to be let in by %s", answer.From.NodeID)
	}
	if waiting := m.seedsLeft(view.Seeds); waiting != "" {
		return nil, waiting
	}
	servers, waiting = m.willing(now, view)
	if waiting != "" {
		return nil, waiting
	}
	if len(servers) < m.cfg.Expect {
		return nil, fmt.Sprintf("waiting for %d servers, %d are here: %s", m.cfg.Expect, len(servers), names(servers))
	}
	servers = servers[:m.cfg.Expect]
	if servers[0] != m.cfg.Self {
		return nil, fmt.Sprintf("waiting for the proposal of %s", servers[0].NodeID)
	}
	for _, s := range servers[1:] {
		answer, ok := m.fresh(now, s)
		if !ok {
			return nil, fmt.Sprintf("waiting for an answer of %s", s.NodeID)
		}
		// A pledge to one of these servers ends when it hears of a lower id.
		if to := answer.PledgedTo; to != nil && !slices.Contains(servers, *to) {
			return nil, fmt.Sprintf("%s has pledged to the proposal of %s", s.NodeID, to.NodeID)
		}
	}
	return servers, ""
}

// seedsLeft says which seeds must still be asked: every one, and to bootstrap
// alone every one must have answered, because no other pledge would stop it.
func (m *Machine) seedsLeft(seeds []string) string {
	var left []string
	for _, address := range seeds {
		answered, asked := m.asked[address]
		if address != m.cfg.Self.Address && (!asked || m.cfg.Expect == 1 && !answered) {
			left = append(left, address)
		}
	}
	if len(left) == 0 {
		return ""
	}
	slices.Sort(left)
	return "waiting for an answer of the seeds " + strings.Join(left, ", ")
}

// willing returns self and the servers seen that do not only want to join,
// sorted, or what stands against a proposal.
func (m *Machine) willing(now time.Time, view View) (servers []Server, waiting string) {
	servers = []Server{m.cfg.Self}
	for _, s := range view.Servers {
		if s.Instance == m.cfg.Self.Instance {
			continue
		}
		if s.NodeID == m.cfg.Self.NodeID {
			return nil, fmt.Sprintf("another server at %s has the node id %s too: give it one of its own", s.Address, s.NodeID)
		}
		answer, ok := m.fresh(now, s)
		switch {
		case ok && answer.Cluster != m.cfg.Cluster:
			return nil, fmt.Sprintf("%s belongs to cluster %q, not %q: check the seeds and --cluster", s.NodeID, answer.Cluster, m.cfg.Cluster)
		case ok && answer.Expect == 0:
			continue
		case ok && answer.Expect != m.cfg.Expect:
			return nil, fmt.Sprintf("%s has --bootstrap-expect %d, this node %d: give all servers the same", s.NodeID, answer.Expect, m.cfg.Expect)
		}
		servers = append(servers, s)
	}
	slices.SortFunc(servers, byNode)
	for i := range servers[1:] {
		if servers[i].NodeID == servers[i+1].NodeID {
			return nil, fmt.Sprintf("servers at %s and %s have the same node id %s: give each one of its own", servers[i].Address, servers[i+1].Address, servers[i].NodeID)
		}
	}
	return servers, ""
}

// fresh returns the last answer of a server if it still counts.
func (m *Machine) fresh(now time.Time, s Server) (Answer, bool) {
	h, ok := m.heard[s.NodeID]
	return h.answer, ok && h.answer.From == s && now.Sub(h.at) <= answerFresh
}

// Failed takes note that a request was not answered.
func (m *Machine) Failed(send Send) {
	if send.Request.Kind == KindStatus && !m.asked[send.To] {
		m.asked[send.To] = false
	}
}

// Answered takes the answer to a request that Tick returned.
func (m *Machine) Answered(now time.Time, send Send, answer Answer) error {
	if m.broken != nil || m.clusterID != "" {
		return m.broken
	}
	if send.Request.Kind == KindStatus {
		m.asked[send.To] = true
	}
	m.heard[answer.From.NodeID] = heard{answer: answer, at: now}
	if answer.Cluster == m.cfg.Cluster && (answer.ClusterID != "" || answer.From.NodeID == m.found.From.NodeID) {
		m.found = answer // or no longer
	}
	if m.pledge == nil || m.pledge.Decided {
		return nil
	}
	p := m.pledge.Proposal
	switch {
	case answer.Outcome == Pledged && send.Request.Proposal != nil && send.Request.Proposal.Number == p.Number:
		if m.own() && p.has(answer.From) {
			m.pledges[answer.From.NodeID] = true
			return m.decide()
		}
	case answer.Outcome == Withdrawn && send.Request.Number == p.Number:
		if !m.own() && answer.From.Instance == p.Proposer.Instance {
			return m.free()
		}
	}
	return nil
}

// decide writes down that the own proposal bootstraps, once all have pledged.
func (m *Machine) decide() error {
	p := m.pledge.Proposal
	for _, s := range p.Servers {
		if s != m.cfg.Self && !m.pledges[s.NodeID] {
			return nil
		}
	}
	if slices.Contains(m.withdrawn, p.Number) {
		return m.fail(fmt.Errorf("proposal %s is withdrawn and cannot bootstrap: stop this node and delete its file pledge", p.Number))
	}
	if err := m.save(record{Proposal: p, Decided: true}); err != nil {
		return err
	}
	m.failures = 0
	m.waiting = "bootstrapping " + names(p.Servers)
	return nil
}

func names(servers []Server) string {
	var ids []string
	for _, s := range servers {
		ids = append(ids, s.NodeID)
	}
	return strings.Join(ids, ", ")
}
