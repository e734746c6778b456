package pledge

import (
	"fmt"
	"slices"
)

// Handle answers a request. What it changed is durable when it returns; on an
// error nothing may be answered.
func (m *Machine) Handle(request Request) (Answer, error) {
	if m.broken != nil {
		return Answer{}, m.broken
	}
	code, text := "", ""
	outcome := Outcome("")
	var err error
	switch {
	case request.Cluster != m.cfg.Cluster:
		code = CodeWrongCluster
		text = fmt.Sprintf("node %s belongs to cluster %q, not %q: check the seeds and --cluster", m.cfg.Self.NodeID, m.cfg.Cluster, request.Cluster)
	case request.Kind == KindStatus:
	case request.Kind == KindAsk && request.Proposal != nil:
		code, text, err = m.ask(request.From, *request.Proposal)
		outcome = Pledged
	case request.Kind == KindRelease:
		code, text, err = m.release(request.From, request.Number)
		outcome = Released
	case request.Kind == KindQuery:
		outcome = m.query(request.Number)
	default:
		code, text = CodeInvalid, fmt.Sprintf("node %s does not know the request %q", m.cfg.Self.NodeID, request.Kind)
	}
	if err != nil {
		return Answer{}, err
	}
	if code != "" {
		outcome = Refused
	}
	return m.answer(outcome, code, text), nil
}

func (m *Machine) answer(outcome Outcome, code, text string) Answer {
	a := Answer{
		From: m.cfg.Self, Cluster: m.cfg.Cluster, ClusterID: m.clusterID, Expect: m.cfg.Expect,
		Heartbeat: m.cfg.Heartbeat, Outcome: outcome, Code: code, Text: text,
	}
	if m.pledge != nil {
		to := m.pledge.Proposal.Proposer
		a.PledgedTo = &to
	}
	return a
}

// ask pledges to p, or says why not.
func (m *Machine) ask(from Server, p Proposal) (code, text string, err error) {
	self := m.cfg.Self
	switch {
	case m.clusterID != "":
		return CodeMember, fmt.Sprintf("node %s is a member of cluster id %s: join it", self.NodeID, m.clusterID), nil
	case !p.valid() || p.Cluster != m.cfg.Cluster || p.Proposer != from || from.Instance == self.Instance:
		return CodeInvalid, "the proposal makes no sense", nil
	case p.Expect != m.cfg.Expect:
		return CodeMixedExpect, fmt.Sprintf("node %s has --bootstrap-expect %d, not %d: give all servers the same", self.NodeID, m.cfg.Expect, p.Expect), nil
	case !p.has(self):
		return CodeInvalid, fmt.Sprintf("the proposal does not name node %s with its instance and address", self.NodeID), nil
	}
	if m.pending() && from.NodeID < self.NodeID {
		if err := m.withdraw(); err != nil {
			return "", "", err
		}
	}
	if m.pledge == nil {
		return "", "", m.save(record{Proposal: p})
	}
	if !m.pledge.Proposal.equal(p) {
		return CodePledged, fmt.Sprintf("node %s has pledged to the proposal of %s", self.NodeID, m.pledge.Proposal.Proposer.NodeID), nil
	}
	return "", "", nil
}

// release forgets the pledge to a number that its proposer has withdrawn.
func (m *Machine) release(from Server, number string) (code, text string, err error) {
	if m.pledge == nil || m.pledge.Proposal.Number != number {
		return "", "", nil
	}
	if m.own() || from.Instance != m.pledge.Proposal.Proposer.Instance {
		return CodeNotProposer, "only the instance that made a proposal can withdraw it", nil
	}
	return "", "", m.free()
}

// query says what became of an own proposal.
func (m *Machine) query(number string) Outcome {
	switch {
	case slices.Contains(m.withdrawn, number):
		return Withdrawn
	case !m.own() || m.pledge.Proposal.Number != number:
		return Unknown
	case m.pledge.Decided:
		return Decided
	}
	return Pending
}
