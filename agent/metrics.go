package agent

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/holdfast-cluster/holdfast/cluster"
)

// meter makes the metrics that /metrics shows and registers each.
type meter struct{ registry *prometheus.Registry }

// newMeter returns a meter with a registry of its own, so that a process may
// run several agents.
func newMeter() (*meter, error) {
	m := &meter{prometheus.NewRegistry()}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// cluster returns metrics for a node. The names are all different, so that
// registering them cannot fail.
func (m *meter) cluster() *cluster.Metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "holdfast", Name: "decisions_total", Help: "Decisions proposed by this node, by cause and verdict.",
	}, []string{"cause", "verdict"})
	probes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "holdfast", Name: "probes_total", Help: "Probes of other nodes, by result.",
	}, []string{"result"})
	m.registry.MustRegister(decisions, probes)
	good, bad := probes.WithLabelValues("ok"), probes.WithLabelValues("failed")
	return &cluster.Metrics{
		Leader:       m.gauge("leader", "1 while this node leads, past its barrier."),
		Term:         m.gauge("raft_term", "The term of raft."),
		AppliedIndex: m.gauge("applied_index", "The raft index of the local state."),
		Revision:     m.gauge("revision", "The replicated counter."),
		Chains:       m.gauge("chains", "Chains in the state."),
		Nodes:        m.gauge("nodes", "Nodes in the state."),

		Load:            m.gauge("node_load", "The run queue per core of this node's machine, smoothed; NaN if unknown."),
		FreeBytes:       m.gauge("node_free_bytes", "Bytes free on this node's content volume above the reserve, smoothed; NaN if unknown."),
		MemoryFreeBytes: m.gauge("node_memory_free_bytes", "Memory available to programs on this node's machine, smoothed; NaN if unknown."),

		Entries:      m.counter("entries_proposed_total", "Log entries proposed by this node."),
		Operations:   m.counter("operations_proposed_total", "Operations in the log entries proposed by this node."),
		ApplySeconds: m.histogram("apply_seconds", "Time that the state machine took for a log entry."),

		Heartbeat:         m.gauge("heartbeat_seconds", "The heartbeat that raft runs with on this node: a voter that hears nothing for so long asks for an election."),
		WorstWriteSeconds: m.gauge("worst_write_seconds", "The longest stable write of the raft log within the last one to two minutes."),
		WorstLagSeconds:   m.gauge("worst_lag_seconds", "The latest that a timer fired within the last one to two minutes."),

		HandOvers:            m.counter("hand_overs_total", "Times this node handed leadership over by itself."),
		Elections:            m.counter("elections_won_total", "Times this node became leader."),
		PassSeconds:          m.histogram("pass_seconds", "Time that a scheduler pass took."),
		FirstDecisionSeconds: m.gauge("first_decision_seconds", "Time from this node's last election to the end of its first scheduler pass; NaN until then."),
		Decision:             func(cause, verdict string) { decisions.WithLabelValues(cause, verdict).Inc() },
		Probe: func(ok bool) {
			if ok {
				good.Inc()
			} else {
				bad.Inc()
			}
		},
	}
}

func (m *meter) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "holdfast", Name: name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m *meter) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "holdfast", Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *meter) histogram(name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "holdfast", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(10e-6, 4, 11),
	})
	m.registry.MustRegister(h)
	return h
}
